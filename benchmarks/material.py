"""What the subjects work on: speech-like sound and a face-sized picture, made or taken from the tests' own data."""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge_emotion.types import F32, U8

SAMPLE_RATE_HZ = 16_000
GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "data" / "golden_egemaps"
VOICES = ("glide", "bursts", "whisper", "am", "vowel_120", "low_70", "high_400")


def speech(seconds: float) -> F32:
    """Voiced, unvoiced and silent stretches with a noise floor of -50 dBFS, ``float32`` at 16 kHz."""
    parts = [_read(GOLDEN / f"{name}.wav") for name in VOICES]
    once = np.concatenate(parts)
    count = round(seconds * SAMPLE_RATE_HZ)
    sound = np.tile(once, -(-count // len(once)))[:count]
    noise = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    return np.asarray(np.clip(0.8 * sound + 0.003 * noise, -1, 1), np.float32)


def _read(path: Path) -> F32:
    with wave.open(str(path)) as file:
        return np.asarray(np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767, np.float32)


def frames(count: int) -> list[U8]:
    """Pictures of the demo clip, ``uint8 (480, 640, 3)`` BGR; fetched on first use."""
    import av
    from edge_emotion_export.packaged_files import fetch

    with av.open(str(fetch("jwpIntro.mp4"))) as container:
        decoded = container.decode(video=0)
        return [
            np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
            for frame, _ in zip(decoded, range(count), strict=False)
        ]


def fixtures(sound: F32 | None = None, frame: U8 | None = None) -> Mapping[str, object]:
    """Write what peers need to a temporary folder; they read it by these paths."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    paths: dict[str, object] = {"sample_rate_hz": SAMPLE_RATE_HZ}
    for name, value in (("audio", sound), ("frame", frame)):
        if value is not None:
            np.save(folder / f"{name}.npy", value)
            paths[name] = str(folder / f"{name}.npy")
    return paths
