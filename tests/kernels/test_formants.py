"""Formants against double precision and against resonances put in."""

from __future__ import annotations

import naive_lld as naive
import numpy as np
import pytest

from edge_emotion.kernels import formants as kernels

pytestmark = pytest.mark.kernels


def formants(spectra, fft_size=512, rate_hz=16000.0, corrected=False, state=None):
    plan = kernels.formant_plan(fft_size, rate_hz, corrected)
    kept = np.asarray(spectra)[:, : len(plan.cosines)]
    rows = np.empty((len(kept), 6), np.float32)
    real, imaginary = np.float32(kept.real), np.float32(kept.imag)
    kernels.formants(real.copy(), imaginary.copy(), plan, state or kernels.new_formant_state(), rows)
    return rows


def state_from(guess):
    return kernels.new_formant_state()._replace(factors=guess)


def vowel_frame(centres, widths, rate=16000, length=320, f0=125.0):
    """Spectrum of a Hamming frame from a long pulse train through resonances."""
    x = np.zeros(4000)
    x[:: int(rate / f0)] = 1.0
    for centre, width in zip(centres, widths, strict=True):
        r = np.exp(-np.pi * width / rate)
        a1, a2 = -2 * r * np.cos(2 * np.pi * centre / rate), r * r
        y = np.zeros_like(x)
        for n in range(len(x)):
            y[n] = x[n] - a1 * y[n - 1] - a2 * y[n - 2]
        x = y
    return naive.transform(np.float32(x[2000 : 2000 + length] / abs(x).max()), np.hamming(length))


def test_frequencies_and_bandwidths_are_those_of_double_precision():
    random = np.random.default_rng(0)
    spectra = np.stack([naive.transform(random.normal(size=320), np.hamming(320)) for _ in range(8)])
    rows = formants(spectra)
    for row, spectrum in zip(rows, spectra, strict=True):
        assert row == pytest.approx(np.array(naive.formants(spectrum, 512, 16000.0)), rel=2e-3, abs=0.5)


def test_corrected_mode_finds_the_resonances_of_a_vowel():
    spectra = vowel_frame((600, 1500, 2500, 3500, 4500), (80, 100, 120, 150, 200))[None]
    corrected, compat = formants(spectra, corrected=True)[0], formants(spectra)[0]
    assert corrected[:3] == pytest.approx([600, 1500, 2500], abs=60)
    # The reference's polynomial has other signs: its formants lie elsewhere.
    assert abs(compat[:3] - [600, 1500, 2500]).max() > 150


def at_11_khz(hertz, corrected):
    """What `formants` predicts from: a Hann burst of 20 ms at 16 kHz, in the middle of 512 samples, at 11 kHz."""
    frame = burst(hertz, np.arange(320) / 16000)
    spectra = np.stack([naive.transform(frame, np.ones(320))] * 4)
    state = kernels.new_formant_state()
    formants(spectra, corrected=corrected, state=state)
    return state.waves[0, : kernels.SAMPLES]


def burst(hertz, t):
    return np.where((t >= 0) & (t < 0.02), np.sin(np.pi * t / 0.02) ** 2 * np.cos(2 * np.pi * hertz * t), 0.0)


SECONDS = np.arange(kernels.SAMPLES) / kernels.RATE_HZ


def test_corrected_mode_looks_where_the_frame_is():
    assert at_11_khz(1000, corrected=True) == pytest.approx(burst(1000, SECONDS), abs=2e-3)
    # The reference: the first 20 ms of the padded frame, which begin 6 ms earlier.
    assert at_11_khz(1000, corrected=False) == pytest.approx(burst(1000, SECONDS - 96 / 16000), abs=2e-3)


def test_corrected_mode_hears_up_to_5_5_khz():
    assert at_11_khz(4500, corrected=True) == pytest.approx(burst(4500, SECONDS), abs=2e-3)
    assert np.abs(at_11_khz(4500, corrected=False)).max() < 2e-3


@pytest.mark.parametrize("seed", range(4))
def test_roots_are_found_from_anywhere_and_verified(seed):
    random = np.random.default_rng(seed)
    spectra = np.stack([naive.transform(random.normal(size=320), np.hamming(320)) for _ in range(5)])
    fresh = formants(spectra)
    for guess in (np.zeros((5, 2)), np.full((5, 2), 1e6), random.normal(size=(5, 2))):
        assert formants(spectra, state=state_from(guess)) == pytest.approx(fresh, rel=1e-4)


@pytest.mark.parametrize("level", [0.0, 1e-38, 1e-20, 1e15])
def test_any_level_is_defined(level):
    spectra = level * np.stack([naive.transform(np.ones(320), np.hamming(320))] * 2)
    state = state_from(np.full((5, 2), np.nan))
    rows = formants(spectra, state=state)
    assert np.isfinite(rows).all()
    assert level > 0 or not rows.any()
