"""What a known fundamental finds in the 60 ms spectrum: harmonics-to-noise ratio and levels of the harmonics.

Section 4 of the descriptor specification.
"""

from __future__ import annotations

import math

import numpy as np

from edge_emotion.kernels._jit import Matrix32, Vector32, kernel, part

HARMONICS = 100
FORMANTS = 3
COLUMNS = 3 + FORMANTS
"""Columns that `describe` writes: HNRdBACF, H1-H2, H1-A3, F1-F3 amplitude."""

_FLOOR_DB = -200.0
_MISSING_DB = -201.0


@kernel
def describe(
    magnitude: Matrix32,
    correlation: Matrix32,
    hertz: Vector32,
    formant_hertz: Matrix32,
    bin_hz: float,
    corrected: bool,
    rows: Matrix32,
) -> None:
    """Describe each frame by its spectrum, the magnitude of its autocorrelation, its fundamental and its formants."""
    level = np.empty(HARMONICS, np.float32)
    frequency = np.empty(HARMONICS, np.float32)
    height = np.empty(HARMONICS, np.float32)
    lag_rate = bin_hz * 2.0 * (magnitude.shape[1] - 1)
    for t in range(rows.shape[0]):
        row = rows[t]
        row[:] = 0.0
        if hertz[t] <= 0.0:
            if not corrected:
                row[3:] = _MISSING_DB
            continue
        row[0] = _harmonics_to_noise(correlation[t], lag_rate / float(hertz[t]))
        _measure(magnitude[t], float(hertz[t]), bin_hz, level, frequency, height)
        # The reference counts partials from the one above F0 on, and F0 itself is never the one at a formant.
        lowest = 0 if corrected else 1
        row[1] = _difference(level[lowest], level[lowest + 1], corrected)
        third = _nearest_formant(frequency, height, formant_hertz[t, 2])
        other = level[third] if third >= lowest else np.float32(_MISSING_DB)
        row[2] = _difference(level[lowest], other, corrected)
        for f in range(FORMANTS):
            strongest = _nearest_formant(frequency, height, formant_hertz[t, f])
            row[3 + f] = level[strongest] if strongest >= lowest else np.float32(0.0)


@part
def _difference(level, other, corrected):  # type: ignore[no-untyped-def]
    """Difference of two levels (dB); corrected: 0, missing, where one of them was not found."""
    if corrected and min(level, other) <= _FLOOR_DB:
        return np.float32(0.0)
    return min(max(level - other, np.float32(_MISSING_DB)), np.float32(-_MISSING_DB))


@part
def _harmonics_to_noise(correlation, period):  # type: ignore[no-untyped-def]
    """HNR (dB) at the strict local maximum of the autocorrelation that is closest to ``period``."""
    last = len(correlation) - 1
    lag = int(period)
    for distance in range(last):
        left, right = lag - distance, lag + distance
        if _is_peak(correlation, left):
            lag = left
            break
        if _is_peak(correlation, right):
            lag = right
            break
    lag = min(lag, last)
    periodic = float(correlation[lag])
    noise = float(correlation[0]) - periodic
    if noise <= 0.0:
        return 110.0
    return 10.0 * math.log10(min(max(periodic / noise, 1e-9), 1e11))


@part
def _is_peak(values, k):  # type: ignore[no-untyped-def]
    return 0 < k < len(values) - 1 and values[k] > values[k - 1] and values[k] > values[k + 1]


@part
def _nearest_bin(hertz, bin_hz, bins):  # type: ignore[no-untyped-def]
    above = int(math.floor(hertz / bin_hz)) + 1
    if above >= bins:
        return bins - 1
    if hertz - (above - 1) * bin_hz < above * bin_hz - hertz:
        return above - 1
    return above


@part
def _find_peak(magnitude, target, low, high, bin_hz):  # type: ignore[no-untyped-def]
    """Strict local maximum around ``target`` Hz between ``low`` and ``high``, -1 where there is none."""
    bins = len(magnitude)
    start = _nearest_bin(target, bin_hz, bins)
    if _is_peak(magnitude, start):
        return start
    first = _nearest_bin(low, bin_hz, bins)
    last = min(_nearest_bin(high, bin_hz, bins), bins - 2)
    for distance in range(1, bins):
        right, left = start + distance, start - distance
        if right > last and left < first:
            break
        if right <= last and _is_peak(magnitude, right):
            return right
        if left >= first and _is_peak(magnitude, left):
            return left
    return -1


@part
def _measure(magnitude, fundamental, bin_hz, level, frequency, height):  # type: ignore[no-untyped-def]
    """Level (dB, relative to the fundamental's peak), frequency and peak bin's magnitude of each harmonic."""
    level[:] = _MISSING_DB
    frequency[:] = 0.0
    height[:] = 0.0
    previous = -1
    reference = 0.0
    for h in range(1, HARMONICS + 1):
        target = h * fundamental
        if target >= bin_hz * (len(magnitude) - 1):
            level[h - 1] = _FLOOR_DB
            continue
        k = _find_peak(magnitude, target, target - 0.5 * fundamental, target + 0.5 * fundamental, bin_hz)
        if h == 1:
            if k < 0:
                return
            reference = float(magnitude[k])
        if k < 0:
            level[h - 1] = _FLOOR_DB
            continue
        if k == previous:
            continue
        previous = k
        before, peak, after = float(magnitude[k - 1]), float(magnitude[k]), float(magnitude[k + 1])
        offset = 0.5 * (before - after) / (before - 2.0 * peak + after)
        top = peak - 0.25 * (before - after) * offset
        frequency[h - 1] = (k + offset) * bin_hz
        height[h - 1] = peak
        level[h - 1] = max(20.0 * math.log10(top / reference), _FLOOR_DB)


@part
def _nearest_formant(frequency, height, formant):  # type: ignore[no-untyped-def]
    """The harmonic of largest magnitude within a fifth of the formant, -1 where there is none."""
    best = -1
    if formant <= 0.0:
        return best
    for h in range(HARMONICS):
        if 0.8 * formant <= frequency[h] <= 1.2 * formant and (best < 0 or height[h] > height[best]):
            best = h
    return best
