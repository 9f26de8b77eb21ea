"""Utterances as the device would see them: windows of features with quality facts, from the run-time code itself.

The functionals come from `edge_emotion.features.window.DescriptorWindow`, what the encoder hears from
`edge_emotion.model.voice_encoder.VoiceEncoder`, the facts from `edge_emotion.features.signal_quality.SignalQuality`,
fed like a live stream; nothing here computes a feature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_emotion import kernels
from edge_emotion.config import Execution
from edge_emotion.errors import InputError
from edge_emotion.features import functionals, lld, rows, signal, signal_quality, window
from edge_emotion.features.names import FUNCTIONAL_NAMES, QUALITY_COLUMNS
from edge_emotion.features.signal_quality import AudioFacts, SignalQuality
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.model import voice_encoder
from edge_emotion.model.backend import open_backend
from edge_emotion.model.manifest import VOICE_ENCODER_NAMES
from edge_emotion.model.voice_activity import SileroVoiceActivity
from edge_emotion.model.voice_encoder import VoiceEncoder
from edge_emotion.types import F32

from ..conversion.voice_encoder import voice_encoder_graph
from ..corpora.records import Recording
from ..corpora.speech import RATE_HZ, read_sound
from ..packaged_files import cache_folder, fetch
from . import codecs, noises, rooms, sound_conditions
from .shards import whole_file
from .sound_conditions import CLEAN, Condition, apply, draw_condition, generator

FEATURES: dict[str, tuple[str, ...]] = {
    "functionals": FUNCTIONAL_NAMES,
    "encoder": VOICE_ENCODER_NAMES,
    "both": (*FUNCTIONAL_NAMES, *VOICE_ENCODER_NAMES),
}
"""What a regressor may be fed with: names of its columns, by the set's name."""
WINDOW_S = 3.0
HOP_S = 1.0
SHORTEST_S = 1.0
"""A window counts from this much sound on (a shorter utterance as a whole)."""
COPY_SNR_DB = (None, 20.0, 10.0, 5.0, 0.0)
"""Of an utterance's training copies, beside the sound as it is; the first has no noise."""

FEATURE_CODE = (lld, rows, signal, functionals, window, signal_quality, voice_encoder)
CONDITION_CODE = (sound_conditions, noises, rooms, codecs)
CODE_SHA256 = hashlib.sha256(
    b"".join(
        file.read_bytes()
        for file in (
            *(Path(str(module.__file__)) for module in (*FEATURE_CODE, *CONDITION_CODE)),
            *sorted(Path(kernels.__path__[0]).glob("*.py")),
        )
    )
).hexdigest()
"""Of features and conditions as they were imported: a change of them empties the caches."""

ClipWindows = tuple[F32, F32, NDArray[np.bool_]]
"""Features (windows, 600), facts (windows, 5), and whether the window is full or all there is."""


@dataclass(frozen=True)
class Windows:
    """Rows for training and evaluation.

    Attributes
    ----------
    features
        ``float32 (n, d)``, columns as in ``FEATURES["both"]`` when they are read.
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

    @property
    def sound(self) -> NDArray[np.intp]:
        """A number for each clip and copy, ``(n,)``."""
        return self.clip * (self.copy.max() + 1) + self.copy

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Windows:
        """Some of the rows."""
        facts = {name: values[rows] for name, values in self.facts.items()}
        return Windows(self.features[rows], facts, self.clip[rows], self.copy[rows], self.whole[rows])

    def columns(self, features: str) -> Windows:
        """One of `FEATURES` alone."""
        names = list(FEATURES["both"])
        chosen = [names.index(name) for name in FEATURES[features]]
        return replace(self, features=self.features[:, chosen])


class WindowReader:
    """Turns sound into windows, remembering what it has done.

    Parameters
    ----------
    window_s
        Length of the windows.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        cpu = Execution(provider="cpu")
        graph = voice_encoder_graph()
        self._descriptors = DescriptorWindow(RATE_HZ, (window_s,), hop_s=3600.0)
        self._encoder = VoiceEncoder(open_backend(graph, cpu), window_s=window_s)
        self._quality = SignalQuality(
            SileroVoiceActivity(open_backend(fetch("silero_vad.onnx"), cpu)), window_s=window_s
        )
        settings = f"{CODE_SHA256} {hashlib.sha256(graph).hexdigest()} {window_s} {HOP_S} {SHORTEST_S}"
        version = hashlib.sha256(settings.encode()).hexdigest()[:12]
        self._folder = cache_folder() / "speech_windows" / version
        self._folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str, sound: Callable[[], F32]) -> ClipWindows:
        """Windows that end at each full second and with the last sample of ``sound`` (16 kHz).

        ``name`` says what the sound is made of: it is made and described only where no windows are kept under that
        name.
        """
        file = self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"
        if file.is_file():
            with np.load(file) as found:
                return found["features"], found["facts"], found["whole"]
        features, facts, whole = self.compute(sound())
        with whole_file(file) as kept:
            np.savez(kept, features=features, facts=facts, whole=whole)
        return features, facts, whole

    def compute(self, samples: F32) -> ClipWindows:
        """As `read`, without remembering."""
        for part in (self._descriptors, self._encoder, self._quality):
            part.reset()
        longest = round(self.window_s * RATE_HZ)
        features, facts, whole = [], [], []
        begin = 0
        for end in window_ends(len(samples)):
            for part in (self._descriptors, self._encoder, self._quality):
                part.push(samples[begin:end])
            begin = end
            described, heard = self._descriptors.compute(), self._encoder.compute()
            if described is None or heard is None:
                raise InputError("an utterance is shorter than 60 ms")
            features.append(np.concatenate([described.values[0], heard]))
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
    talkers: Sequence[Recording] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Windows:
    """Windows of every recording under each of its conditions.

    Parameters
    ----------
    conditions
        By the recording's name.
    talkers
        Who may be heard in the background of others; without any, all ``recordings``.
    progress
        Called with the number of finished recordings and of all.
    """
    sounds = read_sounds(recordings)
    background = Background(read_sounds(talkers) or sounds, seed)
    tasks = [(index, tuple(conditions(recording.name))) for index, recording in enumerate(recordings)]
    results: list[list[ClipWindows]] = []
    with ProcessPoolExecutor(jobs, initializer=_start_worker, initargs=(sounds, background)) as pool:
        for result in pool.map(_read_one, tasks, chunksize=4):
            results.append(result)
            if progress is not None:
                progress(len(results), len(tasks))
    return _join(results)


Sounds = Sequence[tuple[Recording, F32]]


def read_sounds(recordings: Sequence[Recording]) -> Sounds:
    """Each recording with its samples.

    Raises
    ------
    InputError
        A recording has no sound.
    """
    silent = [recording.name for recording in recordings if recording.audio is None]
    if silent:
        raise InputError(f"{silent[0]}: has no sound")
    return [(recording, read_sound(recording.audio)) for recording in recordings if recording.audio]


@dataclass(frozen=True)
class Background:
    """Who may be heard behind others, and the seed of all copies."""

    talkers: Sounds
    seed: int

    @cached_property
    def digest(self) -> str:
        """Of all that may be heard."""
        return hashlib.sha256(b"".join(sound.tobytes() for _, sound in self.talkers)).hexdigest()

    def copies(
        self, recording: Recording, sound: F32, conditions: Sequence[Condition]
    ) -> Iterator[tuple[str, Callable[[], F32]]]:
        """For each condition a name that says all that the copy is made of, and what makes it."""
        others = [other for talker, other in self.talkers if talker.speaker != recording.speaker]
        content = hashlib.sha256(sound.tobytes()).hexdigest()
        for condition in conditions:
            name = f"{content} {recording.name} {condition} {self.digest} {self.seed}"
            rng = generator(self.seed, recording.name, condition)
            yield name, partial(apply, sound, condition, rng, others)


_worker: tuple[WindowReader, Sounds, Background]
"""One reader for each process."""


def _start_worker(sounds: Sounds, background: Background) -> None:
    global _worker  # one reader for each process
    _worker = (WindowReader(), sounds, background)


def _read_one(task: tuple[int, tuple[Condition, ...]]) -> list[ClipWindows]:
    reader, sounds, background = _worker
    index, conditions = task
    return [reader.read(name, make) for name, make in background.copies(*sounds[index], conditions)]


def _join(results: Sequence[Sequence[ClipWindows]]) -> Windows:
    parts = [(clip, copy, *part) for clip, of_clip in enumerate(results) for copy, part in enumerate(of_clip)]
    features = np.concatenate([part[2] for part in parts])
    facts = np.concatenate([part[3] for part in parts]).astype(np.float64)
    counts = [len(part[2]) for part in parts]
    return Windows(
        features=features,
        facts={
            **{name: facts[:, column] for column, name in enumerate(AudioFacts._fields)},
            **{name: features[:, column].astype(np.float64) for name, column in QUALITY_COLUMNS.items()},
        },
        clip=np.repeat(np.array([part[0] for part in parts], np.intp), counts),
        copy=np.repeat(np.array([part[1] for part in parts], np.intp), counts),
        whole=np.concatenate([part[4] for part in parts]),
    )


def window_ends(count: int) -> list[int]:
    """Samples after which the windows of a sound of ``count`` samples end."""
    hop = round(HOP_S * RATE_HZ)
    return [*range(round(SHORTEST_S * RATE_HZ), count, hop), count]
