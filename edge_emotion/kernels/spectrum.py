"""Spectra of frames and what is read from one magnitude spectrum: loudness, slopes, ratios, flux and MFCC.

Section 2 of the descriptor specification; Eyben et al., IEEE Trans. Affective Computing 7(2), 2016.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge_emotion.kernels._jit import Indices, Matrix32, Vector64, kernel, part

BANDS = 26
CEPSTRA = 4
DESCRIPTORS = 10
"""Columns that `describe` writes: loudness, alphaRatio, hammarbergIndex, slope0-500, slope500-1500, flux, mfcc1-4."""

_MEL_FLOOR = 9.3e-10
_POWER_FLOOR = 1e-14
_HTK_SCALE = 32767.0**2


class SpectrumPlan(NamedTuple):
    """Tables of `describe` for one transform size and rate."""

    bin_hz: float
    mel_first: int
    mel_band: Indices
    """Band whose falling side each bin from ``mel_first`` on lies on, -1 to 25; the next band rises there."""
    mel_fall: Vector64
    loudness_gain: Vector64
    cosines: Vector64
    """(CEPSTRA * BANDS): the cosine transform with liftering."""
    below_1000: int
    from_1000: int
    below_2000: int
    from_2000: int
    to_5000: int
    flux_bins: int


def spectrum_plan(fft_size: int, rate_hz: float) -> SpectrumPlan:
    """Tables for spectra of ``fft_size // 2 + 1`` bins at the frame's effective rate."""
    bin_hz = rate_hz / fft_size
    bins = fft_size // 2 + 1
    frequency = np.arange(bins) * bin_hz
    top_hz = min(8000.0, rate_hz / 2)
    points = np.linspace(_mel(20.0), _mel(top_hz), BANDS + 2)
    first = math.floor(20.0 / bin_hz + 0.5) + 1
    end = min(math.floor(top_hz / bin_hz + 0.5), bins)
    mel = _mel(frequency[first:end])
    band = np.clip(np.searchsorted(points, mel, side="right") - 2, -1, BANDS - 1)
    fall = (points[band + 2] - mel) / (points[band + 2] - points[band + 1])
    centre_hz = 700.0 * (np.exp(points[1:-1] / 1127.0) - 1.0)
    order = np.arange(1, CEPSTRA + 1)[:, None]
    cosines = np.cos(np.pi * order * (np.arange(BANDS) + 0.5) / BANDS)
    cosines *= np.sqrt(2.0 / BANDS) * (1.0 + 11.0 * np.sin(np.pi * order / 22.0))
    return SpectrumPlan(
        bin_hz=bin_hz,
        mel_first=first,
        mel_band=band.astype(np.int64),
        mel_fall=fall,
        loudness_gain=_equal_loudness(centre_hz),
        cosines=cosines.ravel(),
        below_1000=int(np.sum(frequency < 1000.0)),
        from_1000=int(np.sum(frequency < 1000.0)),
        below_2000=int(np.sum(frequency < 2000.0)),
        from_2000=int(np.sum(frequency < 2000.0)),
        to_5000=int(np.sum(frequency <= 5000.0)),
        flux_bins=int(np.sum(frequency < 5000.0)),
    )


def _mel(hertz):  # type: ignore[no-untyped-def]
    return 1127.0 * np.log(1.0 + hertz / 700.0)


def _equal_loudness(hertz):  # type: ignore[no-untyped-def]
    """Equal-loudness weight of Hermansky's PLP with the high-frequency term (section 2)."""
    w = 2.0 * np.pi * hertz
    return 1e32 * (w**2 + 56.8e6) * w**4 / ((w**2 + 6.3e6) ** 2 * (w**2 + 0.38e9) * (np.abs(w) ** 7 + 1.7e31))


@kernel
def describe(magnitude: Matrix32, plan: SpectrumPlan, rows: Matrix32) -> None:
    """Descriptors of each spectrum ``magnitude[1:]`` into ``rows``; ``magnitude[0]`` is the one before (flux)."""
    bands = np.empty(BANDS)
    level = np.empty(magnitude.shape[1])
    for t in range(rows.shape[0]):
        spectrum = magnitude[t + 1]
        row = rows[t]
        _mel_bands(spectrum, plan, bands)
        loudness = 0.0
        for b in range(BANDS):
            loudness += (max(bands[b], _MEL_FLOOR) * plan.loudness_gain[b]) ** 0.33
            bands[b] = math.log(max(bands[b] * _HTK_SCALE, 1.0))
        row[0] = loudness / BANDS
        row[1] = _alpha_ratio(spectrum, plan)
        row[2] = _hammarberg_index(spectrum, plan)
        for k in range(min(len(level), int(1500.0 / plan.bin_hz) + 2)):
            power = float(spectrum[k]) * float(spectrum[k])
            level[k] = 10.0 * math.log10(max(power, _POWER_FLOOR))
        row[3] = _slope(level, plan.bin_hz, 0.0, 500.0)
        row[4] = _slope(level, plan.bin_hz, 500.0, 1500.0)
        row[5] = _flux(spectrum, magnitude[t], plan.flux_bins)
        for c in range(CEPSTRA):
            total = 0.0
            for b in range(BANDS):
                total += bands[b] * plan.cosines[c * BANDS + b]
            row[6 + c] = total


@part
def _mel_bands(spectrum, plan, bands):  # type: ignore[no-untyped-def]
    bands[:] = 0.0
    for i in range(len(plan.mel_band)):
        magnitude = float(spectrum[plan.mel_first + i])
        power = magnitude * magnitude
        falling = power * plan.mel_fall[i]
        b = plan.mel_band[i]
        if b >= 0:
            bands[b] += falling
        if b + 1 < BANDS:
            bands[b + 1] += power - falling


@part
def _alpha_ratio(spectrum, plan):  # type: ignore[no-untyped-def]
    low = 0.0
    for k in range(plan.below_1000):
        low += float(spectrum[k]) * float(spectrum[k])
    high = 0.0
    for k in range(plan.from_1000, plan.to_5000):
        high += float(spectrum[k]) * float(spectrum[k])
    if low <= 0.0:
        return 0.0
    return 10.0 * math.log10(max(high / low, _POWER_FLOOR))


@part
def _hammarberg_index(spectrum, plan):  # type: ignore[no-untyped-def]
    low = spectrum[0]
    for k in range(plan.below_2000):
        low = max(low, spectrum[k])
    high = spectrum[plan.from_2000]
    for k in range(plan.from_2000, plan.to_5000):
        high = max(high, spectrum[k])
    if low <= 0.0 or high <= 0.0:
        return 0.0
    return 20.0 * math.log10(float(low) / float(high))


@part
def _slope(level, bin_hz, low_hz, high_hz):  # type: ignore[no-untyped-def]
    """Least squares of level over frequency; its edge bins are weighted by their share and counted one too few."""
    left = int(math.floor(low_hz / bin_hz))
    right = int(math.floor(high_hz / bin_hz))
    upper = right if right * bin_hz == high_hz else right + 1
    left_weight = (left + 1) - low_hz / bin_hz
    if left_weight == 0.0:
        left_weight = 1.0
    right_weight = (high_hz - (upper - 1) * bin_hz) / bin_hz
    if right_weight == 0.0:
        right_weight = 1.0
    sum_f = sum_ff = sum_fy = sum_y = 0.0
    for k in range(left, right + 1):
        weight = 1.0
        if k == left:
            weight = left_weight
        elif k == right:
            weight = right_weight
        f = k * bin_hz * weight
        sum_f += f
        sum_ff += f * f
        sum_fy += f * level[k]
        sum_y += weight * level[k]
    count = right - left
    return (count * sum_fy - sum_f * sum_y) / (count * sum_ff - sum_f * sum_f)


@part
def _flux(spectrum, previous, bins):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(bins):
        step = float(spectrum[k]) - float(previous[k])
        total += step * step
    return math.sqrt(total / bins)
