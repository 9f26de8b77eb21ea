"""Statistics of descriptor rows over a stretch of sound (specification, section 7).

Rows are ``float32`` and decide what is an extremum; sums run over them in frame order and in ``float64``, so that a
window that slides gives the bits that the same rows give at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge_emotion.kernels._jit import Flags, Indices, Matrix32, Matrix64, Vector32, Vector64, kernel, part

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


class Scratch(NamedTuple):
    """Room for the functionals of up to ``n`` rows."""

    curve: Vector32
    """(n,): the voiced part of F0."""
    column: Matrix32
    """(n, 1), like `ordered` and `frame` of the curve at hand: its values, these in ascending order, their frames."""
    ordered: Vector32
    frame: Indices
    place: Indices
    """(n,): where extrema are; and whether each is a peak."""
    is_peak: Flags
    steps: Matrix64
    """(2, n + 1): slopes that rise, slopes that fall."""
    lengths: Vector64
    """(n,) of segments."""
    sums: Matrix64
    """(4, 1)."""


def new_scratch(rows: int) -> Scratch:
    """Room for up to ``rows`` rows."""
    return Scratch(
        curve=np.zeros(rows, np.float32),
        column=np.zeros((rows, 1), np.float32),
        ordered=np.zeros(rows, np.float32),
        frame=np.zeros(rows, np.int64),
        place=np.zeros(rows, np.int64),
        is_peak=np.zeros(rows, np.bool_),
        steps=np.zeros((2, rows + 1)),
        lengths=np.zeros(rows),
        sums=new_sums(1),
    )


@kernel
def add_rows(rows: Matrix32, skip_zeros: bool, sums: Matrix64) -> None:
    """Add rows ``float32 (n, columns)`` to their sums; ``skip_zeros`` leaves out zeros (unvoiced, missing).

    Distances are taken from the first value that counts, so that a constant has no deviation and a large mean costs no
    precision.
    """
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            value = np.float64(rows[r, c])
            if not skip_zeros or value != 0.0:
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
                ratio = math.sqrt(variance) / mean
        out[2 * (c - first)] = mean
        out[2 * (c - first) + 1] = min(max(ratio, -_FLOAT32_MAX), _FLOAT32_MAX)


@part
def sort(values: Vector32, n: int) -> None:
    """Put the first ``n`` values in ascending order: a heap sort, in place and never slow."""
    for i in range(1, n):
        child = i
        while child > 0 and values[child] > values[(child - 1) // 2]:
            parent = (child - 1) // 2
            values[child], values[parent] = values[parent], values[child]
            child = parent
    for end in range(n - 1, 0, -1):
        values[0], values[end] = values[end], values[0]
        parent, child = 0, 1
        while child < end:
            if child + 1 < end and values[child + 1] > values[child]:
                child += 1
            if values[child] <= values[parent]:
                break
            values[child], values[parent] = values[parent], values[child]
            parent, child = child, 2 * child + 1


@part
def percentile(ordered: Vector32, n: int, share: float) -> float:
    """Value below which ``share`` (0 to 1) of ``n`` ascending ones lies, between neighbours linear; 0 of none."""
    if n == 0:
        return 0.0
    place = share * (n - 1)
    below = int(place)
    above = min(below + 1, n - 1)
    weight = place - below
    return ordered[below] * (1.0 - weight) + ordered[above] * weight


@part
def significant_extrema(x: Vector32, n: int, place: Indices, is_peak: Flags) -> int:
    """Alternating peaks and valleys of a curve that rise and fall by a tenth of its range.

    Parameters
    ----------
    x
        ``float32``, of which the first ``n`` values count.
    place, is_peak
        Room for ``n`` indices (``int64``) and flags (``bool``): where the extrema are, and which of them are peaks.

    Returns
    -------
    int
        How many were found: section 7, Peaks2, steps 1 to 3.
    """
    if n == 0:
        return 0
    top = bottom = x[0]
    for i in range(n):
        top, bottom = max(top, x[i]), min(bottom, x[i])
    threshold = _RELATIVE_THRESHOLD * (top - bottom)
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
def _alternate(x: Vector32, threshold: float, place: Indices, is_peak: Flags, found: int) -> int:
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


@part
def spread(values: Vector64, n: int, inside: int, unit: float, out: Vector32) -> None:
    """Mean of ``n`` values and, of the first ``inside`` of them, their deviation over ``n``, both times ``unit``; 0 and
    0 of none.
    """
    total = square = 0.0
    for k in range(n):
        total += values[k]
    mean = total / max(n, 1)
    for k in range(inside):
        square += (values[k] - mean) ** 2
    out[0] = mean * unit
    out[1] = math.sqrt(square / max(n, 1)) * unit


@kernel
def slopes(x: Vector32, frame: Indices, n: int, corrected: bool, scratch: Scratch, out: Vector32) -> int:
    """Mean and deviation of the rising, then of the falling slopes of a curve per second; returns the count of peaks.

    Parameters
    ----------
    x, frame
        ``float32`` and ``int64``, of which the first ``n`` count: values, and the frame that each stands for.
    corrected
        Falling slopes count by their size up to the last one and every slope enters the deviation. Else, as in the
        reference, the piece after the last extremum keeps its sign and stays out of the deviation's sum (though not
        of its count), and a curve without extrema gives its slope per frame.
    """
    for k in range(4):
        out[k] = 0.0
    if n < 2:
        return 0
    place, is_peak, steps = scratch.place, scratch.is_peak, scratch.steps
    found = significant_extrema(x, n, place, is_peak)
    previous = peaks = falls = 0
    for k in range(found):
        rise = np.float64(x[place[k]]) - np.float64(x[previous])
        duration = (frame[place[k]] - frame[previous]) * FRAME_S
        if is_peak[k]:
            steps[0, peaks] = rise / duration
            peaks += 1
        else:
            steps[1, falls] = -rise / duration
            falls += 1
        previous = place[k]
    rise = np.float64(x[n - 1]) - np.float64(x[previous])
    falling = rise < 0.0
    if corrected:
        last = abs(rise) / ((frame[n - 1] - frame[previous]) * FRAME_S)
    elif found == 0:
        last = rise / n
    else:
        falling = is_peak[found - 1]
        last = rise / ((n - 1 - previous) * FRAME_S)
    outside = 0 if corrected else 1
    if falling:
        steps[1, falls] = last
        spread(steps[0], peaks, peaks, 1.0, out)
        spread(steps[1], falls + 1, falls + 1 - outside, 1.0, out[2:])
    else:
        steps[0, peaks] = last
        spread(steps[0], peaks + 1, peaks + 1 - outside, 1.0, out)
        spread(steps[1], falls, falls, 1.0, out[2:])
    return peaks


@kernel
def segments(f0: Vector32, voiced: bool, corrected: bool, lengths: Vector64, out: Vector32) -> int:
    """Mean and deviation in seconds of the lengths of voiced (else unvoiced) segments of ``f0``; returns their count.

    A segment opens after three hits, bridges a miss of one frame and closes at the second of two misses. The
    reference records it one frame short; ``corrected`` does not. ``lengths`` is room for a value each segment.
    """
    n = len(f0)
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
    spread(lengths, count, count, FRAME_S, out)
    return count


@part
def contour(x: Vector32, n: int, corrected: bool, scratch: Scratch, out: Vector32) -> int:
    """Ten functionals of a curve's first ``n`` values, at the frames ``scratch.frame``; returns its peaks' count.

    Mean, deviation, percentiles, their range, slopes.
    """
    sums, column, ordered = scratch.sums, scratch.column, scratch.ordered
    for k in range(4):
        sums[k, 0] = 0.0
    for i in range(n):
        column[i, 0] = ordered[i] = x[i]
    add_rows(column[:n], False, sums)
    mean_and_deviation(sums, 0, 1, out)
    sort(ordered, n)
    out[2] = percentile(ordered, n, 0.2)
    out[3] = percentile(ordered, n, 0.5)
    out[4] = percentile(ordered, n, 0.8)
    out[5] = out[4] - out[2]
    return slopes(x, scratch.frame, n, corrected, scratch, out[6:])


@kernel
def functionals(
    loudness: Vector32,
    f0: Vector32,
    spectral: Matrix64,
    pitch: Matrix64,
    corrected: bool,
    scratch: Scratch,
    out: Vector32,
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
    scratch
        Room for ``n`` and for ``m`` rows.
    out
        ``float32 (88,)``, every value finite.
    """
    n, m = len(loudness), len(f0)
    curve, frame = scratch.curve, scratch.frame
    voiced = 0
    for i in range(m):
        if f0[i] != 0.0:
            curve[voiced], frame[voiced] = f0[i], i if corrected else voiced
            voiced += 1
    contour(curve, voiced, corrected, scratch, out)
    for i in range(n):
        frame[i] = i
    peaks = contour(loudness, n, corrected, scratch, out[10:])
    mean_and_deviation(spectral, 1, 6, out[20:])
    mean_and_deviation(pitch, 0, PITCH_COLUMNS, out[30:])
    for k in range(
        PITCH_COLUMNS - VOICED_COLUMNS
    ):  # of these the mean only; what lies beyond is written anew below
        out[76 + k] = out[76 + 2 * k]
    out[81] = peaks / (n * FRAME_S) if n > 0 else 0.0
    count = segments(f0, True, corrected, scratch.lengths, out[83:])
    out[82] = count / (m * FRAME_S) if m > 0 else 0.0
    segments(f0, False, corrected, scratch.lengths, out[85:])
    power = spectral[1, 6] + spectral[2, 6] / max(spectral[0, 6], 1.0)
    out[87] = 10.0 * math.log10(max(power, _POWER_FLOOR))
