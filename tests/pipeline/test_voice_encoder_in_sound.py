"""Sound with a voice encoder: its features follow the descriptors, whatever the blocks, gaps and resets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundles import tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import RATE, SECOND, blocks, voice

from edge_emotion.config import Execution
from edge_emotion.features.names import FUNCTIONAL_NAMES, QUALITY_COLUMNS
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.kernels._jit import compilations, compile_all
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.model.voice_encoder import VoiceEncoder
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.pipeline.calibration import Baseline
from edge_emotion.pipeline.evidence import Evidence
from edge_emotion.pipeline.sound import Sound
from edge_emotion.pipeline.spans import Spans
from edge_emotion.types import AudioBlock

MS = 1_000_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(tiny_bundle(tmp_path_factory.mktemp("bundle") / "listening", listens=True))


@pytest.fixture(scope="module")
def sound(bundle: Bundle) -> Sound:
    """One for many tests, each of which resets it."""
    return Sound(bundle, Execution(), Spans())


def hear(sound: Sound, items: list[AudioBlock], until_ns: int) -> Evidence:
    sound.reset()
    for block in items:
        assert sound.take(block, until_ns) is None
    return sound.compute(until_ns)


def features(evidence: Evidence) -> np.ndarray:
    assert evidence.features is not None
    return evidence.features


def encoder_alone(bundle: Bundle, samples: np.ndarray) -> np.ndarray:
    part = bundle.manifest.acoustic
    assert part.voice_encoder is not None
    encoder = VoiceEncoder(open_backend(bundle.file("acoustic", part.voice_encoder)))
    encoder.push(samples)
    said = encoder.compute()
    assert said is not None
    return said


def test_its_features_follow_the_descriptors(bundle: Bundle, sound: Sound) -> None:
    samples = voice(2.5)
    rows = features(hear(sound, list(blocks(samples)), round(2.5 * SECOND)))
    described = DescriptorWindow(RATE, (3.0, 3.0), 100.0)
    described.push(samples)
    expected = described.compute()
    assert expected is not None
    assert rows.shape == (2, 600)
    np.testing.assert_array_equal(rows[:, :88], expected.values)
    np.testing.assert_array_equal(rows[:, 88:], np.stack([encoder_alone(bundle, samples)] * 2))
    assert np.ptp(rows[0, 88:]) > 0.01


@settings(deadline=None, max_examples=12)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=5))
def test_any_split_gives_the_same_features(sound: Sound, sizes: list[int]) -> None:
    if sum(sizes) / len(sizes) < 200:
        sizes = [size * 50 for size in sizes]
    samples = voice(2.2)
    end_ns = round(2.2 * SECOND)
    expected = features(hear(sound, list(blocks(samples, len(samples))), end_ns))
    np.testing.assert_array_equal(features(hear(sound, list(blocks(samples, sizes)), end_ns)), expected)


def test_after_a_long_gap_it_listens_anew_and_a_short_one_is_silence(bundle: Bundle, sound: Sound) -> None:
    one, two = voice(1.6), voice(1.6, seed=1)
    end_ns = round(1.6 * SECOND)
    for gap_ms, heard in ((150, two), (50, np.concatenate([one, np.zeros(800, np.float32), two]))):
        start_ns = end_ns + gap_ms * MS
        items = [AudioBlock(one, RATE, 0), AudioBlock(two, RATE, start_ns)]
        rows = features(hear(sound, items, start_ns + end_ns))
        np.testing.assert_array_equal(rows[0, 88:], encoder_alone(bundle, heard))


def test_descriptors_also_tell_how_far_to_trust_the_voice(sound: Sound) -> None:
    evidence = hear(sound, list(blocks(voice(2.5))), round(2.5 * SECOND))
    assert set(QUALITY_COLUMNS) == {"hnr_db", "f1_hz", "f0_semitones"}
    for fact, column in QUALITY_COLUMNS.items():
        assert evidence.facts[fact] == features(evidence)[0, column] != 0.0
    assert FUNCTIONAL_NAMES[QUALITY_COLUMNS["f1_hz"]] == "F1frequency_sma3nz_amean"


def test_without_descriptors_it_is_all_that_the_regressor_gets(tmp_path: Path, bundle: Bundle) -> None:
    names = bundle.manifest.acoustic.feature_names[88:]
    acoustic = {"feature_names": names, "regressor": {"file": "regressor.onnx", "features": 512}}
    alone = open_bundle(tiny_bundle(tmp_path / "alone", acoustic=acoustic, listens=True))
    samples = voice(1.5)
    evidence = hear(Sound(alone, Execution(), Spans()), list(blocks(samples)), round(1.5 * SECOND))
    np.testing.assert_array_equal(features(evidence)[0], encoder_alone(bundle, samples))


def test_it_is_a_span_and_nothing_compiles_once_kernels_are_warm(bundle: Bundle) -> None:
    ticks = iter(range(10**9))
    names: set[str] = set()
    pipeline = EmotionPipeline(
        bundle, spans=Spans(lambda name, *_: names.add(name), clock_ns=lambda: next(ticks))
    )
    assert {"mel40.mel_bands", "moments.moments"} <= set(compile_all())
    compiled = compilations()
    readings = list(replay(pipeline, blocks(voice(2.0))))
    assert readings[-1].audio.used
    assert compilations() == compiled
    assert "voice encoder" in names


def test_a_baseline_holds_descriptors_alone(tmp_path: Path) -> None:
    """A stored mean of the encoder's features would be a voice print."""
    regressor = {"file": "regressor.onnx", "features": 600, "neutral": [0.0] * 88}
    bundle = open_bundle(tiny_bundle(tmp_path / "b", acoustic={"regressor": regressor}, listens=True))
    pipeline = EmotionPipeline(bundle)
    pipeline.calibration.start(3.0)
    plain = list(replay(pipeline, blocks(voice(5.0))))
    learnt = pipeline.calibration.baseline
    assert learnt is not None
    assert learnt.audio is not None
    assert [len(row) for row in learnt.audio] == [88, 88]

    wide = Baseline(bundle=learnt.bundle, audio=((0.0,) * 600, (0.0,) * 600))
    with pytest.raises(Exception, match="audio baseline does not fit"):
        pipeline.calibration.baseline = wide
    pipeline.reset()
    moved = list(replay(pipeline, blocks(voice(5.0))))
    assert moved[10].arousal != plain[10].arousal
