"""What every corpus loader hands back: one `Recording` per clip, whatever the corpus calls its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import InputError
from edge_emotion.types import DIMENSIONS, Dimension

F64 = NDArray[np.float64]

Partition = Literal["train", "dev", "test"]
PARTITIONS: tuple[Partition, Partition, Partition] = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Traces:
    """Continuous ratings of one dimension of one recording.

    Attributes
    ----------
    time_s
        ``float64 (n,)``, increasing; the times that the raters' values stand for.
    raters
        One name per column of ``values``; empty where only a gold standard was published.
    values
        ``float64 (n, raters)``, about [-1, 1]. Ratings with holes are refused by the loaders.
    gold
        The published gold standard, ``float64 (n,)``, or ``None`` where it is to be built from ``values``.
    """

    time_s: F64
    raters: tuple[str, ...]
    values: F64
    gold: F64 | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """One clip of a corpus: its media, its speaker, what raters said of it. What a corpus lacks is empty.

    Attributes
    ----------
    name
        Unique in the corpus (``P16``, ``train_3``, ``DK_001_A_1``).
    speaker
        The unit of every split; the same person in two languages is one speaker.
    audio, video
        Media files; the same path twice where sound and picture share a file.
    frame_times_s
        True time of each video frame where the corpus publishes it, else ``None`` (the file's own hold).
    partition
        The corpus's own split.
    traces
        Continuous ratings, by dimension.
    ratings
        Ratings of the whole clip on [-1, 1], one per rater, by dimension.
    votes
        Raters' votes for categories of the whole clip (``{"anger": 7, "neutral": 3}``).
    intended
        The category that an actor was asked for.
    features
        Descriptor files that the corpus ships, by its own name of the set (``audio/arousal``).
    language
        What is spoken (``Danish``).
    """

    name: str
    speaker: str
    audio: Path | None = None
    video: Path | None = None
    frame_times_s: F64 | None = None
    partition: Partition | None = None
    traces: Mapping[Dimension, Traces] = field(default_factory=dict)
    ratings: Mapping[Dimension, tuple[float, ...]] = field(default_factory=dict)
    votes: Mapping[str, int] = field(default_factory=dict)
    intended: str | None = None
    features: Mapping[str, Path] = field(default_factory=dict)
    language: str = ""

    @property
    def rated(self) -> bool:
        """Whether the whole clip was rated in both dimensions."""
        return all(self.ratings.get(dimension) for dimension in DIMENSIONS)

    def rating(self, dimension: Dimension) -> float:
        """Mean of the raters' whole-clip ratings; `InputError` where nobody rated it."""
        if not self.ratings.get(dimension):
            raise InputError(f"{self.name}: no {dimension} rating of the whole clip")
        return float(np.mean(self.ratings[dimension]))


def require_root(root: Path, expected: Sequence[str], corpus: str) -> None:
    """Refuse a folder that is not the root of ``corpus``, naming what is missing in it."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the root of {corpus}")
    missing = [name for name in expected if not (root / name).exists()]
    if missing:
        raise InputError(f"{root}: not the root of {corpus}: {', '.join(missing)} missing")


def require_speakers(recordings: Iterable[Recording], at_least: int, purpose: str) -> None:
    """Refuse a corpus with too few speakers for ``purpose``: nothing can then be split by speaker."""
    speakers = {recording.speaker for recording in recordings}
    if len(speakers) < at_least:
        named = f" ({', '.join(sorted(speakers))})" if speakers else ""
        raise InputError(
            f"{len(speakers)} speaker{'s' * (len(speakers) != 1)}{named}: {purpose} needs {at_least} or more"
        )
