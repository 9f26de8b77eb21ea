"""Formants: a frame at 11 kHz from its spectrum, linear prediction of order 11, roots of the predictor.

Section 2 ("Formants") of the descriptor specification.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge_emotion.kernels._jit import Matrix32, kernel, part

ORDER = 11
FORMANTS = 3
RATE_HZ = 11000.0
_LOW_HZ, _HIGH_HZ = 50.0, 5450.0


class FormantPlan(NamedTuple):
    """Tables of `formants` for one transform size, rate and mode."""

    cosines: Matrix32
    """(bins, 220): the inverse transform at 11 kHz; row k belongs to bin k."""
    sines: Matrix32
    scale: float
    sign: float
    """-1: the reference's polynomial with negated coefficients; +1: the predictor itself."""


def formant_plan(fft_size: int, rate_hz: float, corrected: bool) -> FormantPlan:
    """Tables for one mode.

    The reference keeps only the bins below 110 and looks at the first 20 ms of the padded buffer, in whose middle the frame
    sits. Corrected: all bins up to 5.5 kHz, and the 20 ms where the frame is.
    """
    period = fft_size * RATE_HZ / rate_hz
    samples = round(RATE_HZ * 0.020)
    if corrected:
        frame = round(rate_hz * 0.020)
        bins = min(fft_size // 2, math.ceil(period / 2))
        start = ((fft_size - frame) // 2) * RATE_HZ / rate_hz
    else:
        bins, start = min(fft_size, samples) // 2, 0.0
    angle = 2.0 * np.pi * np.arange(bins)[:, None] * (np.arange(samples) + start) / period
    cosines = np.cos(angle).astype(np.float32)
    return FormantPlan(
        cosines=cosines,
        sines=np.sin(angle).astype(np.float32),
        scale=1.0 / (fft_size // 2),
        sign=1.0 if corrected else -1.0,
    )


@kernel
def formants(real: Matrix32, imaginary: Matrix32, plan: FormantPlan, rows: Matrix32) -> None:
    """F1-F3 frequency and bandwidth (Hz, 0 where missing) of each spectrum into the six columns of ``rows``."""
    wave = np.empty(plan.cosines.shape[1], np.float32)
    predictor = np.empty(ORDER + 1, np.float32)
    roots = np.empty(ORDER, np.complex128)
    for t in range(rows.shape[0]):
        _resample(real[t], imaginary[t], plan, wave)
        rows[t, :] = 0.0
        if _predict(wave, predictor):
            if plan.sign < 0.0:
                for i in range(1, ORDER + 1):
                    predictor[i] = -predictor[i]
            _find_roots(predictor, roots)
            _resonances(roots, rows[t])


@part
def _resample(real, imaginary, plan, wave):  # type: ignore[no-untyped-def]
    """Inverse transform, summed in float32 in the reference's order: cosine, then sine, bin by bin."""
    wave[:] = real[0]
    for k in range(1, plan.cosines.shape[0]):
        a, b = real[k], imaginary[k]
        cosines, sines = plan.cosines[k], plan.sines[k]
        for i in range(len(wave)):
            wave[i] = (wave[i] + a * cosines[i]) - b * sines[i]
    scale = np.float32(plan.scale)
    for i in range(len(wave)):
        wave[i] *= scale


@part
def _predict(wave, predictor):  # type: ignore[no-untyped-def]
    """Levinson-Durbin in float32; false where there is nothing to predict."""
    lags = np.zeros(ORDER + 1, np.float32)
    for lag in range(ORDER + 1):
        total = np.float32(0.0)
        for i in range(lag, len(wave)):
            total += wave[i] * wave[i - lag]
        lags[lag] = total
    predictor[:] = 0.0
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
def _find_roots(predictor, roots):  # type: ignore[no-untyped-def]
    """All roots of z^11 + p1 z^10 + ... by Aberth's simultaneous iteration."""
    n = len(roots)
    for i in range(n):
        angle = 2.0 * math.pi * i / n + 0.4
        roots[i] = complex(0.9 * math.cos(angle), 0.9 * math.sin(angle))
    for _ in range(60):
        worst = 0.0
        for i in range(n):
            z = roots[i]
            value = complex(1.0, 0.0)
            slope = complex(0.0, 0.0)
            for c in range(1, n + 1):
                slope = slope * z + value
                value = value * z + float(predictor[c])
            if value == 0.0:
                continue
            push = slope / value
            for j in range(n):
                if j != i and roots[j] != z:
                    push -= 1.0 / (z - roots[j])
            if push == 0.0:
                continue
            step = 1.0 / push
            roots[i] = z - step
            worst = max(worst, abs(step.real) + abs(step.imag))
        if worst < 1e-12:
            break


@part
def _resonances(roots, row):  # type: ignore[no-untyped-def]
    """Frequencies ascending and their bandwidths, of the roots in the upper half plane."""
    found = 0
    frequency = np.empty(len(roots))
    bandwidth = np.empty(len(roots))
    for z in roots:
        if z.imag < 0.0:
            continue
        radius = abs(z)
        if radius > 1.0:
            radius = 1.0 / radius
        hertz = abs(math.atan2(z.imag, z.real)) * RATE_HZ / (2.0 * math.pi)
        if not _LOW_HZ <= hertz <= _HIGH_HZ:
            continue
        place = found
        while place > 0 and frequency[place - 1] > hertz:
            frequency[place] = frequency[place - 1]
            bandwidth[place] = bandwidth[place - 1]
            place -= 1
        frequency[place] = hertz
        bandwidth[place] = -math.log(radius) * RATE_HZ / math.pi
        found += 1
    for i in range(min(found, FORMANTS)):
        row[i] = frequency[i]
        row[FORMANTS + i] = bandwidth[i]
