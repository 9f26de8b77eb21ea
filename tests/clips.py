"""Media files for tests, written by PyAV: grey pictures at any time, sound of any rate, in any container."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from scenes import RATE, film, voice

SOUND = {
    "mp4": "aac",
    "mov": "pcm_s16le",
    "mkv": "flac",
    "avi": "pcm_s16le",
    "ts": "mp2",
    "mpg": "mp2",
    "m4a": "aac",
}
PICTURE = {"ts": "mpeg2video", "mpg": "mpeg1video"}


def write_clip(
    path: Path,
    *,
    shades: Sequence[int] = (),
    times_s: Sequence[float] | None = None,
    sound: np.ndarray | None = None,
    rate: int = 48_000,
    sound_start_s: float = 0.0,
    fps: int = 25,
    size: tuple[int, int] = (64, 48),
    options: dict[str, str] | None = None,
) -> Path:
    """Write flat pictures of these grey levels and ``sound`` (channels, n) or (n,), each where it is given."""
    kind = path.suffix[1:]
    with av.open(str(path), "w", options=options or {}) as container:
        video = audio = None
        if len(shades):
            video = container.add_stream(PICTURE.get(kind, "mpeg4"), rate=fps)
            video.width, video.height = size
            video.pix_fmt = "yuv420p"
            video.bit_rate = 1_000_000
            video.codec_context.time_base = Fraction(1, fps if times_s is None else 1000)
        if sound is not None:
            sound = np.atleast_2d(sound)
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(sound)]
            audio = container.add_stream(SOUND.get(kind, "pcm_s16le"), rate=rate, layout=layout)
        if video is not None:
            for i, shade in enumerate(shades):
                frame = av.VideoFrame.from_ndarray(
                    np.full((size[1], size[0], 3), shade, np.uint8), format="bgr24"
                )
                frame.time_base = video.codec_context.time_base
                frame.pts = i if times_s is None else round(times_s[i] * 1000)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None:
            for begin in range(0, sound.shape[1], 1024):
                part = np.ascontiguousarray(sound[:, begin : begin + 1024], np.float32)
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
                frame.sample_rate = rate
                frame.time_base = Fraction(1, rate)
                frame.pts = begin + round(sound_start_s * rate)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def write_scene(path: Path, duration_s: float = 3.0, rate: int = RATE, options: dict | None = None) -> Path:
    """A clip of the tiny detector's face with the generated voice."""
    sound = np.interp(
        np.arange(round(duration_s * rate)) / rate,
        np.arange(round(duration_s * RATE)) / RATE,
        voice(duration_s),
    )
    codec = {"mpg": "mpeg1video"}.get(path.suffix[1:], "mpeg4")
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt, video.bit_rate = 160, 128, "yuv420p", 4_000_000
        audio = container.add_stream(SOUND[path.suffix[1:]], rate=rate, layout="mono")
        for i, shot in enumerate(film(duration_s)):
            frame = av.VideoFrame.from_ndarray(shot.image, format="bgr24")
            frame.time_base, frame.pts = Fraction(1, 25), i
            container.mux(video.encode(frame))
            part = sound[i * rate // 25 : (i + 1) * rate // 25].astype(np.float32)[None]
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout="mono")
            block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), i * rate // 25
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def click(rate: int, at_s: float, duration_s: float, frequency_hz: float = 1000.0) -> np.ndarray:
    """Silence with a beep of 50 ms that begins at ``at_s``; float32."""
    time = np.arange(round(duration_s * rate)) / rate - at_s
    beep = np.sin(2 * np.pi * frequency_hz * time) * ((time >= 0) & (time < 0.05))
    return (0.5 * beep).astype(np.float32)
