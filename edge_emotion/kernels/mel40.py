"""Forty mel bands of power spectra, as the voice encoder was trained on.

Slaney's mel scale (linear below 1 kHz, logarithmic above) with triangles of equal area, no logarithm: librosa's
``melspectrogram`` at its defaults (Slaney, Auditory Toolbox, 1998).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_emotion.kernels._jit import Indices, Matrix32, Matrix64, Vector64, kernel

BANDS = 40


class MelPlan(NamedTuple):
    """Triangles of `mel_bands`: band b weighs the bins from ``first[b]`` on by ``weights[start[b]:start[b + 1]]``."""

    first: Indices
    start: Indices
    weights: Vector64


def mel_plan(fft_size: int, sample_rate_hz: int) -> MelPlan:
    """Tables for spectra of ``fft_size // 2 + 1`` bins, bands from 0 Hz to half the rate."""
    edges = _hertz(np.linspace(0.0, _mel(sample_rate_hz / 2), BANDS + 2))
    bins = np.arange(fft_size // 2 + 1) * sample_rate_hz / fft_size
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    used = [np.flatnonzero(triangle) for triangle in triangles]
    parts = [triangle[index] for triangle, index in zip(triangles, used, strict=True)]
    return MelPlan(
        first=np.array([index[0] if len(index) else 0 for index in used], np.int64),
        start=np.cumsum([0, *map(len, parts)]).astype(np.int64),
        weights=np.concatenate(parts),
    )


@kernel
def mel_bands(power: Matrix64, plan: MelPlan, out: Matrix32) -> None:
    """Weigh power spectra (frames, bins) into ``out`` (frames, 40); each frame by itself, in a fixed order."""
    for frame in range(power.shape[0]):
        for band in range(BANDS):
            total = 0.0
            for i in range(plan.start[band], plan.start[band + 1]):
                total += plan.weights[i] * power[frame, plan.first[band] + i - plan.start[band]]
            out[frame, band] = total


def _mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))
