"""A personal baseline takes a constant difference of a person off, can be stored, and is refused elsewhere."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from bundles import ENCODER_FEATURES, tiny_bundle
from scenes import RATE, SECOND, blocks, film, merged, voice

from edge_emotion.errors import UsageError
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.pipeline.calibration import Baseline
from edge_emotion.types import AudioBlock, Reading, VideoFrame


def person(duration_s: float, *, darker: int = 0, gain: float = 1.0, start_s: float = 0.0) -> list:
    """The generated person, darker and louder than the one that the bundle knows as neutral."""
    start_ns = round(start_s * SECOND)
    frames = [
        VideoFrame(np.where(f.image < 230, f.image - darker, f.image).astype(np.uint8), f.time_ns)
        for f in film(duration_s, start_ns=start_ns)
    ]
    return merged(blocks(gain * voice(duration_s), start_ns=start_ns), iter(frames))


def run(pipeline: EmotionPipeline, items: list[AudioBlock | VideoFrame]) -> list[Reading]:
    pipeline.reset()
    return list(replay(pipeline, items))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose neutral is the mean of the generated person, learnt with a bundle whose neutral is 0."""
    folder = tmp_path_factory.mktemp("calibrated")
    regressors = {
        "acoustic": {"file": "regressor.onnx", "features": 88},
        "face": {"file": "regressor.onnx", "features": ENCODER_FEATURES},
    }
    zero = {name: {"regressor": r | {"neutral": [0.0] * r["features"]}} for name, r in regressors.items()}
    pipeline = EmotionPipeline(open_bundle(tiny_bundle(folder / "zero", **zero)))
    pipeline.calibration.start(5.0)
    run_without_reset = list(replay(pipeline, person(8.0)))
    assert len(run_without_reset) == 40
    learnt = pipeline.calibration.baseline
    assert learnt is not None
    assert learnt.audio is not None
    assert learnt.video is not None
    neutral = {"acoustic": learnt.audio[0], "face": learnt.video[0]}
    parts = {name: {"regressor": r | {"neutral": list(neutral[name])}} for name, r in regressors.items()}
    return open_bundle(tiny_bundle(folder / "packed", **parts))


def distance(one: list[Reading], other: list[Reading]) -> float:
    pairs = [
        (a, b)
        for a, b in zip(one, other, strict=True)
        if a.valid and b.valid and a.video.used and b.video.used
    ]
    return float(np.mean([abs(a.arousal - b.arousal) + abs(a.valence - b.valence) for a, b in pairs]))


def test_a_constant_difference_is_taken_off(bundle: Bundle) -> None:
    usual = run(EmotionPipeline(bundle), person(6.0))
    pipeline = EmotionPipeline(bundle, expects_baseline=True)
    darker = run(pipeline, person(6.0, darker=60))
    assert all("uncalibrated" in reading.quality for reading in darker)
    pipeline.calibration.start(5.0)
    assert pipeline.calibration.learning
    list(replay(pipeline, person(8.0, darker=60, start_s=10.0)))
    assert not pipeline.calibration.learning
    calibrated = run(pipeline, person(6.0, darker=60))
    assert not any("uncalibrated" in reading.quality for reading in calibrated)
    assert distance(usual, darker) > 0.1
    assert distance(usual, calibrated) < 0.2 * distance(usual, darker)


def test_the_person_s_own_movements_stay(bundle: Bundle) -> None:
    """Calibration moves what is said, it does not flatten it."""
    pipeline = EmotionPipeline(bundle)
    before = [reading.arousal for reading in run(pipeline, person(6.0)) if reading.arousal is not None]
    pipeline.calibration.start(3.0)
    list(replay(pipeline, person(5.0, start_s=10.0)))
    after = [reading.arousal for reading in run(pipeline, person(6.0)) if reading.arousal is not None]
    spread = [sum(abs(b - a) for a, b in pairwise(values)) for values in (before, after)]
    assert spread[1] == pytest.approx(spread[0], rel=0.5)


def test_a_baseline_is_stored_and_fits_its_bundle_only(bundle: Bundle, tiny_bundle_path: Path) -> None:
    pipeline = EmotionPipeline(bundle)
    pipeline.calibration.start(2.0)
    list(replay(pipeline, person(4.0, darker=60)))
    stored = pipeline.calibration.baseline.model_dump_json() if pipeline.calibration.baseline else ""
    other = EmotionPipeline(bundle)
    other.calibration.baseline = Baseline.model_validate_json(stored)
    assert run(other, person(3.0)) == run(pipeline, person(3.0))
    other.calibration.baseline = None
    assert run(other, person(3.0)) == run(EmotionPipeline(bundle), person(3.0))
    plain = EmotionPipeline(open_bundle(tiny_bundle_path))
    with pytest.raises(UsageError, match="another bundle"):
        plain.calibration.baseline = Baseline.model_validate_json(stored)
    with pytest.raises(UsageError, match="cannot be calibrated"):
        plain.calibration.start(5.0)
    short = Baseline(bundle=bundle.manifest.sha256, audio=((0.0,), (0.0,)))
    with pytest.raises(UsageError, match="does not fit"):
        other.calibration.baseline = short


def test_what_was_hardly_there_gets_no_baseline(bundle: Bundle) -> None:
    pipeline = EmotionPipeline(bundle)
    pipeline.calibration.start(2.0)
    list(replay(pipeline, blocks(np.zeros(4 * RATE, np.float32))))
    assert not pipeline.calibration.learning
    assert pipeline.calibration.baseline is None
    pipeline.reset()
    pipeline.calibration.start(3.0)
    list(replay(pipeline, film(5.0)))
    assert pipeline.calibration.baseline is not None
    assert pipeline.calibration.baseline.audio is None
    assert pipeline.calibration.baseline.video is not None
    pipeline.calibration.start(3.0)
    pipeline.reset()
    assert not pipeline.calibration.learning
