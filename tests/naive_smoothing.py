"""The post-processing chain as one would say it: look at all that came so far, each time anew."""

from __future__ import annotations

import statistics

from edge_emotion.config import SmoothingChain


def chain(
    times_ns: list[int], values: list[float | None], settings: SmoothingChain, restart_s: float
) -> list:
    """Smoothed values at all times, ``None`` where there was none."""
    out: list[float | None] = []
    history: list[tuple[int, float]] = []
    medians: list[tuple[int, float]] = []
    for t, x in zip(times_ns, values, strict=True):
        if x is None:
            out.append(None)
            continue
        if history and t - history[-1][0] > round(restart_s * 1e9):
            history, medians = [], []
        history.append((t, x))
        if settings.median_s > 0:
            x = statistics.median(v for u, v in history if u > t - round(settings.median_s * 1e9))
        medians.append((t, x))
        if settings.mean_s > 0:
            x = statistics.fmean(v for u, v in medians if u > t - round(settings.mean_s * 1e9))
        x = settings.centre + settings.scale * (x - settings.centre) + settings.offset
        out.append(max(-1.0, min(1.0, x)))
    return out
