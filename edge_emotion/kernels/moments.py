"""Mean and deviation of each column over the newest rows of a circular table."""

from __future__ import annotations

import math

from edge_emotion.kernels._jit import Flags, Matrix32, Matrix64, kernel


@kernel
def moments(rows: Matrix32, used: Flags, begin: int, count: int, out: Matrix64) -> None:
    """Mean and population deviation, ``out`` (2, columns), of the used ones of ``count`` rows from ``begin`` on.

    Rows are circular; sums run from the oldest to the newest, so that their bits depend on the rows alone, not on where
    they lie. Where none is used, ``out`` is zero.
    """
    out[:] = 0.0
    number = 0
    for i in range(count):
        at = (begin + i) % len(rows)
        if used[at]:
            number += 1
            for k in range(rows.shape[1]):
                out[0, k] += rows[at, k]
    if number == 0:
        return
    for k in range(rows.shape[1]):
        out[0, k] /= number
    for i in range(count):
        at = (begin + i) % len(rows)
        if used[at]:
            for k in range(rows.shape[1]):
                off = rows[at, k] - out[0, k]
                out[1, k] += off * off
    for k in range(rows.shape[1]):
        out[1, k] = math.sqrt(out[1, k] / number)
