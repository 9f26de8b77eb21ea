"""A picture of what noise and distance cost the acoustic model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_emotion.types import DIMENSIONS

LABELS = {
    "snr_db": "pink noise: speech to noise (dB)",
    "distance_m": "distance in a room of 0.3 s with a steady noise (m)",
}
Series = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Axis, place on it, dimension: CCC."""


def draw_series(series: Series, path: Path) -> None:
    """CCC of both dimensions along each axis; the format is the file name's ending."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(series), figsize=(9, 3.4), sharey=True, layout="constrained")
    for panel, (axis, points) in zip(panels, series.items(), strict=True):
        for dimension in DIMENSIONS:
            values = [scores[dimension] for scores in points.values()]
            panel.plot([float(x) for x in points], values, marker="o", label=dimension)
        panel.set(xlabel=LABELS[axis], ylim=(0, 1))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("CCC")
    panels[-1].set_xscale("log")
    ticks = list(series["distance_m"])
    panels[-1].set_xticks([float(x) for x in ticks], ticks)
    panels[-1].minorticks_off()
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None} if path.suffix == ".png" else None)
    pyplot.close(figure)
