"""Kernel ridge regression on landmarks: as good as support vectors here, of a size that is chosen, and fast to judge.

The expansion stands on ``m`` rows of the training data (Nystroem's approximation; Williams & Seeger 2001). Its weights
minimise ``sum_i s_i (y_i - w k(x_i))^2 + penalty w K w``, so that all that the rows say is their weighted Gram matrix:
any fold is the sum of its people's, and a whole grid with people left out costs little more than one fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from sklearn.metrics.pairwise import rbf_kernel

from .affect_svr import Kernel

F64 = NDArray[np.float64]

JITTER = 1e-6
"""Of the Gram matrix's diagonal for each row: keeps the weights small enough for float32."""


@dataclass(frozen=True)
class Moments:
    """All that a fit needs to know of some rows: sums over them, by addition and subtraction.

    ``gram`` (m, m), ``cross`` (m, 2) of kernel values and targets; ``total``, ``target`` (2,) and ``mean`` (m,) of the
    weights, the weighted targets and the weighted kernel values.
    """

    gram: F64
    cross: F64
    mean: F64
    target: F64
    total: float

    @classmethod
    def of(cls, kernel: F64, target: F64, weight: F64) -> Moments:
        """Sums over rows: kernel values (n, m), targets (n, 2), weights (n,)."""
        weighted = kernel * weight[:, None]
        return cls(
            weighted.T @ kernel, weighted.T @ target, weighted.sum(axis=0), weight @ target, weight.sum()
        )

    def __sub__(self, other: Moments) -> Moments:
        """Without some of the rows."""
        return Moments(
            self.gram - other.gram,
            self.cross - other.cross,
            self.mean - other.mean,
            self.target - other.target,
            self.total - other.total,
        )


@dataclass(frozen=True)
class Landmarks:
    """Rows (m, d) that kernels of one width stand on."""

    rows: F64
    gamma: float

    @classmethod
    def of(cls, rows: F64, gamma: float) -> Landmarks:
        """Rounded to float16, in which a bundle stores them at half the size; what is fitted knows of it."""
        return cls(rows.astype(np.float16).astype(np.float64), gamma)

    def kernel(self, z: F64) -> F64:
        """Values of standardised rows (n, d), shape (n, m)."""
        values: F64 = rbf_kernel(z, self.rows, gamma=self.gamma)
        return values

    def solve(self, moments: Moments, penalty: float) -> tuple[F64, F64]:
        """Weights (m, 2) and intercepts (2,)."""
        centre = moments.mean / moments.total
        gram = moments.gram - moments.total * np.outer(centre, centre) + penalty * self.kernel(self.rows)
        gram[np.diag_indices(len(gram))] += JITTER * moments.total
        level = moments.target / moments.total
        weights: F64 = solve(gram, moments.cross - np.outer(moments.mean, level), assume_a="pos")
        return weights, level - centre @ weights

    def expansion(self, weights: F64, intercept: float) -> Kernel:
        """One dimension's regressor."""
        return Kernel(self.rows, weights, self.gamma, intercept)
