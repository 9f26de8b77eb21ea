"""Utterances as the device would see them: windows of functionals with quality facts, from the run-time code itself.

The descriptors come from `edge_emotion.features.window.DescriptorWindow` and the facts from
`edge_emotion.features.signal_quality.SignalQuality`, fed like a live stream; nothing here computes a feature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_emotion import kernels
from edge_emotion.config import Execution
from edge_emotion.errors import InputError
from edge_emotion.features import functionals, lld, rows, signal, signal_quality, window
from edge_emotion.features.signal_quality import SignalQuality
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.model.backend import open_backend
from edge_emotion.model.voice_activity import SileroVoiceActivity
from edge_emotion.types import F32

from ..corpora.records import Recording
from ..corpora.speech import RATE_HZ, read_sound
from ..packaged_files import cache_folder, fetch
from .sound_augmentation import CLEAN, Condition, apply, draw_condition, generator

FACTS = ("voiced", "snr_db", "clipped", "level_dbfs", "fill")
WINDOW_S = 3.0
HOP_S = 1.0
SHORTEST_S = 1.0
"""A window counts from this much sound on (a shorter utterance as a whole)."""
COPY_SNR_DB = (None, 20.0, 10.0, 5.0)
"""Of an utterance's training copies, beside the sound as it is; the first has another gain, and perhaps a room,
only."""

DESCRIPTOR_CODE = (
    *(Path(str(module.__file__)) for module in (lld, rows, signal, functionals, window, signal_quality)),
    *sorted(Path(kernels.__path__[0]).glob("*.py")),
)
_CODE = hashlib.sha256(b"".join(file.read_bytes() for file in DESCRIPTOR_CODE))
"""As it was imported: a change of the descriptors empties the cache."""

ClipWindows = tuple[F32, F32, NDArray[np.bool_]]
"""Features (windows, 88), facts (windows, 5), and whether the window is full or all there is."""


@dataclass(frozen=True)
class Windows:
    """Rows for training and evaluation.

    Attributes
    ----------
    features
        ``float32 (n, 88)``.
    facts
        By name, ``float64 (n,)``; NaN where unknown.
    clip
        Index into the recordings that were asked for, ``(n,)``.
    copy
        0 for the sound as it is, else the number of the copy.
    whole
        The window is full, or holds all of a shorter utterance; partial ones tell sigma what a short start costs.
    """

    features: F32
    facts: dict[str, NDArray[np.float64]]
    clip: NDArray[np.intp]
    copy: NDArray[np.intp]
    whole: NDArray[np.bool_]

    def __len__(self) -> int:
        """Rows."""
        return len(self.clip)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Windows:
        """Some of the rows."""
        facts = {name: values[rows] for name, values in self.facts.items()}
        return Windows(self.features[rows], facts, self.clip[rows], self.copy[rows], self.whole[rows])


class WindowReader:
    """Turns sound into windows, remembering what it has done under the content's hash.

    Parameters
    ----------
    window_s
        Length of the windows.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        self._descriptors = DescriptorWindow(RATE_HZ, (window_s,), hop_s=3600.0)
        network = open_backend(fetch("silero_vad.onnx"), Execution(provider="cpu"))
        self._quality = SignalQuality(SileroVoiceActivity(network), window_s=window_s)
        settings = f"{_CODE.hexdigest()} {window_s} {HOP_S} {SHORTEST_S}"
        version = hashlib.sha256(settings.encode()).hexdigest()[:12]
        self._folder = cache_folder() / "speech_windows" / version
        self._folder.mkdir(parents=True, exist_ok=True)

    def read(self, samples: F32) -> ClipWindows:
        """Windows that end at each full second and with the last sample of ``samples`` (16 kHz)."""
        file = self._folder / f"{hashlib.sha256(samples.tobytes()).hexdigest()[:24]}.npz"
        if file.is_file():
            with np.load(file) as kept:
                return kept["features"], kept["facts"], kept["whole"]
        features, facts, whole = self._compute(samples)
        partial = file.with_suffix(f".{id(self):x}.npz")
        np.savez(partial, features=features, facts=facts, whole=whole)
        partial.replace(file)
        return features, facts, whole

    def _compute(self, samples: F32) -> ClipWindows:
        self._descriptors.reset()
        self._quality.reset()
        longest = round(self.window_s * RATE_HZ)
        features, facts, whole = [], [], []
        begin = 0
        for end in _window_ends(len(samples)):
            self._descriptors.push(samples[begin:end])
            self._quality.push(samples[begin:end])
            begin = end
            described = self._descriptors.compute()
            if described is None:
                raise InputError("an utterance is shorter than 60 ms")
            features.append(described.values[0])
            facts.append([np.nan if fact is None else fact for fact in self._quality.compute()])
            whole.append(end >= min(longest, len(samples)))
        return np.array(features, np.float32), np.array(facts, np.float32), np.array(whole)


def copy_conditions(name: str, seed: int) -> list[Condition]:
    """The conditions of an utterance's training copies: as it is, and one at random for each of `COPY_SNR_DB`."""
    drawn = [draw_condition(generator(seed, name, "condition", snr), snr) for snr in COPY_SNR_DB]
    return [CLEAN, *drawn]


def read_windows(
    recordings: Sequence[Recording],
    conditions: Callable[[str], Sequence[Condition]],
    *,
    seed: int,
    jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Windows:
    """Windows of every recording under each of its conditions.

    Parameters
    ----------
    conditions
        By the recording's name.
    progress
        Called with the number of finished recordings and of all.
    """
    sounds = [read_sound(_audio(recording)) for recording in recordings]
    speakers = [recording.speaker for recording in recordings]
    tasks = [(index, tuple(conditions(recording.name))) for index, recording in enumerate(recordings)]
    results: list[list[ClipWindows]] = []
    with ProcessPoolExecutor(jobs, initializer=_start_worker, initargs=(sounds, speakers, seed)) as pool:
        for result in pool.map(_read_one, tasks, chunksize=4):
            results.append(result)
            if progress is not None:
                progress(len(results), len(tasks))
    return _join(results)


_worker: tuple[WindowReader, Sequence[F32], Sequence[str], int]
"""One reader for each process."""


def _start_worker(sounds: Sequence[F32], speakers: Sequence[str], seed: int) -> None:
    global _worker  # one reader for each process
    _worker = (WindowReader(), sounds, speakers, seed)


def _read_one(task: tuple[int, tuple[Condition, ...]]) -> list[ClipWindows]:
    reader, sounds, speakers, seed = _worker
    index, conditions = task
    others = [sound for sound, speaker in zip(sounds, speakers, strict=True) if speaker != speakers[index]]
    return [
        reader.read(apply(sounds[index], condition, generator(seed, index, copy), others))
        for copy, condition in enumerate(conditions)
    ]


def _join(results: Sequence[Sequence[ClipWindows]]) -> Windows:
    parts = [(clip, copy, *part) for clip, of_clip in enumerate(results) for copy, part in enumerate(of_clip)]
    facts = np.concatenate([part[3] for part in parts]).astype(np.float64)
    counts = [len(part[2]) for part in parts]
    return Windows(
        features=np.concatenate([part[2] for part in parts]),
        facts={name: facts[:, column] for column, name in enumerate(FACTS)},
        clip=np.repeat(np.array([part[0] for part in parts], np.intp), counts),
        copy=np.repeat(np.array([part[1] for part in parts], np.intp), counts),
        whole=np.concatenate([part[4] for part in parts]),
    )


def _window_ends(count: int) -> list[int]:
    hop = round(HOP_S * RATE_HZ)
    return [*range(round(SHORTEST_S * RATE_HZ), count, hop), count]


def _audio(recording: Recording) -> Path:
    if recording.audio is None:
        raise InputError(f"{recording.name}: has no sound")
    return recording.audio
