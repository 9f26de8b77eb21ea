"""Jitter and shimmer against the plain form and periods of known length."""

from __future__ import annotations

import naive_lld as naive
import numpy as np
import pytest

from edge_emotion.kernels import voice_quality as kernels

pytestmark = pytest.mark.kernels


def vary(x, rate, pitches, split=None):
    hop, step, length = round(0.01 * rate), -(-rate // 100), round(0.06 * rate)
    plan, state = kernels.PeriodPlan(float(rate), hop, step, length), kernels.new_periods()
    pitches, rows = np.float32(pitches), np.zeros((len(pitches), 2), np.float32)
    for a, b in [(0, split or 0), (split or 0, len(pitches))]:
        if a < b:
            kernels.vary(np.float32(x), 0, a, pitches[a:b].copy(), plan, state, np.zeros(length), rows[a:b])
    return rows, (float(rate), hop, step, length)


def pulses(rate, f0, seconds, jitter=0.0, shimmer=0.0, seed=0):
    random = np.random.default_rng(seed)
    x = np.zeros(round(seconds * rate))
    at = 5.0
    while at < len(x):
        x[int(at)] = 1 + shimmer * random.normal()
        at += rate / f0 * (1 + jitter * random.normal())
    ring = np.exp(-np.arange(60) / 12) * np.sin(0.7 * np.arange(60))
    return np.convolve(x, ring)[: len(x)] + 0.001 * random.normal(size=len(x))


@pytest.mark.parametrize(("rate", "f0"), [(8000, 180.0), (8000, 400.0), (11025, 150.0)])
def test_rows_are_those_of_the_plain_form(rate, f0):
    x = np.float32(pulses(rate, f0, 0.4, 0.02, 0.1))
    pitches = np.full(len(x) // round(0.01 * rate) - 6, f0)
    pitches[8:11] = 0
    pitches[15:] *= 1.04
    rows, lengths = vary(x, rate, pitches)
    assert rows == pytest.approx(np.array(naive.vary(x, *lengths, np.float32(pitches))), rel=1e-4, abs=1e-6)
    assert np.array_equal(rows, vary(x, rate, pitches, split=9)[0])


def test_a_sine_of_whole_periods_has_neither():
    x = np.sin(2 * np.pi * np.arange(8000) / 40)
    rows, _ = vary(x, 8000, np.full(90, 200.0))
    assert rows == pytest.approx(np.zeros((90, 2)), abs=1e-4)


def test_amplitudes_in_turn_have_the_shimmer_of_their_ratio():
    x = np.tile(np.concatenate([np.hanning(40), 0.8 * np.hanning(40)]), 100)
    rows, _ = vary(x, 8000, np.full(90, 200.0))
    assert rows[5:, 1] == pytest.approx(20 * np.log10(1 + 0.2 / 0.9), rel=2e-2)


@pytest.mark.parametrize("x", [np.zeros(8000), np.full(8000, 0.5), np.float32([1e-42] * 8000)])
def test_flat_sound_is_defined(x):
    rows, _ = vary(x, 8000, np.full(90, 200.0))
    assert np.isfinite(rows).all()
