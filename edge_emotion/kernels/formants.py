"""Formants: a frame at 11 kHz from its spectrum, linear prediction of order 11, roots of the predictor.

Section 2 ("Formants") of the descriptor specification.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge_emotion.kernels._jit import Matrix32, Matrix64, Vector32, Vector64, kernel, part

ORDER = 11
FORMANTS = 3
RATE_HZ = 11000.0
SAMPLES = 220
"""In 20 ms."""
PAIRS = ORDER // 2

_LOW_HZ, _HIGH_HZ = 50.0, 5450.0
_TOGETHER = 4
_MOST_STEPS = 12
_SMALL_STEP = 1e-6
_VERIFIED_STEP = 1e-5  # and that step leaves an error of its square


class FormantPlan(NamedTuple):
    """Tables of `formants` for one transform size, rate and mode."""

    cosines: Matrix32
    """(bins, SAMPLES): the inverse transform at 11 kHz; row k belongs to bin k."""
    sines: Matrix32
    scale: float
    sign: float
    """-1: the reference's polynomial with negated coefficients; +1: the predictor itself."""


def formant_plan(fft_size: int, rate_hz: float, corrected: bool) -> FormantPlan:
    """Tables for one mode.

    The reference keeps only the bins below 110 and looks at the first 20 ms of the padded buffer, in whose middle
    the frame sits. Corrected: all bins up to 5.5 kHz, and the 20 ms where the frame is.
    """
    period = fft_size * RATE_HZ / rate_hz
    if corrected:
        frame = round(rate_hz * 0.020)
        bins = min(fft_size // 2, math.ceil(period / 2))
        start = ((fft_size - frame) // 2) * RATE_HZ / rate_hz
    else:
        bins, start = min(fft_size, SAMPLES) // 2, 0.0
    angle = 2.0 * np.pi * np.arange(bins)[:, None] * (np.arange(SAMPLES) + start) / period
    cosines = np.cos(angle).astype(np.float32)
    return FormantPlan(
        cosines=cosines,
        sines=np.sin(angle).astype(np.float32),
        scale=1.0 / (fft_size // 2),
        sign=1.0 if corrected else -1.0,
    )


class FormantState(NamedTuple):
    """What `formants` remembers between frames: where to look for roots first. It saves time and decides nothing."""

    factors: Matrix64
    """(PAIRS, 2): s and t of the last frame's factors z^2 - s z + t."""
    waves: Matrix32
    """(_TOGETHER, samples + ORDER + 1): frames at 11 kHz. From here on room; only the zeros after a frame must stay."""
    lags: Vector32
    predictor: Vector32
    polynomial: Vector64
    rest: Vector64
    roots: Matrix64
    """(ORDER, 2): real and imaginary parts."""
    resonances: Matrix64
    """(PAIRS, 2): frequency and bandwidth of resonances."""


def new_formant_state() -> FormantState:
    """Guesses spread over the unit disk."""
    angle = np.pi * (np.arange(PAIRS) + 0.5) / (PAIRS + 0.5)
    return FormantState(
        factors=np.stack([1.8 * np.cos(angle), np.full(PAIRS, 0.81)], axis=1),
        waves=np.zeros((_TOGETHER, SAMPLES + ORDER + 1), np.float32),
        lags=np.zeros(ORDER + 1, np.float32),
        predictor=np.zeros(ORDER + 1, np.float32),
        polynomial=np.zeros(ORDER + 1),
        rest=np.zeros(ORDER + 1),
        roots=np.zeros((ORDER, 2)),
        resonances=np.zeros((PAIRS, 2)),
    )


@kernel
def formants(
    real: Matrix32, imaginary: Matrix32, plan: FormantPlan, state: FormantState, rows: Matrix32
) -> None:
    """F1-F3 frequency and bandwidth (Hz, 0 where missing) of each spectrum into the six columns of ``rows``."""
    polynomial = state.polynomial
    for t in range(rows.shape[0]):
        if t % _TOGETHER == 0:
            _resample(real, imaginary, t, plan, state.waves)
        for i in range(2 * FORMANTS):
            rows[t, i] = 0.0
        if not _predict(state.waves[t % _TOGETHER], state.lags, state.predictor):
            continue
        polynomial[0] = 1.0
        for i in range(1, ORDER + 1):
            polynomial[i] = plan.sign * float(state.predictor[i])
        if not _factorise(polynomial, state.rest, state.factors):
            _find_roots(polynomial, state.roots, state.factors)
        _resonances(state.factors, state.resonances, rows[t])


@part
def _resample(real: Matrix32, imaginary: Matrix32, first: int, plan: FormantPlan, waves: Matrix32) -> None:
    """Inverse transforms of _TOGETHER frames; so the tables, larger than the nearest cache, are read but once for them.

    Summed in float32 in the reference's order: cosine, then sine, bin by bin.
    """
    bins, samples = plan.cosines.shape
    t0, last = first, real.shape[0] - 1
    t1, t2, t3 = min(first + 1, last), min(first + 2, last), min(first + 3, last)
    w0, w1, w2, w3 = waves[0], waves[1], waves[2], waves[3]
    for i in range(samples):
        w0[i], w1[i], w2[i], w3[i] = real[t0, 0], real[t1, 0], real[t2, 0], real[t3, 0]
    for k in range(1, bins):
        a0, a1, a2, a3 = real[t0, k], real[t1, k], real[t2, k], real[t3, k]
        b0, b1, b2, b3 = imaginary[t0, k], imaginary[t1, k], imaginary[t2, k], imaginary[t3, k]
        cosines, sines = plan.cosines[k], plan.sines[k]
        for i in range(samples):
            c, s = cosines[i], sines[i]
            w0[i] = (w0[i] + a0 * c) - b0 * s
            w1[i] = (w1[i] + a1 * c) - b1 * s
            w2[i] = (w2[i] + a2 * c) - b2 * s
            w3[i] = (w3[i] + a3 * c) - b3 * s
    scale = np.float32(plan.scale)
    for wave in (w0, w1, w2, w3):
        for i in range(samples):
            wave[i] *= scale


@part
def _predict(wave: Vector32, lags: Vector32, predictor: Vector32) -> bool:
    """Levinson-Durbin in float32; false where there is nothing to predict. ``wave`` ends with ORDER + 1 zeros."""
    samples = len(wave) - ORDER - 1
    for lag in range(0, ORDER + 1, 4):
        r0 = r1 = r2 = r3 = np.float32(0.0)
        for i in range(samples):
            r0 += wave[i] * wave[i + lag]
            r1 += wave[i] * wave[i + lag + 1]
            r2 += wave[i] * wave[i + lag + 2]
            r3 += wave[i] * wave[i + lag + 3]
        lags[lag], lags[lag + 1], lags[lag + 2], lags[lag + 3] = r0, r1, r2, r3
    for i in range(ORDER + 1):
        predictor[i] = 0.0
    predictor[0] = 1.0
    error = lags[0]
    if not error > 0.0:
        return False
    for m in range(1, ORDER + 1):
        total = lags[m]
        for i in range(1, m):
            total += predictor[i] * lags[m - i]
        reflection = -total / error
        predictor[m] = reflection
        for i in range(1, m // 2 + 1):
            left, right = predictor[i], predictor[m - i]
            predictor[i] = left + reflection * right
            if i != m - i:
                predictor[m - i] = right + reflection * left
        error *= np.float32(1.0) - reflection * reflection
        if not error > 0.0:
            break
    return True


@part
def _guess(factors: Matrix64, f: int, place: int) -> None:
    """A pair of roots a little inside the unit circle, at one of PAIRS places around it."""
    factors[f, 0] = 1.8 * math.cos(math.pi * (place + 0.5) / (PAIRS + 0.5))
    factors[f, 1] = 0.81


@part
def _factorise(polynomial: Vector64, rest: Vector64, factors: Matrix64) -> bool:
    """Bairstow's method: quadratic factors one after the other, then each verified on the whole polynomial."""
    for k in range(ORDER + 1):
        rest[k] = polynomial[k]
    degree = ORDER
    for f in range(PAIRS):
        step = np.inf
        for place in range(-1, PAIRS):  # first from where the last frame's root was
            if place >= 0:
                _guess(factors, f, place)
            for _ in range(_MOST_STEPS):
                step = _improve(rest, degree, factors[f])
                if step < _SMALL_STEP:
                    break
            if step < _SMALL_STEP:
                break
        if not step < _SMALL_STEP:
            return False
        s, t = factors[f, 0], factors[f, 1]
        rest[1] += s
        for k in range(2, degree - 1):
            rest[k] += s * rest[k - 1] - t * rest[k - 2]
        degree -= 2
    worst = 0.0
    for f in range(PAIRS):
        worst = max(worst, _improve(polynomial, ORDER, factors[f]))
    return worst < _VERIFIED_STEP


@part
def _improve(polynomial: Vector64, degree: int, factor: Vector64) -> float:
    """One step of Newton's on s and t of z^2 - s z + t; returns its size."""
    s, t = factor[0], factor[1]
    b2 = c2 = 0.0  # two steps back in the quotient and in the quotient's quotient
    b1 = c1 = 1.0
    b0 = polynomial[1] + s
    b2, b1 = b1, b0
    c0 = b1 + s
    c2, c1 = c1, c0
    for k in range(2, degree - 1):
        b0 = polynomial[k] + s * b1 - t * b2
        b2, b1 = b1, b0
        c0 = b0 + s * c1 - t * c2
        c2, c1 = c1, c0
    # b1, c1 belong to degree - 2; the last two rows are the remainders.
    r1 = polynomial[degree - 1] + s * b1 - t * b2
    r0 = polynomial[degree] + s * r1 - t * b1
    c0 = r1 + s * c1 - t * c2
    determinant = c1 * c1 - c0 * c2
    if determinant == 0.0:
        return np.inf
    ds = (r0 * c2 - r1 * c1) / determinant
    dt = (r0 * c1 - r1 * c0) / determinant
    factor[0] = s + ds
    factor[1] = t + dt
    return abs(ds) + abs(dt)


@part
def _find_roots(polynomial: Vector64, roots: Matrix64, factors: Matrix64) -> None:
    """All roots by Aberth's simultaneous iteration (Math. Comp. 27, 1973): slower, from anywhere."""
    for i in range(ORDER):
        angle = 2.0 * math.pi * i / ORDER + 0.4
        roots[i, 0], roots[i, 1] = 0.9 * math.cos(angle), 0.9 * math.sin(angle)
    for _ in range(100):
        worst = 0.0
        for i in range(ORDER):
            worst = max(worst, _approach(polynomial, roots, i))
        if worst < 1e-12:
            break
    found = 0
    for i in range(ORDER):
        re, im = roots[i, 0], roots[i, 1]
        if im > 1e-9 and found < PAIRS:
            factors[found, 0] = 2.0 * re
            factors[found, 1] = re * re + im * im
            found += 1
    for f in range(found, PAIRS):
        factors[f, 0] = factors[f, 1] = 0.0  # real roots: no resonance


@part
def _approach(polynomial: Vector64, roots: Matrix64, i: int) -> float:
    """One step of a root towards a zero of the polynomial and away from the other roots; returns its size."""
    x, y = roots[i, 0], roots[i, 1]
    value_re, value_im, slope_re, slope_im = 1.0, 0.0, 0.0, 0.0
    for k in range(1, ORDER + 1):
        slope_re, slope_im = slope_re * x - slope_im * y + value_re, slope_re * y + slope_im * x + value_im
        value_re, value_im = value_re * x - value_im * y + polynomial[k], value_re * y + value_im * x
    size = value_re * value_re + value_im * value_im
    if size == 0.0:
        return 0.0
    push_re = (slope_re * value_re + slope_im * value_im) / size
    push_im = (slope_im * value_re - slope_re * value_im) / size
    for j in range(ORDER):
        away_re, away_im = x - roots[j, 0], y - roots[j, 1]
        distance = away_re * away_re + away_im * away_im
        if distance > 0.0:
            push_re -= away_re / distance
            push_im += away_im / distance
    size = push_re * push_re + push_im * push_im
    if size == 0.0:
        return 0.0
    roots[i, 0], roots[i, 1] = x - push_re / size, y + push_im / size
    return (abs(push_re) + abs(push_im)) / size


@part
def _resonances(factors: Matrix64, resonances: Matrix64, row: Vector32) -> None:
    """Frequencies ascending and their bandwidths, of the factors with complex roots."""
    found = 0
    for f in range(PAIRS):
        real, square = 0.5 * factors[f, 0], factors[f, 1]
        if square <= real * real:
            continue
        hertz = math.atan2(math.sqrt(square - real * real), real) * RATE_HZ / (2.0 * math.pi)
        if not _LOW_HZ <= hertz <= _HIGH_HZ:
            continue
        place = found
        while place > 0 and resonances[place - 1, 0] > hertz:
            resonances[place, 0] = resonances[place - 1, 0]
            resonances[place, 1] = resonances[place - 1, 1]
            place -= 1
        resonances[place, 0] = hertz
        # Roots outside the unit circle count as if reflected into it.
        resonances[place, 1] = abs(0.5 * math.log(square)) * RATE_HZ / math.pi
        found += 1
    for i in range(min(found, FORMANTS)):
        row[i] = resonances[i, 0]
        row[FORMANTS + i] = resonances[i, 1]
