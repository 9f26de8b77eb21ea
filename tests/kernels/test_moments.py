"""Mean and deviation over a circular table, against their definition."""

import math

import numpy as np

from edge_emotion.kernels.moments import moments


def naive_moments(rows: list[list[float]]) -> list[list[float]]:
    columns = list(zip(*rows, strict=True))
    means = [sum(column) / len(column) for column in columns]
    squares = [sum((x - mean) ** 2 for x in column) for column, mean in zip(columns, means, strict=True)]
    return [means, [math.sqrt(square / len(rows)) for square in squares]]


def make_table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 5)).astype(np.float32), rng.random(12) < 0.7


def test_moments_match_the_naive_twin():
    rows, used = make_table()
    out = np.empty((2, 5))
    for begin, count in ((0, 12), (0, 4), (9, 8), (21, 12)):
        moments(rows, used, begin, count, out)
        chosen = [(begin + i) % 12 for i in range(count) if used[(begin + i) % 12]]
        np.testing.assert_allclose(out, naive_moments(rows[chosen].tolist()), rtol=1e-12)


def test_where_rows_lie_does_not_touch_a_bit():
    rows, used = make_table()
    first, turned = np.empty((2, 5)), np.empty((2, 5))
    moments(rows, used, 0, 12, first)
    moments(np.roll(rows, 7, axis=0), np.roll(used, 7), 7, 12, turned)
    np.testing.assert_array_equal(turned, first)


def test_nothing_used_is_zero():
    rows, _ = make_table()
    out = np.full((2, 5), np.nan)
    moments(rows, np.zeros(12, np.bool_), 3, 12, out)
    assert not out.any()
