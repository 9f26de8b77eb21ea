"""Which voice activity to ship: Silero's network against a decision from the descriptors, step by step of 32 ms.

The truth comes from clean speech between digital pauses: a step is speech within 35 dB of the utterances' loud steps, a
pause where nothing near it is; steps between the two are not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from edge_emotion.features.lld import LONG, SHORT, LowLevelStream
from edge_emotion.types import F32

from ..corpora.speech import RATE_HZ
from .noises import Noise, make_noise

F64 = NDArray[np.float64]
Detector = Callable[[F32], NDArray[np.floating[Any]]]

STEP = 512
UTTERANCES = 60
RMS = 0.05
SPEECH_RANGE_DB = 35.0
NOISES: tuple[tuple[Noise, float], ...] = (
    *(("white", 20.0), ("white", 5.0), ("white", 0.0)),
    *(("pink", 20.0), ("pink", 5.0), ("pink", 0.0)),
    *(("brown", 5.0), ("brown", 0.0), ("babble", 10.0)),
)
TONES_S = 20
Row = dict[str, float]


def compare(
    sounds: Sequence[F32], detectors: dict[str, Detector], *, seed: int = 0
) -> dict[str, dict[str, Row]]:
    """Area under the ROC curve, found speech and false alarms by detector and condition.

    Each detector gets the threshold with which it finds 90 % of clean speech. Tones and noise alone have false alarms
    only.
    """
    rng = np.random.default_rng(seed)
    chosen = [sounds[i] for i in rng.permutation(len(sounds))[:UTTERANCES]]
    stream = np.concatenate([_with_pause(sound) for sound in chosen])
    speech, judged = _truth(stream)
    report: dict[str, dict[str, Row]] = {}
    for name, detector in detectors.items():
        rows: dict[str, Row] = {}
        clean = detector(stream + _hiss(len(stream), seed))[: len(speech)]
        threshold = float(np.quantile(clean[speech], 0.1))
        rows["clean"] = _row(clean[judged], speech[judged], threshold)
        for colour, snr_db in NOISES:
            noise = make_noise(colour, len(stream), np.random.default_rng(seed), chosen)
            noisy = (stream + noise * RMS * 10 ** (-snr_db / 20)).astype(np.float32)
            heard = detector(noisy)[: len(speech)]
            rows[f"{colour} {snr_db:g} dB"] = _row(heard[judged], speech[judged], threshold)
        for kind, sound in no_speech(seed).items():
            rows[kind] = {"false_alarm": float(np.mean(detector(sound) >= threshold))}
        report[name] = rows
    return report


def from_descriptors(samples: F32) -> F64:
    """Share of voiced frames in 0.3 s, weighed by how far the loudness is above its 10th percentile."""
    stream = LowLevelStream(RATE_HZ)
    stream.push(samples)
    stream.finish()
    loudness = stream.short[:, list(SHORT).index("loudness")].astype(np.float64)
    voiced = stream.long[:, list(LONG).index("f0_semitone")] > 0
    share = np.convolve(voiced, np.ones(30) / 30, "same")
    floor = np.percentile(loudness, 10)
    at = np.minimum((np.arange(len(samples) // STEP) + 0.5) * STEP / (RATE_HZ / 100), len(share) - 1).astype(
        int
    )
    return np.asarray(share[at] / (1 + np.exp(-(loudness[at] - 1.5 * floor - 0.02) / 0.02)))


def no_speech(seed: int) -> dict[str, F32]:
    """Twenty seconds each of plucked melody, chords, vibrato, mains hum, noises and silence."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(TONES_S * RATE_HZ) / RATE_HZ
    beat = time_s % 0.5
    note_hz = 220 * 2 ** (rng.integers(0, 24, 2 * TONES_S) / 12)[(time_s * 2).astype(int)]
    root_hz = 110 * 2 ** (rng.integers(0, 12, TONES_S) / 12)[time_s.astype(int)]
    glide = 2 * np.pi * np.cumsum(300 + 8 * np.sin(2 * np.pi * 5.5 * time_s)) / RATE_HZ

    def rich(phase: F64, harmonics: int) -> F64:
        return np.asarray(sum(np.sin(h * phase) / h for h in range(1, harmonics)))

    sounds = {
        "melody": rich(2 * np.pi * note_hz * beat, 7) * np.exp(-3 * beat),
        "chords": sum(
            rich(2 * np.pi * root_hz * 2 ** (step / 12) * (time_s % 1), 6) for step in (0, 4, 7, 12)
        ),
        "vibrato": rich(glide, 8),
        "hum": rich(2 * np.pi * 50 * time_s, 10),
        "white noise": make_noise("white", len(time_s), rng),
        "pink noise": make_noise("pink", len(time_s), rng),
        "brown noise": make_noise("brown", len(time_s), rng),
    }
    levelled = {name: RMS * s / np.sqrt(np.mean(np.square(s))) for name, s in sounds.items()}
    return {name: np.asarray(s, np.float32) for name, s in {**levelled, "silence": 0 * time_s}.items()}


def _row(heard: NDArray[np.floating[Any]], speech: NDArray[np.bool_], threshold: float) -> Row:
    return {
        "auc": float(roc_auc_score(speech, heard)),
        "found": float(np.mean(heard[speech] >= threshold)),
        "false_alarm": float(np.mean(heard[~speech] >= threshold)),
    }


def _with_pause(sound: F32) -> F32:
    levelled = RMS * sound / np.sqrt(np.mean(sound**2) + 1e-12)
    return np.concatenate([np.zeros(RATE_HZ, np.float32), levelled.astype(np.float32)])


def _hiss(count: int, seed: int) -> F32:
    return (1e-4 * np.random.default_rng(seed).normal(size=count)).astype(np.float32)


def _truth(stream: F32) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each step whether it is speech, and whether that is certain."""
    steps = stream[: len(stream) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
    level = 10 * np.log10(np.mean(steps**2, axis=1) + 1e-12)
    loud = level > np.percentile(level[level > -100], 95) - SPEECH_RANGE_DB
    speech = np.convolve(loud, np.ones(3), "same") > 0
    pause = np.convolve(loud, np.ones(9), "same") == 0
    return speech, speech | pause
