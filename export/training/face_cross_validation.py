"""How good the face models are on faces like none they have seen: everything is fitted anew for each fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import DIMENSIONS, F32

from . import sigma
from .face_affect import RatedFaces, VotedFaces
from .face_conditions import CONDITIONS, TRAINED
from .face_networks import FaceNet
from .face_regressor import AffectSettings, Choice, fit
from .face_sightings import Sightings
from .face_training import Compute
from .folds import grouped
from .metrics import score_both

FOLDS = 5


@dataclass(frozen=True)
class OutOfFold:
    """What models that had not seen a face, nor a near duplicate of it, say of each of its sightings.

    Attributes
    ----------
    sightings
        Of the rated faces.
    truth, prediction, head
        ``(n, 2)`` for each sighting: rating, regressor, and the network's own affect output.
    fold
        ``(n,)``: the fold in which the sighting was tested.
    choices
        Hyper-parameters of each fold.
    """

    sightings: Sightings
    truth: F32
    prediction: F32
    head: F32
    fold: NDArray[np.int64]
    choices: tuple[Choice, ...]

    def rows(self, condition: str) -> NDArray[np.intp]:
        """Sightings under one condition."""
        return self.sightings.under(condition)

    def sigma(self) -> dict[str, Any]:
        """The sigma model, fitted on the errors under trained conditions."""
        return self._sigma(np.arange(len(self.sightings)))

    def _sigma(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        rows = np.intersect1d(rows, self.sightings.under(*TRAINED))
        errors = self.prediction[rows] - self.truth[rows]
        facts = self.sightings.named_facts(rows)
        return sigma.fit(errors, facts, sigma.FACE_TERMS, smoothness=1e-3)

    def coverage(self) -> dict[str, dict[str, float]]:
        """Share of ratings within the 80 % interval, for each condition; each fold's sigma is fitted on the others."""
        spread = np.empty_like(self.prediction, dtype=np.float64)
        for fold in np.unique(self.fold):
            here = np.flatnonzero(self.fold == fold)
            model = self._sigma(np.flatnonzero(self.fold != fold))
            spread[here] = sigma.evaluate(model, self.sightings.named_facts(here), len(here))
        errors = self.prediction - self.truth
        every = {"all": np.arange(len(self.fold)), **{name: self.rows(name) for name in CONDITIONS}}
        return {
            name: dict(zip(DIMENSIONS, sigma.coverage(errors[rows], spread[rows]), strict=True))
            for name, rows in every.items()
            if len(rows)
        }

    def report(self) -> dict[str, Any]:
        """Figures on clean faces, and by condition; the network's own head beside them."""
        conditions = {
            name: score_both(self.truth[rows], self.prediction[rows])
            for name in CONDITIONS
            if len(rows := self.rows(name))
        }
        clean = self.rows("clean")
        return {
            **conditions["clean"],
            "conditions": conditions,
            "network_head": score_both(self.truth[clean], self.head[clean]),
            "coverage_80": self.coverage(),
            "folds": [choice._asdict() for choice in self.choices],
        }


def cross_validate(
    start: FaceNet,
    rated: RatedFaces,
    sightings: Sightings,
    groups: NDArray[np.int64],
    voted: VotedFaces,
    settings: AffectSettings,
    compute: Compute,
    *,
    folds: int = FOLDS,
    on_step: Callable[[], None] = lambda: None,
) -> OutOfFold:
    """Fit and test in ``folds`` folds of whole groups of near duplicates.

    ``start`` has seen FER+ only. Anew for each fold: fine-tuning, pseudo-label map, conversion, standardiser,
    hyper-parameters (nested) and regressor. Sigma is fitted afterwards on the other folds' errors.
    """
    prediction = np.empty((len(sightings), 2), np.float32)
    head = np.empty_like(prediction)
    fold_of = np.full(len(sightings), -1, np.int64)
    choices = []
    for number, fold in enumerate(grouped(groups, folds, seed=settings.regressor.seed)):
        models = fit(start, rated, sightings, groups, fold.train, voted, settings, compute, on_step)
        rows = sightings.of(fold.test)
        seen = models.encode(sightings.crops[rows])
        prediction[rows], head[rows] = models.predict(seen.features), seen.affect
        fold_of[rows] = number
        choices.append(models.choice)
    return OutOfFold(sightings, rated.affect[sightings.item], prediction, head, fold_of, tuple(choices))
