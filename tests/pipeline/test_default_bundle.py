"""The built-in bundle on real clips: everything is found, and a face that brightens is seen to."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from portraits import packaged

from edge_emotion.capture.file import open_clip
from edge_emotion.model.bundle import default_bundle_path, open_bundle
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.types import F32, AudioBlock, Reading, VideoFrame

Items = list[AudioBlock | VideoFrame]

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


@pytest.fixture(scope="module")
def demo() -> Items:
    with open_clip(packaged("jwpIntro.mp4")) as clip:
        return list(clip)


def sound_of(items: Items) -> F32:
    return np.concatenate([item.samples for item in items if isinstance(item, AudioBlock)])


def with_sound(items: Items, samples: F32) -> Items:
    """The same pictures with other sound in the same blocks, repeated as far as they go."""
    samples = np.resize(samples, len(sound_of(items)))
    changed, begin = [], 0
    for item in items:
        if isinstance(item, AudioBlock):
            end = begin + len(item.samples)
            item, begin = replace(item, samples=samples[begin:end]), end
        changed.append(item)
    return changed


def replayed(pipeline: EmotionPipeline, items: Items) -> list[Reading]:
    pipeline.reset()
    return list(replay(pipeline, items))


def test_other_sound_changes_arousal_and_leaves_the_face_as_it_was(
    pipeline: EmotionPipeline, demo: Items
) -> None:
    with open_clip(packaged("testMovie.mp4")) as clip:
        swapped = with_sound(demo, sound_of(list(clip)))
    readings, baselines = [], []
    for items in (demo, swapped):
        readings.append(replayed(pipeline, items))
        pipeline.reset()
        pipeline.calibration.start(4.5)  # learns mean features of voice and face
        for _ in replay(pipeline, items):
            pass
        baselines.append(pipeline.calibration.baseline)
        pipeline.calibration.baseline = None
    own, other = readings
    both = [(a, b) for a, b in zip(own, other, strict=True) if a.audio.used and b.audio.used and a.video.used]
    assert len(both) > len(own) / 2
    assert np.mean([abs(a.arousal - b.arousal) for a, b in both]) > 0.02
    assert [(r.track, r.video.facts) for r in own] == [(r.track, r.video.facts) for r in other]
    mine, theirs = baselines
    assert mine is not None
    assert theirs is not None
    assert mine.video == theirs.video
    assert mine.audio != theirs.audio


def test_blur_lowers_the_weight_of_the_picture(pipeline: EmotionPipeline, demo: Items) -> None:
    weights = []
    for sigma_px in (0, 1, 2, 4, 6, 8):
        blurred = [
            replace(item, image=cv2.GaussianBlur(item.image, (0, 0), sigma_px))
            if sigma_px and isinstance(item, VideoFrame)
            else item
            for item in demo
        ]
        found = [r for r in replayed(pipeline, blurred) if r.audio.used and r.video.used]
        weights.append(np.mean([reading.video.weight for reading in found]))
    assert np.all(np.diff(weights) < 1e-3)
    assert weights[0] - weights[-1] > 0.05


def test_noise_lowers_the_weight_of_the_sound(pipeline: EmotionPipeline, demo: Items) -> None:
    sound = sound_of(demo)
    noise = np.random.default_rng(0).normal(size=len(sound)) * np.sqrt(np.mean(sound**2))
    weights = []
    for snr_db in (30, 20, 15, 10, 5, 0):
        noisy = (sound + noise * 10 ** (-snr_db / 20)).astype(np.float32)
        found = [r for r in replayed(pipeline, with_sound(demo, noisy)) if r.audio.used and r.video.used]
        weights.append(np.mean([reading.audio.weight for reading in found]))
    assert np.all(np.diff(weights) < 1e-3)
    assert weights[0] - weights[-1] > 0.02
