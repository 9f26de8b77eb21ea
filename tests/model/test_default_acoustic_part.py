"""The acoustic part that comes with the package: its size, its honesty, and that it hears the obvious."""

from pathlib import Path

import numpy as np
import pytest
from edge_emotion_export.corpora.speech import read_sound
from voices import make_voice

from edge_emotion.config import Execution
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import default_bundle_path, open_bundle
from edge_emotion.model.voice_activity import SileroVoiceActivity
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.types import AudioBlock


@pytest.fixture(scope="module")
def bundle():
    return open_bundle()


def last_reading(bundle, samples):
    pipeline = EmotionPipeline(bundle, execution=Execution(provider="cpu"))
    return list(replay(pipeline, [AudioBlock(samples, 16000, 0)]))[-1]


def test_it_is_small_and_says_what_it_was_made_of(bundle):
    folder = default_bundle_path() / "acoustic"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 4_000_000
    training = bundle.manifest.acoustic.training
    assert {source.name for source in training.data} == {"EmoTale", "EmoDB"}
    assert len((folder / training.items_file).read_text().split()) == sum(s.items for s in training.data)
    for what, arousal, valence in (("", 0.85, 0.57), ("pink_10_db_", 0.83, 0.53), ("held_out_", 0.75, 0.45)):
        assert training.metrics[f"loso_{what}ccc_arousal"] >= arousal
        assert training.metrics[f"loso_{what}ccc_valence"] >= valence


def test_angry_speech_has_more_arousal_than_sad_speech(bundle):
    """Plumbing, not accuracy: the bundle was trained on these."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "speech" / "emotale"
    if not folder.is_dir():
        pytest.skip("EmoTale is not in ../shared/data/speech")
    pairs = [
        (folder / f"DK_{who}_A_1.flac", folder / f"DK_{who}_S_1.flac") for who in ("001", "005", "009", "015")
    ]
    angry, sad = (
        np.array([last_reading(bundle, read_sound(file)).arousal for file in side])
        for side in zip(*pairs, strict=True)
    )
    assert np.mean(angry > sad) >= 0.75
    assert angry.mean() > sad.mean() + 0.3


def test_noise_adds_doubt(bundle):
    voice = make_voice(6, f0_hz=160, rms=0.1, seed=2)
    noise = 0.05 * np.random.default_rng(0).normal(size=len(voice)).astype(np.float32)
    clean, noisy = last_reading(bundle, voice), last_reading(bundle, voice + noise)
    assert noisy.sigma_arousal > clean.sigma_arousal
    assert "low_snr" in noisy.quality


@pytest.mark.parametrize("level", [0.0, 0.05])
def test_silence_and_noise_are_no_speech(bundle, level):
    samples = level * np.random.default_rng(1).normal(size=4 * 16000).astype(np.float32)
    reading = last_reading(bundle, samples)
    assert not reading.valid
    assert "no_speech" in reading.quality


def test_the_voice_activity_hears_a_voice_and_no_tone(bundle):
    part = bundle.manifest.acoustic
    network = open_backend(bundle.file("acoustic", part.voice_activity), Execution(provider="cpu"))
    threshold = part.voice_activity.settings.threshold
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(2 * 16000) / 16000).astype(np.float32)
    voice = SileroVoiceActivity(network).push(make_voice(2, f0_hz=150))
    assert np.mean(voice >= threshold) > 0.6
    assert np.mean(SileroVoiceActivity(network).push(tone) >= threshold) < 0.05
