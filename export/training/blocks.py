"""What a regressor is fed: one modality's rows of one recording, read from its shard when they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import Dimension

from ..corpora.records import Partition
from . import shards
from .delay import shifted
from .standardise import RunningStandardiser, Statistics, global_statistics
from .windows import fill_gaps, moving_statistics

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

Standardisation = Literal["global", "speaker", "running"]
"""``global``: training statistics, in the regressor. ``speaker``: each speaker's own, which looks ahead and no device
can do. ``running``: what becomes of it at run time. The last two come before the regressor's own global scaling."""

_PRIOR_ROWS = 750


@dataclass(frozen=True, slots=True)
class Member:
    """One recording as the protocol sees it: paths alone, so that any worker can take it up.

    Attributes
    ----------
    labels
        Shard with ``arousal`` and ``valence`` every hop, ``None`` without a gold standard (the test partition).
    features
        Shard of each source: ``audio`` with the columns ``window_4`` ..., ``video`` (and ``video_tuned``) with
        ``features`` and ``present``.
    """

    name: str
    speaker: str
    partition: Partition
    labels: Path | None
    features: Mapping[str, Path]

    def in_fold(self, number: int) -> Member:
        """The member with the sources that were learnt without a fold's held-out speakers (``video_tuned_fold2``)."""
        suffix = f"_fold{number}"
        own = {
            name.removesuffix(suffix): path for name, path in self.features.items() if name.endswith(suffix)
        }
        return replace(self, features={**self.features, **own})

    def identity(self) -> list[str]:
        """What makes this member what it is: names of shards carry the hash of their content's origin."""
        paths = [*([self.labels] if self.labels else []), *self.features.values()]
        return [self.name, self.speaker, self.partition, *(path.name for path in paths)]


@dataclass(frozen=True, slots=True)
class Block:
    """One modality's part of a row."""

    source: str
    window_s: float

    def column(self) -> str:
        """The shard's column, for sound."""
        return f"window_{self.window_s:g}"


class Rows(NamedTuple):
    """Rows of one recording, one each hop."""

    values: F32
    known: Flags
    """Rows that rest on some input; the others are zeros."""


def read_block(member: Member, block: Block, hop_s: float, *, training: bool) -> Rows:
    """Rows of a modality, each a window of ``block.window_s`` that ends at its time.

    Missing faces are interpolated for training and simply not counted otherwise, as on the device.
    """
    path = member.features[block.source]
    if block.source == "audio":
        columns = shards.read(path, [block.column(), "known"])
        return Rows(columns[block.column()], columns["known"])
    columns = shards.read(path, ["features", "present"])
    values, present = columns["features"].astype(np.float64), columns["present"]
    if training and present.any():
        values, present = fill_gaps(values, present), np.ones_like(present)
    pooled, known = moving_statistics(values, present, round(block.window_s / hop_s))
    return Rows(pooled.astype(np.float32), known)


def read_rows(
    member: Member,
    blocks: Sequence[Block],
    hop_s: float,
    *,
    training: bool,
    statistics: Mapping[str, Statistics] | None = None,
    standardisation: Standardisation = "global",
) -> Rows:
    """The blocks side by side, each standardised as asked; ``statistics`` as `statistics_of` gives them."""
    values, known = [], []
    for block in blocks:
        rows = read_block(member, block, hop_s, training=training)
        values.append(_standardised(rows.values, member, block, statistics or {}, standardisation))
        known.append(rows.known)
    count = min(len(part) for part in values)
    joined = np.concatenate([part[:count] for part in values], axis=1)
    return Rows(joined, np.logical_and.reduce([flags[:count] for flags in known]))


def read_labels(member: Member, dimension: Dimension) -> F64:
    """Gold standard each hop, ``float64 (n,)``; a recording without one has none to be asked for."""
    if member.labels is None:
        raise ValueError(f"{member.name} has no gold standard")
    return np.asarray(shards.read(member.labels, [dimension])[dimension], np.float64)


def training_rows(
    members: Sequence[Member],
    blocks: Sequence[Block],
    dimension: Dimension,
    lag: int,
    hop_s: float,
    most: int,
    every: int,
    *,
    statistics: Mapping[str, Statistics] | None = None,
    standardisation: Standardisation = "global",
) -> tuple[F64, F64, NDArray[np.intp]]:
    """Decimated rows, their delayed labels and the index of their member; ``most`` rows in all at the most.

    Recordings are read one after the other and thinned at once, so that a corpus never has to fit in memory.
    """
    share = max(1, most // max(1, len(members)))
    rows, labels, owner = [], [], []
    for index, member in enumerate(members):
        read = read_rows(
            member, blocks, hop_s, training=True, statistics=statistics, standardisation=standardisation
        )
        flags = read.known.astype(np.float64)[:, None]
        x, y = shifted(np.concatenate([read.values, flags], axis=1), read_labels(member, dimension), lag)
        step = max(every, -(-len(x) // share))
        x, y = x[step // 2 :: step], y[step // 2 :: step]
        kept = x[:, -1] > 0
        rows.append(x[kept, :-1].astype(np.float64))
        labels.append(y[kept])
        owner.append(np.full(int(kept.sum()), index))
    return np.concatenate(rows), np.concatenate(labels), np.concatenate(owner)


def statistics_of(
    members: Sequence[Member], block: Block, hop_s: float, standardisation: Standardisation
) -> dict[str, Statistics]:
    """What `read_rows` needs for other than global standardisation, by ``source/window/speaker`` or ``.../*``."""
    if standardisation == "global":
        return {}
    prefix = f"{block.source}/{block.window_s:g}"
    if standardisation == "running":
        training = [member for member in members if member.partition == "train"]
        return {f"{prefix}/*": global_statistics(_values(member, block, hop_s) for member in training)}
    return {
        f"{prefix}/{speaker}": global_statistics(
            _values(member, block, hop_s) for member in members if member.speaker == speaker
        )
        for speaker in sorted({member.speaker for member in members})
    }


def _values(member: Member, block: Block, hop_s: float) -> F64:
    return read_block(member, block, hop_s, training=True).values.astype(np.float64)


def _standardised(
    values: F32,
    member: Member,
    block: Block,
    statistics: Mapping[str, Statistics],
    standardisation: Standardisation,
) -> F32:
    prefix = f"{block.source}/{block.window_s:g}"
    if standardisation == "speaker":
        return statistics[f"{prefix}/{member.speaker}"].apply(values.astype(np.float64)).astype(np.float32)
    if standardisation == "running":
        running = RunningStandardiser(statistics[f"{prefix}/*"], _PRIOR_ROWS)
        return running.push(values.astype(np.float64)).astype(np.float32)
    return values
