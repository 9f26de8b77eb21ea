"""The committed results as pictures: what others take for the same, and how cost grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Figures = dict[str, dict[str, Any]]

OURS, OTHERS, LINE = "#1f6f8b", "#b9bfc4", "#d1495b"
COMPARED: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = (
    (
        "descriptors of 60 s of sound",
        (
            ("edge_emotion, 88 functionals", ("acoustic.file of 60 s",)),
            ("openSMILE, the same", ("acoustic.opensmile: file",)),
            ("librosa, MFCC and pitch only", ("acoustic.librosa: mfcc", "acoustic.librosa: pyin")),
            (
                "Praat, pitch, formants, HNR only",
                (
                    "acoustic.parselmouth: pitch",
                    "acoustic.parselmouth: formants",
                    "acoustic.parselmouth: harmonicity",
                ),
            ),
        ),
    ),
    (
        "one picture of 640 x 480",
        (
            ("edge_emotion, face to features", ("face.frame with one face, mean",)),
            ("fer, face to expressions", ("face.fer: frame",)),
            ("Haar cascade, detection only", ("face.haar: detect",)),
            ("mediapipe, detection only", ("face.mediapipe: detect",)),
        ),
    ),
    (
        "one row through 2,000 support vectors",
        (
            ("edge_emotion, both dimensions", ("regressor.rbf: ours, two outputs",)),
            ("skl2onnx's operator, one dimension", ("regressor.rbf: skl2onnx, one output",)),
            ("scikit-learn, both dimensions", ("regressor.rbf: scikit-learn, two outputs",)),
        ),
    ),
    (
        "one tick: 3 s of sound, one picture",
        (
            ("edge_emotion, with fusion and JSON", ("pipeline.tick",)),
            ("openSMILE and fer", ("pipeline.opensmile: window", "pipeline.fer: frame")),
        ),
    ),
)


def draw_comparison(figures: Figures, machine: str, path: Path) -> bool:
    """Bars of CPU milliseconds on a logarithmic axis, ours first; tells whether there was anything to draw."""
    from matplotlib.figure import Figure

    panels = [(title, _bars(rows, figures)) for title, rows in COMPARED]
    panels = [(title, bars) for title, bars in panels if len(bars) > 1]
    if not panels:
        return False
    picture = Figure(
        figsize=(8.5, 0.5 + 0.36 * sum(len(bars) + 1.2 for _, bars in panels)), layout="constrained"
    )
    axes = picture.subplots(len(panels), squeeze=False, height_ratios=[len(bars) for _, bars in panels])[:, 0]
    for axis, (title, bars) in zip(axes, panels, strict=True):
        names, values = zip(*bars, strict=True)
        drawn = axis.barh(names, values, color=[OURS, *[OTHERS] * (len(bars) - 1)])
        axis.bar_label(
            drawn,
            [f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms" for value in values],
            padding=3,
            fontsize=8,
        )
        axis.set_xscale("log")
        axis.set_xlim(min(values) / 3, max(values) * 4)
        axis.invert_yaxis()
        axis.set_title(title, loc="left", fontsize=10)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel(f"CPU milliseconds, logarithmic; {machine}", fontsize=8)
    picture.savefig(path, dpi=110)
    return True


def draw_growth(curves: list[dict[str, Any]], machine: str, path: Path) -> bool:
    """Points as measured and the line that theory expects, one panel a curve."""
    from matplotlib.figure import Figure

    if not curves:
        return False
    columns = 3
    rows = -(-len(curves) // columns)
    picture = Figure(figsize=(3.6 * columns, 2.9 * rows), layout="constrained")
    axes = list(picture.subplots(rows, columns, squeeze=False).flat)
    for axis, curve in zip(axes, curves, strict=False):
        axis.plot(curve["x"], curve["line"], color=LINE, lw=1.2, label=f"{curve['expected']}, fitted")
        axis.plot(curve["x"], curve["y"], "o", color=OURS, ms=4, label="measured")
        axis.set_ylim(0, 1.25 * max(*curve["y"], *curve["line"]))
        axis.set_xlabel(curve["x_label"], fontsize=8)
        axis.set_ylabel(curve["y_label"], fontsize=8)
        axis.set_title(curve["name"], loc="left", fontsize=10)
        axis.legend(fontsize=7, frameon=False, loc="lower right")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    picture.supxlabel(machine, fontsize=8)
    picture.savefig(path, dpi=110)
    return True


def _bars(rows: tuple[tuple[str, tuple[str, ...]], ...], figures: Figures) -> list[tuple[str, float]]:
    """Names and sums of those rows whose every figure was measured."""
    return [
        (name, sum(figures[part]["value"] for part in parts))
        for name, parts in rows
        if all(part in figures for part in parts)
    ]
