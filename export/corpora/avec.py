"""AVEC 2016 and AVEC 2018 trees (both RECOLA: 9 train, 9 dev, 9 test files of 5 minutes; test without labels).

::

    AVEC 2016                                              AVEC 2018 (gold-standard sub-challenge)
    recordings_audio/train_1.wav                           recordings/audio/train_1.wav
    recordings_video/train_1.mp4                           recordings/video/train_1.mp4
    ratings_individual/arousal/train_1.csv                 labels/individual/arousal/train_1.csv
    ratings_gold_standard/arousal/train_1.arff             labels/gs_1/arousal/train_1.arff
    features_audio/arousal/train_1.arff                    features/audio/eGeMAPSfunct/...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_emotion.errors import InputError
from edge_emotion.types import DIMENSIONS, Dimension

from .records import PARTITIONS, Partition, Recording, Traces, require_root
from .tables import arff_gold, rating_table, same_length

_NAME = re.compile(r"(train|dev|test)_(\d+)$")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one edition keeps its parts, relative to the root."""

    edition: str
    audio: Path
    video: Path
    individual: Path
    gold: Path
    features: Path


AVEC2016 = Layout(
    "AVEC 2016",
    Path("recordings_audio"),
    Path("recordings_video"),
    Path("ratings_individual"),
    Path("ratings_gold_standard"),
    Path(),
)
AVEC2018 = Layout(
    "AVEC 2018",
    Path("recordings/audio"),
    Path("recordings/video"),
    Path("labels/individual"),
    Path("labels/gs_1"),
    Path("features"),
)


def read_avec(root: Path, layout: Layout = AVEC2016) -> Iterator[Recording]:
    """Recordings in the order train, dev, test, each by its number.

    Traces carry the published gold standard and, where they are there, the individual ratings. ``test`` files have no
    traces. An edition without the ``train`` or ``dev`` partition is an `InputError`.
    """
    require_root(root, [str(layout.gold / dimension) for dimension in DIMENSIONS], layout.edition)
    names = _names(root, layout)
    for partition in ("train", "dev"):
        if not any(name.startswith(partition) for name in names):
            raise InputError(
                f"{root / layout.gold}: no {partition}_*.arff: the {partition} partition is missing"
            )
    for name in names:
        yield _recording(root, layout, name)


def _names(root: Path, layout: Layout) -> list[str]:
    folders = [root / layout.gold / d for d in DIMENSIONS] + [root / layout.audio, root / layout.video]
    found = {path.stem for folder in folders if folder.is_dir() for path in folder.iterdir()}
    named = [match for name in found if (match := _NAME.match(name))]
    return [
        match.group()
        for match in sorted(
            named, key=lambda match: (PARTITIONS.index(_partition(match)), int(match.group(2)))
        )
    ]


def _partition(match: re.Match[str]) -> Partition:
    return next(partition for partition in PARTITIONS if partition == match.group(1))


def _recording(root: Path, layout: Layout, name: str) -> Recording:
    match = _NAME.match(name)
    if match is None:
        raise InputError(f"{name}: not of the form train_1, dev_1, test_1")
    partition = _partition(match)
    traces: dict[Dimension, Traces] = {}
    if partition != "test":
        traces = {dimension: _traces(root, layout, dimension, name) for dimension in DIMENSIONS}
        same_length(traces, name)
    return Recording(
        name=name,
        speaker=name,
        audio=_media(root / layout.audio, name),
        video=_media(root / layout.video, name),
        partition=partition,
        traces=traces,
        features=_features(root / layout.features, name),
    )


def _traces(root: Path, layout: Layout, dimension: Dimension, name: str) -> Traces:
    time_s, gold = arff_gold(root / layout.gold / dimension / f"{name}.arff")
    individual = root / layout.individual / dimension / f"{name}.csv"
    if not individual.is_file():
        return Traces(time_s=time_s, raters=(), values=np.empty((len(time_s), 0)), gold=gold)
    rated = rating_table(individual)
    count = min(len(gold), len(rated.time_s))
    if max(len(gold), len(rated.time_s)) - count > 1:
        raise InputError(f"{individual}: {len(rated.time_s)} rows, the gold standard has {len(gold)}")
    return Traces(time_s[:count], rated.raters, rated.values[:count], gold[:count])


def _media(folder: Path, name: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"{name}.*"))), None) if folder.is_dir() else None


def _features(folder: Path, name: str) -> dict[str, Path]:
    found = sorted(folder.glob(f"features_*/**/{name}.arff")) or sorted(folder.glob(f"*/**/{name}.arff"))
    found = [path for path in found if not path.relative_to(folder).parts[0].startswith("ratings")]
    return {str(path.parent.relative_to(folder)): path for path in found}
