"""Figures and pictures of a face network: accuracy by protocol, recall, confusion, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_emotion.types import DIMENSIONS, F32

from ..corpora.faces import EXPRESSIONS
from ..corpora.votes import CLASSES, PROTOCOLS, label
from .face_conditions import HELD_OUT, TRAINED
from .face_cross_validation import OutOfFold


def accuracy(votes: F32, probabilities: F32) -> dict[str, Any]:
    """Share of faces whose surest class is the protocol's, and ``n``, by protocol; ``None`` where n is 0."""
    guess = probabilities.argmax(1)
    labels = {name: label(votes, name) for name in PROTOCOLS}
    counts = {name: int((truth >= 0).sum()) for name, truth in labels.items()}
    shares: dict[str, Any] = {
        name: float((guess == truth)[truth >= 0].mean()) if counts[name] else None
        for name, truth in labels.items()
    }
    return {**shares, "n": counts}


def confusion(votes: F32, probabilities: F32) -> NDArray[np.int64]:
    """Count of faces ``(8, 8)`` by class of the standard protocol (rows) and surest class (columns)."""
    truth, guess = label(votes, "standard"), probabilities.argmax(1)
    counted = truth >= 0
    table = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(table, (truth[counted], guess[counted]), 1)
    return table


def recall(table: NDArray[np.int64]) -> dict[str, float | None]:
    """Recall of each expression from a confusion table; ``None`` for one that does not occur."""
    totals = table.sum(1)
    return {name: float(table[k, k] / totals[k]) if totals[k] else None for k, name in enumerate(EXPRESSIONS)}


def calibration_error(votes: F32, probabilities: F32, bins: int = 15) -> float | None:
    """Expected calibration error of the surest class (Guo et al. 2017, eq. 3), 0 to 1, under the standard protocol.

    ``None`` where the protocol keeps no face.
    """
    truth = label(votes, "standard")
    counted = truth >= 0
    if not counted.any():
        return None
    sure = probabilities[counted].max(1)
    right = probabilities[counted].argmax(1) == truth[counted]
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(float(np.sum(right[place == k]) - np.sum(sure[place == k]))) for k in range(bins)]
    return sum(gaps) / len(sure)


def draw_curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss and validation accuracy over the epochs."""
    plt = pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["loss"] for row in history], color="black")
    left.set(xlabel="epoch", ylabel="cross entropy to the votes")
    for key, name in (("direct", "last head"), ("early", "early head")):
        if key in history[0]:
            right.plot(epochs, [100 * row[key] for row in history], label=name)
    right.set(xlabel="epoch", ylabel="FER+ validation, standard protocol (%)")
    right.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_confusion(table: ArrayLike, path: Path) -> None:
    """Confusion (`confusion`) in per cent of each true class, with counts."""
    plt = pyplot()
    counts = np.asarray(table)
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(share.shape):
        shade = "white" if share[row, column] > 55 else "black"
        axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", color=shade)
    names = [f"{name} ({count})" for name, count in zip(EXPRESSIONS, counts.sum(1), strict=True)]
    axes.set_yticks(range(CLASSES), names)
    axes.set_xticks(range(CLASSES), EXPRESSIONS, rotation=45, ha="right")
    axes.set(
        xlabel="surest class",
        ylabel="class by the standard protocol (faces)",
        title="per cent of the true class",
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_out_of_fold(found: OutOfFold, path: Path) -> None:
    """Out-of-fold prediction against rating: clean, under the other trained conditions, under those held out."""
    plt = pyplot()
    groups = {"clean": TRAINED[:1], "trained conditions": TRAINED[1:], "held-out conditions": HELD_OUT}
    figure, axes = plt.subplots(
        2,
        len(groups),
        figsize=(2.8 * len(groups), 5.6),
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    jitter = np.random.default_rng(0).uniform(-0.03, 0.03, found.truth.shape)
    for column, (title, names) in enumerate(groups.items()):
        rows = found.sightings.under(*names)
        for row, dimension in enumerate(DIMENSIONS):
            panel = axes[row, column]
            panel.plot([-1, 1], [-1, 1], color="0.7", linewidth=1)
            panel.plot(
                (found.truth + jitter)[rows, row],
                found.prediction[rows, row],
                ".",
                markersize=2,
                alpha=0.2,
            )
            panel.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
            if row == 0:
                panel.set_title(title)
            if column == 0:
                panel.set_ylabel(f"{dimension}, out of fold")
            if row == 1:
                panel.set_xlabel("rating")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def pyplot() -> Any:
    """matplotlib.pyplot, drawing to files alone."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt
