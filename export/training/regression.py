"""Support vector regressors on one or two blocks of features, their grid, and their choice by CCC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVR, LinearSVR

from edge_emotion.types import Dimension

from .folds import grouped
from .metrics import ccc

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of the grid.

    Attributes
    ----------
    gamma
        Of the RBF kernel, in units of 1 / (squared block weights summed over the features), so that 1 is the usual
        ``scale`` of standardised features.
    weights
        Factor of each standardised block: how much sound and picture count in an early fusion. 0 leaves one out.
    """

    kernel: Literal["linear", "rbf"]
    c: float
    epsilon: float
    gamma: float = 1.0
    weights: tuple[float, ...] = (1.0,)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Candidate:
        """The candidate that was written as JSON."""
        return cls(**{**facts, "weights": tuple(facts["weights"])})


@dataclass(frozen=True, slots=True)
class Grid:
    """What is tried."""

    linear_c: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    rbf_c: tuple[float, ...] = (0.1, 1.0)
    epsilons: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2)
    rbf_epsilons: tuple[float, ...] = (0.05, 0.1)
    gammas: tuple[float, ...] = (0.25, 1.0)
    weights: tuple[tuple[float, float], ...] = ((1.0, 0.0), (1.0, 0.3), (1.0, 1.0), (0.3, 1.0), (0.0, 1.0))

    def candidates(self, blocks: int) -> list[Candidate]:
        """All points for one block, or for two: then fewer of the kernels' own parameters, for each pair of weights."""
        if blocks == 1:
            linear = [Candidate("linear", c, e) for c, e in product(self.linear_c, self.epsilons)]
            kernels = product(self.rbf_c, self.rbf_epsilons, self.gammas)
            return linear + [Candidate("rbf", c, e, g) for c, e, g in kernels]
        pairs = self.weights
        linear = [
            Candidate("linear", c, self.rbf_epsilons[0], 1.0, w)
            for c, w in product(self.linear_c[1:4], pairs)
        ]
        rbf = product(self.rbf_c, self.gammas, pairs)
        return linear + [Candidate("rbf", c, self.rbf_epsilons[-1], g, w) for c, g, w in rbf]


@dataclass(frozen=True, slots=True)
class Regressor:
    """A fitted candidate as plain numbers: predicts by one matrix product, travels to any worker.

    ``scale`` is the deviation of each feature divided by its block's weight. RBF: ``supports`` (m, d) and ``weights``
    (m,); linear: ``supports`` is empty and ``weights`` (d,).
    """

    mean: F64
    scale: F64
    supports: F64
    weights: F64
    gamma: float
    intercept: float

    def predict(self, rows: F64) -> F64:
        """Values at raw rows (n, d), in pieces, ``float64 (n,)``."""
        pieces = [self._piece(rows[at : at + 2000]) for at in range(0, len(rows), 2000)]
        return np.concatenate(pieces) if pieces else np.zeros(0)

    def _piece(self, rows: F64) -> F64:
        z = (rows - self.mean) / self.scale
        if not len(self.supports):
            linear: F64 = z @ self.weights + self.intercept
            return linear
        values: F64 = rbf_kernel(z, self.supports, gamma=self.gamma) @ self.weights + self.intercept
        return values


def fit(candidate: Candidate, rows: F64, labels: F64, widths: Sequence[int], seed: int = 0) -> Regressor:
    """Fit on raw rows ``(n, d)``; ``widths`` are the features in each block, one for each of the weights."""
    mean, scale = scaling(candidate, rows, widths)
    return fit_scaled(candidate, (rows - mean) / scale, labels, mean, scale, seed)


def scaling(candidate: Candidate, rows: F64, widths: Sequence[int]) -> tuple[F64, F64]:
    """Mean and scale of raw rows; a block of weight 0 is scaled to nothing."""
    deviation = rows.std(axis=0)
    weight = np.repeat(candidate.weights, widths)
    safe = np.where(deviation > 1e-12, deviation, 1.0)
    return rows.mean(axis=0), safe / np.where(weight > 0, weight, 1e-12)


def fit_scaled(candidate: Candidate, z: F64, labels: F64, mean: F64, scale: F64, seed: int = 0) -> Regressor:
    """Fit on rows that are scaled already."""
    if candidate.kernel == "linear":
        linear = LinearSVR(
            C=candidate.c,
            epsilon=candidate.epsilon,
            loss="squared_epsilon_insensitive",
            dual=False,
            max_iter=5000,
            random_state=seed,
        ).fit(z, labels)
        return Regressor(
            mean,
            scale,
            np.zeros((0, z.shape[1])),
            linear.coef_.astype(np.float64),
            0.0,
            float(linear.intercept_[0]),
        )
    gamma = candidate.gamma / max(float(np.sum(z.var(axis=0))), 1e-9)
    rbf = SVR(C=candidate.c, epsilon=candidate.epsilon, gamma=gamma, cache_size=400).fit(z, labels)
    return Regressor(
        mean, scale, rbf.support_vectors_, rbf.dual_coef_.ravel(), float(gamma), float(rbf.intercept_[0])
    )


@dataclass(frozen=True, slots=True)
class Search:
    """The best candidate and how all fared: CCC over the joined out-of-fold rows."""

    best: Candidate
    score: float
    tried: tuple[tuple[Candidate, float], ...]


def agreeing(searches: Mapping[Dimension, Search]) -> dict[Dimension, Candidate]:
    """The best candidate of each dimension among those that weigh the blocks alike, as one concatenation needs."""
    best: dict[tuple[float, ...], dict[Dimension, tuple[float, Candidate]]] = {}
    for dimension, found in searches.items():
        for candidate, score in found.tried:
            of_weights = best.setdefault(candidate.weights, {})
            if dimension not in of_weights or score > of_weights[dimension][0]:
                of_weights[dimension] = (score, candidate)
    winner = max(best.values(), key=lambda found: sum(score for score, _ in found.values()))
    return {dimension: candidate for dimension, (_, candidate) in winner.items()}


def search(
    candidates: Sequence[Candidate],
    rows: F64,
    labels: F64,
    speakers: NDArray[Any],
    widths: Sequence[int],
    folds: int,
    seed: int = 0,
) -> Search:
    """Try every candidate on speaker-disjoint folds; the first of equals wins."""
    outcome = np.zeros((len(candidates), len(labels)))
    for fold in grouped(speakers, min(folds, len(np.unique(speakers)))):
        for index, candidate in enumerate(candidates):
            fitted = fit(candidate, rows[fold.train], labels[fold.train], widths, seed)
            outcome[index, fold.test] = fitted.predict(rows[fold.test])
    scores = [ccc(labels, values) for values in outcome]
    best = int(np.argmax(scores))
    return Search(candidates[best], scores[best], tuple(zip(candidates, scores, strict=True)))
