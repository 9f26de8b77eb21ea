"""The regressor of both modalities: one standardiser, one support vector regressor for each of arousal and
valence.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR, LinearSVR

from edge_emotion.errors import UsageError

from .normal_scores import NormalScores

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A fitted RBF expansion ``sum_i weights_i exp(-gamma |z - supports_i|^2) + intercept`` on standardised
    rows.
    """

    supports: F64
    weights: F64
    gamma: float
    intercept: float

    def predict(self, z: F64) -> F64:
        """Values at the rows of ``z``, shape (n,)."""
        values: F64 = rbf_kernel(z, self.supports, gamma=self.gamma) @ self.weights + self.intercept
        return values


class AffectSVR(RegressorMixin, BaseEstimator):
    """Arousal and valence from one feature vector.

    Parameters
    ----------
    arousal, valence
        Unfitted ``SVR`` (RBF) or ``LinearSVR``; cloned at `fit`.
    budget
        At most so many support vectors for a dimension; ``None`` keeps all. A larger expansion is replaced by
        a *reduced set*: ``budget`` k-means centres of its support vectors, weighted by ridge least squares so
        that the short expansion follows the full one on the training rows (our choice; after Burges 1996,
        "Simplified support vector decision rules").
    seed
        Of k-means.
    scores
        Turn features to `NormalScores` before they are standardised.

    Attributes
    ----------
    scores_
        Fitted `NormalScores`, or ``None``.
    scaler_
        ``StandardScaler`` of the training rows (of their scores).
    regressors_
        For arousal and valence a `Kernel` or a fitted ``LinearSVR``, on standardised rows.
    """

    def __init__(
        self,
        arousal: SVR | LinearSVR,
        valence: SVR | LinearSVR,
        budget: int | None = None,
        seed: int = 0,
        scores: bool = False,
    ) -> None:
        self.arousal = arousal
        self.valence = valence
        self.budget = budget
        self.seed = seed
        self.scores = scores

    def fit(self, X: ArrayLike, Y: ArrayLike, weight: ArrayLike | None = None) -> AffectSVR:
        """Fit on rows ``X`` (n, d) and ratings ``Y`` (n, 2), optionally weighted, (n,) or for each dimension (n, 2).

        The standardiser counts all rows alike; a row of weight 0 is left out of that dimension's regressor.
        """
        x, y = np.asarray(X, np.float64), np.asarray(Y, np.float64)
        if y.ndim != 2 or y.shape[1] != 2 or len(x) != len(y):
            raise UsageError(
                f"ratings must have the shape ({len(x)}, 2): arousal and valence; they have {y.shape}"
            )
        self.scores_ = NormalScores().fit(x) if self.scores else None
        x = x if self.scores_ is None else self.scores_.transform(x)
        self.scaler_ = StandardScaler().fit(x)
        z = self.scaler_.transform(x)
        weights = np.ones(len(z)) if weight is None else np.asarray(weight, np.float64)
        weights = np.broadcast_to(weights[:, None] if weights.ndim == 1 else weights, y.shape)
        self.regressors_ = []
        for k, estimator in enumerate((self.arousal, self.valence)):
            used = weights[:, k] > 0
            self.regressors_.append(self._fit_one(clone(estimator), z[used], y[used, k], weights[used, k]))
        return self

    @classmethod
    def of(
        cls,
        scaler: StandardScaler,
        regressors: Sequence[SVR | LinearSVR | Kernel],
        scores: NormalScores | None = None,
    ) -> AffectSVR:
        """Wrap what is already fitted: a standardiser, after ``scores`` if there are any, and the regressors of
        arousal and valence on its output.
        """
        arousal, valence = regressors
        model = cls(arousal, valence)
        model.scores_ = scores
        model.scaler_ = scaler
        model.regressors_ = [_kernel(r) if isinstance(r, SVR) else r for r in regressors]
        return model

    def predict(self, X: ArrayLike) -> F64:
        """Arousal and valence (n, 2) of rows (n, d), in float64, not clipped."""
        x = np.asarray(X, np.float64)
        z = self.scaler_.transform(x if self.scores_ is None else self.scores_.transform(x))
        return np.stack([regressor.predict(z) for regressor in self.regressors_], axis=1)

    def rescale(self, scales: Sequence[tuple[float, float, float]]) -> None:
        """Turn each dimension's prediction p into ``new_centre + factor * (p - centre)``, given (centre, factor,
        new_centre).
        """
        self.regressors_ = [
            _rescaled(regressor, factor, new_centre - factor * centre)
            for regressor, (centre, factor, new_centre) in zip(self.regressors_, scales, strict=True)
        ]

    def _fit_one(self, estimator: Any, z: F64, y: F64, weight: F64) -> Kernel | LinearSVR:
        estimator.fit(z, y, sample_weight=weight)
        if isinstance(estimator, LinearSVR):
            return estimator
        full = _kernel(estimator)
        if self.budget is None or len(full.supports) <= self.budget:
            return full
        return reduced_set(full, z, self.budget, self.seed)


def reduced_set(full: Kernel, z: F64, count: int, seed: int) -> Kernel:
    """Follow ``full`` on the rows ``z`` with ``count`` support vectors."""
    means = MiniBatchKMeans(count, random_state=seed, n_init=1, batch_size=4096).fit(full.supports)
    centres = means.cluster_centers_.astype(np.float64)
    gram = rbf_kernel(z, centres, gamma=full.gamma)
    square = gram.T @ gram
    square[np.diag_indices(count)] += 1e-6 * len(z)  # keeps the weights small enough for float32
    weights = solve(square, gram.T @ (full.predict(z) - full.intercept), assume_a="pos")
    return Kernel(centres, weights, full.gamma, full.intercept)


def _rescaled(regressor: Kernel | LinearSVR, factor: float, offset: float) -> Kernel | LinearSVR:
    if isinstance(regressor, Kernel):
        intercept = factor * regressor.intercept + offset
        return replace(regressor, weights=factor * regressor.weights, intercept=intercept)
    other = copy(regressor)
    other.coef_, other.intercept_ = factor * regressor.coef_, factor * regressor.intercept_ + offset
    return other


def _kernel(fitted: SVR) -> Kernel:
    if fitted.kernel != "rbf":
        raise UsageError(f"kernel {fitted.kernel!r} is not supported: use SVR(kernel='rbf') or LinearSVR")
    return Kernel(
        supports=np.asarray(fitted.support_vectors_, np.float64),
        weights=np.asarray(fitted.dual_coef_, np.float64).ravel(),
        gamma=float(fitted._gamma),
        intercept=float(fitted.intercept_[0]),
    )
