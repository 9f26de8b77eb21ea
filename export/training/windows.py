"""From features of frames to rows of a regressor: missing frames, windows, decimation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]


def fill_gaps(values: F64, valid: Flags) -> F64:
    """Rows (n, d) with the invalid ones interpolated by monotone cubics (PCHIP; Fritsch and Carlson 1980).

    Before the first and after the last valid row the nearest one is held. For training only: it looks ahead. Without
    any valid row the result is all zeros, and ``valid`` is all that can be known.
    """
    known = np.flatnonzero(valid)
    if not len(known):
        return np.zeros_like(values)
    if len(known) == len(values):
        return values.copy()
    if len(known) == 1:
        return np.repeat(values[known], len(values), axis=0)
    at = np.clip(np.arange(len(values)), known[0], known[-1])
    filled: F64 = PchipInterpolator(known, values[known], axis=0)(at).astype(values.dtype)
    filled[known] = values[known]
    return filled


def held(valid: Flags, limit: int) -> Flags:
    """Which frames a run time that holds the last value for at most ``limit`` frames has a value for."""
    index = np.arange(len(valid))
    last = np.maximum.accumulate(np.where(valid, index, -limit - 1))
    recent: Flags = index - last <= limit
    return recent


def moving_statistics(values: F64, valid: Flags, frames: int, *, deviation: bool = True) -> tuple[F64, Flags]:
    """Mean and population standard deviation over the ``frames`` rows up to and with each, valid rows only.

    Parameters
    ----------
    values
        ``float (n, d)``; invalid rows may hold anything finite.

    Returns
    -------
    ``float64 (n, 2 d)`` (means, then deviations; ``(n, d)`` without ``deviation``), and which rows rest on one valid
    frame at least; the others are 0.
    """
    weight: F64 = valid.astype(np.float64)[:, None]
    centre = values[valid].mean(axis=0) if valid.any() else np.zeros(values.shape[1])
    centred: F64 = np.where(weight > 0, values - centre, 0.0)
    count = _trailing_sum(weight, frames)
    present = count[:, 0] > 0.5
    safe = np.maximum(count, 1.0)
    mean: F64 = _trailing_sum(centred, frames) / safe
    result = mean + centre
    if deviation:
        variance = _trailing_sum(centred**2, frames) / safe - mean**2
        result = np.concatenate([result, np.sqrt(np.maximum(variance, 0.0))], axis=1)
    return np.where(present[:, None], result, 0.0), present


def _trailing_sum(values: F64, frames: int) -> F64:
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    last = np.arange(1, len(total))
    trailing: F64 = total[last] - total[np.maximum(last - frames, 0)]
    return trailing


def decimation(rows: int, every: int, most: int) -> int:
    """Take every how manyth row: ``every``, or more where that would still give over ``most`` rows."""
    return max(every, -(-rows // most))
