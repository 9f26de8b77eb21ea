"""A running baseline: causal, bounded, slow; it moves level and pitch and nothing else, whatever the blocks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from bundles import tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scenes import blocks, voice

from edge_emotion.config import SpeakerBaselineSettings
from edge_emotion.errors import BundleError
from edge_emotion.features.names import FUNCTIONAL_NAMES
from edge_emotion.features.speaker_baseline import LONGEST_STEP_S, MOVED, SpeakerBaseline
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.pipeline.calibration import Baseline

REFERENCE = tuple(float(k) for k in range(9))
LARGEST = (3.0, 3.0, 3.0, 3.0, 0.5, 0.5, 0.5, 0.5, 10.0)
SETTINGS = SpeakerBaselineSettings(reference=REFERENCE, largest=LARGEST, time_s=20.0)
COLUMNS = [FUNCTIONAL_NAMES.index(name) for name in MOVED]


def speaker(difference: float) -> np.ndarray:
    rows = np.full((2, 88), 7.0, np.float32)
    rows[:, COLUMNS] = np.array(REFERENCE) + difference
    return rows


def test_the_first_reading_is_not_moved_and_a_constant_difference_goes_away():
    baseline = SpeakerBaseline(SETTINGS, FUNCTIONAL_NAMES)
    rows = speaker(0.4)
    np.testing.assert_array_equal(baseline.compute(rows, 0.0), rows)
    for _ in range(100):
        moved = baseline.compute(rows, 0.2)
    left = 0.4 * math.exp(-20.0 / SETTINGS.time_s)
    np.testing.assert_allclose(moved[:, COLUMNS], speaker(left)[:, COLUMNS], atol=1e-5)
    np.testing.assert_array_equal(rows, speaker(0.4))


def test_a_pause_counts_for_little_and_a_reset_forgets():
    baseline = SpeakerBaseline(SETTINGS, FUNCTIONAL_NAMES)
    after_pause = baseline.compute(speaker(0.4), 3600.0)
    baseline.reset()
    np.testing.assert_array_equal(baseline.compute(speaker(0.4), LONGEST_STEP_S), after_pause)
    baseline.reset()
    np.testing.assert_array_equal(baseline.compute(speaker(0.4), 0.0), speaker(0.4))


@given(
    heard=arrays(np.float32, (6, 88), elements=st.floats(-1e6, 1e6, width=32)),
    passed=st.lists(st.floats(-1.0, 1e9), min_size=6, max_size=6),
)
@settings(max_examples=30, deadline=None)
def test_nothing_moves_further_than_it_may(heard: np.ndarray, passed: list[float]):
    baseline = SpeakerBaseline(SETTINGS, FUNCTIONAL_NAMES)
    others = np.setdiff1d(np.arange(88), COLUMNS)
    for row, passed_s in zip(heard, passed, strict=True):
        moved = baseline.compute(row[None], passed_s)[0]
        np.testing.assert_array_equal(moved[others], row[others])
        allowed = np.array(LARGEST) + 0.1 * (np.abs(row[COLUMNS]) > 1e4)  # float32 rounds what is large
        assert np.all(np.abs(moved[COLUMNS] - row[COLUMNS]) <= allowed + 1e-3)


def test_features_that_are_not_there_are_named():
    with pytest.raises(BundleError, match="equivalentSoundLevel_dBp"):
        SpeakerBaseline(SETTINGS, FUNCTIONAL_NAMES[:-1])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    slow = {"reference": [0.0] * 9, "largest": [20.0] * 9, "time_s": 5.0}
    regressor = {"file": "regressor.onnx", "features": 88, "neutral": [0.0] * 88}
    folder: Path = tmp_path_factory.mktemp("bundle")
    return open_bundle(tiny_bundle(folder, acoustic={"speaker_baseline": slow, "regressor": regressor}))


def arousal(pipeline: EmotionPipeline, block: int) -> list[float | None]:
    pipeline.reset()
    return [reading.arousal for reading in replay(pipeline, blocks(voice(5.0), block))]


def test_blocks_do_not_matter_and_a_personal_baseline_comes_first(bundle: Bundle, tmp_path: Path):
    pipeline = EmotionPipeline(bundle)
    slow = arousal(pipeline, 640)
    assert arousal(pipeline, 5333) == slow
    off = EmotionPipeline(open_bundle(tiny_bundle(tmp_path)))
    assert arousal(off, 640) != slow
    # One's own baseline at neutral moves nothing, and the running one rests.
    zeros = ((0.0,) * 88, (0.0,) * 88)
    pipeline.calibration.baseline = Baseline(bundle=bundle.manifest.sha256, audio=zeros)
    assert arousal(pipeline, 640) == arousal(off, 640)
