"""The trial knows speech from pauses, and gives each detector its own threshold."""

import numpy as np
import pytest
from edge_emotion_export.training import voice_activity_trial
from edge_emotion_export.training.voice_activity_trial import compare, from_descriptors, no_speech
from voices import make_voice


def level_db(samples: np.ndarray) -> np.ndarray:
    steps = samples[: len(samples) // 512 * 512].reshape(-1, 512)
    return 10 * np.log10(np.mean(steps.astype(float) ** 2, axis=1) + 1e-10)


def test_a_level_meter_is_perfect_in_silence_and_fooled_by_noise(monkeypatch):
    monkeypatch.setattr(voice_activity_trial, "NOISES", (("pink", 0.0),))
    voices = [make_voice(1.5, f0_hz=120 + 20 * i, seed=i) for i in range(4)]
    report = compare(voices, {"level": level_db, "descriptors": from_descriptors})
    clean, noisy = report["level"]["clean"], report["level"]["pink 0 dB"]
    assert clean["auc"] > 0.97
    assert clean["found"] == pytest.approx(0.9, abs=0.02)
    assert clean["false_alarm"] < 0.02
    assert noisy["false_alarm"] > 0.9
    assert report["level"]["melody"]["false_alarm"] > 0.5
    assert report["level"]["silence"]["false_alarm"] == 0.0
    assert report["descriptors"]["clean"]["auc"] > 0.9


def test_what_is_no_speech_has_the_level_of_speech():
    for name, sound in no_speech(0).items():
        rms = np.sqrt(np.mean(sound.astype(float) ** 2))
        assert rms == 0 if name == "silence" else abs(rms - 0.05) < 1e-3
