"""The causal chain equals its slow twin, restarts across gaps, and delays a step by what it declares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_smoothing import chain

from edge_emotion.config import SmoothingChain, SmoothingSettings
from edge_emotion.smoothing import Smoother

MS = 1_000_000

steps = st.lists(
    st.tuples(st.integers(20, 1500), st.one_of(st.none(), st.floats(-1.2, 1.2))), min_size=1, max_size=60
)
chains = st.builds(
    SmoothingChain,
    median_s=st.sampled_from([0.0, 0.4, 1.0, 5.0]),
    mean_s=st.sampled_from([0.0, 0.3, 2.0]),
    centre=st.floats(-0.5, 0.5),
    scale=st.floats(0.5, 3.0),
    offset=st.floats(-0.2, 0.2),
)


@settings(deadline=None)
@given(steps, chains)
def test_equals_the_naive_twin(steps: list[tuple[int, float | None]], one: SmoothingChain) -> None:
    other = SmoothingChain(median_s=0.6, mean_s=0.2)
    times = np.cumsum([ms * MS for ms, _ in steps]).tolist()
    values = [value for _, value in steps]
    expected = zip(
        chain(times, values, one, 1.0),
        chain(times, [None if v is None else -v for v in values], other, 1.0),
        strict=True,
    )
    smoother = Smoother(SmoothingSettings(arousal=one, valence=other, restart_after_s=1.0))
    for _ in range(2):
        for t, x, (arousal, valence) in zip(times, values, list(expected), strict=False):
            got = smoother.update(t, None if x is None else (x, -x))
            if x is None:
                assert got is None
            else:
                assert got == (pytest.approx(arousal, abs=1e-12), pytest.approx(valence, abs=1e-12))
        smoother.reset()


def test_reset_and_replay_give_the_same() -> None:
    smoother = Smoother(SmoothingSettings(arousal=SmoothingChain(median_s=1.0, mean_s=0.5)))
    random = np.random.default_rng(5)
    values = [tuple(pair) for pair in random.uniform(-1, 1, (50, 2))]
    first = [smoother.update(i * 200 * MS, value) for i, value in enumerate(values)]
    smoother.reset()
    assert [smoother.update(i * 200 * MS, value) for i, value in enumerate(values)] == first


def test_a_step_arrives_after_the_declared_latency() -> None:
    """The output passes half of a step when half of the window holds the new value."""
    smoother = Smoother(SmoothingSettings(arousal=SmoothingChain(mean_s=2.0)))
    assert smoother.latency_s == 1.0
    smoothed = [smoother.update(i * 20 * MS, (float(i >= 200), 0.0)) for i in range(400)]
    half = next(i for i, pair in enumerate(smoothed) if pair is not None and pair[0] >= 0.5)
    assert (half - 200) * 0.02 == pytest.approx(smoother.latency_s, abs=0.021)


def test_scaling_leaves_the_centre_and_the_limits() -> None:
    smoother = Smoother(SmoothingSettings(arousal=SmoothingChain(centre=0.2, scale=2.0, offset=0.1)))
    values = [smoother.update(i * MS, (x, 0.0)) for i, x in enumerate((0.2, 0.4, 0.9, -0.9))]
    assert [pair[0] for pair in values if pair] == pytest.approx([0.3, 0.7, 1.0, -1.0])


def test_nothing_leaks_across_a_gap_or_backwards() -> None:
    smoother = Smoother(SmoothingSettings(arousal=SmoothingChain(mean_s=5.0), restart_after_s=1.0))
    assert smoother.update(0, (1.0, 0.0)) == (1.0, 0.0)
    assert smoother.update(1000 * MS, (0.0, 0.0)) == (0.5, 0.0)
    assert smoother.update(2001 * MS, (-1.0, 0.0)) == (-1.0, 0.0)
    assert smoother.update(1900 * MS, (0.4, 0.0)) == (0.4, 0.0)
