"""Utterances frame by frame, for regressors that hear more than a window's functionals: the run-time code's own rows.

Each 10 ms has the 25 low-level descriptors (`edge_emotion.features.functionals.TableRecording`) and the 40 mel bands
that the voice encoder is given, levelled as `edge_emotion.model.voice_encoder.VoiceEncoder` levels them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.features.functionals import TableRecording
from edge_emotion.features.names import LLD_NAMES
from edge_emotion.kernels.mel40 import BANDS
from edge_emotion.model.backend import Tensors
from edge_emotion.model.manifest import VOICE_ENCODER_UNITS
from edge_emotion.model.voice_encoder import HOP, VoiceEncoder
from edge_emotion.types import F32

from ..corpora.records import Recording
from ..corpora.speech import RATE_HZ
from ..packaged_files import cache_folder
from .shards import whole_file
from .sound_conditions import Condition
from .speech_windows import CODE_SHA256, WINDOW_S, Background, read_sounds, window_ends

LEAST_MEL = 1e-10
"""Added before the logarithm."""
LATE_FRAMES = 10
"""Descriptors of a window's last 0.1 s may still wait for the pitch search: the statistics leave them out."""

F16 = NDArray[np.float16]


@dataclass(frozen=True)
class Frames:
    """One sound.

    Attributes
    ----------
    descriptors, log_mel
        ``float16 (frames, 25)`` and ``(frames, 40)`` (natural logarithm), one row each 10 ms.
    starts
        Frames at which the run-time code lets the voice encoder begin anew; the first is 0.
    samples
        Length of the sound.
    """

    descriptors: F16
    log_mel: F16
    starts: NDArray[np.int64]
    samples: int

    def windows(self) -> Iterator[tuple[int, int]]:
        """First and last frame (excluded) of each window, in the order of `speech_windows.Windows`."""
        for end in window_ends(self.samples):
            last = end // HOP
            yield max(last - round(WINDOW_S * RATE_HZ) // HOP, 0), last


class FrameReader:
    """Turns sound into frames, remembering what it has done."""

    def __init__(self) -> None:
        self._descriptors = TableRecording(RATE_HZ)
        self._mel = _MelRecorder()
        self._encoder = VoiceEncoder(self._mel)
        self._folder = cache_folder() / "speech_frames" / CODE_SHA256[:12]

    def read(self, name: str, sound: Callable[[], F32]) -> Frames:
        """Frames of ``sound`` (16 kHz); it is made and described only where none are kept under ``name``."""
        file = self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"
        if not file.is_file():
            frames = self.compute(sound())
            with whole_file(file) as whole:
                np.savez(whole, **vars(frames))
        with np.load(file) as kept:
            return Frames(kept["descriptors"], kept["log_mel"], kept["starts"], int(kept["samples"]))

    def compute(self, samples: F32) -> Frames:
        """As `read`, without remembering."""
        self._descriptors.reset()
        self._descriptors.push(samples)
        self._encoder.reset()
        self._mel.reset()
        self._encoder.push(samples)
        mel = np.concatenate([np.zeros((0, BANDS), np.float32), *self._mel.steps])
        return Frames(
            self._descriptors.finish().values.astype(np.float16),
            np.log(mel + LEAST_MEL).astype(np.float16),
            np.array(self._mel.starts, np.int64),
            len(samples),
        )


def read_frames(
    recordings: Sequence[Recording],
    conditions: Callable[[str], Sequence[Condition]],
    *,
    seed: int,
    talkers: Sequence[Recording] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[tuple[int, int], Frames]:
    """Frames by the recording's place and the number of the copy, made from the same sounds as `read_windows`.

    Parameters
    ----------
    conditions
        By the recording's name; the number of a copy is its place there.
    """
    reader = FrameReader()
    sounds = read_sounds(recordings)
    background = Background(read_sounds(talkers) or sounds, seed)
    result: dict[tuple[int, int], Frames] = {}
    for index, (recording, sound) in enumerate(sounds):
        copies = background.copies(recording, sound, conditions(recording.name))
        for copy, (name, make) in enumerate(copies):
            result[index, copy] = reader.read(name, make)
        if progress is not None:
            progress(index + 1, len(sounds))
    return result


def descriptor_statistics(frames: Frames) -> F32:
    """Mean and deviation of each descriptor and of its step from frame to frame, ``float32 (windows, 100)``."""
    rows = []
    for first, last in frames.windows():
        # The encoder's frames, and so the window, may end a little before the descriptors do.
        some = frames.descriptors[first : max(last - LATE_FRAMES, first + 2)].astype(np.float64)
        steps = np.diff(some, axis=0)
        rows.append(np.concatenate([some.mean(0), some.std(0), np.abs(steps).mean(0), steps.std(0)]))
    return np.array(rows, np.float32).reshape(-1, 4 * len(LLD_NAMES))


class _MelRecorder:
    """Stands in for the voice encoder's network: keeps what it is given, and says when it is to begin anew."""

    description = "recorder"
    input_names: tuple[str, ...] = ("mel", "hidden", "cell")
    output_names: tuple[str, ...] = ("frames", "next_hidden", "next_cell")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.steps: list[F32] = []
        self.starts: list[int] = []
        self._frames = 0

    def compute(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        mel = inputs["mel"][0]
        if not inputs["hidden"].any():
            self.starts.append(self._frames)
        self.steps.append(mel.copy())
        self._frames += len(mel)
        state = np.ones((2, 1, VOICE_ENCODER_UNITS), np.float32)  # not zero: only a new beginning is
        said = np.zeros((1, len(mel), VOICE_ENCODER_UNITS), np.float32)
        return {"frames": said, "next_hidden": state, "next_cell": state}
