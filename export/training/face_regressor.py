"""From a network trained on votes to the two models of the bundle: the fine-tuned encoder and the regressor on it.

`fit` is all that depends on rated faces, so that a fold and the final training differ in nothing but the faces that
they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from sklearn.svm import SVR

from edge_emotion.model.backend import open_backend
from edge_emotion.model.encoder import FaceEncoding, FaceNetwork
from edge_emotion.model.manifest import Normalisation
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.types import DIMENSIONS, F32, U8

from ..conversion import svr
from ..conversion.face import face_onnx
from ..conversion.quantisation import quantised_forms
from .affect_svr import AffectSVR
from .face_affect import FineTuning, RatedFaces, VotedFaces, circumplex, fine_tune, pseudo_affect
from .face_network import MEAN, SCALE
from .face_networks import FaceNet
from .face_sightings import Sightings
from .face_training import Compute
from .folds import grouped
from .metrics import ccc

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class RegressorSettings:
    """The grid of the regressor and how it is searched.

    ``gammas`` are multiples of one over the feature's length; ``pseudo_weights`` weigh a pseudo-labelled FER+ face
    against a rated one, 0 leaving them out; ``support_vectors`` is the budget of each dimension; the encoder's int8
    ranges come from ``calibration_faces`` of each kind.
    """

    penalties: tuple[float, ...] = (0.2, 0.5, 1.0)
    gammas: tuple[float, ...] = (0.25, 0.5, 1.0)
    pseudo_weights: tuple[float, ...] = (0.0, 0.2)
    epsilon: float = 0.08
    pseudo_faces: int = 2000
    support_vectors: int = 600
    calibration_faces: int = 500
    inner_folds: int = 3
    seed: int = 1


@dataclass(frozen=True, slots=True)
class AffectSettings:
    """Everything that shapes the models that learn from rated faces."""

    fine_tuning: FineTuning = field(default_factory=FineTuning)
    regressor: RegressorSettings = field(default_factory=RegressorSettings)


class Choice(NamedTuple):
    """Hyper-parameters of the regressor, as nested cross-validation chose them."""

    penalty: tuple[float, float]
    """Of arousal and valence."""
    gamma: tuple[float, float]
    pseudo_weight: float

    def estimator(self, settings: RegressorSettings, features: int) -> AffectSVR:
        """The regressor with these hyper-parameters, not fitted."""
        arousal, valence = (
            SVR(C=penalty, gamma=gamma / features, epsilon=settings.epsilon, cache_size=500)
            for penalty, gamma in zip(self.penalty, self.gamma, strict=True)
        )
        return AffectSVR(arousal, valence, budget=settings.support_vectors, seed=settings.seed)


@dataclass(frozen=True)
class FaceModels:
    """Encoder (int8) and regressor as the device runs them."""

    network: FaceNet
    """Before rounding."""
    encoder: bytes
    float_encoder: bytes
    """The encoder's weights in float arithmetic."""
    regressor: bytes
    choice: Choice
    regressor_parity: float
    """Largest difference between the ONNX regressor and scikit-learn's on the training rows."""

    def encode(self, crops: U8) -> FaceEncoding:
        """All outputs for crops ``uint8 (n, 48, 48)``, by the run-time code."""
        return encode(self.encoder, self.network.settings.features, crops)

    def predict(self, features: F32) -> F32:
        """Arousal and valence ``(n, 2)`` of features, by the run-time code."""
        return AffectRegressor(open_backend(self.regressor)).compute(features)


def encode(model: bytes, features: int, crops: U8, batch: int = 256) -> FaceEncoding:
    """What the device's encoder says of any number of crops."""
    encoder = FaceNetwork(open_backend(model), Normalisation(mean=MEAN, scale=SCALE), features)
    parts = [encoder.encode(crops[start : start + batch]) for start in range(0, max(len(crops), 1), batch)]
    return FaceEncoding(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def fit(
    start: FaceNet,
    rated: RatedFaces,
    sightings: Sightings,
    groups: NDArray[np.int64],
    items: Rows,
    voted: VotedFaces,
    settings: AffectSettings,
    compute: Compute,
    on_step: Callable[[], None] = lambda: None,
) -> FaceModels:
    """Fine-tune, convert and fit on the rated faces ``items`` alone.

    Parameters
    ----------
    start
        Network trained on votes.
    rated, groups
        All rated faces and their groups of near duplicates; only rows ``items`` are used.
    sightings
        Of the rated faces, under every condition; only those of ``items`` are used.
    voted
        FER+ training faces.
    """
    known = rated.rows(items)
    network = fine_tune(start, known, voted, settings.fine_tuning, compute, on_step)
    width = network.settings.features
    rows = sightings.trained(items)
    crops = _calibration(sightings.crops[rows], voted, settings.regressor)
    encoder, rounded = quantised_forms(face_onnx(network), crops)
    features = encode(encoder, width, sightings.crops[rows]).features
    truth = rated.affect[sightings.item[rows]]
    faces = default_rng(settings.regressor.seed).permutation(len(voted.views))
    some = voted.rows(faces[: settings.regressor.pseudo_faces])
    extra = encode(encoder, width, some.views.crops).features
    pseudo = pseudo_affect(some.shares, circumplex(known))
    choice = choose(features, truth, sightings.item[rows], groups, extra, pseudo, settings.regressor)
    model = _fitted(choice, settings.regressor, features, truth, extra, pseudo)
    graph = svr.to_onnx(model).SerializeToString()
    models = FaceModels(network, encoder, rounded, graph, choice, 0.0)
    gap = np.abs(models.predict(features) - model.predict(features)).max()
    return replace(models, regressor_parity=float(gap))


def _calibration(crops: U8, voted: VotedFaces, settings: RegressorSettings) -> U8:
    """Crops for `quantise`: rated faces in any light and FER+ faces, as cropped and as published, in no order."""
    rng = default_rng(settings.seed)
    count = settings.calibration_faces
    sources = (crops, voted.views.crops, voted.views.direct)
    drawn = np.concatenate([source[rng.permutation(len(source))[:count]] for source in sources])
    return drawn[rng.permutation(len(drawn))]


def choose(
    features: F32,
    truth: F32,
    item: NDArray[np.int64],
    groups: NDArray[np.int64],
    extra: F32,
    pseudo: F32,
    settings: RegressorSettings,
) -> Choice:
    """Search the grid by cross-validation over groups of near duplicates, by CCC.

    For speed each face takes part in one sighting, drawn at random, so that every condition is there. Penalty and width
    are chosen for each dimension, the weight of pseudo-labels for both.
    """
    rng = default_rng(settings.seed)
    shuffled = rng.permutation(len(item))
    _, first = np.unique(item[shuffled], return_index=True)
    drawn = shuffled[first]
    x, y, group = features[drawn], truth[drawn], groups[item[drawn]]
    folds = list(grouped(group, min(settings.inner_folds, len(np.unique(group))), seed=settings.seed))
    scores: dict[tuple[float, float, float], NDArray[np.float64]] = {}
    quick = replace(settings, support_vectors=10**9)
    few = slice(0, len(drawn))
    for penalty, gamma, weight in _grid(settings):
        guess = np.empty_like(y, dtype=np.float64)
        for fold in folds:
            trial = Choice((penalty, penalty), (gamma, gamma), weight)
            model = _fitted(trial, quick, x[fold.train], y[fold.train], extra[few], pseudo[few])
            guess[fold.test] = model.predict(x[fold.test])
        scores[penalty, gamma, weight] = np.array([ccc(y[:, k], guess[:, k]) for k in range(len(DIMENSIONS))])

    def best(weight: float) -> list[tuple[float, float, float]]:
        of_weight = [key for key in scores if key[2] == weight]
        return [max(of_weight, key=lambda key: scores[key][k]) for k in range(len(DIMENSIONS))]

    weight = max(settings.pseudo_weights, key=lambda w: sum(scores[key][k] for k, key in enumerate(best(w))))
    (penalty_a, gamma_a, _), (penalty_v, gamma_v, _) = best(weight)
    return Choice((penalty_a, penalty_v), (gamma_a, gamma_v), weight)


def _grid(settings: RegressorSettings) -> Iterator[tuple[float, float, float]]:
    return product(settings.penalties, settings.gammas, settings.pseudo_weights)


def _fitted(
    choice: Choice, settings: RegressorSettings, x: F32, y: F32, extra: F32, pseudo: F32
) -> AffectSVR:
    estimator = choice.estimator(settings, x.shape[1])
    if choice.pseudo_weight == 0:
        return estimator.fit(x, y)
    weight = np.r_[np.ones(len(x)), np.full(len(extra), choice.pseudo_weight)]
    return estimator.fit(np.concatenate([x, extra]), np.concatenate([y, pseudo]), weight)
