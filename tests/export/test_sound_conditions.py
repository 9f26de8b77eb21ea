"""Noise has its colour and its level, rooms ring as long as they should, codecs give back what they got, and copies
repeat."""

from dataclasses import replace

import numpy as np
import pytest
from edge_emotion_export.training.codecs import CODECS, code
from edge_emotion_export.training.noises import NOISES, make_noise
from edge_emotion_export.training.rooms import Room, reverberate
from edge_emotion_export.training.sound_conditions import (
    CLEAN,
    CONDITIONS,
    TRAINING_NOISES,
    Condition,
    Microphone,
    apply,
    draw_condition,
    generator,
)
from voices import make_voice

from edge_emotion.errors import InputError

TALKERS = [make_voice(1.5, f0_hz=f0, seed=int(f0)) for f0 in (110.0, 180.0, 220.0)]


def level_db(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(sound.astype(float) ** 2)))


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * hz * np.arange(round(seconds * 16000)) / 16000)


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


@pytest.mark.parametrize("noise", NOISES)
def test_every_noise_has_power_one_any_length_and_its_own_draw(noise):
    for count in (100, 16000):
        sound = make_noise(noise, count, np.random.default_rng(0), TALKERS)
        assert sound.shape == (count,)
        assert np.mean(sound**2) == pytest.approx(1.0)
    other = make_noise(noise, 16000, np.random.default_rng(1), TALKERS)
    assert abs(np.corrcoef(sound, other)[0, 1]) < 0.9


def test_hum_is_made_of_the_mains_harmonics():
    power = np.abs(np.fft.rfft(make_noise("hum", 16000, np.random.default_rng(0)))) ** 2
    mains = min((50, 60), key=lambda hz: power[np.arange(1, 31) * hz].sum() < 0.99 * power.sum())
    assert power[np.arange(1, 31) * mains].sum() > 0.999 * power.sum()


@pytest.mark.parametrize("noise", ["babble", "television"])
def test_speech_in_the_background_is_made_of_others_and_needs_them(noise):
    rng = np.random.default_rng(0)
    sound = make_noise(noise, 16000, rng, [tone(1003.0, 0.3).astype(np.float32)])
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert power[990:1016].sum() > 0.5 * power.sum()
    with pytest.raises(InputError, match="other people"):
        make_noise(noise, 100, rng)


@pytest.mark.parametrize("room", [None, Room((5.0, 4.0, 2.6), 1.0, 0.3)])
@pytest.mark.parametrize("noise", ["pink", "babble"])
@pytest.mark.parametrize("snr_db", [20.0, 5.0])
def test_noise_has_the_asked_level_in_rooms_too(room, noise, snr_db):
    speech = make_voice(3.0, rms=0.05, seed=1)
    asked = Condition(room=room, noise=noise, snr_db=snr_db)
    voice = apply(speech, replace(asked, snr_db=100.0), np.random.default_rng(2), TALKERS)
    copy = apply(speech, asked, np.random.default_rng(2), TALKERS)
    found = level_db(voice) - level_db(copy.astype(float) - voice)
    assert found == pytest.approx(
        snr_db, abs=0.1 if noise == "pink" else 1.0
    )  # talkers may not be orthogonal


def test_noise_fills_the_pauses():
    speech = 0.1 * np.random.default_rng(1).normal(size=16000).astype(np.float32)
    asked = Condition(noise="white", snr_db=10.0, lead_s=0.5, tail_s=0.25)
    copy = apply(speech, asked, np.random.default_rng(2))
    assert len(copy) == 28000
    for pause in (copy[:8000], copy[-4000:]):
        assert level_db(pause) == pytest.approx(-30.0, abs=0.5)


def test_gain_clips_and_rounds_to_16_bits():
    constant = np.full(1000, 0.5, np.float32)
    rng = np.random.default_rng(0)
    assert apply(constant, Condition(gain_db=8.0), rng).max() == 1.0
    assert apply(constant, Condition(gain_db=-6.0206), rng)[0] == pytest.approx(0.25, rel=1e-4)
    np.testing.assert_array_equal(apply(constant, CLEAN, rng), constant)
    whisper = apply(tone(440.0).astype(np.float32), Condition(gain_db=-60.0), rng)
    assert set(np.unique(whisper * 32768)) <= set(range(-4, 5))


@pytest.mark.parametrize("absorption", [0.2, 0.5])
def test_a_room_rings_as_long_as_its_walls_let_it(absorption):
    room = Room((6.0, 5.0, 2.8), 1.0, absorption)
    response = room.responses(0, np.random.default_rng(3))[0]
    energy = np.cumsum(response[::-1] ** 2)[::-1]  # Schroeder's backward integration
    level = 10 * np.log10(energy / energy[0] + 1e-30)
    begin, end = np.argmax(level < -5), np.argmax(level < -25)
    assert (end - begin) / 16000 * 3 == pytest.approx(room.reverberation_s, rel=0.4)


def test_further_away_means_less_direct_sound():
    click = np.zeros(8000)
    click[0] = 1.0

    def direct_share(distance_m: float) -> float:
        room = Room((8.0, 6.0, 3.0), distance_m, 0.3)
        wet = reverberate(click, room.responses(0, np.random.default_rng(3))[0])
        assert np.sum(wet**2) == pytest.approx(1.0)
        return float(np.sum(wet[:40] ** 2))

    assert direct_share(0.5) > 2 * direct_share(3.0)


def test_a_microphone_has_its_band_and_its_resonance():
    microphone = Microphone(200.0, 4000.0, 2000.0, 6.0)
    for hz, expected_db in ((200.0, -3.0), (50.0, -24.1), (4000.0, -2.9), (2000.0, 6.0), (7500.0, -21.9)):
        gained = level_db(microphone.apply(tone(hz))) - level_db(tone(hz))
        assert gained == pytest.approx(expected_db, abs=0.6), hz


@pytest.mark.parametrize("name", sorted(CODECS))
def test_codecs_give_back_the_voice_in_time(name):
    speech = make_voice(2.0, rms=0.05, seed=3).astype(np.float64)
    back = code(speech, CODECS[name])
    assert back.shape == speech.shape
    assert np.corrcoef(back, speech)[0, 1] > 0.8
    assert not np.array_equal(back, speech)


def test_the_telephone_has_its_band():
    for hz, quieter_db in ((1000.0, 1.0), (100.0, 15.0), (5000.0, 30.0)):
        heard = apply(
            tone(hz).astype(np.float32), CONDITIONS["telephone"].condition, np.random.default_rng(0)
        )
        assert abs(level_db(tone(hz)) - level_db(heard)) >= quieter_db or hz == 1000.0
    assert level_db(tone(1000.0)) - level_db(
        apply(tone(1000.0).astype(np.float32), CONDITIONS["telephone"].condition, np.random.default_rng(0))
    ) == pytest.approx(0.0, abs=0.5)


def test_training_hears_nothing_of_what_is_held_out():
    drawn = [draw_condition(generator(0, number), 10.0) for number in range(300)]
    held_out = [trial.condition for trial in CONDITIONS.values() if trial.held_out]
    assert {condition.noise for condition in drawn} == set(TRAINING_NOISES)
    assert all(condition.codec is None for condition in drawn)
    sizes = [np.prod(condition.room.size_m) for condition in drawn if condition.room]
    assert 100 < len(sizes) < 200
    for condition in held_out:
        own_noise = condition.noise is not None and condition.noise not in TRAINING_NOISES
        own_room = condition.room is not None and not min(sizes) < np.prod(condition.room.size_m) < max(sizes)
        own_microphone = condition.microphone is not None and condition.microphone.low_hz > max(
            each.microphone.low_hz for each in drawn if each.microphone
        )
        assert own_noise or own_room or own_microphone or condition.codec is not None


def test_copies_repeat_and_differ():
    speech = np.random.default_rng(1).normal(size=8000).astype(np.float32) * 0.1

    def copy(seed: int, number: int) -> np.ndarray:
        rng = generator(seed, "DK_001_A_1", number)
        return apply(speech, draw_condition(rng, 10.0), rng, [speech])

    np.testing.assert_array_equal(copy(0, 1), copy(0, 1))
    for other in (copy(0, 2), copy(1, 1)):
        assert len(other) != len(copy(0, 1)) or not np.array_equal(other, copy(0, 1))
