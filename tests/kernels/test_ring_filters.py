"""Rings and the statistics over them against plain lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_emotion.kernels.filters import window_cover, window_mean, window_median
from edge_emotion.kernels.ring import append, new_ring

pytestmark = pytest.mark.kernels

rows = st.lists(
    st.tuples(st.integers(0, 30), st.floats(-10, 10), st.floats(-1e6, 1e6)), min_size=1, max_size=40
)


@settings(deadline=None)
@given(rows, st.integers(1, 12), st.integers(-5, 600), st.integers(0, 600))
def test_statistics_are_those_of_a_list(rows: list, capacity: int, after: int, length: int) -> None:
    ring = new_ring(capacity, 2)
    kept: list[tuple[int, float, float]] = []
    time = 0
    for step, a, b in rows:
        time += step
        append(ring, time, np.array([a, b]))
        kept = [*kept, (time, a, b)][-capacity:]
    inside = [row for row in kept if after < row[0] <= after + length]
    mean, deviation = np.full(2, 7.0), np.full(2, 7.0)
    assert window_mean(ring, after, after + length, mean, deviation) == len(inside)
    median = window_median(ring, after, after + length, np.zeros(capacity))
    if not inside:
        assert np.isnan(median)
        assert mean.tolist() == deviation.tolist() == [7.0, 7.0]
        return
    values = np.array(inside)[:, 1:]
    np.testing.assert_allclose(mean, values.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(deviation, values.std(axis=0), rtol=1e-9, atol=1e-9)
    assert median == np.median(values[:, 0])


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
    st.integers(0, 200),
    st.integers(1, 200),
    st.integers(1, 20),
)
def test_cover_is_the_union_of_what_the_rows_stand_for(
    steps: list, after: int, length: int, hold: int
) -> None:
    """Counted in whole units of time: a unit is covered if a row of the window came at most ``hold`` before its end."""
    ring = new_ring(len(steps), 1)
    times = np.cumsum(steps).tolist()
    for time in times:
        append(ring, time, np.zeros(1))
    inside = [time for time in times if after < time <= after + length]
    covered = {unit for time in inside for unit in range(time, min(time + hold, after + length))}
    assert window_cover(ring, after, after + length, hold) == len(covered)


def test_a_full_window_of_even_frames_is_covered() -> None:
    ring = new_ring(100, 1)
    for frame in range(80):
        append(ring, frame * 40, np.zeros(1))
    assert window_cover(ring, 1199, 3200, 1000) == 2000
    assert window_cover(ring, 1199, 3700, 1000) == 2500
    assert window_cover(ring, 1199, 5200, 1000) == 1960 + 1000


def test_a_large_mean_does_not_swallow_the_deviation() -> None:
    ring = new_ring(4, 1)
    for time, value in enumerate((1e9, 1e9 + 1, 1e9 + 2)):
        append(ring, time, np.array([value]))
    mean, deviation = np.zeros(1), np.zeros(1)
    window_mean(ring, -1, 9, mean, deviation)
    assert deviation[0] == pytest.approx(np.sqrt(2 / 3), rel=1e-9)
