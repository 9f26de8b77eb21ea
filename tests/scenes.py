"""Generated sound and pictures: a "voice" of pulses with pauses, and white squares for the tiny detector."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_emotion.types import AudioBlock, VideoFrame

RATE = 16000
SECOND = 1_000_000_000


def voice(duration_s: float, seed: int = 0, level: float = 0.3) -> np.ndarray:
    """Pulses of 120 Hz through a resonance, on for 0.6 s and off for 0.2 s, over faint noise; float32."""
    random = np.random.default_rng(seed)
    n = round(duration_s * RATE)
    t = np.arange(n) / RATE
    phase = np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0)
    ring = np.exp(-np.arange(400) / 60) * np.sin(2 * np.pi * 700 * np.arange(400) / RATE)
    sound = np.convolve(pulses, ring)[:n] * (t % 0.8 < 0.6)
    return (level * sound + 1e-3 * random.standard_normal(n)).astype(np.float32)


def blocks(samples: np.ndarray, sizes: list[int] | int = 640, start_ns: int = 0) -> Iterator[AudioBlock]:
    """Cut sound into blocks, the sizes taken in turn."""
    sizes = [sizes] if isinstance(sizes, int) else sizes
    at = turn = 0
    while at < len(samples):
        size = sizes[turn % len(sizes)]
        yield AudioBlock(samples[at : at + size], RATE, start_ns + at * SECOND // RATE)
        at += size
        turn += 1


def picture(
    faces: list[tuple[float, float]] = [(80, 64)],  # noqa: B006
    *,
    shade: float = 0.0,
    width: int = 160,
    height: int = 128,
) -> np.ndarray:
    """A grey picture with a white square and a patch below it, as light as ``shade`` says, for each face; BGR."""
    image = np.full((height, width, 3), 90, np.uint8)
    for x, y in faces:
        left, top = round(x) // 16 * 16, round(y) // 16 * 16
        image[top : top + 16, left : left + 16] = 255
        image[top + 18 : top + 26, left : left + 16] = round(120 + 100 * shade)
    return image


def film(duration_s: float, fps: float = 25.0, start_ns: int = 0, **scene) -> Iterator[VideoFrame]:
    """Frames whose face changes its expression, that is its shade, in two seconds."""
    for i in range(round(duration_s * fps)):
        t = i / fps
        shade = 0.5 + 0.5 * float(np.sin(np.pi * t))
        yield VideoFrame(picture(shade=shade, **scene), start_ns + round(t * SECOND))


def merged(*streams: Iterator[AudioBlock] | Iterator[VideoFrame]) -> list[AudioBlock | VideoFrame]:
    """Streams in order of time, as a clip hands them out."""
    items = [item for stream in streams for item in stream]
    return sorted(items, key=lambda item: item.start_ns if isinstance(item, AudioBlock) else item.time_ns)
