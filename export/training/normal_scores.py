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
    lines_
        The same map as knots and scores of each feature.
    """

    def __init__(self, knots: int = 33) -> None:
        self.knots = knots

    def fit(self, X: ArrayLike, y: object = None) -> NormalScores:
        """Take the quantiles of the rows ``X`` (n, d)."""
        x = np.asarray(X, np.float64)
        shares = np.linspace(OUTERMOST, 1 - OUTERMOST, self.knots)
        quantiles = np.quantile(x, shares, axis=0).T.astype(np.float32)
        self.lines_ = [_line(column, norm.ppf(shares)) for column in quantiles]
        ramps = [_ramps(*line, self.knots - 1) for line in self.lines_]
        starts, knots, inverse_widths, rises = zip(*ramps, strict=True)
        self.start_ = np.array(starts)
        self.knot_ = np.array(knots)
        self.inverse_width_ = np.array(inverse_widths)
        self.rise_ = np.array(rises)
        return self

    def transform(self, X: ArrayLike) -> F64:
        """Scores (n, d), about -3.1 to 3.1."""
        x = np.asarray(X, np.float64)
        return np.stack([np.interp(x[:, d], *line) for d, line in enumerate(self.lines_)], axis=1)


def _line(quantiles: NDArray[np.float32], scores: F64) -> tuple[F64, F64]:
    """Knots and scores of one feature; a value that many rows share gets the mean of its scores."""
    knots, inverse = np.unique(quantiles.astype(np.float64), return_inverse=True)
    return knots, np.bincount(inverse, scores) / np.bincount(inverse)


def _ramps(knots: F64, values: F64, count: int) -> tuple[float, F64, F64, F64]:
    """Start, and ``count`` knots, inverse widths and rises of one feature; spare ones rise by nothing."""
    spare = count - (len(knots) - 1)
    inverse = 1.0 / np.diff(knots)
    left, inverse, rises = (np.pad(part, (0, spare)) for part in (knots[:-1], inverse, np.diff(values)))
    return float(values[0]), left, inverse, rises
