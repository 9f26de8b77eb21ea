"""Regressors of speech beside the shipped one, on the same windows: what is compared, and what each one costs.

Every regressor is fitted on the recordings of ``train`` alone, its own choices made among their speakers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from time import thread_time_ns
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVR

from edge_emotion.model.backend import open_backend
from edge_emotion.types import DIMENSIONS

from ..conversion.svr import to_onnx
from .affect_svr import AffectSVR, Kernel
from .folds import grouped
from .metrics import ccc
from .speech import (
    INNER_FOLDS,
    SpeechData,
    fit,
    row_weights,
    stretch,
    training_rows,
    usable_rows,
    utterance_means,
)
from .speech_frames import Frames, descriptor_statistics
from .speech_windows import FEATURES, Windows

F64 = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

LANDMARKS = 400
"""Of every kernel regressor here: more cost nothing in clean speech (docs/speech.md), and time."""
SVR_PENALTIES = (0.3, 1.0, 3.0)
SVR_TUBE = 0.1
INNER_STEP = 3
"""The SVR's penalty is chosen on every third row: its time grows with the square."""
ROUNDS = 200

FUNCTIONALS = len(FEATURES["functionals"])
ENCODER = len(FEATURES["encoder"])
COLUMNS: dict[str, tuple[slice, ...]] = {
    "functionals": (slice(0, FUNCTIONALS),),
    "encoder": (slice(FUNCTIONALS, FUNCTIONALS + ENCODER),),
    "statistics": (slice(FUNCTIONALS + ENCODER, None),),
}


class Cost(NamedTuple):
    """Of the regressor alone, for both dimensions."""

    parameters: int
    us_per_hop: float
    """Processor time of one reading, one thread, median."""


class Fit(NamedTuple):
    """What a fold gave: predictions (n, 2) for the rows of the trials that were asked for."""

    predictions: F64
    cost: Cost


FrameTable = Mapping[tuple[int, int], Frames]


@dataclass(frozen=True)
class Material:
    """What all regressors are given.

    Attributes
    ----------
    data, trials
        Windows of training copies and of judged conditions with all columns of ``FEATURES["both"]``.
    frames, trial_frames
        Of the same sounds, by clip and copy; a clip that has none is not there.
    """

    data: SpeechData
    trials: Windows
    frames: FrameTable
    trial_frames: FrameTable

    @cached_property
    def wide(self) -> tuple[Windows, Windows]:
        """Training windows and trials with the statistics of the descriptors as further columns."""
        return _widened(self.data.windows, self.frames), _widened(self.trials, self.trial_frames)

    def heard(self, test: Mask) -> Index:
        """Rows of the trials that the device would use."""
        return usable_rows(self.trials, test)


class Trained(Protocol):
    """A kind of regressor: fits on ``train`` and predicts the trials' ``rows``."""

    @property
    def folds(self) -> int | None:
        """How many folds of speakers it can afford; ``None`` leaves each one out alone."""
        ...

    def fit(self, material: Material, train: Mask, rows: Index, seed: int) -> Fit:
        """One fold."""
        ...


@dataclass(frozen=True)
class KernelRidge:
    """The shipped kind (`speech.fit`) on other columns."""

    blocks: tuple[str, ...]
    folds: int | None = None

    def fit(self, material: Material, train: Mask, rows: Index, seed: int) -> Fit:
        """One fold; penalties, scale and sigma are chosen as for the bundle."""
        windows, trials = _columns(material, self.blocks)
        data = SpeechData(material.data.recordings, windows)
        model = fit(data, train, budget=LANDMARKS, seed=seed).model
        return Fit(model.predict(trials.features[rows]), graph_cost(model))


@dataclass(frozen=True)
class Svr:
    """Support vector regression with an RBF kernel, all support vectors kept."""

    blocks: tuple[str, ...]
    folds: int | None = None

    def fit(self, material: Material, train: Mask, rows: Index, seed: int) -> Fit:
        """One fold: penalty and scale from inner folds of speakers."""
        windows, trials = _columns(material, self.blocks)
        data = SpeechData(material.data.recordings, windows)
        train_rows = training_rows(data, train)
        used = windows.take(train_rows)
        target, weight = row_targets(data, train, used), row_weights(data, used)
        some = np.flatnonzero(np.arange(len(used)) % INNER_STEP == seed % INNER_STEP)
        unseen = _svr_unseen(data, used.take(some), target[some], weight[some], seed)
        chosen, scales = [], []
        for k in range(len(DIMENSIONS)):
            truth = utterance_means(used.clip[some], target[some])
            rated = data.rated[truth[0]]
            means = [utterance_means(used.clip[some], trial)[1] for trial in unseen]
            scores = [ccc(truth[1][rated, k], values[rated, k]) for values in means]
            best = int(np.argmax(scores))
            chosen.append(_svr(SVR_PENALTIES[best]))
            scales.append(stretch(truth[1][rated, k], means[best][rated, k]))
        arousal, valence = chosen
        model = AffectSVR(arousal, valence, scores=True).fit(used.features, target, weight)
        model.rescale(scales)
        return Fit(model.predict(trials.features[rows]), graph_cost(model))


def row_targets(data: SpeechData, train: Mask, windows: Windows) -> F64:
    """Ratings of windows (n, 2), see `SpeechData.targets`."""
    return np.asarray(data.targets(train)[windows.clip])


def graph_cost(model: AffectSVR) -> Cost:
    """Numbers that the model holds, and the time that its graph takes for a reading (both dimensions' rows)."""
    width = len(model.scaler_.mean_)
    backend = open_backend(to_onnx(model).SerializeToString())
    rows = {"features": np.zeros((len(DIMENSIONS), width), np.float32)}
    kernels = [r for r in model.regressors_ if isinstance(r, Kernel)]
    supports = {row.tobytes() for r in kernels for row in r.supports}
    weights = sum(len(r.weights) for r in kernels)
    return Cost(len(supports) * width + weights, median_us(lambda: backend.compute(rows)))


def median_us(call: Callable[[], object]) -> float:
    """Median processor time of ``call()`` in microseconds."""
    times = []
    for _ in range(ROUNDS):
        begin = thread_time_ns()
        call()
        times.append(thread_time_ns() - begin)
    return float(np.median(times)) / 1000


def _svr(penalty: float) -> SVR:
    return SVR(C=penalty, epsilon=SVR_TUBE, gamma="scale", cache_size=500)


def _svr_unseen(data: SpeechData, windows: Windows, target: F64, weight: F64, seed: int) -> F64:
    """Predictions of rows whose speakers were left out, (penalties, n, 2)."""
    unseen = np.zeros((len(SVR_PENALTIES), *target.shape))
    speakers = data.speakers[windows.clip]
    folds = grouped(speakers, min(INNER_FOLDS, len(np.unique(speakers))), seed=seed)
    for fold, (number, penalty) in product(folds, enumerate(SVR_PENALTIES)):
        model = AffectSVR(_svr(penalty), _svr(penalty), scores=True)
        model.fit(windows.features[fold.train], target[fold.train], weight[fold.train])
        unseen[number, fold.test] = model.predict(windows.features[fold.test])
    return unseen


def _columns(material: Material, blocks: tuple[str, ...]) -> tuple[Windows, Windows]:
    plain = (material.data.windows, material.trials)
    windows, trials = material.wide if "statistics" in blocks else plain
    chosen = np.concatenate([np.arange(windows.features.shape[1])[s] for b in blocks for s in COLUMNS[b]])
    return (
        replace(windows, features=windows.features[:, chosen]),
        replace(trials, features=trials.features[:, chosen]),
    )


def _widened(windows: Windows, frames: FrameTable) -> Windows:
    """With `descriptor_statistics` at the right of each row."""
    statistics = {key: descriptor_statistics(some) for key, some in frames.items()}
    width = len(next(iter(statistics.values()))[0])
    columns = np.zeros((len(windows), width), np.float32)
    for key, values in statistics.items():
        rows = np.flatnonzero((windows.clip == key[0]) & (windows.copy == key[1]))
        columns[rows] = values
    return replace(windows, features=np.hstack([windows.features, columns]))
