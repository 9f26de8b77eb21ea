"""A clip's readings as one picture: both dimensions with their doubt, what they rest on, the way through the plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from edge_emotion.errors import UsageError
from edge_emotion.model.manifest import Manifest
from edge_emotion.types import QualityFlag, Reading

F64 = NDArray[np.float64]

AROUSAL, VALENCE, SOUND, PICTURE, DOUBT = "#c2410c", "#0f766e", "#4f6db8", "#b8893b", "#9f1239"
_INK, _FAINT = "#1f2937", "#9ca3af"
_MANY = 600
"""From this many readings on, lines are thin."""
_CORNERS = {"excited": (1, 1), "tense": (-1, 1), "low": (-1, -1), "calm": (1, -1)}


def draw(readings: Sequence[Reading], out: Path, title: str, manifest: Manifest) -> None:
    """Draw the primary face's readings of a clip into ``out``; raises `UsageError` where that cannot be written."""
    figure = picture(readings, title, f"bundle {manifest.id} · {manifest.sha256[:12]}")
    try:
        figure.savefig(out, dpi=150)
    except (OSError, ValueError) as fault:
        raise UsageError(f"{out}: the picture cannot be written ({fault})") from fault


def picture(readings: Sequence[Reading], title: str, source: str) -> Figure:
    """The figure of a clip's readings; gaps in its lines are readings that are not valid."""
    flags = [flag for flag in get_args(QualityFlag) if any(flag in reading.quality for reading in readings)]
    figure = Figure(figsize=(13, 7.2 + 0.2 * len(flags)), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.04)
    heights = (3, 3, 1.3, 0.55 + 0.25 * len(flags))
    grid = figure.add_gridspec(4, 2, width_ratios=(2.15, 1), height_ratios=heights)
    arousal = figure.add_subplot(grid[0, 0])
    rows = [arousal] + [figure.add_subplot(grid[row, 0], sharex=arousal) for row in (1, 2, 3)]
    plane = figure.add_subplot(grid[0:2, 1])

    time_s = np.array([reading.time_ns / 1e9 for reading in readings])
    _band(rows[0], time_s, readings, "arousal", AROUSAL)
    _band(rows[1], time_s, readings, "valence", VALENCE)
    _shares(rows[2], time_s, readings)
    _evidence(rows[3], time_s, readings, flags)
    for axes in rows[:3]:
        axes.tick_params(labelbottom=False, bottom=False)
    rows[3].set_xlabel("time in the clip (s)")
    if len(time_s):
        step_s = _step_s(time_s)
        arousal.set_xlim(time_s[0] - step_s, time_s[-1] + step_s / 2)
    _plane(figure, plane, time_s, readings)

    figure.suptitle(title, x=0.008, ha="left", fontsize=14, fontweight="bold", color=_INK)
    figure.text(0.994, 0.988, source, ha="right", va="top", fontsize=8.5, color=_FAINT)
    note = figure.add_subplot(grid[2:, 1])
    note.set_axis_off()
    note.text(0.06, 0.5, _note(readings), va="center", fontsize=9, color=_INK, linespacing=1.7)
    figure.align_ylabels(rows[:3])
    return figure


def _series(readings: Sequence[Reading], name: str) -> F64:
    values = (getattr(reading, name) for reading in readings)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _step_s(time_s: F64) -> float:
    return float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.2


def _band(axes: Any, time_s: F64, readings: Sequence[Reading], name: str, color: str) -> None:
    value, sigma = _series(readings, name), _series(readings, f"sigma_{name}")
    axes.axhline(0, color=_FAINT, linewidth=0.8)
    for width, alpha in ((2, 0.10), (1, 0.20)):
        low, high = np.clip(value - width * sigma, -1, 1), np.clip(value + width * sigma, -1, 1)
        label = f"± {width} sigma"
        axes.fill_between(time_s, low, high, color=color, alpha=alpha, linewidth=0, label=label)
    axes.plot(
        time_s, value, color=color, linewidth=2.2 if len(value) < _MANY else 1.0, solid_capstyle="round"
    )
    alone = np.isfinite(value) & ~np.isfinite(np.roll(value, 1)) & ~np.isfinite(np.roll(value, -1))
    axes.plot(time_s[alone], value[alone], "o", color=color, markersize=3)
    axes.set_ylim(-1, 1)
    axes.set_yticks((-1, -0.5, 0, 0.5, 1))
    axes.set_ylabel(f"expressed\n{name}", color=color, fontweight="bold")
    if name == "arousal":
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, frameon=False, borderaxespad=0
        )
    if not np.isfinite(value).any():
        axes.text(0.5, 0.7, "no valid reading", transform=axes.transAxes, ha="center", color=_FAINT)
    _tidy(axes)


def _shares(axes: Any, time_s: F64, readings: Sequence[Reading]) -> None:
    """Who is listened to, as stacked shares, and how sure the reading is."""
    sound = np.array([reading.audio.weight for reading in readings])
    both = sound + np.array([reading.video.weight for reading in readings])
    axes.fill_between(
        time_s, 0, sound, step="mid", color=SOUND, alpha=0.45, linewidth=0, label="share of sound"
    )
    axes.fill_between(
        time_s, sound, both, step="mid", color=PICTURE, alpha=0.45, linewidth=0, label="of picture"
    )
    axes.plot(time_s, _series(readings, "confidence"), color=_INK, linewidth=1.4, label="confidence")
    axes.set_ylim(0, 1)
    axes.set_yticks((0, 0.5, 1))
    axes.set_ylabel("weights")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8, frameon=False, borderaxespad=0)
    _tidy(axes)


def _evidence(axes: Any, time_s: F64, readings: Sequence[Reading], flags: Sequence[str]) -> None:
    """One lane for speech (as dense as the window is voiced), one for the face, one for each reason for doubt."""
    voiced = np.array([reading.audio.facts.get("voiced") or 0.0 for reading in readings])
    face = np.array([float("no_face" not in r.quality and r.track is not None) for r in readings])
    lanes = [("speech", voiced, SOUND), ("face", face, PICTURE)]
    lanes += [(flag, np.array([float(flag in r.quality) for r in readings]), DOUBT) for flag in flags]
    step_s = _step_s(time_s) if len(time_s) else 0.2
    for place, (_, strength, color) in enumerate(lanes):
        for begin, end, level in _runs(strength):
            left_s = time_s[begin] - step_s / 2
            axes.broken_barh(
                [(left_s, time_s[end - 1] + step_s / 2 - left_s)],
                (place - 0.32, 0.64),
                color=color,
                alpha=0.15 + 0.75 * level,
                linewidth=0,
            )
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.set_yticks(range(len(lanes)), [name.replace("_", " ") for name, *_ in lanes], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _runs(strength: F64) -> list[tuple[int, int, float]]:
    """Begin, end and level of each stretch of equal level (in tenths) above 0."""
    level = np.round(strength, 1)
    edges = np.flatnonzero(np.diff(level, prepend=-1.0, append=-1.0))
    return [(int(a), int(b), float(level[a])) for a, b in pairwise(edges) if level[a] > 0]


def _plane(figure: Figure, axes: Any, time_s: F64, readings: Sequence[Reading]) -> None:
    """The way through the plane of valence and arousal, dark to bright with time."""
    valence, arousal = _series(readings, "valence"), _series(readings, "arousal")
    axes.add_patch(Circle((0, 0), 1, fill=False, color=_FAINT, linewidth=0.8))
    axes.axhline(0, color=_FAINT, linewidth=0.6)
    axes.axvline(0, color=_FAINT, linewidth=0.6)
    for word, (x, y) in _CORNERS.items():
        axes.text(
            0.93 * x, 0.93 * y, word, ha="center", va="center", fontsize=9, color=_FAINT, style="italic"
        )
    points = np.stack([valence, arousal], axis=1)
    good = np.flatnonzero(np.isfinite(points).all(axis=1))
    pairs = [points[i : i + 2] for i in range(len(points) - 1) if np.isfinite(points[i : i + 2]).all()]
    starts = [time_s[i] for i in range(len(points) - 1) if np.isfinite(points[i : i + 2]).all()]
    if pairs:
        path = LineCollection(pairs, array=np.array(starts), cmap="viridis", capstyle="round")
        path.set_linewidth(2.0 if len(pairs) < _MANY else 0.8)
        axes.add_collection(path)
        bar = figure.colorbar(path, cax=axes.inset_axes((0.2, -0.13, 0.6, 0.025)), orientation="horizontal")
        bar.set_label("time (s)", fontsize=8.5, color=_INK)
        bar.ax.tick_params(labelsize=8, colors=_INK)
        bar.outline.set_visible(False)
    if len(good):
        axes.plot(*points[good[0]], "o", color="white", markeredgecolor=_INK, markersize=7, label="begin")
        axes.plot(*points[good[-1]], "s", color=_INK, markersize=6, label="end")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.08), ncols=2, fontsize=8, frameon=False)
    axes.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), aspect="equal")
    axes.set_xticks((-1, 0, 1))
    axes.set_yticks((-1, 0, 1))
    axes.set_xlabel("valence", color=VALENCE, fontweight="bold", labelpad=1)
    axes.set_ylabel("arousal", color=AROUSAL, fontweight="bold", labelpad=-6)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8, colors=_INK)


def _note(readings: Sequence[Reading]) -> str:
    valid = [reading for reading in readings if reading.valid]
    lines = [f"{len(readings)} readings, {len(valid)} valid"]
    for name in ("arousal", "valence"):
        value, sigma = _series(valid, name), _series(valid, f"sigma_{name}")
        if len(value):
            span = f"{value.min():+.2f} to {value.max():+.2f}"
            lines.append(f"{name}  mean {value.mean():+.2f}  range {span}  sigma {sigma.mean():.2f}")
    lines.append(
        "\nEstimated expressed arousal and valence:\nwhat is seen and heard, not what a person feels."
    )
    return "\n".join(lines)


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=8.5)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
