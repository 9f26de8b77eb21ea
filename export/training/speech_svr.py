"""The reference system's regressor of speech: support vectors with an RBF kernel, none of them given up.

It is here to be compared with; what is shipped is `speech.fit`.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVR

from edge_emotion.types import DIMENSIONS

from . import sigma
from .affect_svr import AffectSVR
from .folds import grouped
from .metrics import ccc
from .speech import (
    INNER_FOLDS,
    SIGMA_SMOOTHNESS,
    Choice,
    Fitted,
    SpeechData,
    row_targets,
    row_weights,
    scaled,
    shares,
    stretch,
    training_rows,
    utterance_means,
)
from .speech_windows import Windows

F64 = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

PENALTIES = (0.3, 1.0, 3.0)
TUBE = 0.1
INNER_STEP = 3
"""The penalty is chosen on every third row: its time grows with the square."""


def fit_svr(data: SpeechData, known: Mask, *, seed: int = 0) -> Fitted:
    """Fit on the recordings in ``known``; penalty, scale and sigma come from inner folds of speakers."""
    used = data.windows.take(training_rows(data, known))
    target, weight = row_targets(data, known, used), row_weights(data, used)
    some = np.flatnonzero(np.arange(len(used)) % INNER_STEP == seed % INNER_STEP)
    trials = _unseen(data, used.take(some), target[some], weight[some], seed)
    rated = data.rated[used.clip[some]]
    rows, truth, trials = used.take(some[rated]), target[some[rated]], trials[:, rated]
    choices, scales, unseen = [], [], np.empty(truth.shape)
    for k in range(len(DIMENSIONS)):
        means = [_means(rows, truth, trial, k) for trial in trials]
        scores = [ccc(*pair) for pair in means]
        best = int(np.argmax(scores))
        choices.append(Choice(PENALTIES[best], scores[best]))
        scales.append(stretch(*means[best]))
        unseen[:, k] = scaled(trials[best][:, k], scales[k])
    arousal, valence = (_svr(choice.penalty) for choice in choices)
    model = AffectSVR(arousal, valence, scores=True)
    model.fit(used.features, target, weight)
    model.rescale(scales)
    parameters = sigma.fit(
        unseen - truth, rows.facts, sigma.AUDIO_TERMS, weights=shares(rows), smoothness=SIGMA_SMOOTHNESS
    )
    clean = np.flatnonzero(rows.copy == 0)
    names = [str(name) for name in DIMENSIONS]
    agreement = [
        ccc(*_means(rows.take(clean), truth[clean], unseen[clean], k)) for k in range(len(DIMENSIONS))
    ]
    return Fitted(
        model, parameters, dict(zip(names, choices, strict=True)), dict(zip(names, agreement, strict=True))
    )


def _means(rows: Windows, truth: F64, said: F64, k: int) -> tuple[F64, F64]:
    """Ratings of utterances in one dimension, and what was said of them, all copies of an utterance taken together."""
    return utterance_means(rows.clip, truth)[1][:, k], utterance_means(rows.clip, said)[1][:, k]


def _svr(penalty: float) -> SVR:
    return SVR(C=penalty, epsilon=TUBE, gamma="scale", cache_size=500)


def _unseen(data: SpeechData, windows: Windows, target: F64, weight: F64, seed: int) -> F64:
    """Predictions of rows whose speakers were left out, (penalties, n, 2)."""
    unseen = np.zeros((len(PENALTIES), *target.shape))
    speakers = data.speakers[windows.clip]
    folds = grouped(speakers, min(INNER_FOLDS, len(np.unique(speakers))), seed=seed)
    for fold, (number, penalty) in product(folds, enumerate(PENALTIES)):
        model = AffectSVR(_svr(penalty), _svr(penalty), scores=True)
        model.fit(windows.features[fold.train], target[fold.train], weight[fold.train])
        unseen[number, fold.test] = model.predict(windows.features[fold.test])
    return unseen
