"""Standardisation of features: by training statistics, per speaker, and running."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

PRIOR_S = 30.0
"""Running statistics start from the training statistics, weighted like so many seconds of input (our choice)."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and standard deviation of each feature, ``float64 (d,)``; a constant feature has the deviation 1."""

    mean: F64
    scale: F64

    def apply(self, features: F64) -> F64:
        """``(features - mean) / scale`` of rows (n, d)."""
        standardised: F64 = (features - self.mean) / self.scale
        return standardised


def global_statistics(blocks: Iterable[F64]) -> Statistics:
    """Statistics of all rows of the training recordings, gathered block by block (no corpus has to fit in memory).

    Moments are merged as Chan, Golub and LeVeque (1983) do, so that a large mean costs no digits.
    """
    count, mean, squares = 0, np.zeros(0), np.zeros(0)
    for block in blocks:
        rows = np.asarray(block, np.float64)
        if not len(rows):
            continue
        if not count:
            mean, squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        delta = rows.mean(axis=0) - mean
        total = count + len(rows)
        squares += rows.var(axis=0) * len(rows) + delta**2 * count * len(rows) / total
        mean = mean + delta * len(rows) / total
        count = total
    if not count:
        raise ValueError("statistics of no rows")
    return Statistics(mean, _safe(np.sqrt(squares / count)))


def per_speaker(features: Sequence[F64], speakers: Sequence[str]) -> list[F64]:
    """Standardise each recording by the statistics of all recordings of its speaker.

    Not causal, no device can do it: it looks at a speaker's whole future. A reference for `RunningStandardiser`.
    """
    of_speaker = {
        name: global_statistics(x for x, s in zip(features, speakers, strict=True) if s == name)
        for name in set(speakers)
    }
    return [of_speaker[speaker].apply(x) for x, speaker in zip(features, speakers, strict=True)]


class RunningStandardiser:
    """What becomes of per-speaker standardisation at run time: statistics of what was heard and seen so far.

    Training statistics stand in at the beginning, weighted like ``prior_rows`` rows, and fade as rows come in.
    """

    def __init__(self, prior: Statistics, prior_rows: float) -> None:
        self._prior = prior
        self._prior_rows = prior_rows
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._count = 0
        self._sum = np.zeros_like(self._prior.mean)
        self._squares = np.zeros_like(self._prior.mean)

    def push(self, features: F64) -> F64:
        """Rows (n, d) standardised by the statistics up to and with each of them."""
        # Deviations from the prior mean keep the sums of squares small.
        rows = np.asarray(features, np.float64) - self._prior.mean
        sums = np.cumsum(np.concatenate([self._sum[None], rows]), axis=0)[1:]
        squares = np.cumsum(np.concatenate([self._squares[None], rows**2]), axis=0)[1:]
        weight = (self._prior_rows + self._count + np.arange(1, len(rows) + 1))[:, None]
        mean = sums / weight
        variance = (squares + self._prior_rows * self._prior.scale**2) / weight - mean**2
        if len(rows):
            self._count += len(rows)
            self._sum, self._squares = sums[-1], squares[-1]
        standardised: F64 = (rows - mean) / _safe(np.sqrt(np.maximum(variance, 0.0)))
        return standardised


def _safe(scale: F64) -> F64:
    return np.where(scale > 1e-12, scale, 1.0)
