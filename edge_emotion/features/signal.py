"""Input sound as the descriptors take it: mono ``float32``, full scale 1, finite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import UsageError
from edge_emotion.types import F32

LOUDEST = 1e4
"""Samples are limited to this many times full scale, so that no power overflows."""


def mono(samples: NDArray[Any], *, channel: int | None = None) -> F32:
    """Sound of any usual layout as contiguous ``float32 (n,)``.

    Parameters
    ----------
    samples
        ``int16`` of either byte order (divided by 32767, as the reference does), ``float32`` or ``float64``; shape
        ``(n,)`` or ``(n, channels)``. Neither contiguous nor writable memory is needed; it is never written to, and
        returned as it is where nothing needs to be done.
    channel
        The channel to take, counted from 0; by default the mean of all.

    Raises
    ------
    UsageError
        Another type or shape, or a channel that is not there.
    """
    samples = np.asarray(samples)
    channels = samples.shape[1] if samples.ndim == 2 else 1
    if samples.ndim not in (1, 2) or channels == 0:
        raise UsageError(f"sound of shape {samples.shape}: hand over (n,) or (n, channels)")
    if samples.dtype.kind == "i" and samples.dtype.itemsize == 2:
        scale = np.float32(32767.0)
    elif samples.dtype.kind == "f" and samples.dtype.itemsize in (4, 8):
        scale = np.float32(1.0)
    else:
        raise UsageError(f"sound of type {samples.dtype}: convert it to int16, float32 or float64")
    if channel is not None and not 0 <= channel < channels:
        raise UsageError(f"there is no channel {channel}: the sound has {channels}, counted from 0")
    if samples.ndim == 1 and samples.dtype == np.float32 and samples.flags.c_contiguous:
        return samples
    if samples.ndim == 2:
        samples = samples.mean(axis=1) if channel is None else samples[:, channel]
    return np.ascontiguousarray(samples.astype(np.float32) / scale)


def silence_faults(samples: F32) -> tuple[F32, int]:
    """Samples with NaN and infinities as 0 and the rest within `LOUDEST`, and how many were not finite."""
    if len(samples) == 0 or np.abs(samples).max() <= LOUDEST:  # false where there is a NaN
        return samples, 0
    finite = np.isfinite(samples)
    clean = np.clip(np.where(finite, samples, np.float32(0.0)), -LOUDEST, LOUDEST).astype(np.float32)
    return clean, int(len(samples) - np.count_nonzero(finite))
