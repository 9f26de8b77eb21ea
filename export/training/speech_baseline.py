"""Does it help to take off a speaker's running level and pitch? Judged on whole speakers, utterance after utterance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import SpeakerBaselineSettings
from edge_emotion.features.names import FUNCTIONAL_NAMES
from edge_emotion.features.speaker_baseline import MOVED, SpeakerBaseline
from edge_emotion.types import DIMENSIONS

from .speech import SpeechData, fit, training_rows
from .speech_comparison import JUDGED, scores, speaker_folds
from .speech_copies import Progress, silent
from .speech_regressors import LANDMARKS, Index, Mask, Material
from .speech_windows import HOP_S, Windows

F64 = NDArray[np.float64]

TIMES_S = (30.0, 60.0, 120.0)
ORDERS = 4
"""Shuffles of each speaker's utterances; their predictions are averaged."""
LARGEST_DEVIATIONS = 1.5
"""Most that a functional is moved by, in standard deviations of the training rows (our choice)."""


def settings_of(data: SpeechData, train: Mask, time_s: float) -> SpeakerBaselineSettings:
    """Reference and bounds from the clean training rows."""
    rows = training_rows(data, train)
    columns = [FUNCTIONAL_NAMES.index(name) for name in MOVED]
    values = data.windows.features[rows[data.windows.copy[rows] == 0]][:, columns].astype(np.float64)
    return SpeakerBaselineSettings(
        reference=tuple(values.mean(axis=0).tolist()),
        largest=tuple((LARGEST_DEVIATIONS * values.std(axis=0)).tolist()),
        time_s=time_s,
    )


def chained(
    windows: Windows, rows: Index, speakers: NDArray[np.str_], settings: SpeakerBaselineSettings, seed: int
) -> Windows:
    """``rows`` with a baseline that runs through a speaker's utterances of one copy, in an order drawn from ``seed``.

    A window counts for the time between windows, `HOP_S`.
    """
    features = windows.features[rows].copy()
    baseline = SpeakerBaseline(settings, FUNCTIONAL_NAMES)
    keys = list(zip(speakers[windows.clip[rows]], windows.copy[rows], strict=True))
    drawn = np.random.default_rng(seed).permutation(int(windows.clip.max()) + 1)
    for key in sorted(set(keys)):
        own = np.flatnonzero([other == key for other in keys])
        baseline.reset()
        for row in own[np.argsort(drawn[windows.clip[rows[own]]], kind="stable")]:
            width = len(FUNCTIONAL_NAMES)
            features[row, :width] = baseline.compute(features[row : row + 1, :width], HOP_S)[0]
    return replace(windows.take(rows), features=features)


def judge(
    material: Material, *, times_s: Sequence[float] = TIMES_S, seed: int = 0, progress: Progress = silent
) -> dict[str, Any]:
    """The shipped kind of regressor with each speaker left out, with and without a running baseline.

    Returns
    -------
    dict
        ``off`` and a row for each time constant, as in `speech_comparison.scores`: ``gain`` is against ``off``.
    """
    data, trials = material.data, material.trials
    said = {time_s: np.full((len(trials), len(DIMENSIONS)), np.nan) for time_s in (None, *times_s)}
    folds = speaker_folds(data, None, seed)
    with progress("leaving each speaker out") as bar:
        for number, (train, test) in enumerate(folds):
            rows = material.heard(test)
            model = fit(data, train, budget=LANDMARKS, seed=seed).model
            said[None][rows] = model.predict(trials.features[rows])
            for time_s in times_s:
                settings = settings_of(data, train, time_s)
                moved = [
                    chained(trials, rows, data.speakers, settings, seed + order) for order in range(ORDERS)
                ]
                said[time_s][rows] = np.mean([model.predict(each.features) for each in moved], axis=0)
            bar(number + 1, len(folds))
    clipped = {time_s: np.clip(values, -1.0, 1.0) for time_s, values in said.items()}
    return {
        "off" if time_s is None else f"{time_s:g} s": scores(material, values, clipped[None])
        for time_s, values in clipped.items()
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown: CCC, and what it gains with its 95 % interval."""
    heads = [f"{condition}: {d}" for condition in JUDGED for d in DIMENSIONS]
    lines = [f"| baseline | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, row in report.items():
        cells = []
        for condition in JUDGED:
            for own in (row[condition][d] for d in DIMENSIONS):
                low, high = own["gain_95"]
                gain = "" if name == "off" else f", {own['gain']:+.3f} ({low:+.3f} to {high:+.3f})"
                cells.append(f"{own['ccc']:.3f}{gain}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
