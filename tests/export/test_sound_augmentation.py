"""Noise has its colour and its level, rooms ring as long as they should, and copies repeat."""

import numpy as np
import pytest
from edge_emotion_export.training.sound_augmentation import (
    CLEAN,
    Condition,
    apply,
    draw_condition,
    generator,
    make_noise,
    reverberate,
)


def slope_db_per_octave(noise: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / 16000)
    levels = [
        10 * np.log10(power[(frequency >= f) & (frequency < 2 * f)].mean())
        for f in (125, 250, 500, 1000, 2000)
    ]
    return float(np.polyfit(np.arange(5), levels, 1)[0])


@pytest.mark.parametrize(("colour", "slope"), [("white", 0.0), ("pink", -3.01), ("brown", -6.02)])
def test_colours(colour, slope):
    noise = make_noise(colour, 160_000, np.random.default_rng(0))
    assert slope_db_per_octave(noise) == pytest.approx(slope, abs=0.3)
    assert np.mean(noise**2) == pytest.approx(1.0)


def test_babble_is_made_of_others_and_needs_them():
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 1000 * np.arange(4800) / 16000).astype(np.float32)
    noise = make_noise("babble", 16000, rng, [tone])
    assert np.argmax(np.abs(np.fft.rfft(noise))) == 1000
    with pytest.raises(ValueError, match="other talkers"):
        make_noise("babble", 100, rng)


@pytest.mark.parametrize("snr_db", [20.0, 5.0])
def test_noise_has_the_asked_level(snr_db):
    speech = 0.05 * np.random.default_rng(1).normal(size=32000).astype(np.float32)
    copy = apply(speech, Condition("pink", snr_db), np.random.default_rng(2))
    noise = copy.astype(float) - speech
    assert 10 * np.log10(np.mean(speech.astype(float) ** 2) / np.mean(noise**2)) == pytest.approx(
        snr_db, abs=0.05
    )


def test_noise_fills_the_pauses():
    speech = 0.1 * np.random.default_rng(1).normal(size=16000).astype(np.float32)
    copy = apply(speech, Condition("white", 10.0, lead_s=0.5, tail_s=0.25), np.random.default_rng(2))
    assert len(copy) == 28000
    for pause in (copy[:8000], copy[-4000:]):
        assert 20 * np.log10(np.std(pause)) == pytest.approx(-30.0, abs=0.5)


def test_gain_clips():
    tone = np.full(1000, 0.5, np.float32)
    assert apply(tone, Condition(gain_db=8.0), np.random.default_rng(0)).max() == 1.0
    assert apply(tone, Condition(gain_db=-6.0206), np.random.default_rng(0))[0] == pytest.approx(
        0.25, rel=1e-4
    )
    np.testing.assert_array_equal(apply(tone, CLEAN, np.random.default_rng(0)), tone)


def test_a_room_rings_as_long_as_it_should():
    click = np.zeros(16000)
    click[0] = 1.0
    wet = reverberate(click, 0.4, np.random.default_rng(3))
    assert np.sum(wet**2) == pytest.approx(1.0)
    energy = np.cumsum(wet[::-1] ** 2)[::-1]  # Schroeder's backward integration
    start, end = int(0.02 * 16000), int(0.22 * 16000)
    fall = 10 * np.log10(energy[start] / energy[end])
    assert fall == pytest.approx(60 * 0.2 / 0.4, abs=3)


def test_copies_repeat_and_differ():
    speech = np.random.default_rng(1).normal(size=8000).astype(np.float32) * 0.1

    def copy(seed: int, number: int) -> np.ndarray:
        rng = generator(seed, "DK_001_A_1", number)
        return apply(speech, draw_condition(rng, 10.0), rng, [speech])

    np.testing.assert_array_equal(copy(0, 1), copy(0, 1))
    assert not np.array_equal(copy(0, 1), copy(0, 2))
    assert not np.array_equal(copy(0, 1), copy(1, 1))
