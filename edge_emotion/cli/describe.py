"""One file in, rows of descriptors out: a plain function of a path, for worker processes and task schedulers alike."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_emotion.capture.audio import AudioFile
from edge_emotion.errors import EdgeEmotionError
from edge_emotion.features.functionals import LldTable, Recording, TableRecording
from edge_emotion.features.lld import Mode
from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES
from edge_emotion.features.window import DescriptorWindow, WindowFunctionals
from edge_emotion.types import F32


@dataclass(frozen=True, slots=True)
class Request:
    """What to compute of each file.

    Attributes
    ----------
    mode
        ``compat`` or ``corrected``.
    lld
        The 25 descriptors each 10 ms instead of the 88 functionals.
    window_s, hop_s
        Functionals over windows of this length, each ``hop_s``, instead of over the whole file.
    restart
        Analyse each window as a recording of its own.
    start_s, duration_s
        The part of each file to look at.
    channel
        The channel to describe, counted from 0, instead of the mean of all.
    """

    mode: Mode = "compat"
    lld: bool = False
    window_s: float | None = None
    hop_s: float = 1.0
    restart: bool = False
    start_s: float = 0.0
    duration_s: float | None = None
    channel: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values in a row."""
        return LLD_NAMES if self.lld else FUNCTIONAL_NAMES


def _no_times() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True, slots=True)
class FileRows:
    """What was found in a file.

    Attributes
    ----------
    file
        Its path, as it was given.
    start_s, end_s
        ``float64 (n,)``: the sound that each row stands for, in the file's time.
    values
        ``float32 (n, names)``; ``None`` where the sound is shorter than 60 ms (the times tell how short it is).
    fault
        Why the file could not be described: one line that names it.
    warnings
        What was wrong with the sound that was described all the same.
    """

    file: str
    start_s: NDArray[np.float64] = field(default_factory=_no_times)
    end_s: NDArray[np.float64] = field(default_factory=_no_times)
    values: F32 | None = None
    fault: str | None = None
    warnings: tuple[str, ...] = ()


def describe_file(path: Path | str, request: Request) -> FileRows:
    """Rows of one file, decoded and described piece by piece; why a file cannot be read is told in ``fault``."""
    try:
        with AudioFile(path, request.start_s, request.duration_s, channel=request.channel) as sound:
            rows = (_whole if request.window_s is None else _windows)(str(path), sound, request)
            return replace(rows, warnings=tuple(sound.warnings))
    except EdgeEmotionError as fault:
        reason = str(fault)
        return FileRows(str(path), fault=reason if reason.startswith(str(path)) else f"{path}: {reason}")


def _whole(path: str, sound: AudioFile, request: Request) -> FileRows:
    recording = (TableRecording if request.lld else Recording)(sound.sample_rate_hz, request.mode)
    heard = 0
    for block in sound:
        heard += len(block)
        recording.push(block)
    found = recording.finish()
    begin = np.array([request.start_s])
    end = begin + heard / sound.sample_rate_hz
    if isinstance(found, LldTable):
        if not found.too_short:
            return FileRows(path, begin + found.start_s, begin + found.end_s, found.values)
        found = None
    return FileRows(path, begin, end, None if found is None else found[None])


def _windows(path: str, sound: AudioFile, request: Request) -> FileRows:
    """Full windows; where the file is shorter than one, what there is."""
    assert request.window_s is not None
    window = DescriptorWindow(
        sound.sample_rate_hz, (request.window_s,), request.hop_s, mode=request.mode, restart=request.restart
    )
    results: list[WindowFunctionals] = []
    heard = 0
    for block in sound:
        heard += len(block)
        results += [result for result in window.push(block) if result.fill[0] == 1.0]
    if not results and (rest := window.compute()) is not None:
        results.append(rest)
    if not results:
        duration_s = heard / sound.sample_rate_hz
        return FileRows(path, np.array([request.start_s]), np.array([request.start_s + duration_s]))
    end = np.array([result.end_s for result in results])
    begin = np.maximum(end - request.window_s, 0.0)
    values = np.concatenate([result.values for result in results])
    return FileRows(path, request.start_s + begin, request.start_s + end, values)
