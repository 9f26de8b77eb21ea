"""The protocol's decisions, each on training speakers alone: delay and windows, regressor, late weights, chain.

Every job is a plain record of paths and settings; it runs on any worker, keeps its result in a shard named by the hash
of the job, and is not run again where the shard is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import Dimension

from . import shards
from .blocks import Block, Member, Standardisation, read_block, read_labels, read_rows, training_rows
from .delay import RIDGE, STEP_S, Delay, lag_frames, search_delay
from .folds import grouped
from .metrics import pearson
from .post_processing import later
from .regression import Candidate, Grid, Regressor, Search, fit, search
from .standardise import Statistics
from .windows import fill_gaps

F64 = NDArray[np.float64]

LATE_WEIGHTS = tuple(round(0.05 * step, 2) for step in range(21))


@dataclass(frozen=True, slots=True)
class ProtocolSettings:
    """Our choices where the paper is silent.

    Attributes
    ----------
    hop_s
        From row to row; the raters' 40 ms.
    windows_s
        Tried for each modality and dimension.
    every
        Train on every so manyth row, at least.
    search_rows, fit_rows
        Rows that the grid is searched on, and that the chosen regressor is fitted on, at the most.
    budget
        Support vectors of a shipped regressor, at the most; ``None`` keeps all.
    """

    hop_s: float = 0.04
    windows_s: tuple[float, ...] = (4.0, 6.0)
    folds: int = 4
    every: int = 10
    search_rows: int = 2000
    fit_rows: int = 5000
    grid: Grid = field(default_factory=Grid)
    standardisation: Standardisation = "global"
    budget: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class System:
    """A column of the table: which sources it sees and how."""

    name: str
    sources: tuple[str, ...]


AUDIO = System("audio", ("audio",))


def systems(video: str) -> tuple[System, System, System]:
    """Sound, picture and both early, for a video source (``video``, ``video_tuned``)."""
    suffix = video.removeprefix("video")
    return AUDIO, System(f"video{suffix}", (video,)), System(f"early{suffix}", ("audio", video))


@dataclass(frozen=True, slots=True)
class Plan:
    """What has been decided for one system and dimension."""

    system: System
    dimension: Dimension
    blocks: tuple[Block, ...]
    delay_s: float
    candidate: Candidate

    def lag(self, hop_s: float) -> int:
        """Frames from the end of the windows to their label."""
        return lag_of(self.blocks, self.delay_s, hop_s)

    def facts(self) -> dict[str, Any]:
        """For the report and the hash of jobs."""
        return asdict(self)


def lag_of(blocks: Sequence[Block], delay_s: float, hop_s: float) -> int:
    """Frames from the end of the windows to their label; windows of unequal length count with their mean."""
    return lag_frames(delay_s, float(np.mean([block.window_s for block in blocks])), hop_s)


@dataclass(frozen=True, slots=True)
class DelayJob:
    """Find the raters' delay of a dimension with one block."""

    members: tuple[Member, ...]
    block: Block
    dimension: Dimension
    settings: ProtocolSettings
    keep: Path

    def run(self) -> Delay:
        """Rows and labels are thinned to the search's own step first."""
        s = self.settings
        members = [member.identity() for member in self.members]
        name = shards.key("delay", members, asdict(self.block), self.dimension, s.hop_s, s.folds, RIDGE)
        kept = shards.made_json(self.keep / f"delay-{name}.json", lambda: asdict(self._search()))
        return Delay(kept["seconds"], tuple(kept["candidates_s"]), tuple(kept["scores"]))

    def _search(self) -> Delay:
        every = max(1, round(STEP_S / self.settings.hop_s))
        features, labels = [], []
        for member in self.members:
            rows = read_block(member, self.block, self.settings.hop_s, training=True)
            known = rows.known
            filled = fill_gaps(rows.values.astype(np.float64), known)
            count = min(len(filled), len(truth := read_labels(member, self.dimension)))
            features.append(filled[:count:every])
            labels.append(truth[:count:every])
        return search_delay(
            features,
            labels,
            [member.speaker for member in self.members],
            hop_s=every * self.settings.hop_s,
            window_s=self.block.window_s,
            folds=self.settings.folds,
            every=1,
        )


@dataclass(frozen=True, slots=True)
class SearchJob:
    """Choose the regressor of a system and dimension on training speakers."""

    members: tuple[Member, ...]
    system: System
    blocks: tuple[Block, ...]
    dimension: Dimension
    delay_s: float
    settings: ProtocolSettings
    statistics: Mapping[str, Statistics]
    keep: Path

    def run(self) -> Search:
        """Best of the grid by out-of-fold CCC."""
        members = [member.identity() for member in self.members]
        blocks = [asdict(block) for block in self.blocks]
        name = shards.key("search", members, blocks, self.dimension, self.delay_s, asdict(self.settings))
        kept = shards.made_json(self.keep / f"search-{name}.json", lambda: asdict(self._search()))
        tried = tuple((Candidate.of(facts), score) for facts, score in kept["tried"])
        return Search(Candidate.of(kept["best"]), kept["score"], tried)

    def _search(self) -> Search:
        s = self.settings
        lag = lag_of(self.blocks, self.delay_s, s.hop_s)
        rows, labels, owner = training_rows(
            self.members,
            self.blocks,
            self.dimension,
            lag,
            s.hop_s,
            s.search_rows,
            s.every,
            statistics=self.statistics,
            standardisation=s.standardisation,
        )
        speakers = np.array([self.members[index].speaker for index in owner])
        widths = widths_of(self.members[0], self.blocks, s.hop_s)
        return search(s.grid.candidates(len(self.blocks)), rows, labels, speakers, widths, s.folds, s.seed)


@dataclass(frozen=True, slots=True)
class FitJob:
    """Fit a plan on ``train`` and predict every row of ``test``, in the clock of the media."""

    train: tuple[Member, ...]
    test: tuple[Member, ...]
    plan: Plan
    settings: ProtocolSettings
    statistics: Mapping[str, Statistics]
    keep: Path
    """Folder of the results."""

    def path(self) -> Path:
        """Where the predictions are kept."""
        members = [
            [m.name, *(str(path.name) for path in m.features.values())] for m in (*self.train, *self.test)
        ]
        name = shards.key("fit", members, len(self.train), self.plan.facts(), asdict(self.settings))
        return self.keep / f"fit-{name}.parquet"

    def run(self) -> dict[str, F64]:
        """Predictions by the names of ``test``."""
        columns = shards.read(shards.made(self.path(), self._fit))
        return {m.name: columns["prediction"][columns["member"] == k] for k, m in enumerate(self.test)}

    def _fit(self) -> shards.Columns:
        model, mean = fit_plan(self.train, self.plan, self.settings, self.statistics)
        predictions = [self._predict(model, mean, member) for member in self.test]
        return {
            "member": np.repeat(np.arange(len(predictions)), [len(p) for p in predictions]),
            "prediction": np.concatenate(predictions),
        }

    def _predict(self, model: Regressor, mean: float, member: Member) -> F64:
        rows = read_rows(
            member,
            self.plan.blocks,
            self.settings.hop_s,
            training=False,
            statistics=self.statistics,
            standardisation=self.settings.standardisation,
        )
        values = np.full(len(rows.values), mean)
        values[rows.known] = model.predict(rows.values[rows.known].astype(np.float64))
        return np.clip(values, -1.0, 1.0)  # as on the device: a linear regressor knows no bounds


def fit_plan(
    members: Sequence[Member], plan: Plan, settings: ProtocolSettings, statistics: Mapping[str, Statistics]
) -> tuple[Regressor, float]:
    """The plan's regressor on all of ``members``, and the mean label, which stands in where nothing is known."""
    rows, labels, _ = training_rows(
        members,
        plan.blocks,
        plan.dimension,
        plan.lag(settings.hop_s),
        settings.hop_s,
        settings.fit_rows,
        settings.every,
        statistics=statistics,
        standardisation=settings.standardisation,
    )
    widths = widths_of(members[0], plan.blocks, settings.hop_s)
    return fit(plan.candidate, rows, labels, widths, settings.seed), float(labels.mean())


def widths_of(member: Member, blocks: Sequence[Block], hop_s: float) -> list[int]:
    """Features in each block."""
    return [read_block(member, block, hop_s, training=False).values.shape[1] for block in blocks]


def speaker_folds(members: Sequence[Member], count: int) -> list[tuple[list[int], list[int]]]:
    """Speaker-disjoint folds of recordings: indices to fit on, and to predict."""
    speakers = np.array([member.speaker for member in members])
    folds = grouped(speakers, min(count, len(np.unique(speakers))))
    return [([int(k) for k in fold.train], [int(k) for k in fold.test]) for fold in folds]


def fit_jobs(
    members: Sequence[Member],
    plan: Plan,
    settings: ProtocolSettings,
    statistics: Mapping[str, Statistics],
    keep: Path,
) -> list[FitJob]:
    """One job for each training fold (out-of-fold predictions), then one on all of them for dev and test."""
    train = [member for member in members if member.partition == "train"]
    rest = tuple(member for member in members if member.partition != "train")
    jobs = []
    for number, (fitted, held) in enumerate(speaker_folds(train, settings.folds)):
        here = [member.in_fold(number) for member in train]
        jobs.append(
            FitJob(
                tuple(here[k] for k in fitted),
                tuple(here[k] for k in held),
                plan,
                settings,
                statistics,
                keep,
            )
        )
    return [*jobs, FitJob(tuple(train), rest, plan, settings, statistics, keep)]


Predictions = Mapping[str, F64]
"""One trace per recording, by name, in the clock of the media."""


def late_weight(
    first: Predictions,
    second: Predictions,
    truths: Predictions,
    lags: tuple[int, int],
    speakers: Mapping[str, str],
) -> float:
    """Share of ``first`` in ``w * first + (1 - w) * second`` with the best out-of-fold correlation.

    Correlation and not CCC: regressors shrink towards the mean, the more the less they know, and a mixture shrinks
    further; the chain that follows scales it back. A modality must know something to be mixed in: where its own
    correlation is not above two standard errors (jackknife over speakers, our choice) the other is taken alone, so that
    pure noise costs nothing.

    Parameters
    ----------
    lags
        Frames from the end of the windows to their label, of ``first`` and ``second``.
    speakers
        By recording.
    """

    def score(weight: float, names: Iterable[str]) -> float:
        lag = weight * lags[0] + (1 - weight) * lags[1]
        moved = {name: later(mix_one(first[name], second[name], weight), lag, 1.0) for name in names}
        pairs = [(truths[name][: len(values)], values[: len(truths[name])]) for name, values in moved.items()]
        return pearson(*(np.concatenate(side) for side in zip(*pairs, strict=True)))

    def knows(weight: float) -> bool:
        people = sorted({speakers[name] for name in truths})
        without = [score(weight, [name for name in truths if speakers[name] != one]) for one in people]
        return score(weight, truths) > 2 * np.sqrt(len(people) - 1) * np.std(without)

    first_knows, second_knows = knows(1.0), knows(0.0)
    if first_knows != second_knows:
        return 1.0 if first_knows else 0.0
    return max(LATE_WEIGHTS, key=lambda weight: score(weight, truths))


def mix(first: Predictions, second: Predictions, weight: float) -> dict[str, F64]:
    """``weight * first + (1 - weight) * second`` for each recording, at the same moments of the media."""
    return {name: mix_one(values, second[name], weight) for name, values in first.items()}


def mix_one(first: F64, second: F64, weight: float) -> F64:
    """`mix` of one recording."""
    count = min(len(first), len(second))
    return weight * first[:count] + (1 - weight) * second[:count]


def best_block(found: Mapping[Block, Delay], source: str) -> Block:
    """The window of ``source`` whose own best delay scores highest; the first of equals."""
    own = {block: delay for block, delay in found.items() if block.source == source}
    return max(own, key=lambda block: max(own[block].scores))


def common_window(found: Mapping[Block, Delay]) -> float:
    """The window whose blocks score highest together: in one row all windows must speak of the same moment."""
    total: dict[float, float] = {}
    for block, delay in found.items():
        total[block.window_s] = total.get(block.window_s, 0.0) + max(delay.scores)
    return max(total, key=lambda window_s: total[window_s])


def agreed_delay(found: Mapping[Block, Delay]) -> float:
    """The raters' delay belongs to a dimension, not to a modality: all blocks vote, each with what it knows.

    ``-log(1 - score^2)`` is how the logarithm of a normal likelihood grows with a correlation: a block that knows
    nothing says nothing, however its curve may wander (our choice).
    """
    curves = [-np.log1p(-np.square(np.clip(delay.scores, 0.0, 0.9999))) for delay in found.values()]
    candidates = next(iter(found.values())).candidates_s
    return candidates[int(np.argmax(np.sum(curves, axis=0)))]


def with_grid(settings: ProtocolSettings, effort: Literal["full", "quick"]) -> ProtocolSettings:
    """``quick`` tries little: for trials of the whole chain, not for results."""
    if effort == "full":
        return settings
    grid = Grid(
        linear_c=(1e-4, 1e-3, 1e-2),
        rbf_c=(1.0,),
        epsilons=(0.05,),
        rbf_epsilons=(0.05,),
        gammas=(0.5,),
        weights=((1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),
    )
    return replace(settings, grid=grid, search_rows=600, fit_rows=1200)
