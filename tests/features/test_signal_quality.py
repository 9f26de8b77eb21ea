"""Quality facts of sound with known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_emotion.features.signal_quality import AudioFacts, SignalQuality

RATE = 16000


class LoudIsSpeech:
    """Voice activity for tests: a step is speech when its mean magnitude is above 0.02."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pending = np.zeros(0, np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        pending = np.concatenate([self._pending, np.nan_to_num(samples)])
        steps = len(pending) // 512
        self._pending = pending[steps * 512 :]
        return (np.abs(pending[: steps * 512].reshape(steps, 512)).mean(1) > 0.02).astype(np.float32)


class SpeechAsIn(LoudIsSpeech):
    """Says of any sound what is true of another one."""

    def __init__(self, other: np.ndarray) -> None:
        self.other = other
        super().__init__()

    def push(self, samples: np.ndarray) -> np.ndarray:
        taken, self.other = np.split(self.other, [len(samples)])
        return super().push(taken)


def make_talk(snr_db: float, seconds: float = 10.0, seed: int = 0) -> np.ndarray:
    """Bursts of 0.6 s at -14 dBFS with pauses of 0.4 s, over steady noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    burst = 0.2 * rng.normal(size=len(t)) * ((t % 1.0) < 0.6)
    noise = 0.2 * 10 ** (-snr_db / 20) * rng.normal(size=len(t))
    return np.clip(burst + noise, -1, 1).astype(np.float32)


def facts_of(samples: np.ndarray, window_s: float = 3.0) -> AudioFacts:
    quality = SignalQuality(LoudIsSpeech(), window_s=window_s)
    quality.push(samples)
    return quality.compute()


@pytest.mark.parametrize("snr_db", [20, 25, 30, 40])
def test_snr_is_found(snr_db):
    assert facts_of(make_talk(snr_db)).snr_db == pytest.approx(snr_db, abs=1.5)


def test_snr_is_bounded_and_rises_with_the_truth():
    found = [facts_of(make_talk(snr)).snr_db for snr in (-5, 5, 10, 20, 35, 90)]
    assert found == sorted(found)
    assert found[0] >= -10
    assert found[-1] == 50


def test_rumble_below_speech_hides_nothing_of_it():
    talk = make_talk(30)
    rumble = 0.4 * np.sin(2 * np.pi * 60 * np.arange(len(talk)) / RATE)
    quality = SignalQuality(
        SpeechAsIn(talk)
    )  # the other detector goes by magnitude, and would take rumble for speech
    quality.push((talk + rumble).astype(np.float32))
    facts = quality.compute()
    assert facts.level_dbfs > -10
    assert facts.snr_db == pytest.approx(30, abs=1.5)


def test_voiced_share_and_level():
    facts = facts_of(make_talk(60))
    assert facts.voiced == pytest.approx(0.6, abs=0.06)
    assert facts.level_dbfs == pytest.approx(20 * np.log10(0.2) + 10 * np.log10(0.6), abs=0.5)
    assert facts.fill == 1.0


def test_silence_is_said_to_be_silence():
    facts = facts_of(np.zeros(5 * RATE, np.float32))
    assert facts == AudioFacts(voiced=0.0, snr_db=None, clipped=0.0, level_dbfs=-100.0, fill=1.0)


def test_before_the_first_step_nothing_is_known():
    assert facts_of(np.ones(511, np.float32)) == AudioFacts(0.0, None, 0.0, -100.0, 0.0)


def test_clipping_and_rubbish_are_counted():
    samples = np.full(RATE, 0.1, np.float32)
    samples[:160] = 1.0
    samples[160:320] = np.nan
    assert facts_of(samples).clipped == pytest.approx(320 / (31 * 512), rel=1e-6)


def test_fill_grows_to_one():
    quality = SignalQuality(LoudIsSpeech(), window_s=3.0)
    quality.push(make_talk(30, seconds=1.5))
    assert quality.compute().fill == pytest.approx(0.5, abs=0.02)
    quality.push(make_talk(30, seconds=9))
    assert quality.compute().fill == 1.0


def test_the_window_forgets():
    quality = SignalQuality(LoudIsSpeech(), window_s=1.0)
    quality.push(np.concatenate([make_talk(30, 5.0), np.zeros(RATE + 512, np.float32)]))
    assert quality.compute().voiced == 0.0


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 2 * RATE), max_size=8))
def test_any_split_gives_the_same_facts(cuts):
    signal = make_talk(15, 2.0)
    whole = SignalQuality(LoudIsSpeech(), window_s=1.0)
    whole.push(signal)
    split = SignalQuality(LoudIsSpeech(), window_s=1.0)
    for part in np.split(signal, sorted(cuts)):
        split.push(part)
    assert split.compute() == whole.compute()
    split.reset()
    split.push(signal)
    assert split.compute() == whole.compute()
