"""Regressors of speech on one protocol: each speaker left out, the same sounds, the same windows, figures in pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import UsageError
from edge_emotion.types import DIMENSIONS

from ..corpora.records import Recording
from .folds import grouped
from .metrics import ccc
from .shards import whole_file
from .sound_conditions import CONDITIONS
from .speech import SpeechData, outer_folds, utterance_means
from .speech_copies import Bar, Progress, silent, training_copies, trial_copies
from .speech_networks import Gru, TunedVoiceEncoder
from .speech_regressors import Cost, KernelRidge, Mask, Material, Svr, Trained
from .statistics import ccc_interval, paired_difference

F64 = NDArray[np.float64]

COPIES = (0, 3)
"""Of an utterance's training copies: as it is, and at 10 dB, every other one in a room (all six would cost hours)."""
JUDGED = ("clean", "pink_10_db")
SHIPPED = "both, kernel ridge"
REGRESSORS: dict[str, Trained] = {
    "functionals, SVR": Svr(("functionals",)),
    "functionals, kernel ridge": KernelRidge(("functionals",)),
    "functionals and statistics, kernel ridge": KernelRidge(("functionals", "statistics")),
    "functionals and statistics, SVR": Svr(("functionals", "statistics")),
    "encoder, kernel ridge": KernelRidge(("encoder",)),
    SHIPPED: KernelRidge(("functionals", "encoder")),
    "both and statistics, kernel ridge": KernelRidge(("functionals", "encoder", "statistics")),
    "GRU": Gru(),
    "encoder as it is, linear": TunedVoiceEncoder(tuned=False),
    "encoder tuned, linear": TunedVoiceEncoder(),
}
"""By the name in the report."""
AVERAGES: dict[str, tuple[str, str]] = {
    "mean of functionals, SVR and encoder": ("functionals, SVR", "encoder, kernel ridge"),
    f"mean of {SHIPPED} and GRU": (SHIPPED, "GRU"),
}


def read_material(
    recordings: Sequence[Recording], *, seed: int, jobs: int, frames: bool, progress: Progress = silent
) -> Material:
    """Windows, and frames where they are asked for, of `COPIES` and `JUDGED`, made as for the bundle."""
    training = training_copies(recordings, seed=seed, chosen=COPIES)
    judged = trial_copies(recordings, [CONDITIONS[name].condition for name in JUDGED], seed=seed)
    data = SpeechData(recordings, training.windows(jobs=jobs, progress=progress))
    trials = judged.windows(jobs=jobs, progress=progress)
    if not frames:
        return Material(data, trials, {}, {})
    return Material(data, trials, training.frames(progress=progress), judged.frames(progress=progress))


def needs_frames(names: Sequence[str]) -> bool:
    """Whether one of the regressors hears more than windows."""
    return any("statistics" in getattr(REGRESSORS[name], "blocks", ("statistics",)) for name in names)


def chosen(names: Sequence[str]) -> list[str]:
    """Those of `REGRESSORS` that ``names`` (parts of names) mean, and the shipped one; all for none."""
    unknown = [name for name in names if not any(name in known for known in REGRESSORS)]
    if unknown:
        raise UsageError(f"no regressor {unknown[0]!r}: choose from {'; '.join(REGRESSORS)}")
    return [k for k in REGRESSORS if not names or k == SHIPPED or any(name in k for name in names)]


def predict_unseen(
    trained: Trained, material: Material, *, seed: int = 0, progress: Bar = lambda done, total: None
) -> tuple[F64, Cost]:
    """Predictions of the trials' rows by models that do not know their speakers, (rows, 2), NaN where nobody speaks;
    and the cost of the last model.
    """
    predictions = np.full((len(material.trials), len(DIMENSIONS)), np.nan)
    folds = speaker_folds(material.data, trained.folds, seed)
    for number, (train, test) in enumerate(folds):
        rows = material.heard(test)
        fitted = trained.fit(material, train, rows, seed)
        predictions[rows] = np.clip(fitted.predictions, -1.0, 1.0)
        progress(number + 1, len(folds))
    return predictions, fitted.cost


def speaker_folds(data: SpeechData, count: int | None, seed: int) -> list[tuple[Mask, Mask]]:
    """Masks of training and test recordings: each rated speaker left out alone, or in ``count`` groups of speakers."""
    speakers = data.speakers
    names = np.unique(speakers[data.rated])
    if count is None or count >= len(names):
        return [(train, test) for _, train, test in outer_folds(data)]
    groups = [names[fold.test] for fold in grouped(names, count, seed=seed)]
    return [(~np.isin(speakers, group), data.rated & np.isin(speakers, group)) for group in groups]


def compare(
    material: Material,
    names: Sequence[str],
    *,
    seed: int = 0,
    keep: Path | None = None,
    progress: Progress = silent,
) -> dict[str, dict[str, Any]]:
    """Scores of the regressors ``names`` and of the `AVERAGES` of them.

    Parameters
    ----------
    keep
        Folder for the predictions of finished regressors: another call with the same data and seed goes on from there.

    Returns
    -------
    dict
        By regressor: ``folds``, ``parameters``, ``us_per_hop``, and for each of `JUDGED` and each dimension ``ccc``,
        ``ccc_95`` (speakers drawn anew) and ``gain``, ``gain_95``: its CCC less that of `SHIPPED`, in pairs.
    """
    said: dict[str, F64] = {}
    report: dict[str, dict[str, Any]] = {}
    for name in names:
        file = None if keep is None else keep / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}-{seed}.npz"
        said[name], cost = _kept(file, partial(_unseen, name, material, seed, progress))
        folds = len(speaker_folds(material.data, REGRESSORS[name].folds, seed))
        report[name] = {"folds": folds, **cost._asdict()}
    for name, parts in AVERAGES.items():
        if all(part in said for part in parts):
            said[name] = np.mean([said[part] for part in parts], axis=0)
            report[name] = {k: sum(report[part][k] for part in parts) for k in Cost._fields}
            report[name]["folds"] = max(report[part]["folds"] for part in parts)
    for name, predictions in said.items():
        report[name] |= scores(material, predictions, said[SHIPPED])
    return report


def _unseen(name: str, material: Material, seed: int, progress: Progress) -> tuple[F64, Cost]:
    with progress(name) as bar:
        return predict_unseen(REGRESSORS[name], material, seed=seed, progress=bar)


def scores(material: Material, predictions: F64, reference: F64) -> dict[str, Any]:
    """Of utterance means, by condition and dimension, and beside ``reference`` in pairs."""
    trials, result = material.trials, {}
    for copy, condition in enumerate(JUDGED):
        rows = np.flatnonzero((trials.copy == copy) & ~np.isnan(predictions[:, 0]))
        clip, means = utterance_means(trials.clip[rows], predictions[rows])
        other = utterance_means(trials.clip[rows], reference[rows])[1]
        truth, speakers = material.data.ratings[clip], material.data.speakers[clip]
        result[condition] = {
            name: _score(truth[:, k], means[:, k], other[:, k], speakers) for k, name in enumerate(DIMENSIONS)
        }
    return result


def _score(truth: F64, said: F64, other: F64, speakers: NDArray[np.str_]) -> dict[str, Any]:
    names = sorted(set(speakers.tolist()))
    t, p, o = ([values[speakers == name] for name in names] for values in (truth, said, other))
    pair = paired_difference(t, p, o, names)
    return {
        "ccc": ccc(truth, said),
        "ccc_95": list(ccc_interval(t, p, names)),
        "n": len(truth),
        "gain": pair.difference,
        "gain_95": [pair.low, pair.high],
    }


def _kept(file: Path | None, make: Callable[[], tuple[F64, Cost]]) -> tuple[F64, Cost]:
    if file is not None and file.is_file():
        with np.load(file) as kept:
            return kept["predictions"], Cost(int(kept["parameters"]), float(kept["us_per_hop"]))
    predictions, cost = make()
    if file is not None:
        with whole_file(file) as whole:
            np.savez(whole, predictions=predictions, **cost._asdict())
    return predictions, cost


def table(report: Mapping[str, Mapping[str, Any]]) -> str:
    """The report as Markdown, CCC of arousal and valence, as docs/speech.md shows it."""
    heads = ["regressor", "folds", *JUDGED, f"clean, less {SHIPPED}", "numbers", "us"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in report.items():
        figures = [
            ", ".join(_interval(row[c][d]["ccc"], row[c][d]["ccc_95"], ".3f") for d in DIMENSIONS)
            for c in JUDGED
        ]
        gains = ", ".join(
            _interval(row["clean"][d]["gain"], row["clean"][d]["gain_95"], "+.3f") for d in DIMENSIONS
        )
        cells = [
            name,
            str(row["folds"]),
            *figures,
            gains,
            f"{row['parameters']:,}",
            f"{row['us_per_hop']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(value: float, ends: Sequence[float], form: str) -> str:
    low, high = (f"{end:{form}}" for end in ends)
    return f"{value:{form}} ({low} to {high})"
