"""Features to normal scores: what counts is how a value ranks among the training values, not how far out it lies.

Functionals have long tails, and a noisy room moves them far outside of the training range; ranks tame both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.base import BaseEstimator, TransformerMixin

F64 = NDArray[np.float64]

OUTERMOST = 0.001


class NormalScores(TransformerMixin, BaseEstimator):
    """Piecewise linear map of each feature to the normal score of its rank (van der Waerden 1952), flat beyond the
    ends.

    ``score(x) = start + sum_q rise_q clip((x - knot_q) / width_q, 0, 1)``. Knots are rounded to float32, so that the
    converted graph bends where this does.

    Parameters
    ----------
    knots
        Quantiles to interpolate between, from 0.1 % to 99.9 %; equal ones are joined.

    Attributes
    ----------
    start_, knot_, inverse_width_, rise_
        Shapes (d,) and, for the rest, (d, knots - 1).
    """

    def __init__(self, knots: int = 33) -> None:
        self.knots = knots

    def fit(self, X: ArrayLike, y: object = None) -> NormalScores:
        """Take the quantiles of the rows ``X`` (n, d)."""
        x = np.asarray(X, np.float64)
        shares = np.linspace(OUTERMOST, 1 - OUTERMOST, self.knots)
        ramps = [
            _ramps(column, norm.ppf(shares)) for column in np.quantile(x, shares, axis=0).T.astype(np.float32)
        ]
        starts, knots, inverse_widths, rises = zip(*ramps, strict=True)
        self.start_ = np.array(starts)
        self.knot_ = np.array(knots)
        self.inverse_width_ = np.array(inverse_widths)
        self.rise_ = np.array(rises)
        return self

    def transform(self, X: ArrayLike) -> F64:
        """Scores (n, d), about -3.1 to 3.1."""
        x = np.asarray(X, np.float64)
        scores = np.empty_like(x)
        for d in range(x.shape[1]):  # one feature at a time: all at once would not fit in memory
            climbed = np.clip((x[:, d, None] - self.knot_[d]) * self.inverse_width_[d], 0.0, 1.0)
            scores[:, d] = self.start_[d] + climbed @ self.rise_[d]
        return scores


def _ramps(quantiles: NDArray[np.float32], scores: F64) -> tuple[float, F64, F64, F64]:
    """Start, knots, inverse widths and rises of one feature; a value that many rows share gets the mean of its
    scores.
    """
    knots, inverse = np.unique(quantiles.astype(np.float64), return_inverse=True)
    values = np.bincount(inverse, scores) / np.bincount(inverse)
    spare = len(scores) - len(knots)
    widths = np.diff(knots)
    left = np.pad(knots[:-1], (0, spare))
    return float(values[0]), left, np.pad(1.0 / widths, (0, spare)), np.pad(np.diff(values), (0, spare))
