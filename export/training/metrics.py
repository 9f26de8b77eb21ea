"""Agreement of predictions with ratings: CCC first, as the field reports it, with population variance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_emotion.types import DIMENSIONS

F64 = NDArray[np.float64]


class Scores(TypedDict):
    """One dimension's figures, as reports and ``metrics.json`` carry them."""

    ccc: float
    pearson_r: float
    rmse: float
    n: int


def ccc(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Concordance correlation coefficient (Lin 1989) with population moments, -1 to 1.

    0 where both are constant: there is nothing to agree on. Shapes (n,), finite.
    """
    t, p = _pair(truth, prediction)
    scale = t.var() + p.var() + (t.mean() - p.mean()) ** 2
    return float(2 * np.mean((t - t.mean()) * (p - p.mean())) / scale) if scale > 0 else 0.0


def pearson(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's correlation coefficient, -1 to 1; 0 where either is constant."""
    t, p = _pair(truth, prediction)
    scale = t.std() * p.std()
    return float(np.mean((t - t.mean()) * (p - p.mean())) / scale) if scale > 0 else 0.0


def rmse(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Root of the mean squared error, in the unit of the ratings."""
    t, p = _pair(truth, prediction)
    return float(np.sqrt(np.mean((t - p) ** 2)))


def score(truth: ArrayLike, prediction: ArrayLike) -> Scores:
    """All figures of one dimension; shapes (n,)."""
    return {
        "ccc": ccc(truth, prediction),
        "pearson_r": pearson(truth, prediction),
        "rmse": rmse(truth, prediction),
        "n": len(np.asarray(truth)),
    }


def score_both(truth: ArrayLike, prediction: ArrayLike) -> dict[str, Scores]:
    """Figures of arousal and valence; shapes (n, 2)."""
    t, p = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    return {name: score(t[:, k], p[:, k]) for k, name in enumerate(DIMENSIONS)}


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    groups: ArrayLike,
    *,
    count: int = 1000,
    coverage: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of ``statistic(rows)`` when whole groups (speakers) are drawn anew, with
    replacement.

    Items of one speaker are not independent, so drawing items would make the interval too narrow.
    """
    of_group = _rows_of_groups(groups)
    rng = np.random.default_rng(seed)
    draws = [
        statistic(np.concatenate([of_group[k] for k in rng.integers(0, len(of_group), len(of_group))]))
        for _ in range(count)
    ]
    low, high = np.quantile(draws, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)


def _rows_of_groups(groups: ArrayLike) -> list[NDArray[np.intp]]:
    labels = np.asarray(groups)
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _pair(truth: ArrayLike, prediction: ArrayLike) -> tuple[F64, F64]:
    t, p = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    if t.shape != p.shape or t.ndim != 1 or not len(t):
        raise ValueError(
            f"truth and prediction must be equally long, not empty vectors: {t.shape} and {p.shape}"
        )
    return t, p
