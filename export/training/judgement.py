"""What each system is worth: the chain it earned on training speakers, and its figures on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import Dimension

from . import shards
from .metrics import ccc, rmse
from .post_processing import Chain, Chosen, Step, apply, choose_chain, later
from .statistics import Baseline, Interval, Paired, baseline, ccc_interval, paired_difference, same_side

F64 = NDArray[np.float64]
Traces = Mapping[str, F64]

Stage = Literal["before", "causal", "offline"]
STAGES: tuple[Stage, ...] = ("before", "causal", "offline")
"""Before post-processing (moved by the raters' delay alone), after the device's chain, after one that looks ahead."""


class Figures(TypedDict):
    """One cell of the table."""

    ccc: float
    """Of all recordings joined."""
    interval: Interval
    """95 %, over speakers."""
    ccc_per_file: float
    """Mean of the recordings' own CCCs."""
    rmse: float
    same_side: float
    """Share of frames on the right side of the training mean."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One system and dimension: figures on ``dev`` at each stage, the chains, and the traces behind them."""

    system: str
    dimension: Dimension
    figures: Mapping[Stage, Figures]
    chains: Mapping[Stage, Chosen]
    traces: Mapping[Stage, Traces]
    """Predictions of the judged recordings at the raters' clock."""

    def facts(self) -> dict[str, Any]:
        """For the report: everything but the traces."""
        return {
            "system": self.system,
            "dimension": self.dimension,
            "figures": {stage: {**f, "interval": list(f["interval"])} for stage, f in self.figures.items()},
            "chains": {stage: _chain_facts(chosen) for stage, chosen in self.chains.items()},
        }


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that a verdict rests on.

    Attributes
    ----------
    out_of_fold, predictions
        Of the training recordings, and of those to be judged, in the clock of the media.
    lag
        Frames from the end of the windows to their label.
    """

    system: str
    dimension: Dimension
    lag: float
    hop_s: float
    folds: int
    speakers: Mapping[str, str]
    train_truths: Traces
    truths: Traces
    out_of_fold: Traces
    predictions: Traces
    keep: Path
    """Folder of the chains."""

    def run(self) -> Verdict:
        """Choose both chains on the training speakers, apply them to the others, and measure."""
        chains: dict[Stage, Chosen] = {
            "causal": self._chain(causal=True),
            "offline": self._chain(causal=False),
        }
        traces: dict[Stage, Traces] = {
            "before": {name: later(values, self.lag, 1.0) for name, values in self.predictions.items()}
        }
        for stage, chosen in chains.items():
            causal = stage == "causal"
            traces[stage] = {
                name: apply(chosen.chain, values, hop_s=self.hop_s, causal=causal)
                for name, values in self.predictions.items()
            }
        figures = {stage: self._figures(traces[stage]) for stage in STAGES}
        return Verdict(self.system, self.dimension, figures, chains, traces)

    def _chain(self, *, causal: bool) -> Chosen:
        names = list(self.train_truths)
        predictions, truths = _paired(self.out_of_fold, self.train_truths, names)
        speakers = [self.speakers[name] for name in names]
        facts = (speakers, self.hop_s, self.lag, causal, self.folds)
        path = self.keep / f"chain-{shards.key(facts, shards.digest([*predictions, *truths]))}.json"
        kept = shards.made_json(path, lambda: asdict(self._choose(predictions, truths, speakers, causal)))
        return Chosen(Chain(**kept["chain"]), tuple(Step(**step) for step in kept["steps"]))

    def _choose(
        self, predictions: Sequence[F64], truths: Sequence[F64], speakers: Sequence[str], causal: bool
    ) -> Chosen:
        return choose_chain(
            predictions,
            truths,
            speakers,
            hop_s=self.hop_s,
            lag_s=self.lag * self.hop_s,
            causal=causal,
            folds=self.folds,
        )

    def _figures(self, traces: Traces) -> Figures:
        names = list(self.truths)
        predictions, truths = _paired(traces, self.truths, names)
        joined, truth = np.concatenate(predictions), np.concatenate(truths)
        return {
            "ccc": ccc(truth, joined),
            "interval": ccc_interval(truths, predictions, [self.speakers[name] for name in names]),
            "ccc_per_file": float(np.mean([ccc(t, p) for t, p in zip(truths, predictions, strict=True)])),
            "rmse": rmse(truth, joined),
            "same_side": same_side(list(self.train_truths.values()), truths, predictions),
        }


def judge(job: Judgement) -> Verdict:
    """`Judgement.run` as a function, for workers."""
    return job.run()


def compare(
    first: Verdict, second: Verdict, stage: Stage, truths: Traces, speakers: Mapping[str, str]
) -> Paired:
    """Paired difference of CCC on the judged recordings, ``first`` less ``second``."""
    names = list(truths)
    one, two = first.traces[stage], second.traces[stage]
    counts = [min(len(truths[name]), len(one[name]), len(two[name])) for name in names]

    def cut(traces: Traces) -> list[F64]:
        return [traces[name][:count] for name, count in zip(names, counts, strict=True)]

    return paired_difference(cut(truths), cut(one), cut(two), [speakers[name] for name in names])


def baselines(train: Traces, truths: Traces) -> Baseline:
    """What looking at nothing reaches on the judged recordings."""
    return baseline(list(train.values()), list(truths.values()))


def _paired(predictions: Traces, truths: Traces, names: Sequence[str]) -> tuple[list[F64], list[F64]]:
    """Predictions and truths cut to their common length; a gold standard longer than the media is no error."""
    counts = [min(len(predictions[name]), len(truths[name])) for name in names]
    cut = list(zip(names, counts, strict=True))
    return [predictions[name][:n] for name, n in cut], [truths[name][:n] for name, n in cut]


def _chain_facts(chosen: Chosen) -> dict[str, Any]:
    chain = chosen.chain
    return {
        "parameters": {name: getattr(chain, name) for name in type(chain).__slots__},
        "steps": [
            {"step": step.name, "without": step.without, "with": step.with_it, "kept": step.kept}
            for step in chosen.steps
        ],
    }
