"""Regressors of speech beside the shipped one, on the same windows: what is compared, and what each one costs.

Every regressor is fitted on the recordings of ``train`` alone, its own choices made among their speakers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from time import thread_time_ns
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_emotion.model.backend import open_backend
from edge_emotion.types import DIMENSIONS

from ..conversion.svr import to_onnx
from .affect_svr import AffectSVR, Kernel
from .speech import SpeechData, fit, usable_rows
from .speech_frames import Frames, descriptor_statistics
from .speech_svr import fit_svr
from .speech_windows import FEATURES, Windows

F64 = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

LANDMARKS = 400
"""Of every kernel regressor here: more cost nothing in clean speech (docs/speech.md), and time."""
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
        model = fit_svr(SpeechData(material.data.recordings, windows), train, seed=seed).model
        return Fit(model.predict(trials.features[rows]), graph_cost(model))


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
