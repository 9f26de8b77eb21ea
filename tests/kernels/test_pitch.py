"""Candidates and the search among them against plain forms and known pitches."""

from __future__ import annotations

import itertools

import naive_lld as naive
import numpy as np
import pytest

from edge_emotion.kernels import pitch, trellis

pytestmark = pytest.mark.kernels

SIZE, RATE = 256, 4000.0


def complex_tone(f0, harmonics=12, size=SIZE, rate=RATE, noise=0.0, seed=0):
    t = np.arange(size) / rate
    wave = sum(np.cos(2 * np.pi * h * f0 * t + h) / h for h in range(1, harmonics + 1) if h * f0 < rate / 2)
    window = np.exp(-0.5 * ((np.arange(size) - size / 2) / (0.2 * size)) ** 2)
    wave = wave + noise * np.random.default_rng(seed).normal(size=size)
    return np.float32(abs(np.fft.rfft(wave * window)))


def candidates(magnitude, size=SIZE, rate=RATE):
    hertz, voicing = np.zeros((2, len(magnitude), pitch.CANDIDATES), np.float32)
    plan = pitch.pitch_plan(size, rate)
    pitch.candidates(np.float32(magnitude), plan, pitch.pitch_scratch(plan), hertz, voicing)
    return hertz, voicing


def search(hertz, voicing, split=()):
    state = trellis.new_trellis()
    out = []
    bounds = [0, *split, len(hertz)]
    for a, b in itertools.pairwise(bounds):
        released = np.zeros(b - a + trellis.LONGEST_WAIT, np.float32)
        count = trellis.search(hertz[a:b].copy(), voicing[a:b].copy(), state, released)
        out += released[:count].tolist()
    before = len(out)
    count = trellis.flush(state, released := np.zeros(trellis.LONGEST_WAIT, np.float32))
    return out + released[:count].tolist(), before


def test_candidates_are_those_of_the_plain_form():
    frames = [
        complex_tone(f, noise=0.2, seed=i) for i, f in enumerate([80, 120, 190, 300, 450, 700, 900, 60, 150])
    ]
    hertz, voicing = candidates(np.stack(frames))
    for t, frame in enumerate(frames):
        expected = naive.candidates(frame, SIZE, RATE)
        count = np.count_nonzero(hertz[t])
        assert count == len(expected)
        assert hertz[t, :count] == pytest.approx([f for f, _ in expected], rel=1e-4)
        assert voicing[t, :count] == pytest.approx([v for _, v in expected], abs=1e-4)


def test_the_sum_is_rounded_in_the_references_order():
    """Which decides whether the two highest points of a peak are equal, and so whether there is a candidate."""
    plan = pitch.pitch_plan(SIZE, RATE)
    scratch = pitch.pitch_scratch(plan)
    hertz, voicing = np.zeros((2, 1, pitch.CANDIDATES), np.float32)
    pitch.candidates(complex_tone(180, noise=0.2)[None], plan, scratch, hertz, voicing)
    expected, gain = scratch.log_spectrum.copy(), np.float32(1.0)
    for shift in plan.shift[1:]:
        gain *= np.float32(0.85)
        expected[: len(expected) - shift] += gain * scratch.log_spectrum[shift:]
    assert np.array_equal(scratch.summed, expected / np.float32(15.0))


@pytest.mark.parametrize("f0", [80.0, 110.0, 220.0, 440.0])
def test_the_first_candidate_of_a_harmonic_complex_is_its_fundamental(f0):
    hertz, voicing = candidates(complex_tone(f0, 15, 1024, 16000.0)[None], 1024, 16000.0)
    assert hertz[0, 0] == pytest.approx(f0, rel=0.03)
    assert voicing[0, 0] > 0.7


def test_silence_has_no_candidate():
    hertz, voicing = candidates(np.zeros((3, SIZE // 2 + 1)))
    assert not hertz.any()
    assert not voicing.any()


@pytest.mark.parametrize("seed", range(6))
def test_the_search_is_the_plain_one(seed):
    random = np.random.default_rng(seed)
    hertz = np.float32(np.exp(random.normal(5.2, 0.6, (90, 6))))
    voicing = np.float32(random.uniform(0.3, 1, (90, 6)))
    hertz[random.random((90, 6)) < 0.3] = 0
    hertz[40:50] = 0
    voicing[hertz == 0] = 0
    expected, before = naive.viterbi(
        [list(zip(map(float, f), map(float, v), strict=True)) for f, v in zip(hertz, voicing, strict=True)]
    )
    assert search(hertz, voicing) == (pytest.approx(expected), before)
    assert search(hertz, voicing, split=(1, 2, 37, 38, 80)) == search(hertz, voicing)


def test_two_equal_voices_are_held_back_no_longer_than_the_limit():
    hertz = np.zeros((120, 6), np.float32)
    hertz[:, 0], hertz[:, 1] = 200, 300
    voicing = np.where(hertz > 0, np.float32(0.9), np.float32(0))
    found, before = search(hertz, voicing)
    assert len(found) == 120
    assert 120 - before < trellis.LONGEST_WAIT
    assert set(found) <= {200.0, 300.0}


def test_costs_stay_bounded_and_exact_for_days():
    hertz, voicing = np.zeros((2, 500, 6), np.float32)
    hertz[:, 0], voicing[:, 0] = 150, 0.9
    state = trellis.new_trellis()
    state.cost[:] += 2.0**20 - 3
    released = np.zeros(600, np.float32)
    trellis.search(hertz, voicing, state, released)
    assert state.cost.max() < 2.0**20
