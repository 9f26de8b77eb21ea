"""Fitting the acoustic regressor: hyper-parameters, scale and sigma from folds without a common speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from edge_emotion.types import DIMENSIONS

from ..corpora.records import Recording
from . import sigma
from .affect_svr import AffectSVR
from .folds import grouped, leave_one_out
from .landmarks import Landmarks, Moments
from .metrics import ccc
from .normal_scores import NormalScores
from .speech_windows import Windows

F64 = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

LANDMARKS = 1000
CLEAN_WEIGHT = 2.0
UNRATED_WEIGHT = 0.6
"""Of the clean copy of a rated utterance and of an unrated one; another copy weighs 1 (see docs/speech.md)."""
GAMMA = 0.2
"""Of the kernel, times the number of features; 0.1 and 0.4 do as well."""
PENALTIES = (0.1, 0.3, 1.0, 3.0)
INNER_FOLDS = 4
LARGEST_STRETCH = 2.0
SIGMA_SMOOTHNESS = 0.03
"""Of `sigma.fit`; any from 0.01 to 0.1 holds the coverage under each named condition within a hundredth of this."""
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
        return np.array([recording.rated for recording in self.recordings])

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
        ratings, rated = self.ratings.copy(), self.rated
        intended = np.array([recording.intended or "" for recording in self.recordings])
        for emotion in np.unique(intended[~rated]):
            same = known & rated & (intended == emotion)
            if emotion and same.any():
                ratings[~rated & (intended == emotion)] = ratings[same].mean(axis=0)
        return ratings


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for one dimension, and the CCC of utterance means that it had out of fold, over all copies."""

    penalty: float
    agreement: float


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
    budget: int = LANDMARKS,
    seed: int = 0,
) -> Fitted:
    """Fit on the recordings in ``known`` and nothing else.

    Hyper-parameters are those of the best CCC of utterance means, over clean and all other copies, in folds without a
    common speaker. The out-of-fold predictions also give the scale that undoes the regressor's shrinking (CCC asks for
    the ratings' variance; our choice) and the errors that sigma is fitted to.
    """
    rows = _rows(data, known)
    chosen = np.random.default_rng(seed).permutation(len(rows.z))[:budget]
    landmarks = Landmarks.of(rows.z[chosen], GAMMA / rows.z.shape[1])
    kernel = landmarks.kernel(rows.z)
    everything = Moments.of(kernel, rows.target, rows.weight)
    trials = _unseen(rows, landmarks, kernel, everything, seed)
    choices, scales, regressors, unseen = [], [], [], np.empty(rows.target.shape)
    for k in range(len(DIMENSIONS)):
        agreement = [_agreement(rows, k, trial[:, k]) for trial in trials]
        number = int(np.argmax(agreement))
        choices.append(Choice(PENALTIES[number], agreement[number]))
        scales.append(_scale(rows, k, trials[number, :, k]))
        unseen[:, k] = scaled(trials[number, :, k], scales[k])
        weights, intercept = landmarks.solve(everything, PENALTIES[number])
        regressors.append(landmarks.expansion(weights[:, k], float(intercept[k])))
    model = AffectSVR.of(_identity(rows.z.shape[1]), regressors, rows.scores)
    model.rescale(scales)

    judged = np.flatnonzero(rows.rated)
    parameters = sigma.fit(
        (unseen - rows.target)[judged],
        {name: values[judged] for name, values in rows.facts.items()},
        sigma.AUDIO_TERMS,
        weights=rows.share[judged],
        smoothness=SIGMA_SMOOTHNESS,
    )
    clean = rows.judged(0)
    names = [str(name) for name in DIMENSIONS]
    return Fitted(
        model,
        parameters,
        dict(zip(names, choices, strict=True)),
        {name: _ccc_of_means(rows, k, clean, unseen[clean, k]) for k, name in enumerate(names)},
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


def usable_rows(windows: Windows, clips: Mask) -> Index:
    """Rows of the recordings ``clips`` that the device would use: whole windows with speech in them."""
    return np.flatnonzero(clips[windows.clip] & windows.whole & (windows.facts["voiced"] >= MINIMUM_VOICED))


def training_rows(data: SpeechData, known: Mask) -> Index:
    """Rows of ``known`` that may be trained on: usable, and with a target."""
    return usable_rows(data.windows, known & ~np.isnan(data.targets(known)[:, 0]))


def shares(windows: Windows) -> F64:
    """1 for each copy of an utterance, divided among its windows."""
    _, inverse, counts = np.unique(windows.sound, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[inverse])


def row_weights(data: SpeechData, windows: Windows) -> F64:
    """In the fit: `shares`, more for clean, less for unrated speech."""
    of_copy = np.where(windows.copy == 0, CLEAN_WEIGHT, 1.0)
    return np.asarray(shares(windows) * np.where(data.rated[windows.clip], of_copy, UNRATED_WEIGHT))


def stretch(truth: F64, found: F64) -> tuple[float, float, float]:
    """Centre, factor and new centre that give predictions the mean and, within bounds, the deviation of the ratings."""
    factor = float(np.clip(truth.std() / max(found.std(), 1e-9), 1.0, LARGEST_STRETCH))
    return float(found.mean()), factor, float(truth.mean())


def scaled(values: F64, scale: tuple[float, float, float]) -> F64:
    """``values`` by what `stretch` gives."""
    centre, factor, new_centre = scale
    return np.asarray(new_centre + factor * (values - centre))


def row_targets(data: SpeechData, known: Mask, windows: Windows) -> F64:
    """Ratings of windows (n, 2), see `SpeechData.targets`."""
    return np.asarray(data.targets(known)[windows.clip])


@dataclass(frozen=True)
class _Rows:
    """The windows that may be used, column by column.

    ``z`` are their normal scores; ``share`` and ``weight`` are those of `shares` and `row_weights`.
    """

    scores: NormalScores
    z: F64
    target: F64
    facts: dict[str, F64]
    clip: Index
    copy: Index
    rated: Mask
    speaker: NDArray[np.str_]
    share: F64
    weight: F64

    def judged(self, copy: int) -> Index:
        """Rows of one copy of rated speech."""
        return np.flatnonzero(self.rated & (self.copy == copy))


def _rows(data: SpeechData, known: Mask) -> _Rows:
    windows = data.windows.take(training_rows(data, known))
    scores = NormalScores().fit(windows.features)
    return _Rows(
        scores=scores,
        z=scores.transform(windows.features),
        target=row_targets(data, known, windows),
        facts=windows.facts,
        clip=windows.clip,
        copy=windows.copy,
        rated=data.rated[windows.clip],
        speaker=data.speakers[windows.clip],
        share=shares(windows),
        weight=row_weights(data, windows),
    )


def _inner_folds(rows: _Rows, seed: int) -> list[Index]:
    """Rows of rated speech to be tested together, no speaker in two of them."""
    rated = np.flatnonzero(rows.rated)
    count = min(INNER_FOLDS, len(np.unique(rows.speaker[rated])))
    return [rated[fold.test] for fold in grouped(rows.speaker[rated], count, seed=seed)]


def _unseen(rows: _Rows, landmarks: Landmarks, kernel: F64, everything: Moments, seed: int) -> F64:
    """Predictions for rated rows, fitted without their speakers, (penalties, rows, 2); NaN for the others."""
    unseen = np.full((len(PENALTIES), *rows.target.shape), np.nan)
    for test in _inner_folds(rows, seed):
        others = everything - Moments.of(kernel[test], rows.target[test], rows.weight[test])
        for number, penalty in enumerate(PENALTIES):
            weights, intercept = landmarks.solve(others, penalty)
            unseen[number, test] = kernel[test] @ weights + intercept
    return unseen


def _agreement(rows: _Rows, k: int, unseen: F64) -> float:
    """Mean over the copies of the CCC of utterance means, out of fold and scaled."""
    stretched = scaled(unseen, _scale(rows, k, unseen))
    copies = [rows.judged(copy) for copy in np.unique(rows.copy[rows.rated])]
    return float(np.mean([_ccc_of_means(rows, k, some, stretched[some]) for some in copies]))


def _ccc_of_means(rows: _Rows, k: int, some: Index, predictions: F64) -> float:
    _, truth = utterance_means(rows.clip[some], rows.target[some])
    _, means = utterance_means(rows.clip[some], predictions[:, None])
    return ccc(truth[:, k], means[:, 0])


def _scale(rows: _Rows, k: int, unseen: F64) -> tuple[float, float, float]:
    """Centre, factor and new centre that give clean utterance means the mean and deviation of their ratings."""
    clean = rows.judged(0)
    _, truth = utterance_means(rows.clip[clean], rows.target[clean, k, None])
    _, found = utterance_means(rows.clip[clean], unseen[clean, None])
    return stretch(truth, found)


def _identity(width: int) -> StandardScaler:
    """Normal scores are standard already; exact in every precision."""
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_ = np.zeros(width), np.ones(width)
    return scaler
