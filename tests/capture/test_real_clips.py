"""Clips as cameras and studios made them."""

from __future__ import annotations

import av
import numpy as np
import pytest
from portraits import SHARED, packaged

from edge_emotion.capture.file import open_clip
from edge_emotion.types import AudioBlock, VideoFrame


def replay(path):
    with open_clip(path) as clip:
        items = list(clip)
    return (
        clip,
        [i for i in items if isinstance(i, AudioBlock)],
        [i for i in items if isinstance(i, VideoFrame)],
    )


def shown_s(path):
    """Presentation times as the container has them."""
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


@pytest.mark.parametrize("index", range(8))
def test_a_studio_clip_has_all_its_frames_and_sound(index):
    clips = sorted((SHARED / "av" / "grid").glob("*.mpg"))
    if not clips:
        pytest.skip("no GRID clips in ../shared/data/av/grid")
    clip, blocks, frames = replay(clips[index])
    assert (clip.has_audio, clip.has_video, clip.warnings) == (True, True, [])
    assert len(frames) == 75
    assert np.diff([frame.time_ns for frame in frames]) == pytest.approx(40_000_000, abs=1000)
    assert blocks[-1].end_ns / 1e9 == pytest.approx(2.98, abs=0.03)
    assert np.concatenate([block.samples for block in blocks]).std() > 0.005


def test_a_clip_whose_sound_begins_late():
    clip, blocks, frames = replay(packaged("face_noface.mov"))
    assert blocks[0].start_ns / 1e9 == pytest.approx(2.43, abs=0.002)
    assert frames[0].time_ns == 0
    assert [frame.time_ns / 1e9 for frame in frames] == pytest.approx(shown_s(clip.path), abs=1e-6)
    assert clip.warnings == []


@pytest.mark.parametrize("name", ["jwpIntro.mp4", "testMovie.mp4", "single_face.mp4"])
def test_a_clip_from_the_web_keeps_its_times(name):
    path = packaged(name)
    clip, blocks, frames = replay(path)
    assert [frame.time_ns / 1e9 for frame in frames] == pytest.approx(shown_s(path), abs=1e-6)
    assert max(blocks[-1].end_ns / 1e9, frames[-1].time_ns / 1e9) == pytest.approx(clip.duration_s, abs=0.05)
    assert clip.warnings == []
