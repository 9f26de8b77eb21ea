"""Whatever comes in, in whatever order: no exception, and readings that keep their promises."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import RATE, picture, voice

from edge_emotion.model.bundle import open_bundle
from edge_emotion.pipeline import EmotionPipeline
from edge_emotion.reading_json import Origin, encode, reading_message
from edge_emotion.types import AudioBlock, Reading, VideoFrame

VOICE = voice(4.0)
ORIGIN = Origin("test", "0", "tiny", None)


@pytest.fixture(scope="module")
def pipeline(tiny_bundle_path: Path) -> EmotionPipeline:
    return EmotionPipeline(open_bundle(tiny_bundle_path))


def sound(kind: str, size: int, at: int) -> np.ndarray:
    if kind == "voice":
        return VOICE[at : at + size]
    fill = {"silence": 0.0, "nan": np.nan, "inf": -np.inf, "huge": 3e38, "full": 1.0}[kind]
    return np.full(size, fill, np.float32)


SIGHTS = {
    "face": picture(),
    "two": picture([(32, 64), (112, 64)]),
    "none": picture([]),
    "grey": picture()[:, :, 0],
    "bgra": np.dstack([picture(), picture()[:, :, :1]]),
    "small": np.zeros((1, 1, 3), np.uint8),
    "empty": np.zeros((0, 0, 3), np.uint8),
    "slice": picture()[::2, ::-1],
    "wide": np.full((8, 300, 3), 255, np.uint8),
}
# A step of time (mostly forwards), what comes, how much of it, and whether somebody polls.
steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 60), st.integers(-200, 2000), st.just(30_000)),
        st.one_of(
            st.sampled_from(["voice"] * 4 + ["silence", "nan", "inf", "huge", "full"]),
            st.sampled_from(list(SIGHTS)),
        ),
        st.integers(0, 9000),
        st.booleans(),
    ),
    min_size=5,
    max_size=60,
)


@settings(deadline=None, max_examples=25)
@given(steps)
def test_anything_goes_in_and_only_sound_readings_come_out(pipeline: EmotionPipeline, steps: list) -> None:
    pipeline.reset()
    now_ms, last_ns, readings = 5000, 0, []
    for step_ms, what, size, polled in steps:
        now_ms = max(now_ms + step_ms, 0)
        if what in SIGHTS:
            pipeline.push(VideoFrame(SIGHTS[what], now_ms * 1_000_000))
        else:
            pipeline.push(AudioBlock(sound(what, size, now_ms * 16 % RATE), RATE, now_ms * 1_000_000))
        reading = pipeline.poll(now_ms * 1_000_000) if polled else None
        if reading is not None:
            assert reading.time_ns > last_ns
            last_ns = reading.time_ns
            readings.append(reading)
    assert [reading.seq for reading in readings] == list(range(1, len(readings) + 1))
    for reading in readings:
        holds(reading)
        for other in reading.others:
            holds(other)
            assert not other.audio.used


def holds(reading: Reading) -> None:
    encode(reading_message(reading, ORIGIN))  # raises for what is not finite
    estimates = (
        reading.arousal,
        reading.valence,
        reading.sigma_arousal,
        reading.sigma_valence,
        reading.confidence,
    )
    assert reading.age_ns >= 0
    if not reading.valid:
        assert estimates == (None,) * 5
        assert not reading.audio.used
        assert not reading.video.used
        return
    assert all(value is not None and math.isfinite(value) for value in estimates)
    arousal, valence, sigma_arousal, sigma_valence, confidence = map(float, estimates)  # type: ignore[arg-type]
    assert -1 <= arousal <= 1
    assert -1 <= valence <= 1
    assert sigma_arousal > 0
    assert sigma_valence > 0
    assert 0 < confidence < 1
    assert reading.audio.weight + reading.video.weight == pytest.approx(1.0)
    for part in (reading.audio, reading.video):
        assert (part.weight > 0) == part.used
