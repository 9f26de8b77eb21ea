"""Voices made of pulses and formants, which Silero VAD takes for speech, and files to keep them in: for tests."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from scipy.signal import lfilter

RATE_HZ = 16000
VOWELS_HZ = ((700, 1200, 2600), (300, 2300, 3000), (400, 800, 2500), (500, 1700, 2500))
BANDWIDTHS_HZ = (80, 100, 150)
SYLLABLE = 2400


def make_voice(seconds: float, *, f0_hz: float = 150.0, rms: float = 0.1, seed: int = 0) -> np.ndarray:
    """Syllables of 150 ms with gliding pitch, float32 at 16 kHz."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    glide = 1 + 0.1 * np.sin(2 * np.pi * 1.3 * time_s) + 0.02 * np.sin(2 * np.pi * 5 * time_s)
    cycles = np.cumsum(f0_hz * glide) / RATE_HZ
    pulses = np.diff(np.floor(cycles), prepend=0) > 0
    sound = np.zeros(count)
    for begin in range(0, count, SYLLABLE):
        source = pulses[begin : begin + SYLLABLE] + 0.002 * rng.normal(
            size=len(pulses[begin : begin + SYLLABLE])
        )
        for centre, width in zip(VOWELS_HZ[rng.integers(len(VOWELS_HZ))], BANDWIDTHS_HZ, strict=True):
            radius = np.exp(-np.pi * width / RATE_HZ)
            poles = [1, -2 * radius * np.cos(2 * np.pi * centre / RATE_HZ), radius**2]
            source = lfilter([1 - radius], poles, source)
        sound[begin : begin + len(source)] = source * np.sqrt(np.hanning(len(source)))
    return (rms * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


EMOTALE_HEADER = "file,a1_A,a1_V,a1_D,a1_cat,a2_A,a2_V,a2_D,a2_cat,a3_A,a3_V,a3_D,a3_cat,gt_emotion\n"


def write_flac(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> None:
    """One channel of 16 bits; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=rate_hz, layout="mono", format="s16")
        coded = np.rint(samples * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(coded, format="s16", layout="mono")
        frame.sample_rate = rate_hz
        container.mux([*stream.encode(frame), *stream.encode(None)])
