"""Spectral descriptors against their plain forms and closed forms."""

from __future__ import annotations

import math

import naive_lld as naive
import numpy as np
import pytest

from edge_emotion.kernels import spectrum as kernels

pytestmark = pytest.mark.kernels

LOUDNESS, ALPHA, HAMMARBERG, SLOPE_LOW, SLOPE_HIGH, FLUX, MFCC = range(7)


def describe(magnitude, fft_size=512, rate_hz=16000.0):
    rows = np.empty((len(magnitude) - 1, kernels.DESCRIPTORS), np.float32)
    magnitude, plan = np.float32(magnitude), kernels.spectrum_plan(fft_size, rate_hz)
    kernels.describe(magnitude, plan, np.zeros(magnitude.shape[1]), np.zeros(kernels.BANDS), rows)
    return rows


@pytest.mark.parametrize(
    ("fft_size", "rate_hz"), [(256, 8000.0), (256, 11050.0), (512, 16000.0), (512, 22050.0), (1024, 44100.0)]
)
def test_rows_are_those_of_the_plain_form(fft_size, rate_hz):
    random = np.random.default_rng(0)
    magnitude = np.float32(random.exponential(size=(4, fft_size // 2 + 1)))
    rows = describe(magnitude, fft_size, rate_hz)
    for t in range(3):
        expected = naive.describe_spectrum(magnitude[t + 1], magnitude[t], fft_size, rate_hz)
        assert rows[t] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_a_level_that_falls_straight_has_that_slope_between_exact_bins():
    frequency = np.arange(257) * 31.25
    magnitude = 10 ** (-0.01 * frequency / 20)
    rows = describe(np.stack([magnitude, magnitude]))
    assert rows[0, SLOPE_HIGH] != 0
    assert rows[0, FLUX] == 0
    # All energy below 1 kHz and above it: a geometric series.
    power = magnitude**2
    expected = 10 * math.log10(power[32:161].sum() / power[:32].sum())
    assert rows[0, ALPHA] == pytest.approx(expected, abs=1e-4)
    assert rows[0, HAMMARBERG] == pytest.approx(20.0, abs=1e-3)


def test_silence_has_floors_and_no_nan():
    rows = describe(np.zeros((2, 257)))
    assert np.isfinite(rows).all()
    assert rows[0, [ALPHA, HAMMARBERG, FLUX]].tolist() == [0, 0, 0]
    assert rows[0, MFCC:].tolist() == [0, 0, 0, 0]


def test_louder_by_20_db_is_louder_by_the_power_law():
    magnitude = np.random.default_rng(1).exponential(size=(2, 257)) + 0.1
    ratio = describe(10 * magnitude)[0, LOUDNESS] / describe(magnitude)[0, LOUDNESS]
    assert ratio == pytest.approx(100**0.33, rel=1e-5)
