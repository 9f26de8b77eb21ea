"""Pictures of `face_evaluation.evaluate`: conditions, confusion, size and light, learning curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import InputError
from edge_emotion.types import DIMENSIONS, F32

from ..corpora.votes import label
from .face_conditions import CONDITIONS
from .face_evaluation import JudgedCorpus
from .face_report import draw_confusion, draw_curves, pyplot
from .face_sightings import FACTS

SIZE = tuple(name for name in CONDITIONS if name in ("clean", "far") or name.startswith("face_"))
LIGHT = ("clean", "dark", "back_light")
"""The conditions whose faces differ in size, and in light, and in nothing else."""


def draw(
    report: Mapping[str, Any], judged: Sequence[JudgedCorpus], folder: Path, training: Path | None = None
) -> None:
    """Draw everything that the figures allow into ``folder``; ``training`` holds the metrics.json of a training."""
    if report["confusion"]:
        draw_confusion(report["confusion"], folder / "confusion.png")
    if len(report["conditions"]) > 1:
        draw_conditions(report["conditions"], folder / "conditions.png")
    voted = [part for part in judged if part.corpus.votes is not None]
    if voted and set(SIZE + LIGHT) <= set(report["conditions"]):
        sizes, lights = (
            _right(voted, names, fact) for names, fact in ((SIZE, "face_px"), (LIGHT, "brightness"))
        )
        draw_size_and_light(sizes, lights, folder / "size_and_light.png")
    if training:
        draw_curves(_history(training / "metrics.json"), folder / "learning_curves.png")


def _right(
    voted: Sequence[JudgedCorpus], conditions: Sequence[str], fact: str
) -> tuple[NDArray[np.bool_], F32]:
    """Whether each sighting with a class of the standard protocol was named right, and a fact of it."""
    right, facts = [], []
    for part in voted:
        assert part.corpus.votes is not None
        rows = part.seen.under(*conditions)
        truth = label(part.corpus.votes[part.seen.item[rows]], "standard")
        rows, truth = rows[truth >= 0], truth[truth >= 0]
        right.append(part.encoded.votes[rows].argmax(1) == truth)
        facts.append(part.seen.facts[rows, FACTS.index(fact)])
    return np.concatenate(right), np.concatenate(facts)


def _history(path: Path) -> list[dict[str, Any]]:
    try:
        history: list[dict[str, Any]] = json.loads(path.read_text())["history"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: no history of a training; give the --out folder of `train face`") from None
    return history


def draw_conditions(by_condition: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Accuracy and CCC under each condition, as bars; those held out from training in grey."""
    rows = by_condition.values()
    figures = {"accuracy, standard protocol": [(row["accuracy"] or {}).get("standard") for row in rows]}
    figures |= {f"CCC, {name}": [(row[name] or {}).get("ccc") for row in rows] for name in DIMENSIONS}
    known = {title: values for title, values in figures.items() if None not in values}
    if not known:
        return
    plt = pyplot()
    figure, panels = plt.subplots(
        1,
        len(known),
        figsize=(1.5 + 3.5 * len(known), 1.2 + 0.25 * len(rows)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    colours = ["0.6" if row["held_out"] else "tab:blue" for row in rows]
    for panel, (title, values) in zip(panels[0], known.items(), strict=True):
        panel.barh(range(len(rows)), values, color=colours)
        panel.set(title=title, xlim=(0, 1))
    panels[0, 0].set_yticks(range(len(rows)), list(by_condition))
    panels[0, 0].invert_yaxis()
    figure.supxlabel("grey: held out from training")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_size_and_light(
    sizes: tuple[NDArray[np.bool_], F32], lights: tuple[NDArray[np.bool_], F32], path: Path
) -> None:
    """Accuracy over width and over grey level of the face, in eight bins of equally many faces, one standard error."""
    plt = pyplot()
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    names = ("width of the face (pixels)", "mean grey level of the face")
    for panel, name, (right, fact) in zip(panels, names, (sizes, lights), strict=True):
        bins = [part for part in np.array_split(np.argsort(fact, kind="stable"), 8) if len(part)]
        shares = np.array([right[part].mean() for part in bins])
        errors = np.sqrt(shares * (1 - shares) / [len(part) for part in bins])
        places = [np.median(fact[part]) for part in bins]
        panel.errorbar(places, 100 * shares, 100 * errors, fmt="o-", color="black")
        panel.set(xlabel=name, xscale="log")
        panel.minorticks_off()
        ticks = [t for t in (5, 10, 20, 50, 100, 200) if min(places) <= t <= max(places)]
        panel.set_xticks(ticks, [str(t) for t in ticks])
    panels[0].set_ylabel("accuracy, standard protocol (%)")
    figure.savefig(path, dpi=120)
    plt.close(figure)
