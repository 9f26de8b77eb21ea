"""Transforms of frames against numpy's."""

from __future__ import annotations

import naive_lld as naive
import numpy as np
import pytest

from edge_emotion.kernels import transform as kernels

pytestmark = pytest.mark.kernels


def transform(samples, window, hop, frames, kept=0):
    plan = kernels.transform_plan(np.float32(window))
    bins = len(plan.order) + 1
    real, imaginary = np.empty((2, frames, kept), np.float32)
    magnitude, square = np.empty((frames, bins), np.float32), np.empty(frames, np.float32)
    kernels.transform(
        np.float32(samples),
        hop,
        plan,
        kernels.transform_scratch(plan),
        real,
        imaginary,
        magnitude,
        square,
        False,
    )
    return plan, real, imaginary, magnitude, square


@pytest.mark.parametrize("length", [9, 20, 64, 100, 160, 320])
@pytest.mark.parametrize("frames", [1, 8, 11])
def test_spectra_are_those_of_a_plain_transform(length, frames):
    random = np.random.default_rng(length)
    samples, window = random.normal(size=length + 7 * frames), np.hamming(length)
    _, real, imaginary, magnitude, square = transform(samples, window, 7, frames, kept=8)
    for k in range(frames):
        frame = samples[7 * k : 7 * k + length]
        expected = naive.transform(np.float32(frame), np.float32(window))
        scale = abs(expected).max()
        assert magnitude[k] == pytest.approx(abs(expected), abs=1e-6 * scale)
        assert real[k] == pytest.approx(expected.real[:8], abs=1e-6 * scale)
        assert imaginary[k] == pytest.approx(expected.imag[:8], abs=1e-6 * scale)
        assert square[k] == pytest.approx(np.mean(frame**2), rel=1e-6)


@pytest.mark.parametrize("size", [16, 64, 512, 1024, 8192])
def test_a_sine_on_a_bin_has_half_the_size_there_and_nothing_elsewhere(size):
    samples = np.cos(2 * np.pi * 3 * np.arange(size) / size + 0.3)
    _, _, _, magnitude, _ = transform(samples, np.ones(size), 1, 1)
    expected = np.zeros(size // 2 + 1)
    expected[3] = size / 2
    assert magnitude[0] == pytest.approx(expected, abs=2e-6 * size)


def test_autocorrelation_of_wanted_frames_only():
    random = np.random.default_rng(0)
    plan, _, _, magnitude, _ = transform(random.normal(size=400), np.ones(64), 16, 11)
    correlation = np.full_like(magnitude, -1.0)
    wanted = np.float32([0, 1] * 5 + [0])
    kernels.autocorrelate(magnitude, wanted, plan, kernels.transform_scratch(plan), correlation)
    for k in range(11):
        if not wanted[k]:
            assert (correlation[k] == -1.0).all()
            continue
        expected = abs(np.fft.irfft(np.float64(magnitude[k]) ** 2))[:33] * 64
        assert correlation[k] == pytest.approx(expected, abs=1e-6 * expected[0])
