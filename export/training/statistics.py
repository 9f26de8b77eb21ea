"""How far a figure can be trusted: bootstrap over speakers, paired tests, baselines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .metrics import ccc, rmse

F64 = NDArray[np.float64]

RESAMPLES = 5000
_EXACT_UP_TO = 12
"""With this many speakers or fewer all sign patterns are tried."""


class Interval(NamedTuple):
    """A percentile interval."""

    low: float
    high: float


class Paired(NamedTuple):
    """A difference of CCC between two predictions of the same recordings."""

    difference: float
    low: float
    high: float
    p_value: float
    """Two-sided sign-flip permutation test on the speakers' mean per-file differences."""


class Baseline(NamedTuple):
    """What a predictor that looks at nothing reaches; every figure is shown beside it."""

    ccc: float
    """Of the training mean: 0 by definition."""
    rmse: float
    majority: float
    """Share of frames on the training majority's side of the training mean."""


def _moments(truth: F64, prediction: F64) -> F64:
    return np.array(
        [
            len(truth),
            truth.sum(),
            prediction.sum(),
            truth @ truth,
            prediction @ prediction,
            truth @ prediction,
        ]
    )


def _ccc_of_moments(moments: F64) -> F64:
    n, t, p, tt, pp, tp = np.moveaxis(moments, -1, 0)
    covariance = tp / n - t * p / n**2
    spread = tt / n - (t / n) ** 2 + pp / n - (p / n) ** 2 + (t / n - p / n) ** 2
    safe = np.where(spread > 1e-15, spread, 1.0)
    value: F64 = np.where(spread > 1e-15, 2 * covariance / safe, 0.0)
    return value


def _by_speaker(truths: Sequence[F64], predictions: Sequence[F64], speakers: Sequence[str]) -> F64:
    names = sorted(set(speakers))
    rows = np.zeros((len(names), 6))
    for truth, prediction, speaker in zip(truths, predictions, speakers, strict=True):
        rows[names.index(speaker)] += _moments(
            np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
        )
    return rows


def _draws(speakers: int, count: int, seed: int) -> F64:
    """How often each speaker is drawn, (count, speakers)."""
    drawn = np.random.default_rng(seed).integers(0, speakers, (count, speakers))
    return np.stack([(drawn == speaker).sum(axis=1) for speaker in range(speakers)], axis=1).astype(
        np.float64
    )


def ccc_interval(
    truths: Sequence[F64],
    predictions: Sequence[F64],
    speakers: Sequence[str],
    *,
    coverage: float = 0.95,
    count: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the CCC of all recordings joined, whole speakers drawn with replacement.

    Each speaker enters by six sums, so it is exact and takes milliseconds for any length of recordings.
    """
    moments = _by_speaker(truths, predictions, speakers)
    values = _ccc_of_moments(_draws(len(moments), count, seed) @ moments)
    low, high = np.quantile(values, [(1 - coverage) / 2, (1 + coverage) / 2])
    return Interval(float(low), float(high))


def paired_difference(
    truths: Sequence[F64],
    first: Sequence[F64],
    second: Sequence[F64],
    speakers: Sequence[str],
    *,
    coverage: float = 0.95,
    count: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """CCC of ``first`` less CCC of ``second``, with an interval over speakers and a permutation test."""
    a, b = _by_speaker(truths, first, speakers), _by_speaker(truths, second, speakers)
    drawn = _draws(len(a), count, seed)
    values = _ccc_of_moments(drawn @ a) - _ccc_of_moments(drawn @ b)
    low, high = np.quantile(values, [(1 - coverage) / 2, (1 + coverage) / 2])
    whole = float(_ccc_of_moments(a.sum(axis=0)) - _ccc_of_moments(b.sum(axis=0)))
    return Paired(whole, float(low), float(high), _sign_flip(truths, first, second, speakers, count, seed))


def _sign_flip(
    truths: Sequence[F64],
    first: Sequence[F64],
    second: Sequence[F64],
    speakers: Sequence[str],
    count: int,
    seed: int,
) -> float:
    gained: dict[str, list[float]] = {}
    for truth, a, b, speaker in zip(truths, first, second, speakers, strict=True):
        gained.setdefault(speaker, []).append(ccc(truth, a) - ccc(truth, b))
    differences = np.array([np.mean(values) for values in gained.values()])
    if len(differences) <= _EXACT_UP_TO:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(differences))))
    else:
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), (count, len(differences)))
        signs[0] = 1.0
    reached = np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12
    return float(reached.mean())


def baseline(train: Sequence[F64], truths: Sequence[F64]) -> Baseline:
    """The training mean as a prediction of ``truths``, and the majority side as a guess of the sign."""
    known, truth = np.concatenate(train), np.concatenate(truths)
    mean = known.mean()
    above = (known > mean).mean() >= 0.5
    return Baseline(
        ccc(truth, np.full(len(truth), mean)),
        rmse(truth, np.full(len(truth), mean)),
        float(((truth > mean) == above).mean()),
    )


def same_side(train: Sequence[F64], truths: Sequence[F64], predictions: Sequence[F64]) -> float:
    """Share of frames whose prediction lies on the truth's side of the training mean (compare `Baseline.majority`)."""
    mean = np.concatenate(train).mean()
    return float(((np.concatenate(truths) > mean) == (np.concatenate(predictions) > mean)).mean())
