"""Gold standard from individual ratings, as the AVEC series builds it (agreement-weighted centring by CCC)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import InputError

from ..corpora.records import Traces
from .metrics import ccc

F64 = NDArray[np.float64]

DECIMALS = 6
"""The published gold standards are rounded to this."""


def agreement(ratings: F64) -> F64:
    """Mean CCC of each rater with every other one; ``ratings`` (n, raters) to (raters,).

    A constant trace agrees with nothing: 0.
    """
    raters = ratings.shape[1]
    if raters < 2:
        return np.ones(raters)
    total = np.zeros(raters)
    for first, second in combinations(range(raters), 2):
        total[[first, second]] += ccc(ratings[:, first], ratings[:, second])
    return total / (raters - 1)


def gold_standard(ratings: F64) -> F64:
    """One trace from many: each rater is moved to the agreement-weighted mean, then all are averaged.

    ``w_r`` is the `agreement` of rater r, ``m_r`` the rater's mean, ``mu = sum(m_r w_r) / sum(w_r)``, and the result is
    the mean over raters of ``rating - m_r + mu``, rounded to 6 decimals (Ringeval et al. 2018, AVEC 2018). Where the
    agreements sum to 0 the weights are equal (our choice: the formula has no value there).

    Parameters
    ----------
    ratings
        ``float64 (n, raters)``, finite, one rater or more.

    Returns
    -------
    ``float64 (n,)``
    """
    if ratings.ndim != 2 or not ratings.size:
        raise InputError(
            f"ratings of the shape {ratings.shape}: rows of time by one rater or more were expected"
        )
    weights = agreement(ratings)
    means = ratings.mean(axis=0)
    if abs(weights.sum()) < 1e-12:
        weights = np.ones_like(weights)
    centre = means @ weights / weights.sum()
    gold: F64 = np.round((ratings - means).mean(axis=1) + centre, DECIMALS)
    return gold


def gold_of(traces: Traces) -> F64:
    """The published gold standard where there is one, else `gold_standard` of the individual ratings."""
    return traces.gold if traces.gold is not None else gold_standard(traces.values)
