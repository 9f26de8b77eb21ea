"""What a known fundamental finds in the 60 ms spectrum: harmonics-to-noise ratio and levels of the harmonics.

Section 4 of the descriptor specification.
"""

from __future__ import annotations

import math

from edge_emotion.kernels._jit import Matrix32, Matrix64, Vector32, kernel, part

HARMONICS = 100
FORMANTS = 3
COLUMNS = 3 + FORMANTS
"""Columns that `describe` writes: HNRdBACF, H1-H2, H1-A3, F1-F3 amplitude."""

_NEAR = 0.2
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
    peaks: Matrix64,
    rows: Matrix32,
) -> None:
    """Describe each frame by its spectrum, the magnitude of its autocorrelation, its fundamental and its formants.

    In ``corrected`` mode "H1-H2" is the first partial less the second and "H1-A3" the first less the strongest near F3
    (the reference takes the second for the first, the third for the second), the fundamental may be the strongest near
    a formant, and what is missing is 0. ``peaks`` is room for ``(HARMONICS, 3)`` values.
    """
    missing = 0.0 if corrected else _MISSING_DB
    first = 0 if corrected else 1
    lag_rate = bin_hz * 2.0 * (magnitude.shape[1] - 1)
    for t in range(rows.shape[0]):
        row = rows[t]
        for k in range(COLUMNS):
            row[k] = 0.0
        if hertz[t] <= 0.0:
            for f in range(FORMANTS):
                row[3 + f] = missing
            continue
        row[0] = _harmonics_to_noise(correlation[t], lag_rate / float(hertz[t]))
        found = _measure(magnitude[t], float(hertz[t]), formant_hertz[t], bin_hz, peaks)
        row[1] = _difference(_level(peaks, first, found), _level(peaks, first + 1, found), corrected)
        third = 0.0
        for f in range(FORMANTS):
            strongest = _strongest_near(peaks, found, float(formant_hertz[t, f]))
            third = _level(peaks, strongest, found) if strongest >= first else _MISSING_DB
            row[3 + f] = third if strongest >= first else 0.0
        row[2] = _difference(_level(peaks, first, found), third, corrected)


@part
def _harmonics_to_noise(correlation: Vector32, period: float) -> float:
    """HNR (dB) at the strict local maximum of the autocorrelation that is closest to ``period``."""
    last = len(correlation) - 1
    lag = min(int(period), last)
    for distance in range(last):
        if _is_peak(correlation, lag - distance):
            lag -= distance
            break
        if _is_peak(correlation, lag + distance):
            lag += distance
            break
    periodic = float(correlation[lag])
    noise = float(correlation[0]) - periodic
    if noise <= 0.0:
        return 110.0
    return 10.0 * math.log10(min(max(periodic / noise, 1e-9), 1e11))


@part
def _is_peak(values: Vector32, k: int) -> bool:
    return 0 < k < len(values) - 1 and values[k] > values[k - 1] and values[k] > values[k + 1]


@part
def _nearest_bin(hertz: float, bin_hz: float, bins: int) -> int:
    """The bin closest to a frequency, of two equally close the upper."""
    above = int(hertz / bin_hz) + 1
    if above >= bins:
        return bins - 1
    if hertz - (above - 1) * bin_hz < above * bin_hz - hertz:
        return above - 1
    return above


@part
def _find_peak(magnitude: Vector32, target: float, width: float, bin_hz: float) -> int:
    """Strict local maximum closest to ``target`` Hz and at most half a ``width`` away, -1 where there is none."""
    bins = len(magnitude)
    start = _nearest_bin(target, bin_hz, bins)
    if _is_peak(magnitude, start):
        return start
    first = _nearest_bin(target - 0.5 * width, bin_hz, bins)
    last = min(_nearest_bin(target + 0.5 * width, bin_hz, bins), bins - 2)
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
def _measure(
    magnitude: Vector32, fundamental: float, formant_hertz: Vector32, bin_hz: float, peaks: Matrix64
) -> int:
    """Frequency, peak bin's magnitude and interpolated magnitude of each harmonic; how many may be of use.

    A harmonic without a peak has the interpolated magnitude 0, one that shares the bin of the harmonic before it -1.
    Without a peak for the fundamental there are none.
    """
    highest = 0.0
    for f in range(FORMANTS):
        highest = max(highest, (1.0 + _NEAR) * float(formant_hertz[f]))
    previous = -1
    for h in range(HARMONICS):
        target = (h + 1) * fundamental
        if target >= bin_hz * (len(magnitude) - 1) or (h > 2 and target - fundamental > highest):
            return h
        peaks[h, 0] = peaks[h, 1] = peaks[h, 2] = 0.0
        k = _find_peak(magnitude, target, fundamental, bin_hz)
        if k < 0:
            if h == 0:
                return 0
            continue
        if k == previous:
            peaks[h, 2] = -1.0
            continue
        previous = k
        before, peak, after = float(magnitude[k - 1]), float(magnitude[k]), float(magnitude[k + 1])
        offset = 0.5 * (before - after) / (before - 2.0 * peak + after)
        peaks[h, 0] = (k + offset) * bin_hz
        peaks[h, 1] = peak
        peaks[h, 2] = peak - 0.25 * (before - after) * offset
    return HARMONICS


@part
def _level(peaks: Matrix64, h: int, found: int) -> float:
    """Level of a harmonic relative to the bin of the fundamental's peak (dB)."""
    if found == 0 or (h < found and peaks[h, 2] < 0.0):
        return _MISSING_DB
    if h >= found or peaks[h, 2] == 0.0:
        return _FLOOR_DB
    return max(20.0 * math.log10(peaks[h, 2] / peaks[0, 1]), _FLOOR_DB)


@part
def _difference(level: float, other: float, corrected: bool) -> float:
    """Difference of two levels (dB); corrected: 0, missing, where one of them was not found."""
    if corrected and min(level, other) <= _FLOOR_DB:
        return 0.0
    return min(max(level - other, _MISSING_DB), -_MISSING_DB)


@part
def _strongest_near(peaks: Matrix64, found: int, formant: float) -> int:
    """The harmonic of largest magnitude within a fifth of the formant, -1 where there is none."""
    best = -1
    low, high = (1.0 - _NEAR) * formant, (1.0 + _NEAR) * formant
    height = 0.0
    for h in range(found):
        if low <= peaks[h, 0] <= high and peaks[h, 1] > height:
            best, height = h, peaks[h, 1]
    return best
