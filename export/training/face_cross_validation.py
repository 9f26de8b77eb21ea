"""How good the face models are on faces like none they have seen: everything is fitted anew for each fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_emotion.model.encoder import FaceEncoding
from edge_emotion.types import DIMENSIONS, F32

from . import sigma
from .face_affect import RatedFaces, VotedFaces
from .face_conditions import CONDITIONS, HELD_OUT, TRAINED
from .face_networks import FaceNet
from .face_regressor import AffectSettings, Choice, fit
from .face_sightings import Sightings
from .face_training import Compute
from .folds import grouped
from .metrics import score_both

FOLDS = 5


class Begun(NamedTuple):
    """Where the steps after the votes begin: a network, and the faces with votes that it learnt from."""

    network: FaceNet
    voted: VotedFaces


Begin = Callable[[NDArray[np.intp]], Begun]
"""From the rated faces that may be known to a network that has seen no other rated face."""


@dataclass(frozen=True)
class OutOfFold:
    """What models that had not seen a face, nor a near duplicate of it, say of each of its sightings.

    Attributes
    ----------
    sightings
        Of the rated faces.
    truth, prediction
        ``(n, 2)`` for each sighting: rating and regressor.
    seen
        What the encoder said of each sighting.
    fold
        ``(n,)``: the fold in which the sighting was tested.
    choices
        Hyper-parameters of each fold.
    expression
        ``(n,)``: the expression that each sighting shows, index into `EXPRESSIONS`.
    """

    sightings: Sightings
    truth: F32
    prediction: F32
    seen: FaceEncoding
    fold: NDArray[np.int64]
    choices: tuple[Choice, ...]
    expression: NDArray[np.int64]

    def rows(self, condition: str) -> NDArray[np.intp]:
        """Sightings under one condition."""
        return self.sightings.under(condition)

    def facts(self, rows: NDArray[np.intp]) -> dict[str, F32]:
        """Facts of ``rows`` by name, as `sigma.fit` takes them: of the pictures, and what the encoder found in them."""
        return {**self.sightings.named_facts(rows), "feature_norm": self.seen.feature_norm[rows]}

    def sigma(self) -> dict[str, Any]:
        """The sigma model, fitted on the errors under trained conditions."""
        return self._sigma(np.arange(len(self.sightings)))

    def _sigma(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        rows = np.intersect1d(rows, self.sightings.under(*TRAINED))
        errors = self.prediction[rows] - self.truth[rows]
        facts = self.facts(rows)
        return sigma.fit(errors, facts, sigma.face_terms(facts["feature_norm"]), smoothness=1e-3)

    def coverage(self) -> dict[str, dict[str, float]]:
        """Share of ratings within the 80 % interval, for each condition; each fold's sigma is fitted on the others."""
        spread = np.empty_like(self.prediction, dtype=np.float64)
        for fold in np.unique(self.fold):
            here = np.flatnonzero(self.fold == fold)
            model = self._sigma(np.flatnonzero(self.fold != fold))
            spread[here] = sigma.evaluate(model, self.facts(here), len(here))
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
        right = self.seen.votes.argmax(1) == self.expression
        return {
            **conditions["clean"],
            "conditions": conditions,
            "held_out_mean": {
                name: float(np.mean([conditions[condition][name]["ccc"] for condition in HELD_OUT]))
                for name in DIMENSIONS
            },
            "expression": {"accuracy": float(right[clean].mean()), "n": len(clean)},
            "network_head": score_both(self.truth[clean], self.seen.affect[clean]),
            "coverage_80": self.coverage(),
            "folds": [choice._asdict() for choice in self.choices],
        }


def cross_validate(
    begin: Begin,
    rated: RatedFaces,
    sightings: Sightings,
    groups: NDArray[np.int64],
    settings: AffectSettings,
    compute: Compute,
    *,
    folds: int = FOLDS,
    on_step: Callable[[], None] = lambda: None,
) -> OutOfFold:
    """Fit and test in ``folds`` folds of whole groups of near duplicates.

    Anew for each fold: fine-tuning, pseudo-label map, conversion, standardiser, hyper-parameters (nested) and
    regressor; and, where ``begin`` learns from rated faces, the network itself. Sigma is fitted afterwards on the
    other folds' errors.
    """
    prediction = np.empty((len(sightings), 2), np.float32)
    said: dict[int, FaceEncoding] = {}
    fold_of = np.full(len(sightings), -1, np.int64)
    choices = []
    for number, fold in enumerate(grouped(groups, folds, seed=settings.regressor.seed)):
        start, voted = begin(fold.train)
        models = fit(start, rated, sightings, groups, fold.train, voted, settings, compute, on_step)
        rows = sightings.of(fold.test)
        said[number] = models.encode(sightings.crops[rows])
        prediction[rows] = models.predict(said[number].features)
        fold_of[rows] = number
        choices.append(models.choice)
    return OutOfFold(
        sightings,
        rated.affect[sightings.item],
        prediction,
        _in_order(said, fold_of),
        fold_of,
        tuple(choices),
        rated.expression[sightings.item],
    )


def _in_order(said: Mapping[int, FaceEncoding], fold_of: NDArray[np.int64]) -> FaceEncoding:
    """What was said fold by fold, in the order of the sightings."""
    back = np.argsort(np.argsort(fold_of, kind="stable"), kind="stable")
    columns = zip(*(said[number] for number in sorted(said)), strict=True)
    return FaceEncoding(*(np.concatenate(column)[back] for column in columns))
