"""Fundamental frequency: sub-harmonic summation on a log-frequency axis, then a Viterbi search over candidates.

Section 3 of the descriptor specification; Hermes, J. Acoust. Soc. Am. 83(1), 1988, for the summation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge_emotion.kernels._jit import Indices, Matrix32, Vector32, Vector64, kernel, part

CANDIDATES = 6
UNVOICED = CANDIDATES
STATES = CANDIDATES + 1
HARMONICS = 15
LOWEST_HZ, HIGHEST_HZ = 55.0, 1000.0
LONGEST_WAIT = 40
"""Frames that the search may hold back before it releases one."""

_AXIS_LOW_HZ = 25.0
_VOICED = 0.7


class PitchPlan(NamedTuple):
    """Tables of `candidates` for one transform size and rate."""

    spline_width: Vector64
    """Distances between the knots log2 f_k."""
    spline_pivot: Vector64
    """Reciprocal pivots of the natural spline's tridiagonal system."""
    knot: Indices
    """For each point of the log axis the knot at its left."""
    share: Vector64
    """... and how far it is on the way to the next, 0 to 1."""
    weight: Vector64
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
    width = np.diff(knots)
    pivot = np.zeros(points)
    for k in range(1, points - 1):
        pivot[k] = 1.0 / (2.0 * (width[k - 1] + width[k]) - width[k - 1] ** 2 * pivot[k - 1])
    per_octave = points / (last - first)
    centre = per_octave * np.log2(65.0 / 50.0) - 1.0
    return PitchPlan(
        spline_width=width,
        spline_pivot=pivot,
        knot=knot.astype(np.int64),
        share=(axis - knots[knot]) / width[knot],
        weight=0.5 + np.arctan(3.0 * (np.arange(points) + 1.0 - centre) / per_octave) / np.pi,
        shift=np.floor(per_octave * np.log2(np.arange(1, HARMONICS + 1))).astype(np.int64),
        first_octave=float(first),
        octave_step=float((last - first) / (points - 1)),
    )


@kernel
def candidates(magnitude: Matrix32, plan: PitchPlan, hertz: Matrix32, voicing: Matrix32) -> None:
    """Up to six fundamentals of each spectrum and how voiced each is (0 to 1); zeros where there are fewer."""
    points = magnitude.shape[1]
    enhanced = np.empty(points)
    log_spectrum = np.empty(points, np.float32)
    summed = np.empty(points, np.float32)
    scratch = np.empty((2, points))
    score = np.empty(CANDIDATES)
    for t in range(magnitude.shape[0]):
        _enhance(magnitude[t], enhanced)
        _to_log_axis(enhanced, plan, scratch, log_spectrum)
        mean = _sum_harmonics(log_spectrum, plan.shift, summed)
        _pick(summed, mean, plan, hertz[t], voicing[t], score)


@part
def _enhance(magnitude, enhanced):  # type: ignore[no-untyped-def]
    """Keep the spectrum within two bins of its peaks, then smooth it by (1, 2, 1) / 4."""
    n = len(magnitude)
    kept = np.empty(n)
    last_peak = -1
    for k in range(n):
        kept[k] = magnitude[k]
        left = k == 0 or magnitude[k] > magnitude[k - 1]
        right = k == n - 1 or magnitude[k] >= magnitude[k + 1]
        if k == 0:
            right = magnitude[0] > magnitude[1]
        if left and right:
            if last_peak >= 0:
                for z in range(last_peak + 3, k - 2):
                    kept[z] = 0.0
            last_peak = k
    before = 0.0
    for k in range(n - 1):
        enhanced[k] = np.float32(0.25 * (before + 2.0 * kept[k] + kept[k + 1]))
        before = kept[k]
    enhanced[n - 1] = kept[n - 1]


@part
def _to_log_axis(enhanced, plan, scratch, log_spectrum):  # type: ignore[no-untyped-def]
    """Natural cubic spline over log2 f at equal steps, negatives cut, times the auditory weight."""
    n = len(enhanced)
    width, pivot = plan.spline_width, plan.spline_pivot
    slope, bend = scratch[0], scratch[1]
    slope[0] = 0.0
    rise = (enhanced[1] - enhanced[0]) / width[0]
    for k in range(1, n - 1):
        next_rise = (enhanced[k + 1] - enhanced[k]) / width[k]
        slope[k] = (6.0 * (next_rise - rise) - width[k - 1] * slope[k - 1]) * pivot[k]
        rise = next_rise
    bend[n - 1] = 0.0
    for k in range(n - 2, -1, -1):
        bend[k] = slope[k] - width[k] * pivot[k] * bend[k + 1]
    bend[0] = 0.0
    for i in range(n):
        k = plan.knot[i]
        b = plan.share[i]
        a = 1.0 - b
        cubic = (a * a * a - a) * bend[k] + (b * b * b - b) * bend[k + 1]
        value = a * enhanced[k] + b * enhanced[k + 1] + cubic * width[k] * width[k] / 6.0
        log_spectrum[i] = max(value, 0.0) * plan.weight[i]


@part
def _sum_harmonics(log_spectrum, shift, summed):  # type: ignore[no-untyped-def]
    """Sub-harmonic summation; returns the mean over the axis."""
    n = len(log_spectrum)
    summed[:] = 0.0
    gain = np.float32(1.0)
    for h in range(HARMONICS):
        for i in range(n - shift[h]):
            summed[i] += gain * log_spectrum[i + shift[h]]
        gain *= np.float32(0.85)
    total = 0.0
    for i in range(n):
        summed[i] = summed[i] / np.float32(HARMONICS)
        total += summed[i]
    return total / n


@part
def _pick(summed, mean, plan, hertz, voicing, score):  # type: ignore[no-untyped-def]
    """The highest peaks, interpolated, those in range, the highest of them first."""
    hertz[:] = 0.0
    voicing[:] = 0.0
    score[:] = 0.0
    place = np.empty(CANDIDATES, np.int64)
    height = np.empty(CANDIDATES)
    found = 0
    for i in range(1, len(summed) - 1):
        if not (summed[i] > summed[i - 1] and summed[i] > summed[i + 1]):
            continue
        slot = found
        if found == CANDIDATES:
            if not summed[i] > height[CANDIDATES - 1]:
                continue
            slot = CANDIDATES - 1
        else:
            found += 1
        while slot > 0 and height[slot - 1] < summed[i]:
            height[slot] = height[slot - 1]
            place[slot] = place[slot - 1]
            slot -= 1
        height[slot] = summed[i]
        place[slot] = i
    kept = 0
    best = 0
    for c in range(found):
        i = place[c]
        left, middle, right = float(summed[i - 1]), float(summed[i]), float(summed[i + 1])
        bend = left - 2.0 * middle + right
        offset = 0.5 * (left - right) / bend
        peak = middle - 0.25 * (left - right) * offset
        f = 2.0 ** (plan.first_octave + (i + offset) * plan.octave_step)
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


class Trellis(NamedTuple):
    """What the search remembers between frames."""

    cost: Vector64
    paths: Matrix32
    """(STATES, LONGEST_WAIT + 2): the fundamentals on the best path into each state, oldest first."""
    last_hertz: Vector32
    last_change: Vector64
    """One number: the last signed log-ratio that was weighed."""
    seen: Indices
    """Two counts: frames seen, frames released."""


def new_trellis() -> Trellis:
    """A search that has seen nothing."""
    return Trellis(
        cost=np.zeros(STATES),
        paths=np.zeros((STATES, LONGEST_WAIT + 2), np.float32),
        last_hertz=np.zeros(CANDIDATES, np.float32),
        last_change=np.ones(1),
        seen=np.zeros(2, np.int64),
    )


@kernel
def search(hertz: Matrix32, voicing: Matrix32, trellis: Trellis, released: Vector32) -> int:
    """Feed frames of candidates; fundamentals (Hz, 0 unvoiced) that are now certain go to ``released``, returns how many."""
    cost = np.empty(STATES)
    paths = np.empty_like(trellis.paths)
    count = 0
    for t in range(hertz.shape[0]):
        pending = trellis.seen[0] - trellis.seen[1]
        _advance(hertz[t], voicing[t], trellis, pending, cost, paths)
        trellis.seen[0] += 1
        ready = _agreed(trellis.paths, pending + 1)
        if trellis.seen[0] - trellis.seen[1] >= LONGEST_WAIT:
            ready = 1
        best = np.argmin(trellis.cost)
        for i in range(ready):
            released[count] = trellis.paths[best, i]
            count += 1
        for s in range(STATES):
            for i in range(pending + 1 - ready):
                trellis.paths[s, i] = trellis.paths[s, i + ready]
        trellis.seen[1] += ready
    return count


@kernel
def flush(trellis: Trellis, released: Vector32) -> int:
    """End of input: the best path's fundamentals that were still held back, returns how many."""
    pending = trellis.seen[0] - trellis.seen[1]
    best = np.argmin(trellis.cost)
    for i in range(pending):
        released[i] = trellis.paths[best, i]
    trellis.seen[1] = trellis.seen[0]
    return pending


@part
def _advance(hertz, voicing, trellis, pending, cost, paths):  # type: ignore[no-untyped-def]
    any_voiced = False
    for c in range(CANDIDATES):
        any_voiced = any_voiced or voicing[c] >= _VOICED
    change = trellis.last_change[0]
    for s in range(STATES):
        best_cost, best = 0.0, s
        if trellis.seen[0] > 0:
            best_cost = np.inf
            for p in range(STATES):
                step = 10.0
                if s < UNVOICED and p < UNVOICED:
                    if hertz[s] == 0.0 or trellis.last_hertz[p] == 0.0:
                        step = 999.0
                    else:
                        ratio = math.log(hertz[s]) - math.log(trellis.last_hertz[p])
                        step = 10.0 * abs(ratio) + 10.0 * abs(ratio - change)
                        change = ratio
                elif s == UNVOICED and p == UNVOICED:
                    step = 1.0
                else:
                    change = 0.0
                if trellis.cost[p] + step < best_cost:
                    best_cost, best = trellis.cost[p] + step, p
        if s < UNVOICED:
            cost[s] = best_cost + _candidate_cost(hertz[s], voicing[s])
            paths[s, pending] = hertz[s]
        else:
            cost[s] = best_cost + (8.0 if any_voiced else 0.0)
            paths[s, pending] = 0.0
        for i in range(pending):
            paths[s, i] = trellis.paths[best, i]
    trellis.last_change[0] = change
    trellis.cost[:] = cost
    trellis.paths[:] = paths
    trellis.last_hertz[:] = hertz


@part
def _candidate_cost(hertz, voicing):  # type: ignore[no-untyped-def]
    if hertz <= 0.0:
        range_cost = 2.0
    elif hertz < 100.0:
        range_cost = 1.0 - hertz / 100.0
    elif hertz < 350.0:
        range_cost = 0.0
    elif hertz < 600.0:
        range_cost = (hertz - 350.0) / 250.0
    else:
        range_cost = 1.2
    cost = -math.log(min(max(voicing, 0.01), 1.0))
    if voicing < _VOICED:
        cost += 4.0
    return 2.0 * cost + range_cost


@part
def _agreed(paths, pending):  # type: ignore[no-untyped-def]
    """Leading frames on which all paths are one."""
    for i in range(pending):
        for s in range(1, STATES):
            if paths[s, i] != paths[0, i]:
                return i
    return pending
