"""Statistics over the rows of a `Ring` that lie in the half-open span of time ``(after_ns, until_ns]``."""

from __future__ import annotations

import numpy as np

from edge_emotion.kernels._jit import Vector64, kernel
from edge_emotion.kernels.ring import Ring


@kernel
def window_mean(ring: Ring, after_ns: int, until_ns: int, mean: Vector64, deviation: Vector64) -> int:
    """Write mean and population standard deviation of each column; return the number of rows (0 writes nothing).

    Two passes, so that a large mean does not swallow a small deviation.
    """
    capacity = len(ring.times)
    start, held = ring.cursor[0], ring.cursor[1]
    width = ring.rows.shape[1]
    count = 0
    for i in range(held):
        at = (start + i) % capacity
        if after_ns < ring.times[at] <= until_ns:
            if count == 0:
                for k in range(width):
                    mean[k] = deviation[k] = 0.0
            for k in range(width):
                mean[k] += ring.rows[at, k]
            count += 1
    if count == 0:
        return 0
    for k in range(width):
        mean[k] /= count
    for i in range(held):
        at = (start + i) % capacity
        if after_ns < ring.times[at] <= until_ns:
            for k in range(width):
                deviation[k] += (ring.rows[at, k] - mean[k]) ** 2
    for k in range(width):
        deviation[k] = np.sqrt(deviation[k] / count)
    return count


@kernel
def window_median(ring: Ring, after_ns: int, until_ns: int, scratch: Vector64) -> float:
    """Median of the first column (of an even number the mean of the two in the middle); NaN where there is no row.

    ``scratch`` has the ring's capacity.
    """
    capacity = len(ring.times)
    start, held = ring.cursor[0], ring.cursor[1]
    count = 0
    for i in range(held):
        at = (start + i) % capacity
        if after_ns < ring.times[at] <= until_ns:
            value = ring.rows[at, 0]
            place = count
            while place > 0 and scratch[place - 1] > value:
                scratch[place] = scratch[place - 1]
                place -= 1
            scratch[place] = value
            count += 1
    if count == 0:
        return np.nan
    middle = count // 2
    if count % 2 == 1:
        return scratch[middle]
    return 0.5 * (scratch[middle - 1] + scratch[middle])


@kernel
def window_cover(ring: Ring, after_ns: int, until_ns: int, hold_ns: int) -> int:
    """How much of the span its rows stand for: each until the next, the last until the end, at most ``hold_ns``."""
    capacity = len(ring.times)
    start, held = ring.cursor[0], ring.cursor[1]
    covered = 0
    before = after_ns
    for i in range(held):
        time = ring.times[(start + i) % capacity]
        if after_ns < time <= until_ns:
            if before > after_ns:
                covered += min(time - before, hold_ns)
            before = time
    if before > after_ns:
        covered += min(until_ns - before, hold_ns)
    return covered
