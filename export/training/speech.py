"""Fitting the acoustic regressor: hyper-parameters, scale and sigma from folds without a common speaker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from edge_emotion.types import DIMENSIONS, F32

from ..corpora.records import Recording
from . import sigma
from .affect_svr import AffectSVR
from .folds import Fold, grouped, leave_one_out
from .metrics import ccc
from .normal_scores import NormalScores
from .speech_windows import Windows

F64 = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

GRID = ((1.0, 0.3), (3.0, 0.3), (3.0, 0.1), (1.0, 1.0))
"""C, and gamma times the number of features, on standardised features."""
GRID_UNRATED = (0.0, 0.5)
"""Weight of utterances whose ratings are only guessed from the intended emotion."""
EPSILON = 0.1
TUNING_COPIES = (0, 3)
"""Hyper-parameters are judged on clean sound and on one noisy copy (10 dB) of it."""
INNER_FOLDS = 4
LARGEST_STRETCH = 2.0
MINIMUM_VOICED = 0.1
"""A window with less speech than this is no training item: the device does not use it either."""


@dataclass(frozen=True)
class SpeechData:
    """Utterances and their windows.

    Attributes
    ----------
    recordings
        Those with ratings are trained and judged on; others take the mean ratings of the same intended emotion.
    windows
        ``windows.clip`` counts ``recordings``; copy 0 is the sound as it is.
    """

    recordings: Sequence[Recording]
    windows: Windows

    @cached_property
    def speakers(self) -> NDArray[np.str_]:
        """One for each recording."""
        return np.array([recording.speaker for recording in self.recordings])

    @cached_property
    def rated(self) -> Mask:
        """Which recordings were rated."""
        return np.array([all(r.ratings.get(d) for d in DIMENSIONS) for r in self.recordings])

    @cached_property
    def ratings(self) -> F64:
        """Mean over the raters, (recordings, 2); NaN where nobody rated."""
        return np.array(
            [[r.rating(d) if r.ratings.get(d) else np.nan for d in DIMENSIONS] for r in self.recordings]
        )

    def targets(self, known: Mask) -> F64:
        """Ratings; for unrated recordings the circumplex: the mean rating of the same intended emotion among ``known``.

        NaN where neither is known, so that such a recording is left out.
        """
        ratings, rated = self.ratings, self.rated
        intended = np.array([recording.intended or "" for recording in self.recordings])
        for emotion in np.unique(intended[~rated]):
            same = known & rated & (intended == emotion)
            if emotion and same.any():
                ratings[~rated & (intended == emotion)] = ratings[same].mean(axis=0)
        return ratings


@dataclass(frozen=True, slots=True)
class Choice:
    """Hyper-parameters of one dimension; ``gamma`` times the number of features."""

    C: float
    gamma: float
    unrated: float

    def estimator(self, features: int) -> SVR:
        """An unfitted regressor for so many features."""
        return SVR(C=self.C, gamma=self.gamma / features, epsilon=EPSILON, cache_size=500)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model and what was learnt on the way.

    Attributes
    ----------
    sigma
        Parameters in the bundle's layout.
    choices
        By dimension.
    out_of_fold
        CCC of the inner folds' utterance means on clean sound, by dimension.
    """

    model: AffectSVR
    sigma: dict[str, Any]
    choices: dict[str, Choice]
    out_of_fold: dict[str, float]


def fit(
    data: SpeechData,
    known: Mask,
    *,
    budget: int | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit on the recordings in ``known`` and nothing else.

    Hyper-parameters are those of the best CCC of utterance means, over clean and noisy copies, in folds without a
    common speaker. The out-of-fold predictions also give the scale that undoes the regressor's shrinking (CCC asks for
    the ratings' variance; our choice) and the errors that sigma is fitted to.
    """
    rows = _rows(data, known)
    folds = _inner_folds(rows, seed)
    choices, unseen, scales = [], np.empty((len(rows.clip), 2)), []
    for k, name in enumerate(DIMENSIONS):
        progress(f"choosing hyper-parameters of {name}")
        choices.append(max(_grid(rows), key=lambda choice: _agreement(rows, k, choice, folds)))
        unseen[:, k] = _predict_unseen(rows, k, choices[k], folds, np.arange(len(rows.clip)))
        scales.append(_scale(rows, k, unseen[:, k]))
        centre, factor, new_centre = scales[k]
        unseen[:, k] = new_centre + factor * (unseen[:, k] - centre)

    progress("fitting the regressor")
    arousal, valence = (choice.estimator(rows.features.shape[1]) for choice in choices)
    model = AffectSVR(arousal, valence, budget=budget, seed=seed, scores=True)
    weights = [np.where(rows.rated, 1.0, choice.unrated) for choice in choices]
    few = rows.first
    model.fit(rows.features[few], rows.target[few], np.stack(weights, axis=1)[few])
    model.rescale(scales)

    progress("fitting sigma")
    judged = np.flatnonzero(rows.rated)
    parameters = sigma.fit(
        (unseen - rows.target)[judged],
        {name: values[judged] for name, values in rows.facts.items()},
        sigma.AUDIO_TERMS,
        weights=_weights(rows.clip[judged], rows.copy[judged]),
    )
    clean = np.flatnonzero(rows.rated & (rows.copy == 0))
    out_of_fold = {
        str(name): _ccc_of_means(rows, k, clean, unseen[clean, k]) for k, name in enumerate(DIMENSIONS)
    }
    return Fitted(
        model, parameters, {str(k): v for k, v in zip(DIMENSIONS, choices, strict=True)}, out_of_fold
    )


def utterance_means(clip: Index, predictions: F64) -> tuple[Index, F64]:
    """Mean prediction of each utterance's windows: its number (n,), values (n, 2)."""
    names, inverse, counts = np.unique(clip, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), predictions.shape[1]))
    np.add.at(sums, inverse, predictions)
    return names, sums / counts[:, None]


def outer_folds(data: SpeechData) -> list[tuple[str, Mask, Mask]]:
    """Leave one rated speaker out: name, mask of the training recordings, mask of the test recordings."""
    speakers, rated = data.speakers, data.rated
    folds = []
    for fold in leave_one_out(speakers[rated]):
        name = str(speakers[rated][fold.test[0]])
        folds.append((name, speakers != name, rated & (speakers == name)))
    return folds


@dataclass(frozen=True)
class _Rows:
    """The windows that may be used, column by column.

    ``z`` are their standardised normal scores; ``first`` points at the first window of each copy of each utterance:
    more windows of it make fitting slower and nothing better (measured), so all of them are judged but only these are
    fitted.
    """

    features: F32
    z: F64
    target: F64
    facts: dict[str, F64]
    clip: Index
    copy: Index
    rated: Mask
    speaker: NDArray[np.str_]
    first: Index


def _rows(data: SpeechData, known: Mask) -> _Rows:
    targets = data.targets(known)
    usable = known & ~np.isnan(targets[:, 0])
    voiced = data.windows.facts["voiced"] >= MINIMUM_VOICED
    windows = data.windows.take(usable[data.windows.clip] & voiced & data.windows.whole)
    first = np.unique(_pairs(windows.clip, windows.copy), return_index=True)[1]
    scores = NormalScores().fit(windows.features[first])
    scaler = StandardScaler().fit(scores.transform(windows.features[first]))
    return _Rows(
        features=windows.features,
        z=scaler.transform(scores.transform(windows.features)),
        target=targets[windows.clip],
        facts=windows.facts,
        clip=windows.clip,
        copy=windows.copy,
        rated=data.rated[windows.clip],
        speaker=data.speakers[windows.clip],
        first=first,
    )


def _inner_folds(rows: _Rows, seed: int) -> list[Fold]:
    """Folds that test rated speech of some speakers and train on all that others said."""
    rated = np.flatnonzero(rows.rated)
    count = min(INNER_FOLDS, len(np.unique(rows.speaker[rated])))
    tests = [rated[fold.test] for fold in grouped(rows.speaker[rated], count, seed=seed)]
    everything = np.arange(len(rows.clip))
    return [Fold(np.setdiff1d(everything, test), test) for test in tests]


def _grid(rows: _Rows) -> list[Choice]:
    unrated = (0.0,) if rows.rated.all() else GRID_UNRATED
    return [Choice(c, gamma, weight) for c, gamma in GRID for weight in unrated]


def _agreement(rows: _Rows, k: int, choice: Choice, folds: Sequence[Fold]) -> float:
    """Mean over `TUNING_COPIES` of the CCC of utterance means, out of fold."""
    used = np.flatnonzero(np.isin(rows.copy, TUNING_COPIES))
    unseen = _predict_unseen(rows, k, choice, folds, used)
    judged = [used[rows.rated[used] & (rows.copy[used] == copy)] for copy in TUNING_COPIES]
    return float(np.mean([_ccc_of_means(rows, k, some, unseen[some]) for some in judged]))


def _predict_unseen(rows: _Rows, k: int, choice: Choice, folds: Sequence[Fold], used: Index) -> F64:
    """Dimension k of each row in ``used``, fitted on the rows in ``used`` of other speakers; NaN elsewhere."""
    predictions = np.full(len(rows.clip), np.nan)
    weight = np.where(rows.rated, 1.0, choice.unrated)
    fitted = np.intersect1d(np.intersect1d(used, rows.first), np.flatnonzero(weight > 0))
    for train, test in folds:
        here, there = np.intersect1d(fitted, train), np.intersect1d(used, test)
        regressor = choice.estimator(rows.z.shape[1])
        regressor.fit(rows.z[here], rows.target[here, k], sample_weight=weight[here])
        predictions[there] = regressor.predict(rows.z[there])
    return predictions


def _ccc_of_means(rows: _Rows, k: int, some: Index, predictions: F64) -> float:
    _, truth = utterance_means(rows.clip[some], rows.target[some])
    _, means = utterance_means(rows.clip[some], predictions[:, None])
    return ccc(truth[:, k], means[:, 0])


def _scale(rows: _Rows, k: int, unseen: F64) -> tuple[float, float, float]:
    """Centre, factor and new centre that give clean utterance means the mean and deviation of their ratings."""
    clean = np.flatnonzero(rows.rated & (rows.copy == 0))
    _, truth = utterance_means(rows.clip[clean], rows.target[clean, k, None])
    _, found = utterance_means(rows.clip[clean], unseen[clean, None])
    factor = float(np.clip(truth.std() / found.std(), 1.0, LARGEST_STRETCH))
    return float(found.mean()), factor, float(truth.mean())


def _weights(clip: Index, copy: Index) -> F64:
    """Each copy of each utterance weighs 1, shared by its windows."""
    _, inverse, counts = np.unique(_pairs(clip, copy), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[inverse])


def _pairs(clip: Index, copy: Index) -> Index:
    return np.asarray(clip * (copy.max() + 1) + copy)
