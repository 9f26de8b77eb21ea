"""What is read from a frame's magnitude spectrum: loudness, slopes, ratios, flux and MFCC.

Section 2 of the descriptor specification; Eyben et al., IEEE Trans. Affective Computing 7(2), 2016.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_emotion.kernels._jit import Indices, Matrix32, Matrix64, Vector32, Vector64, kernel, part

BANDS = 26
CEPSTRA = 4
DESCRIPTORS = 10
"""Columns that `describe` writes: loudness, alphaRatio, hammarbergIndex, slope0-500, slope500-1500, flux, mfcc1-4."""

_MEL_FLOOR = 9.3e-10
_LOG_HTK_SCALE = 2.0 * math.log(32767.0)
_POWER_FLOOR = 1e-14
_DB = 10.0 / math.log(10.0)
_SLOPES_HZ = ((0.0, 500.0), (500.0, 1500.0))


class SpectrumPlan(NamedTuple):
    """Tables of `describe` for one transform size and rate."""

    mel_edge: Indices
    """(BANDS + 2): first bins between one band's centre and the next; the outermost are the range's ends."""
    mel_fall: Vector64
    """Share of each bin that goes to the band below; the rest goes to the one above."""
    log_gain: Vector64
    """Logarithm of the equal-loudness weight of each band."""
    cosines: Matrix64
    """(CEPSTRA, BANDS): the cosine transform with liftering."""
    slopes: Matrix64
    """(2, bins up to 1500 Hz): weights of the bins' levels (dB) in each slope (dB/Hz)."""
    to_1000: int
    to_2000: int
    to_5000: int
    """Bins at most 5000 Hz; the two above: less than so many Hz."""
    flux_bins: int


def spectrum_plan(fft_size: int, rate_hz: float) -> SpectrumPlan:
    """Tables for spectra of ``fft_size // 2 + 1`` bins at the frame's effective rate."""
    bin_hz = rate_hz / fft_size
    frequency = np.arange(fft_size // 2 + 1) * bin_hz
    top_hz = min(8000.0, rate_hz / 2)
    points = np.linspace(_mel(20.0), _mel(top_hz), BANDS + 2)
    first = math.floor(20.0 / bin_hz + 0.5) + 1
    end = min(math.floor(top_hz / bin_hz + 0.5), len(frequency))
    mel = _mel(frequency)
    edge = np.clip(np.searchsorted(mel, points), first, end)
    edge[0], edge[-1] = first, end
    segment = np.clip(np.searchsorted(points, mel, side="right") - 1, 0, BANDS)
    order = np.arange(1, CEPSTRA + 1)[:, None]
    cosines = np.cos(np.pi * order * (np.arange(BANDS) + 0.5) / BANDS)
    cosines *= np.sqrt(2.0 / BANDS) * (1.0 + 11.0 * np.sin(np.pi * order / 22.0))
    slopes = [_slope_weights(bin_hz, low, high) for low, high in _SLOPES_HZ]
    return SpectrumPlan(
        mel_edge=edge.astype(np.int64),
        mel_fall=(points[segment + 1] - mel) / (points[segment + 1] - points[segment]),
        log_gain=np.log(_equal_loudness(700.0 * (np.exp(points[1:-1] / 1127.0) - 1.0))),
        cosines=cosines,
        slopes=np.stack([np.pad(s, (0, len(slopes[-1]) - len(s))) for s in slopes]),
        to_1000=int(np.sum(frequency < 1000.0)),
        to_2000=int(np.sum(frequency < 2000.0)),
        to_5000=int(np.sum(frequency <= 5000.0)),
        flux_bins=int(np.sum(frequency < 5000.0)),
    )


def _mel(hertz: ArrayLike) -> NDArray[np.float64]:
    return 1127.0 * np.log(1.0 + np.asarray(hertz, np.float64) / 700.0)


def _equal_loudness(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equal-loudness weight of Hermansky's PLP (J. Acoust. Soc. Am. 87, 1990) with the term for high frequencies."""
    w = 2.0 * np.pi * hertz
    return 1e32 * (w**2 + 56.8e6) * w**4 / ((w**2 + 6.3e6) ** 2 * (w**2 + 0.38e9) * (w**7 + 1.7e31))


def _slope_weights(bin_hz: float, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Least squares over a band's bins; as in the reference, edge bins have shares and one bin too few counts."""
    left, right = math.floor(low_hz / bin_hz), math.floor(high_hz / bin_hz)
    above = right if right * bin_hz == high_hz else right + 1
    weight = np.zeros(right + 1)
    weight[left:] = 1.0
    weight[left] = (left + 1) - low_hz / bin_hz
    weight[right] = (high_hz - (above - 1) * bin_hz) / bin_hz
    weight[left:][weight[left:] == 0.0] = 1.0
    f = weight * np.arange(right + 1) * bin_hz
    count = right - left
    return (count * f - f.sum() * weight) / (count * (f**2).sum() - f.sum() ** 2)


@kernel
def describe(
    magnitude: Matrix32, plan: SpectrumPlan, power: Vector64, bands: Vector64, rows: Matrix32
) -> None:
    """Descriptors of each spectrum ``magnitude[1:]`` into ``rows``; ``magnitude[0]`` is the one before (flux).

    ``power`` and ``bands`` are room for a value each bin and each of the `BANDS`.
    """
    for t in range(rows.shape[0]):
        spectrum, row = magnitude[t + 1], rows[t]
        for k in range(len(power)):
            power[k] = float(spectrum[k]) * float(spectrum[k])
        _mel_bands(power, plan, bands)
        row[0] = _loudness(bands, plan)
        row[1] = _ratio_db(
            _sum(power[plan.to_1000 : plan.to_5000]), _sum(power[: plan.to_1000]), _POWER_FLOOR
        )
        row[2] = _ratio_db(_highest(power[: plan.to_2000]), _highest(power[plan.to_2000 : plan.to_5000]), 0.0)
        row[3], row[4] = _slopes(power, plan)
        row[5] = _flux(spectrum[: plan.flux_bins], magnitude[t])
        _cepstrum(bands, plan, row[6:])


@part
def _mel_bands(power: Vector64, plan: SpectrumPlan, bands: Vector64) -> None:
    rising = 0.0
    for s in range(BANDS + 1):
        total = falling = 0.0
        for k in range(plan.mel_edge[s], plan.mel_edge[s + 1]):
            total += power[k]
            falling += power[k] * plan.mel_fall[k]
        if s > 0:
            bands[s - 1] = rising + falling
        rising = total - falling


@part
def _loudness(bands: Vector64, plan: SpectrumPlan) -> float:
    """Mean over the bands of their weighted power to the 0.33; leaves the logarithms of ``bands`` in their place."""
    total = 0.0
    for b in range(BANDS):
        bands[b] = math.log(max(bands[b], _MEL_FLOOR))
        total += math.exp(0.33 * (bands[b] + plan.log_gain[b]))
    return total / BANDS


@part
def _cepstrum(log_bands: Vector64, plan: SpectrumPlan, out: Vector32) -> None:
    for b in range(BANDS):
        log_bands[b] = max(log_bands[b] + _LOG_HTK_SCALE, 0.0)
    for c in range(CEPSTRA):
        total = 0.0
        for b in range(BANDS):
            total += log_bands[b] * plan.cosines[c, b]
        out[c] = total


@part
def _ratio_db(above: float, below: float, floor: float) -> float:
    """10 log10 of a ratio, at least ``floor``; 0 where it has no logarithm."""
    if below <= 0.0:
        return 0.0
    ratio = max(above / below, floor)
    return _DB * math.log(ratio) if ratio > 0.0 else 0.0


@part
def _slopes(power: Vector64, plan: SpectrumPlan) -> tuple[float, float]:
    low = high = 0.0
    for k in range(plan.slopes.shape[1]):
        level = _DB * math.log(max(power[k], _POWER_FLOOR))
        low += plan.slopes[0, k] * level
        high += plan.slopes[1, k] * level
    return low, high


@part
def _flux(spectrum: Vector32, before: Vector32) -> float:
    total = 0.0
    for k in range(len(spectrum)):
        step = float(spectrum[k]) - float(before[k])
        total += step * step
    return math.sqrt(total / len(spectrum))


@part
def _sum(values: Vector64) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


@part
def _highest(values: Vector64) -> float:
    highest = 0.0
    for value in values:
        highest = value if value > highest else highest
    return highest
