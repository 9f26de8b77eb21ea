"""Candidates for the fundamental frequency: sub-harmonic summation on a log-frequency axis.

Section 3 of the descriptor specification; Hermes, J. Acoust. Soc. Am. 83(1), 1988, for the summation.

A candidate is a strict maximum of a sum in ``float32``, and from 48 kHz on the axis is so fine that the two highest
points of a maximum can be equal: then there is none. To have the reference's ties and no others, the spline is computed
in ``float64`` and rounded once, weighted in ``float32``, summed as it is, and the sum divided by 15 at the end. (The
specification does not say; found by comparison at 48 and 96 kHz.)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_emotion.kernels._jit import Indices, Matrix32, Matrix64, Vector32, Vector64, kernel, part
from edge_emotion.kernels.transform import LANES

CANDIDATES = 6
HARMONICS = 15
LOWEST_HZ, HIGHEST_HZ = 55.0, 1000.0
_AXIS_LOW_HZ = 25.0
_LN2 = math.log(2.0)
_ROW = 2 * LANES


class PitchPlan(NamedTuple):
    """Tables of `candidates` for one transform size and rate."""

    spline: Matrix64
    """(knots, 5): the tridiagonal system of the natural spline, solved but for its right side; see `_bend`."""
    knot: Indices
    """For each point of the log axis the knot at its left."""
    blend: Matrix64
    """(points, 4): weights of the values of a knot and the next and of their bends."""
    weight: Vector32
    """Auditory weight of each point."""
    shift: Indices
    """Points between a fundamental and its h-th harmonic."""
    first_octave: float
    octave_step: float


def pitch_plan(fft_size: int, rate_hz: float) -> PitchPlan:
    """Tables for spectra of ``fft_size // 2 + 1`` bins at the frame's effective rate."""
    points = fft_size // 2 + 1
    knots = np.empty(points)
    knots[1:] = np.log2(np.arange(1, points) * rate_hz / fft_size)
    knots[0] = 2.0 * knots[1] - knots[2]
    first, last = np.log2(_AXIS_LOW_HZ), np.log2(rate_hz / 2)
    axis = np.linspace(first, last, points)
    knot = np.clip(np.searchsorted(knots, axis, side="right") - 1, 0, points - 2)
    per_octave = points / (last - first)
    centre = per_octave * np.log2(65.0 / 50.0) - 1.0
    weight = 0.5 + np.arctan(3.0 * (np.arange(points) + 1.0 - centre) / per_octave) / np.pi
    width = np.diff(knots)
    b = (axis - knots[knot]) / width[knot]
    a = 1.0 - b
    cubic = width[knot] ** 2 / 6.0
    blend = np.stack([a, b, (a**3 - a) * cubic, (b**3 - b) * cubic], axis=1)
    return PitchPlan(
        spline=_spline_system(width),
        knot=knot.astype(np.int64),
        blend=blend,
        weight=weight.astype(np.float32),
        shift=np.floor(per_octave * np.log2(np.arange(1, HARMONICS + 1))).astype(np.int64),
        first_octave=float(first),
        octave_step=float((last - first) / (points - 1)),
    )


def _spline_system(width: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows: weights of a knot and its two neighbours on the right side, then what both passes carry over."""
    system = np.zeros((len(width) + 1, 5))
    upward = 0.0
    for k in range(1, len(width)):
        left, right = width[k - 1], width[k]
        pivot = 1.0 / (2.0 * (left + right) - left * upward)
        upward = right * pivot
        system[k] = (
            6.0 * pivot / left,
            -6.0 * pivot * (1.0 / left + 1.0 / right),
            6.0 * pivot / right,
            -left * pivot,
            -upward,
        )
    return system


class PitchScratch(NamedTuple):
    """Room for `candidates`."""

    near_peak: Vector32
    """(points,), like the three that follow."""
    enhanced: Vector32
    log_spectrum: Vector32
    summed: Vector32
    spline: Vector64
    """(points * 2 * LANES,): the bends of the first and last knot stay 0."""
    score: Vector64
    """(CANDIDATES,), like the two that follow."""
    height: Vector32
    place: Indices


def pitch_scratch(plan: PitchPlan) -> PitchScratch:
    """Room for spectra of one plan."""
    points = len(plan.knot)
    return PitchScratch(
        near_peak=np.zeros(points, np.float32),
        enhanced=np.zeros(points, np.float32),
        log_spectrum=np.zeros(points, np.float32),
        summed=np.zeros(points, np.float32),
        spline=np.zeros(points * _ROW),
        score=np.zeros(CANDIDATES),
        height=np.zeros(CANDIDATES, np.float32),
        place=np.zeros(CANDIDATES, np.int64),
    )


@kernel
def candidates(
    magnitude: Matrix32, plan: PitchPlan, scratch: PitchScratch, hertz: Matrix32, voicing: Matrix32
) -> None:
    """Up to six fundamentals of each spectrum and how voiced each is (0 to 1); zeros where there are fewer."""
    frames, points = magnitude.shape
    enhanced, spline = scratch.enhanced, scratch.spline
    for first in range(0, frames, LANES):
        count = min(LANES, frames - first)
        for lane in range(count):
            _enhance(magnitude[first + lane], scratch.near_peak, enhanced)
            values = spline[lane:]
            for k in range(points):
                values[k * _ROW] = enhanced[k]
        _bend(spline, plan.spline)
        for lane in range(count):
            _to_log_axis(spline[lane:], plan, scratch.log_spectrum)
            _sum_harmonics(scratch.log_spectrum, plan.shift, scratch.summed)
            _pick(scratch, plan, hertz[first + lane], voicing[first + lane])


@part
def _enhance(magnitude: Vector32, near_peak: Vector32, enhanced: Vector32) -> None:
    """Keep the spectrum within two bins of its peaks, then smooth it by (1, 2, 1) / 4."""
    n = len(magnitude)
    zero, one = np.float32(0.0), np.float32(1.0)
    peak = enhanced
    peak[0] = one if magnitude[0] > magnitude[1] else zero
    for k in range(1, n - 1):
        peak[k] = one if (magnitude[k] > magnitude[k - 1]) & (magnitude[k] >= magnitude[k + 1]) else zero
    peak[n - 1] = one if magnitude[n - 1] > magnitude[n - 2] else zero
    for k in range(n - 4):
        peaks = (peak[k] + peak[k + 1]) + (peak[k + 3] + peak[k + 4]) + peak[k + 2]
        near_peak[k + 2] = one if peaks > zero else zero
    left, right = 0, n - 1
    while left < n and peak[left] == zero:
        left += 1
    while right > 0 and peak[right] == zero:
        right -= 1
    # Nothing before the first peak or after the last is cut; both ends lie there or within two bins.
    for k in range(max(left, 2)):
        near_peak[k] = one
    for k in range(min(right, n - 2), n):
        near_peak[k] = one
    for k in range(n):
        near_peak[k] *= magnitude[k]
    quarter, half = np.float32(0.25), np.float32(0.5)
    enhanced[0] = half * near_peak[0] + quarter * near_peak[1]
    for k in range(1, n - 1):
        enhanced[k] = half * near_peak[k] + quarter * (near_peak[k - 1] + near_peak[k + 1])
    enhanced[n - 1] = near_peak[n - 1]


@part
def _bend(spline: Vector64, system: Matrix64) -> None:
    """Second derivatives at the knots, in all lanes at once: down the system and up again.

    A knot takes a row of ``spline``: its values, then its second derivatives. They lie in one array so that the
    compiler can see that a row and the one before it are different memory.
    """
    knots = len(system)
    for k in range(1, knots - 1):
        before, here, after, carry = system[k, 0], system[k, 1], system[k, 2], system[k, 3]
        rows = spline[(k - 1) * _ROW : (k + 2) * _ROW]
        for lane in range(LANES):
            right = before * rows[lane] + here * rows[_ROW + lane] + after * rows[2 * _ROW + lane]
            rows[_ROW + LANES + lane] = right + carry * rows[LANES + lane]
    for k in range(knots - 2, 0, -1):
        carry = system[k, 4]
        rows = spline[k * _ROW + LANES : (k + 2) * _ROW]
        for lane in range(LANES):
            rows[lane] += carry * rows[_ROW + lane]


@part
def _to_log_axis(spline: Vector64, plan: PitchPlan, log_spectrum: Vector32) -> None:
    """Natural cubic spline over log2 f at equal steps, negatives cut, times the auditory weight."""
    for i in range(len(log_spectrum)):
        j = plan.knot[i] * _ROW
        w = plan.blend[i]
        value = w[0] * spline[j] + w[1] * spline[j + _ROW]
        value += w[2] * spline[j + LANES] + w[3] * spline[j + LANES + _ROW]
        log_spectrum[i] = np.float32(value if value > 0.0 else 0.0) * plan.weight[i]


@part
def _sum_harmonics(log_spectrum: Vector32, shift: Indices, summed: Vector32) -> None:
    """Sub-harmonic summation."""
    n = len(log_spectrum)
    gain = np.float32(1.0)
    for i in range(n):
        summed[i] = log_spectrum[i]
    for h in range(1, HARMONICS):
        gain *= np.float32(0.85)
        harmonic = log_spectrum[shift[h] :]
        for i in range(len(harmonic)):
            summed[i] += gain * harmonic[i]
    for i in range(n):
        summed[i] /= np.float32(HARMONICS)


@part
def _pick(scratch: PitchScratch, plan: PitchPlan, hertz: Vector32, voicing: Vector32) -> None:
    """The highest peaks, interpolated, those in range, the highest of them first."""
    summed, place, height, score = scratch.summed, scratch.place, scratch.height, scratch.score
    for c in range(CANDIDATES):
        hertz[c] = voicing[c] = height[c] = 0.0
        score[c] = 0.0
        place[c] = 0
    mean = _mean(summed)
    found = 0
    floor = np.float32(0.0)
    for i in range(1, len(summed) - 1):
        here = summed[i]
        if not (here > floor and here > summed[i - 1] and here > summed[i + 1]):
            continue
        slot = min(found, CANDIDATES - 1)
        while slot > 0 and height[slot - 1] < here:
            height[slot] = height[slot - 1]
            place[slot] = place[slot - 1]
            slot -= 1
        height[slot] = here
        place[slot] = i
        found = min(found + 1, CANDIDATES)
        floor = height[CANDIDATES - 1]
    kept = 0
    best = 0
    for c in range(found):
        i = place[c]
        left, middle, right = float(summed[i - 1]), float(summed[i]), float(summed[i + 1])
        bend = left - 2.0 * middle + right
        offset = 0.5 * (left - right) / bend
        peak = middle - 0.25 * (left - right) * offset
        f = math.exp(_LN2 * (plan.first_octave + (i + offset) * plan.octave_step))
        if not LOWEST_HZ <= f <= HIGHEST_HZ:
            continue
        hertz[kept] = f
        voicing[kept] = 1.0 - mean / peak if peak > mean else 0.0
        score[kept] = peak
        if peak > score[best]:
            best = kept
        kept += 1
    if best > 0:
        hertz[0], hertz[best] = hertz[best], hertz[0]
        voicing[0], voicing[best] = voicing[best], voicing[0]


@part
def _mean(values: Vector32) -> float:
    """Mean, summed in four strands that the processor can follow at once."""
    a = b = c = d = 0.0
    whole = len(values) // 4 * 4
    for i in range(0, whole, 4):
        a += float(values[i])
        b += float(values[i + 1])
        c += float(values[i + 2])
        d += float(values[i + 3])
    for i in range(whole, len(values)):
        a += float(values[i])
    return ((a + b) + (c + d)) / len(values)
