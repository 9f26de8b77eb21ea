"""The built-in bundle on real clips: everything is found, and a face that brightens is seen to."""

from __future__ import annotations

import numpy as np
import pytest
from portraits import packaged

from edge_emotion.capture.file import open_clip
from edge_emotion.model.bundle import default_bundle_path, open_bundle
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.types import Reading

pytestmark = pytest.mark.skipif(
    not (default_bundle_path() / "manifest.json").is_file(), reason="the built-in bundle is not packed yet"
)


@pytest.fixture(scope="module")
def pipeline() -> EmotionPipeline:
    return EmotionPipeline(open_bundle())


def readings(pipeline: EmotionPipeline, name: str) -> list[Reading]:
    pipeline.reset()
    with open_clip(packaged(name)) as clip:
        return list(replay(pipeline, clip))


@pytest.mark.parametrize("name", ["jwpIntro.mp4", "testMovie.mp4"])
def test_a_talking_face_is_heard_and_seen(pipeline: EmotionPipeline, name: str) -> None:
    found = readings(pipeline, name)
    assert sum(reading.valid for reading in found) > 0.8 * len(found)
    last = found[-1]
    assert last.audio.used
    assert last.video.used
    assert {reading.track for reading in found[5:]} == {"a0"}
    assert last.sigma_arousal is not None
    assert 0.05 < last.sigma_arousal < 0.6
    assert last.waited_ns <= 450_000_000


@pytest.mark.slow
def test_valence_rises_with_a_brightening_face(pipeline: EmotionPipeline) -> None:
    """The clip goes from a negative to a positive expression in 20 s, without sound."""
    valence = np.array(
        [r.valence for r in readings(pipeline, "expression_ramp.mp4") if r.valence is not None]
    )
    third = len(valence) // 3
    assert valence[-third:].mean() - valence[:third].mean() > 0.2


def test_a_lost_face_is_said_to_be(pipeline: EmotionPipeline) -> None:
    found = readings(pipeline, "face_noface.mov")
    assert found[8].valid
    assert "no_face" in found[-1].quality
    assert not found[-1].valid
