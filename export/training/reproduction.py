"""The whole chain on one corpus: extract, decide, fine-tune, fit, fuse, judge; every stage keeps what it has done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from dask.distributed import Client
from numpy.typing import NDArray
from rich.console import Console

from edge_emotion.types import DIMENSIONS, Dimension

from ..corpora.records import Recording
from . import engine
from .blocks import Block, Member, read_labels, statistics_of
from .delay import Delay
from .face_tuning import TuneJob, TuningSettings
from .gathering import Encoder, Job, encode, gather
from .judgement import Judgement, Verdict, judge
from .protocol import (
    DelayJob,
    FitJob,
    Plan,
    ProtocolSettings,
    SearchJob,
    System,
    agreed_delay,
    best_block,
    common_window,
    fit_jobs,
    late_weight,
    mix,
    speaker_folds,
    systems,
)
from .recurrent import RecurrentJob, RecurrentSettings
from .regression import Search, agreeing

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What is to be done; ``None`` for fine-tuning or the recurrent regressor leaves it out."""

    keep: Path
    """Folder of the shards; delete it to start anew."""
    bundle: Path | None = None
    """Detector, crop, voice activity and the encoder to start from; ``None`` is the embedded default."""
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    tuning: TuningSettings | None = field(default_factory=TuningSettings)
    recurrent: RecurrentSettings | None = field(default_factory=RecurrentSettings)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that the report and the bundle are made of.

    Attributes
    ----------
    out_of_fold
        By system and dimension, of the training recordings.
    late_weights
        Share of the sound, by late system and dimension.
    encoders
        Face networks by the suffix of the systems that use them: ``""`` the one that was given, ``"_tuned"``; none
        where features were given.
    notes
        What a reader of the table should know of the data.
    """

    members: tuple[Member, ...]
    truths: Mapping[Dimension, Mapping[str, F64]]
    delays: Mapping[Dimension, Mapping[Block, Delay]]
    agreed_s: Mapping[Dimension, float]
    searches: Mapping[tuple[str, Dimension], Search]
    plans: Mapping[tuple[str, Dimension], Plan]
    out_of_fold: Mapping[tuple[str, Dimension], Mapping[str, F64]]
    predictions: Mapping[tuple[str, Dimension], Mapping[str, F64]]
    late_weights: Mapping[tuple[str, Dimension], float]
    verdicts: Mapping[tuple[str, Dimension], Verdict]
    encoders: Mapping[str, Path]
    notes: tuple[str, ...]

    def earned(self, system: str) -> float:
        """CCC on held-out training speakers after the causal chain, sum of both dimensions."""
        return sum(self.verdicts[system, d].chains["causal"].earned for d in DIMENSIONS)

    @property
    def suffix(self) -> str:
        """Of the systems that are shipped and drawn: ``_tuned`` where the fine-tuned face network earned more."""
        tuned = ("late_tuned", "arousal") in self.verdicts
        return "_tuned" if tuned and self.earned("late_tuned") > self.earned("late") else ""

    def partition(self, name: str) -> list[Member]:
        """Members of a partition."""
        return [member for member in self.members if member.partition == name]


def run_job(job: Job) -> Any:
    """``job.run()`` as a function, for workers."""
    result = job.run()
    engine.release_memory()
    return result


def reproduce(
    recordings: Iterable[Recording], settings: Reproduction, client: Client, console: Console | None = None
) -> Outcome:
    """Run all stages; the result depends on the recordings and the settings alone, not on the workers.

    Raises what `gather` raises, and `UsageError` where the disk is full or workers keep dying.
    """
    run = _Run(settings, client, console)
    base = Encoder.of(settings.bundle)
    members, notes = gather(
        recordings,
        run.map,
        bundle=settings.bundle,
        windows_s=settings.protocol.windows_s,
        hop_s=settings.protocol.hop_s,
        keep=settings.keep,
    )
    return run.decide(encode(members, {"video": base.file}, base, run.map, settings.keep), base, notes)


def decide(
    members: Sequence[Member], settings: Reproduction, client: Client, console: Console | None = None
) -> Outcome:
    """All stages after extraction, without fine-tuning: members have ``audio`` and ``video`` already."""
    return _Run(replace(settings, tuning=None), client, console).decide(members, None, [])


class _Run:
    """One run: the client, and what the stages hand to each other."""

    def __init__(self, settings: Reproduction, client: Client, console: Console | None) -> None:
        self.settings = settings
        self.protocol = settings.protocol
        self.client = client
        self.console = console

    def decide(self, members: Sequence[Member], base: Encoder | None, notes: Sequence[str]) -> Outcome:
        train = tuple(member for member in members if member.partition == "train")
        delays, agreed = self._delays(train)
        plans, searches = self._plans(members, train, delays, agreed)
        encoders = {} if base is None else {"": base.file}
        if self.settings.tuning is not None and base is not None:
            members, encoders["_tuned"] = self._tune(members, base, agreed)
            plans |= _tuned(plans)
        held, predicted = self._fit(members, plans)
        truths = {d: {m.name: read_labels(m, d) for m in members if m.labels is not None} for d in DIMENSIONS}
        lags = {key: float(plan.lag(self.protocol.hop_s)) for key, plan in plans.items()}
        late = self._late(members, held, predicted, truths, lags)
        if self.settings.recurrent is not None:
            self._recurrent(members, plans, held, predicted, lags)
        verdicts = self._judge(members, truths, held, predicted, lags)
        return Outcome(
            tuple(members),
            truths,
            delays,
            agreed,
            searches,
            plans,
            held,
            predicted,
            late,
            verdicts,
            encoders,
            tuple(notes),
        )

    def map(self, jobs: Sequence[Job], what: str) -> list[Any]:
        return engine.run(self.client, run_job, jobs, what, self.console)

    def _delays(
        self, train: tuple[Member, ...]
    ) -> tuple[dict[Dimension, dict[Block, Delay]], dict[Dimension, float]]:
        blocks = [Block(source, w) for source in ("audio", "video") for w in self.protocol.windows_s]
        jobs = [
            DelayJob(train, block, d, self.protocol, self.settings.keep)
            for d in DIMENSIONS
            for block in blocks
        ]
        results = iter(self.map(jobs, "raters' delay"))
        found: dict[Dimension, dict[Block, Delay]] = {
            d: {block: next(results) for block in blocks} for d in DIMENSIONS
        }
        return found, {d: agreed_delay(found[d]) for d in DIMENSIONS}

    def _statistics(self, members: Sequence[Member], blocks: Iterable[Block]) -> dict[str, Any]:
        p = self.protocol
        gathered: dict[str, Any] = {}
        for block in blocks:
            gathered |= statistics_of(members, block, p.hop_s, p.standardisation)
        return gathered

    def _plans(
        self,
        members: Sequence[Member],
        train: tuple[Member, ...],
        delays: Mapping[Dimension, Mapping[Block, Delay]],
        agreed: Mapping[Dimension, float],
    ) -> tuple[dict[tuple[str, Dimension], Plan], dict[tuple[str, Dimension], Search]]:
        jobs = []
        for dimension in DIMENSIONS:
            best = {source: best_block(delays[dimension], source) for source in ("audio", "video")}
            common = common_window(delays[dimension])
            for system in systems("video"):
                alone = len(system.sources) == 1
                blocks = tuple(best[s] if alone else Block(s, common) for s in system.sources)
                statistics = self._statistics(members, blocks)
                keep = self.settings.keep
                jobs.append(
                    SearchJob(
                        train, system, blocks, dimension, agreed[dimension], self.protocol, statistics, keep
                    )
                )
        searches = self.map(jobs, "search regressors")
        found = {(job.system.name, job.dimension): result for job, result in zip(jobs, searches, strict=True)}
        chosen = {
            system.name: agreeing({d: found[system.name, d] for d in DIMENSIONS})
            for system in systems("video")
        }
        plans = {
            (job.system.name, job.dimension): Plan(
                job.system, job.dimension, job.blocks, job.delay_s, chosen[job.system.name][job.dimension]
            )
            for job in jobs
        }
        return plans, found

    def _tune(
        self,
        members: Sequence[Member],
        base: Encoder,
        agreed: Mapping[Dimension, float],
    ) -> tuple[list[Member], Path]:
        """One network per training fold, which never saw the speakers it is asked about there, and one on all."""
        assert self.settings.tuning is not None
        train = [member for member in members if member.partition == "train"]
        folds = speaker_folds(train, self.protocol.folds)
        groups = [tuple(train[k] for k in fitted) for fitted, _ in folds] + [tuple(train)]
        delays = (agreed["arousal"], agreed["valence"])
        keep = self.settings.keep
        jobs = [
            TuneJob(group, base.file, delays, self.protocol.hop_s, self.settings.tuning, keep)
            for group in groups
        ]
        *of_fold, final = self.map(jobs, "fine-tune face network")
        named = {f"video_tuned_fold{k}": path for k, path in enumerate(of_fold)}
        tuned = encode(members, named, base, self.map, keep, training_only=True)
        return encode(tuned, {"video_tuned": final}, base, self.map, keep), final

    def _fit(
        self, members: Sequence[Member], plans: Mapping[tuple[str, Dimension], Plan]
    ) -> tuple[dict[tuple[str, Dimension], dict[str, F64]], dict[tuple[str, Dimension], dict[str, F64]]]:
        jobs: list[FitJob] = []
        owner: list[tuple[tuple[str, Dimension], bool]] = []
        for key, plan in plans.items():
            statistics = self._statistics(members, plan.blocks)
            own = fit_jobs(members, plan, self.protocol, statistics, self.settings.keep)
            jobs += own
            owner += [(key, index < len(own) - 1) for index in range(len(own))]
        held: dict[tuple[str, Dimension], dict[str, F64]] = {key: {} for key in plans}
        predicted: dict[tuple[str, Dimension], dict[str, F64]] = {key: {} for key in plans}
        for (key, in_fold), traces in zip(owner, self.map(jobs, "fit regressors"), strict=True):
            (held if in_fold else predicted)[key].update(traces)
        return held, predicted

    def _late(
        self,
        members: Sequence[Member],
        held: dict[tuple[str, Dimension], dict[str, F64]],
        predicted: dict[tuple[str, Dimension], dict[str, F64]],
        truths: Mapping[Dimension, Mapping[str, F64]],
        lags: dict[tuple[str, Dimension], float],
    ) -> dict[tuple[str, Dimension], float]:
        weights: dict[tuple[str, Dimension], float] = {}
        speakers = {member.name: member.speaker for member in members}
        for name, dimension in [key for key in held if key[0].startswith("video")]:
            audio, video = ("audio", dimension), (name, dimension)
            late = (name.replace("video", "late"), dimension)
            known = {n: truths[dimension][n] for n in held[audio]}
            weights[late] = late_weight(
                held[audio], held[video], known, (int(lags[audio]), int(lags[video])), speakers
            )
            w = weights[late]
            held[late] = mix(held[audio], held[video], w)
            predicted[late] = mix(predicted[audio], predicted[video], w)
            lags[late] = w * lags[audio] + (1 - w) * lags[video]
        return weights

    def _recurrent(
        self,
        members: Sequence[Member],
        plans: Mapping[tuple[str, Dimension], Plan],
        held: dict[tuple[str, Dimension], dict[str, F64]],
        predicted: dict[tuple[str, Dimension], dict[str, F64]],
        lags: dict[tuple[str, Dimension], float],
    ) -> None:
        assert self.settings.recurrent is not None
        jobs = [
            RecurrentJob(
                tuple(members),
                plans["early", dimension].blocks,
                dimension,
                int(lags["early", dimension]),
                self.protocol.hop_s,
                self.protocol.every,
                self.protocol.folds,
                self.settings.recurrent,
                self.settings.keep,
            )
            for dimension in DIMENSIONS
        ]
        for job, (oof, rest) in zip(jobs, self.map(jobs, "recurrent regressor"), strict=True):
            key: tuple[str, Dimension] = ("recurrent", job.dimension)
            held[key], predicted[key], lags[key] = oof, rest, lags["early", job.dimension]

    def _judge(
        self,
        members: Sequence[Member],
        truths: Mapping[Dimension, Mapping[str, F64]],
        held: Mapping[tuple[str, Dimension], Mapping[str, F64]],
        predicted: Mapping[tuple[str, Dimension], Mapping[str, F64]],
        lags: Mapping[tuple[str, Dimension], float],
    ) -> dict[tuple[str, Dimension], Verdict]:
        speakers = {member.name: member.speaker for member in members}
        of = {
            part: [m.name for m in members if m.partition == part and m.labels] for part in ("train", "dev")
        }
        jobs = [
            Judgement(
                name,
                d,
                lags[name, d],
                self.protocol.hop_s,
                self.protocol.folds,
                speakers,
                {n: truths[d][n] for n in of["train"]},
                {n: truths[d][n] for n in of["dev"]},
                held[name, d],
                predicted[name, d],
                self.settings.keep,
            )
            for name, d in held
        ]
        verdicts = engine.run(self.client, judge, jobs, "post-process and judge", self.console)
        return {(verdict.system, verdict.dimension): verdict for verdict in verdicts}


def _tuned(plans: Mapping[tuple[str, Dimension], Plan]) -> dict[tuple[str, Dimension], Plan]:
    """The same decisions for the fine-tuned network's features: only what the network learnt differs."""
    _, video, early = systems("video_tuned")
    renamed: dict[str, System] = {"video": video, "early": early}
    found = {}
    for (name, dimension), plan in plans.items():
        if name in renamed:
            blocks = tuple(
                replace(b, source="video_tuned") if b.source == "video" else b for b in plan.blocks
            )
            found[renamed[name].name, dimension] = replace(plan, system=renamed[name], blocks=blocks)
    return found


def settings_facts(settings: Reproduction) -> dict[str, Any]:
    """The settings as the report states them."""
    facts = asdict(settings)
    del facts["keep"], facts["bundle"]
    return facts
