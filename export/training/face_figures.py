"""Figures of the face models with how far they can be trusted: for metrics.json, the manifest and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from edge_emotion.types import DIMENSIONS, F32, U8

from ..corpora.faces import EXPRESSIONS
from ..corpora.votes import PROTOCOLS
from . import face_report
from .face_cross_validation import OutOfFold
from .face_data import VoteData
from .face_regressor import FaceModels, encode
from .face_training import infer
from .statistics import ccc_interval

RESAMPLES = 1000
_VIEWS = {
    "accuracy": "direct",
    "accuracy_float": "direct_float",
    "accuracy_aligned_crops": "crop",
    "accuracy_flip_average": "flip",
}
"""What `judge_models` calls a way of showing the faces, and what the manifest does."""


def judge_models(models: FaceModels, data: VoteData) -> dict[str, Any]:
    """What the encoder as the device runs it reaches on FER+ validation."""
    votes = data.valid_votes

    def probabilities(crops: U8) -> F32:
        return encode(models.encoder, models.network.settings.features, crops).votes

    direct, crops = probabilities(data.valid.direct), probabilities(data.valid.crops)
    mirrored = probabilities(np.ascontiguousarray(data.valid.direct[:, :, ::-1]))
    float_votes = infer(models.network, data.valid.direct)[1]
    table = face_report.confusion(votes, direct)
    return {
        "accuracy": face_report.accuracy(votes, direct),
        "accuracy_float": face_report.accuracy(votes, float_votes),
        "accuracy_aligned_crops": face_report.accuracy(votes, crops),
        "accuracy_flip_average": face_report.accuracy(votes, direct + mirrored),
        "recall": face_report.recall(table),
        "confusion": table.tolist(),
    }


def flat_metrics(
    judged: Mapping[str, Any] | None, found: OutOfFold, corpus: str, groups: NDArray[np.int64]
) -> dict[str, float]:
    """Figures for the manifest, by flat names that say set, protocol, measure and dimension.

    Beside a figure ``x``: ``x_n``, of how many faces, and the ends ``x_low`` and ``x_high`` of its 95 % interval.

    Parameters
    ----------
    judged
        Of `judge_models`; ``None`` where no corpus has votes.
    corpus
        Name of the rated faces' corpus.
    groups
        Of each rated face: near duplicates have one number and are drawn together.
    """
    flat = {} if judged is None else _of_votes(judged)
    report = found.report()
    flat |= _share(f"{corpus}_cv_expression_accuracy", **_counted(report["expression"]))
    for condition, scores in report["conditions"].items():
        for dimension in DIMENSIONS:
            name = f"{corpus}_cv_{condition}_ccc_{dimension}"
            flat[name] = scores[dimension]["ccc"]
            if condition == "clean":
                flat |= _ccc_ends(name, found, groups, DIMENSIONS.index(dimension))
    for condition, shares in report["coverage_80"].items():
        for dimension in DIMENSIONS:
            name = f"{corpus}_cv_{condition}_coverage_80_{dimension}"
            if condition == "all":  # a face's sightings are not independent: no interval
                flat |= {name: shares[dimension], f"{name}_n": len(found.fold)}
            else:
                count = report["conditions"][condition][dimension]["n"]
                flat |= _share(name, round(shares[dimension] * count), count)
    return {name: round(float(value), 4) for name, value in flat.items()}


def over_seeds(reports: Sequence[Mapping[str, Any]], first: int) -> dict[str, Any]:
    """Mean and standard deviation of `OutOfFold.report`'s main figures over seeds, by name; the values beside them."""
    figures = {}
    for dimension in DIMENSIONS:
        figures[f"CCC {dimension}"] = [report[dimension]["ccc"] for report in reports]
        figures[f"CCC {dimension}, held-out mean"] = [
            report["held_out_mean"][dimension] for report in reports
        ]
        figures[f"CCC {dimension}, network's own head"] = [
            r["network_head"][dimension]["ccc"] for r in reports
        ]
        figures[f"{dimension} in 80 %"] = [report["coverage_80"]["all"][dimension] for report in reports]
    spreads = {
        name: {"mean": float(np.mean(values)), "spread": float(np.std(values, ddof=1)), "values": values}
        for name, values in figures.items()
    }
    return {"seeds": [first + number for number in range(len(reports))], "over_seeds": spreads}


def _of_votes(judged: Mapping[str, Any]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for key, view in _VIEWS.items():
        for protocol in PROTOCOLS:
            if judged[key][protocol] is not None:
                count = judged[key]["n"][protocol]
                right = round(judged[key][protocol] * count)
                flat |= _share(f"ferplus_valid_{view}_accuracy_{protocol}", right, count)
    for name, row, number in zip(EXPRESSIONS, judged["confusion"], range(len(EXPRESSIONS)), strict=True):
        if sum(row):
            flat |= _share(f"ferplus_valid_direct_recall_{name}", row[number], sum(row))
    return flat


def _counted(share: Mapping[str, Any]) -> dict[str, int]:
    return {"right": round(share["accuracy"] * share["n"]), "count": share["n"]}


def _share(name: str, right: int, count: int) -> dict[str, float]:
    """A share of independent faces with Wilson's interval."""
    low, high = binomtest(right, count).proportion_ci(method="wilson")
    return {name: right / count, f"{name}_low": low, f"{name}_high": high, f"{name}_n": count}


def _ccc_ends(name: str, found: OutOfFold, groups: NDArray[np.int64], k: int) -> dict[str, float]:
    """Bootstrap over groups of near duplicates."""
    rows = found.rows("clean")
    values = [column[rows, k].astype(np.float64)[:, None] for column in (found.truth, found.prediction)]
    group = [str(number) for number in groups[found.sightings.item[rows]]]
    low, high = ccc_interval(list(values[0]), list(values[1]), group, count=RESAMPLES)
    return {f"{name}_low": low, f"{name}_high": high, f"{name}_n": len(rows)}
