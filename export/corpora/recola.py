"""RECOLA, public release (Ringeval et al. 2013; signed academic licence): 23 speakers, 5 minutes each.

::

    RECOLA-Audio-recordings/P16.wav
    RECOLA-Video-recordings/P16.mp4
    RECOLA-Video-timings/P16.csv                                    ';'-separated, "time in seconds" of each frame
    RECOLA-Annotation/emotional_behaviour/{arousal,valence}/P16.csv ';'-separated, "time ;FM1 ;FM2 ;..."
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edge_emotion.errors import InputError
from edge_emotion.types import DIMENSIONS, Dimension

from .records import F64, Partition, Recording, Traces, require_root
from .tables import numbers, rating_table, same_length

ANNOTATION = Path("RECOLA-Annotation/emotional_behaviour")
AUDIO = Path("RECOLA-Audio-recordings")
VIDEO = Path("RECOLA-Video-recordings")
TIMINGS = Path("RECOLA-Video-timings")


def read_recola(root: Path) -> Iterator[Recording]:
    """Recordings in the order of their names; those without ratings are left out, missing media are ``None``.

    The public release names no partitions: `in_turn` gives ours. A speaker who was rated for one
    dimension only is an `InputError`: half a label is an accident.
    """
    require_root(root, [str(ANNOTATION / dimension) for dimension in DIMENSIONS], "RECOLA's public release")
    rated = {d: {path.stem for path in (root / ANNOTATION / d).glob("*.csv")} for d in DIMENSIONS}
    names = sorted(rated["arousal"] | rated["valence"])
    if not names:
        raise InputError(f"{root / ANNOTATION}: no ratings; are the annotations unpacked?")
    for name in names:
        for dimension in DIMENSIONS:
            if name not in rated[dimension]:
                raise InputError(f"{root / ANNOTATION / dimension / name}.csv: no such file")
        yield _recording(root, name)


def in_turn(recordings: Iterable[Recording]) -> Iterator[Recording]:
    """Our choice where a corpus names no split: speakers, in the order of their names, are train and dev in turn."""
    named = list(recordings)
    place = {speaker: index for index, speaker in enumerate(sorted({r.speaker for r in named}))}
    for recording in named:
        partition: Partition = "dev" if place[recording.speaker] % 2 else "train"
        yield replace(recording, partition=partition)


def _recording(root: Path, name: str) -> Recording:
    traces: dict[Dimension, Traces] = {
        dimension: rating_table(root / ANNOTATION / dimension / f"{name}.csv") for dimension in DIMENSIONS
    }
    same_length(traces, name)
    return Recording(
        name=name,
        speaker=name,
        audio=_present(root / AUDIO / f"{name}.wav"),
        video=_present(root / VIDEO / f"{name}.mp4"),
        frame_times_s=_frame_times(root / TIMINGS / f"{name}.csv"),
        traces=traces,
    )


def _present(path: Path) -> Path | None:
    return path if path.is_file() else None


def _frame_times(path: Path) -> F64 | None:
    if not path.is_file():
        return None
    names, body = numbers(path, ";")
    at = [index for index, name in enumerate(names) if name.lower() == "time in seconds"]
    if not at:
        raise InputError(f"{path}:1: no column 'time in seconds'; found {names}")
    return body[:, at[0]]
