"""Time-stamped rows in a buffer of fixed size: the newest overwrite the oldest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_emotion.kernels._jit import Indices, Matrix64, Vector64, kernel


class Ring(NamedTuple):
    """Rows by time; `new_ring` makes one, its arrays are written in place."""

    times: Indices
    """``(capacity,)``, nanoseconds, rising from the oldest row on."""
    rows: Matrix64
    """``(capacity, width)``."""
    cursor: Indices
    """``(2,)``: where the oldest row lies, and how many rows there are. Zeros empty the ring."""


def new_ring(capacity: int, width: int) -> Ring:
    """Return an empty ring."""
    return Ring(np.zeros(capacity, np.int64), np.zeros((capacity, width)), np.zeros(2, np.int64))


@kernel
def append(ring: Ring, time_ns: int, row: Vector64) -> None:
    """Add a row (its time must not be before the newest); a full ring loses its oldest."""
    capacity = len(ring.times)
    start, count = ring.cursor[0], ring.cursor[1]
    at = (start + count) % capacity
    ring.times[at] = time_ns
    for k in range(len(row)):
        ring.rows[at, k] = row[k]
    if count < capacity:
        ring.cursor[1] = count + 1
    else:
        ring.cursor[0] = (start + 1) % capacity
