"""The grid of 8-bit weights: found again in a float network that holds rounded weights.

Needs NumPy alone, for the TFLite worker imports it in an environment of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 127
_NEAR = 1e-3
"""Of a step; what float32 adds is below 1e-5, and other weights miss by more somewhere in a row."""


def steps(rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """For each row ``(channels, inputs)`` the largest step of which all its values are -127 to 127 multiples.

    0 where there is none: the weights were not rounded. A row of zeros has a step of 1.
    """
    reach = np.abs(rows).max(1).astype(np.float64)
    found = np.zeros(len(rows))
    left = np.arange(len(rows))
    for count in range(1, LARGEST + 1):
        step = np.where(reach[left] > 0, reach[left] / count, 1.0)
        # Most counts fail within the first values of a row: look at all of it only where they fit.
        near = np.flatnonzero(_on_grid(rows[left, :8], step))
        near = near[_on_grid(rows[left[near]], step[near])]
        found[left[near]] = step[near]
        left = np.delete(left, near)
    return found


def _on_grid(rows: NDArray[np.floating[Any]], step: NDArray[np.float64]) -> NDArray[np.bool_]:
    counts = rows / step[:, None]
    close: NDArray[np.bool_] = np.abs(counts - np.rint(counts)).max(1) < _NEAR
    return close
