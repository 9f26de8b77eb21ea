"""``python -m benchmarks.downstream``: a model on our functionals beside the same on the reference's.

EmoTale, the 88 functionals of whole utterances, each speaker (second field of the file's name) left out in turn. For
both sides the same: standardised features, an RBF support vector regressor for each dimension, C and gamma chosen by
CCC on speaker-disjoint folds among the other speakers. CCC is that of all utterances joined.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import typer
from edge_emotion_export.corpora.speech import find_speech, rated
from edge_emotion_export.training.folds import grouped, leave_one_out
from edge_emotion_export.training.metrics import ccc
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from benchmarks.parity import SPEECH, reference, signal_of, wheel
from edge_emotion.cli.run import run
from edge_emotion.errors import UsageError
from edge_emotion.features.functionals import compute_functionals
from edge_emotion.types import DIMENSIONS

F64 = NDArray[np.float64]
Speakers = NDArray[np.str_]

GRID = tuple(product((0.3, 1.0, 3.0, 10.0), (0.1, 0.3, 1.0)))
"""C, and gamma times the number of features."""
EPSILON = 0.1
INNER_FOLDS = 4
TOLERANCE = 0.02


def left_out(features: F64, ratings: F64, speakers: Speakers) -> F64:
    """Predictions (n,) for each utterance by a regressor that never heard its speaker."""
    predictions = np.empty(len(ratings))
    for train, test in leave_one_out(speakers):
        x, y = features[train], ratings[train]
        best = max(GRID, key=lambda point: _agreement(point, x, y, speakers[train]))
        predictions[test] = _fit(best, x, y).predict(features[test])
    return predictions


def _agreement(point: tuple[float, float], x: F64, y: F64, speakers: Speakers) -> float:
    """CCC of one point of the grid, on speakers that it was not fitted on."""
    predictions = np.empty(len(y))
    for train, test in grouped(speakers, INNER_FOLDS):
        predictions[test] = _fit(point, x[train], y[train]).predict(x[test])
    return ccc(y, predictions)


def _fit(point: tuple[float, float], x: F64, y: F64) -> Any:
    c, gamma = point
    return make_pipeline(StandardScaler(), SVR(C=c, gamma=gamma / x.shape[1], epsilon=EPSILON)).fit(x, y)


def main(data: Path = typer.Option(SPEECH / "emotale", help="The folder of EmoTale.")) -> None:
    """Print the CCC of unheard speakers with our functionals and with the reference's, and their difference."""
    python = wheel()
    if python is None:
        raise UsageError("the opensmile wheel is neither importable nor in .peers: run make peers")
    recordings = rated(find_speech([data]))
    signals = [signal_of(recording.audio) for recording in recordings]
    theirs = np.array([functionals for functionals, _ in reference(signals, python)])
    ours = np.array([compute_functionals(signal.samples, signal.rate_hz) for signal in signals], np.float64)
    speakers = np.array([recording.speaker for recording in recordings])
    print(f"{len(signals)} utterances of {len(np.unique(speakers))} speakers, {len(GRID)} points of the grid")
    for dimension in DIMENSIONS:
        ratings = np.array([recording.rating(dimension) for recording in recordings])
        scores = [ccc(ratings, left_out(features, ratings, speakers)) for features in (ours, theirs)]
        difference = scores[0] - scores[1]
        print(
            f"{dimension:8} CCC {scores[0]:.4f} with ours, {scores[1]:.4f} with the reference's: {difference:+.4f}"
            f" ({'within' if abs(difference) <= TOLERANCE else 'NOT within'} {TOLERANCE})"
        )


app = typer.Typer(add_completion=False)
app.command()(main)

if __name__ == "__main__":
    raise SystemExit(run(app, "downstream"))
