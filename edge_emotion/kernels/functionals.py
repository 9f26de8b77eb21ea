"""Statistics of descriptor rows over a stretch of sound (specification, section 7).

Rows are ``float32`` and decide what is an extremum; sums run over them in frame order and in ``float64``, so that a
window that slides gives the bits that the same rows give at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_emotion.kernels._jit import Indices, Matrix32, Matrix64, Vector32, kernel, part

FRAME_S = 0.01
"""Seconds from row to row."""

SPECTRAL_COLUMNS = 7
"""Columns of a spectral row: loudness, spectral flux, MFCC 1 to 4, all smoothed; mean square of the samples."""
VOICED_COLUMNS = 23
"""Of these a row bound to pitch has 5 of the voice, 9 of the formants and 9 spectral ones, 0 where unvoiced ..."""
PITCH_COLUMNS = 28
"""... and then 5 spectral ones that are 0 where voiced."""
FUNCTIONALS = 88

_RELATIVE_THRESHOLD = 0.1
_OPENING_HITS = 3
_CLOSING_MISSES = 2
_POWER_FLOOR = 1e-12
_FLOAT32_MAX = 3.4028234e38


def new_sums(columns: int) -> Matrix64:
    """Sums of no rows yet: count, first value, sum and sum of squares of the distances from it, each (columns,)."""
    return np.zeros((4, columns))


@kernel
def add_rows(rows: Matrix32, skip_zeros: bool, sums: Matrix64) -> None:
    """Add rows ``float32 (n, columns)`` to their sums; ``skip_zeros`` leaves out zeros (unvoiced, missing).

    Distances are taken from the first value that counts, so that a constant has no deviation and a large mean costs no
    precision.
    """
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            value = np.float64(rows[r, c])
            if value != 0.0 or not skip_zeros:
                if sums[0, c] == 0.0:
                    sums[1, c] = value
                distance = value - sums[1, c]
                sums[0, c] += 1.0
                sums[2, c] += distance
                sums[3, c] += distance * distance


@part
def mean_and_deviation(sums: Matrix64, first: int, last: int, out: Vector32) -> None:
    """Mean and standard deviation over mean of columns ``first`` to ``last`` - 1, two values a column, into ``out``.

    0 where no value counts; the second is 0 where all values are equal, and has the sign of the mean.
    """
    for c in range(first, last):
        mean = ratio = 0.0
        count = sums[0, c]
        if count > 0.0:
            shift = sums[2, c] / count
            mean = sums[1, c] + shift
            variance = sums[3, c] / count - shift * shift
            if variance > 0.0 and mean != 0.0:
                ratio = np.sqrt(variance) / mean
        out[2 * (c - first)] = mean
        out[2 * (c - first) + 1] = min(max(ratio, -_FLOAT32_MAX), _FLOAT32_MAX)


@part
def percentile(ordered: Vector32, share: float) -> float:
    """Value below which ``share`` (0 to 1) of the ascending ``ordered`` lies, between neighbours linear; 0 if empty."""
    n = len(ordered)
    if n == 0:
        return 0.0
    place = share * (n - 1)
    below = int(place)
    above = min(below + 1, n - 1)
    weight = place - below
    return ordered[below] * (1.0 - weight) + ordered[above] * weight


@part
def significant_extrema(x: Vector32, place: Indices, is_peak: NDArray[np.bool_]) -> int:
    """Alternating peaks and valleys of ``x`` that rise and fall by a tenth of its range.

    Parameters
    ----------
    x
        ``float32 (n,)``.
    place, is_peak
        Room for ``n`` indices (``int64``) and flags (``bool``): where the extrema are, and which of them are peaks.

    Returns
    -------
    int
        How many were found: section 7, Peaks2, steps 1 to 3.
    """
    n = len(x)
    if n == 0:
        return 0
    threshold = _RELATIVE_THRESHOLD * (x.max() - x.min())
    kept = 0
    before = lowest = highest = x[0]
    valley_since = False
    for i in range(2, n - 2):
        y = x[i]
        if y > x[i - 1] and y > x[i + 1]:
            keep = True
            if abs(y - before) < threshold:
                if y - lowest < threshold:
                    keep = False
                elif y > np.float32(1.05) * highest:
                    for k in range(kept - 1, -1, -1):
                        if is_peak[k]:
                            for m in range(k + 1, kept):
                                place[m - 1] = place[m]
                                is_peak[m - 1] = is_peak[m]
                            kept -= 1
                            break
                else:
                    keep = valley_since
            if keep:
                place[kept] = i
                is_peak[kept] = True
                kept += 1
                highest = y
                valley_since = False
            before = y
        elif y < x[i - 1] and y < x[i + 1]:
            place[kept] = i
            is_peak[kept] = False
            kept += 1
            if abs(y - before) >= threshold:
                lowest = y
                valley_since = True
            before = y
    return _alternate(x, threshold, place, is_peak, kept)


@part
def _alternate(x: Vector32, threshold: float, place: Indices, is_peak: NDArray[np.bool_], found: int) -> int:
    """Drop valleys less than ``threshold`` under the peak before, then all but the extreme one of a run of a kind."""
    kept = 0
    highest = x[0]
    for k in range(found):
        y = x[place[k]]
        if is_peak[k]:
            highest = y
        elif highest - y < threshold:
            continue
        if kept > 0 and is_peak[kept - 1] == is_peak[k]:
            last = x[place[kept - 1]]
            if y > last if is_peak[k] else y < last:
                place[kept - 1] = place[k]
            continue
        place[kept] = place[k]
        is_peak[kept] = is_peak[k]
        kept += 1
    return kept


@kernel
def slopes(x: Vector32, frame: Indices, corrected: bool, out: Vector32) -> int:
    """Mean and deviation of the rising, then of the falling slopes of ``x`` per second; returns the count of peaks.

    Parameters
    ----------
    x
        ``float32 (n,)``.
    frame
        ``int64 (n,)``, the frame that each value stands for.
    corrected
        Falling slopes count by their size up to the last one and every slope enters the deviation. Else, as in the
        reference, the piece after the last extremum keeps its sign and stays out of the deviation's sum (though not
        of its count), and a curve without extrema gives its slope per frame.
    """
    n = len(x)
    out[:4] = 0.0
    if n == 0:
        return 0
    place = np.empty(n, np.int64)
    is_peak = np.empty(n, np.bool_)
    found = significant_extrema(x, place, is_peak)
    steps = np.empty((2, found + 1))
    count = np.zeros(2, np.int64)
    previous = 0
    peaks = 0
    for k in range(found):
        kind = 0 if is_peak[k] else 1
        rise = np.float64(x[place[k]]) - np.float64(x[previous])
        duration = (frame[place[k]] - frame[previous]) * FRAME_S
        steps[kind, count[kind]] = (rise if is_peak[k] else -rise) / duration
        count[kind] += 1
        peaks += kind == 0
        previous = place[k]
    internal = count.copy()
    rise = np.float64(x[n - 1]) - np.float64(x[previous])
    if corrected:
        if n > 1:
            kind = 0 if rise >= 0.0 else 1
            steps[kind, count[kind]] = abs(rise) / ((frame[n - 1] - frame[previous]) * FRAME_S)
            count[kind] += 1
            internal[kind] = count[kind]
    elif found == 0:
        kind = 0 if rise >= 0.0 else 1
        steps[kind, 0] = rise / n
        count[kind] = 1
    else:
        kind = 1 if is_peak[found - 1] else 0
        steps[kind, count[kind]] = rise / ((n - 1 - previous) * FRAME_S)
        count[kind] += 1
    for kind in range(2):
        if count[kind] > 0:
            mean = steps[kind, : count[kind]].sum() / count[kind]
            square = 0.0
            for k in range(internal[kind]):
                square += (steps[kind, k] - mean) ** 2
            out[2 * kind] = mean
            out[2 * kind + 1] = np.sqrt(square / count[kind])
    return peaks


@kernel
def segments(f0: Vector32, voiced: bool, corrected: bool, out: Vector32) -> int:
    """Mean and deviation in seconds of the lengths of voiced (else unvoiced) segments of ``f0``; returns their count.

    A segment opens after three hits, bridges a miss of one frame and closes at the second of two misses. The
    reference records it one frame short; ``corrected`` does not.
    """
    n = len(f0)
    lengths = np.empty(n // _OPENING_HITS + 1)
    count = start = hits = misses = last_hit = 0
    short = 0 if corrected else 1
    for i in range(n):
        if (f0[i] != 0.0) == voiced:
            if hits == 0:
                start = i
            hits += 1
            misses = 0
            last_hit = i
        elif hits > 0:
            misses += 1
            if misses == _CLOSING_MISSES:
                if hits >= _OPENING_HITS:
                    lengths[count] = last_hit + 1 - start - short
                    count += 1
                hits = misses = 0
    if hits >= _OPENING_HITS:
        lengths[count] = last_hit + 1 - start - short
        count += 1
    out[:2] = 0.0
    if count > 0:
        mean = lengths[:count].sum() / count
        square = 0.0
        for k in range(count):
            square += (lengths[k] - mean) ** 2
        out[0] = mean * FRAME_S
        out[1] = np.sqrt(square / count) * FRAME_S
    return count


@part
def contour(x: Vector32, frame: Indices, corrected: bool, out: Vector32) -> int:
    """Ten functionals of a curve: mean, deviation, percentiles, their range, slopes; returns its peaks' count."""
    sums = np.zeros((4, 1))
    add_rows(x.reshape(-1, 1), False, sums)
    mean_and_deviation(sums, 0, 1, out[:2])
    ordered = np.sort(x)
    for k, share in enumerate((0.2, 0.5, 0.8)):
        out[2 + k] = percentile(ordered, share)
    out[5] = out[4] - out[2]
    return slopes(x, frame, corrected, out[6:10])


@kernel
def functionals(
    loudness: Vector32, f0: Vector32, spectral: Matrix64, pitch: Matrix64, corrected: bool, out: Vector32
) -> None:
    """The 88 functionals of one stretch of rows, in the order of ``FUNCTIONAL_NAMES``.

    Parameters
    ----------
    loudness
        ``float32 (n,)``, each 20 ms frame.
    f0
        ``float32 (m,)`` in semitones, 0 where unvoiced, each frame whose pitch is decided. ``m`` may be 0: then
        all that rests on pitch is 0.
    spectral, pitch
        Sums over the same frames of rows with `SPECTRAL_COLUMNS`, and without zeros of rows with `PITCH_COLUMNS`.
    corrected
        Mode.
    out
        ``float32 (88,)``, every value finite.
    """
    n, m = len(loudness), len(f0)
    frame = np.flatnonzero(f0)
    contour(f0[frame], frame if corrected else np.arange(len(frame)), corrected, out[0:10])
    peaks = contour(loudness, np.arange(n), corrected, out[10:20])
    mean_and_deviation(spectral, 1, 6, out[20:30])
    mean_and_deviation(pitch, 0, VOICED_COLUMNS, out[30:76])
    unvoiced = np.empty(2 * (PITCH_COLUMNS - VOICED_COLUMNS), np.float32)
    mean_and_deviation(pitch, VOICED_COLUMNS, PITCH_COLUMNS, unvoiced)
    out[76:81] = unvoiced[::2]
    out[81] = peaks / (n * FRAME_S) if n > 0 else 0.0
    count = segments(f0, True, corrected, out[83:85])
    out[82] = count / (m * FRAME_S) if m > 0 else 0.0
    segments(f0, False, corrected, out[85:87])
    power = spectral[1, 6] + spectral[2, 6] / max(spectral[0, 6], 1.0)
    out[87] = 10.0 * np.log10(max(power, _POWER_FLOOR))
