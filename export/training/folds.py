"""Splits that never put one person on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_emotion.errors import UsageError


class Fold(NamedTuple):
    """Row numbers of one split; no group has rows in both."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def leave_one_out(groups: ArrayLike) -> Iterator[Fold]:
    """One fold for each group, in sorted order, testing on that group alone."""
    labels = np.asarray(groups)
    yield from grouped(labels, len(np.unique(labels)))


def grouped(groups: ArrayLike, count: int, *, seed: int = 0) -> Iterator[Fold]:
    """``count`` folds of whole groups with about equally many rows; every row is tested once.

    Groups are dealt largest first, each to the fold with fewest rows, ties in an order drawn from ``seed``;
    with as many folds as groups they come in sorted order.

    Raises
    ------
    UsageError
        Fewer groups than folds, or fewer than two.
    """
    labels = np.asarray(groups)
    names, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if not 2 <= count <= len(names):
        raise UsageError(f"{count} folds: there must be 2 to {len(names)}, the number of speakers or clips")
    if count == len(names):
        fold_of_group = np.arange(count)
    else:
        drawn = np.random.default_rng(seed).permutation(len(names))
        fold_of_group, rows = np.empty(len(names), np.intp), np.zeros(count, np.intp)
        for group in drawn[np.argsort(-sizes[drawn], kind="stable")]:
            fold_of_group[group] = np.argmin(rows)
            rows[fold_of_group[group]] += sizes[group]
    fold_of_row = fold_of_group[inverse]
    for fold in range(count):
        yield Fold(np.flatnonzero(fold_of_row != fold), np.flatnonzero(fold_of_row == fold))
