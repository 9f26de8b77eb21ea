"""The one post-processing chain: causal median, causal mean, scaling about a centre, offset, limits.

After Ortega, Cardinal & Koerich (arXiv 1906.10623) and the AVEC baselines, which also look ahead; this chain does not.
Its parameters come from the bundle, where training chose them.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from edge_emotion.config import SmoothingChain, SmoothingSettings
from edge_emotion.kernels.filters import window_mean, window_median
from edge_emotion.kernels.ring import append, new_ring
from edge_emotion.types import DIMENSIONS

_MAX_RATE_HZ = 50


class Smoother:
    """Smooth readings of arousal and valence as they come, at any spacing in time up to 50 Hz.

    Missing values leave the chain as it is; after more than ``restart_after_s`` without a value it begins anew, so that
    nothing old leaks across a gap. Values are limited to [-1, 1] at the end.
    """

    def __init__(self, settings: SmoothingSettings) -> None:
        self._restart_after_ns = round(settings.restart_after_s * 1e9)
        self._chains = tuple(_Chain(settings[dimension]) for dimension in DIMENSIONS)
        self.latency_s = max(settings[dimension].latency_s for dimension in DIMENSIONS)
        self._last_ns: int | None = None

    def update(self, time_ns: int, value: tuple[float, float] | None) -> tuple[float, float] | None:
        """Smoothed arousal and valence for the newest pair; ``None`` stays ``None``.

        Times must not fall; a pair whose time is before the last restarts the chain.
        """
        if value is None:
            return None
        if self._last_ns is not None and not 0 <= time_ns - self._last_ns <= self._restart_after_ns:
            self.reset()
        self._last_ns = time_ns
        arousal, valence = (chain.update(time_ns, x) for chain, x in zip(self._chains, value, strict=True))
        return arousal, valence

    def reset(self) -> None:
        """As just constructed."""
        self._last_ns = None
        for chain in self._chains:
            chain.reset()


class _Chain:
    """One dimension's chain."""

    def __init__(self, settings: SmoothingChain) -> None:
        self._settings = settings
        self._median_ns = round(settings.median_s * 1e9)
        self._mean_ns = round(settings.mean_s * 1e9)
        self._raw = new_ring(ceil(settings.median_s * _MAX_RATE_HZ) + 1, 1)
        self._medians = new_ring(ceil(settings.mean_s * _MAX_RATE_HZ) + 1, 1)
        self._scratch = np.zeros(len(self._raw.times))
        self._row, self._mean, self._deviation = np.zeros(1), np.zeros(1), np.zeros(1)

    def update(self, time_ns: int, x: float) -> float:
        settings = self._settings
        if self._median_ns:
            self._row[0] = x
            append(self._raw, time_ns, self._row)
            x = window_median(self._raw, time_ns - self._median_ns, time_ns, self._scratch)
        if self._mean_ns:
            self._row[0] = x
            append(self._medians, time_ns, self._row)
            window_mean(self._medians, time_ns - self._mean_ns, time_ns, self._mean, self._deviation)
            x = float(self._mean[0])
        x = settings.centre + settings.scale * (x - settings.centre) + settings.offset
        return min(1.0, max(-1.0, x))

    def reset(self) -> None:
        self._raw.cursor[:] = 0
        self._medians.cursor[:] = 0
