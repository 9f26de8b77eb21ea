"""A corpus of one's own, described by CSV files (comma-separated, UTF-8, one header line, paths relative to the root).

``recordings.csv`` is the only file that must be there::

    name,speaker,partition,audio,video
    anna_1,anna,train,sound/anna_1.wav,film/anna_1.mp4
    bert_1,bert,dev,film/bert_1.mp4,film/bert_1.mp4

``partition`` is train, dev, test or empty; ``audio`` and ``video`` may be empty, or name the same film. Then any of

``ratings.csv``, ratings of whole clips in [-1, 1], one line per rater::

    name,rater,arousal,valence
    anna_1,r1,0.4,-0.2

``votes.csv``, votes for categories::

    name,category,count
    anna_1,anger,7

``traces/arousal/anna_1.csv`` and ``traces/valence/anna_1.csv``, continuous ratings in [-1, 1], one column per rater::

    time_s,r1,r2
    0.00,0.10,0.15
    0.04,0.11,0.15
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from edge_emotion.errors import InputError
from edge_emotion.types import DIMENSIONS, Dimension

from .records import PARTITIONS, Partition, Recording, Traces, require_root
from .tables import column, rating_table, rows, same_length, unit_value

_Ratings = dict[str, dict[Dimension, list[float]]]


def read_own(root: Path) -> Iterator[Recording]:
    """Recordings in the order of ``recordings.csv``."""
    require_root(root, ["recordings.csv"], "a corpus described by CSV files")
    path = root / "recordings.csv"
    ratings, votes = _ratings(root / "ratings.csv"), _votes(root / "votes.csv")
    seen: set[str] = set()
    for line, row in rows(path):
        name = column(row, "name", path, line)
        if name in seen:
            raise InputError(f"{path}:{line}: {name!r} is listed twice")
        seen.add(name)
        traces = _traces(root, name)
        same_length(traces, name)
        yield Recording(
            name=name,
            speaker=_filled(row, "speaker", path, line),
            audio=_media(root, row, "audio", path, line),
            video=_media(root, row, "video", path, line),
            partition=_partition(row.get("partition", ""), path, line),
            traces=traces,
            ratings={dimension: tuple(values) for dimension, values in ratings.get(name, {}).items()},
            votes=votes.get(name, {}),
        )
    for other, source in (*((n, "ratings.csv") for n in ratings), *((n, "votes.csv") for n in votes)):
        if other not in seen:
            raise InputError(f"{root / source}: {other!r} is not in recordings.csv")


def _ratings(path: Path) -> _Ratings:
    found: _Ratings = {}
    for line, row in rows(path) if path.is_file() else ():
        of_name = found.setdefault(column(row, "name", path, line), defaultdict(list))
        for dimension in DIMENSIONS:
            if row.get(dimension):
                of_name[dimension].append(unit_value(row[dimension], path, line, dimension))
    return found


def _votes(path: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for line, row in rows(path) if path.is_file() else ():
        count = column(row, "count", path, line)
        if not count.isdigit():
            raise InputError(f"{path}:{line}: count: {count!r} is not a number of votes")
        name, category = column(row, "name", path, line), column(row, "category", path, line)
        found.setdefault(name, {})[category] = int(count)
    return found


def _traces(root: Path, name: str) -> dict[Dimension, Traces]:
    paths = {dimension: root / "traces" / dimension / f"{name}.csv" for dimension in DIMENSIONS}
    return {dimension: rating_table(path, ",") for dimension, path in paths.items() if path.is_file()}


def _media(root: Path, row: dict[str, str], kind: str, path: Path, line: int) -> Path | None:
    named = row.get(kind, "")
    if named and not (root / named).is_file():
        raise InputError(f"{path}:{line}: {kind}: {root / named}: no such file")
    return root / named if named else None


def _partition(text: str, path: Path, line: int) -> Partition | None:
    for partition in PARTITIONS:
        if text == partition:
            return partition
    if text:
        raise InputError(f"{path}:{line}: partition {text!r}: train, dev, test or nothing")
    return None


def _filled(row: dict[str, str], name: str, path: Path, line: int) -> str:
    value = column(row, name, path, line)
    if not value:
        raise InputError(f"{path}:{line}: {name} is empty; every recording needs one")
    return value
