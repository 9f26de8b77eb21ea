"""Judge a bundle's face models on labelled pictures, clean and spoiled, through the code that runs on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from edge_emotion.errors import UsageError
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.detector import YuNet
from edge_emotion.model.encoder import FaceEncoding, FaceNetwork
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.types import DIMENSIONS, F32, U8

from ..conversion.face_part import is_known, known_items
from ..corpora.faces import FaceCorpus, find_faces
from ..corpora.votes import label
from . import sigma
from .face_conditions import CONDITIONS
from .face_data import small_grey
from .face_report import accuracy, calibration_error, confusion, recall
from .face_sightings import Sightings, look
from .metrics import score_both


class FaceJudge:
    """A bundle's detector, encoder and regressor, opened as on the device."""

    def __init__(self, bundle: Bundle) -> None:
        self.part = bundle.manifest.face
        self.detector = YuNet(
            open_backend(bundle.file("face", self.part.detector)), self.part.detector.settings
        )
        self.encoder = FaceNetwork(
            open_backend(bundle.file("face", self.part.encoder)),
            self.part.encoder.normalisation,
            self.part.encoder.features,
        )
        self.regressor = AffectRegressor(open_backend(bundle.file("face", self.part.regressor)))
        items = self.part.training.items_file
        packed = (bundle.path / "face" / items).read_bytes() if items else b""
        self.known = known_items(packed)

    def unseen(self, corpus: FaceCorpus) -> FaceCorpus:
        """The items that the models were not trained on."""
        fresh = [number for number, digest in enumerate(corpus.hashes()) if not is_known(digest, self.known)]
        return corpus.take(np.array(fresh, np.int64))

    def look(
        self,
        corpus: FaceCorpus,
        conditions: Sequence[str] = ("clean",),
        on_picture: Callable[[], None] = lambda: None,
    ) -> Sightings:
        """Detect, crop and measure the face of each picture; one that is not found is cropped at its place."""
        return look(
            corpus.images, self.detector, self.part.crop, conditions, on_picture=on_picture, missed=True
        )

    def encode(self, crops: U8, batch: int = 256) -> FaceEncoding:
        """Everything the encoder says of the crops."""
        starts = range(0, max(len(crops), 1), batch)
        parts = [self.encoder.encode(crops[start : start + batch]) for start in starts]
        return FaceEncoding(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def sigma(self, seen: Sightings, encoded: FaceEncoding) -> NDArray[np.float64]:
        """The face part's sigma ``(n, 2)`` of each sighting; what fusion adds for moving cameras is not in it."""
        model = self.part.sigma.model_dump()
        unknown = dict.fromkeys((term["fact"] for term in model["terms"]), np.full(len(seen), np.nan))
        known = {**seen.named_facts(np.arange(len(seen))), "feature_norm": encoded.feature_norm}
        return sigma.evaluate(model, unknown | known, len(seen))


@dataclass(frozen=True)
class JudgedCorpus:
    """What the models say of every sighting of a corpus."""

    corpus: FaceCorpus
    seen: Sightings
    encoded: FaceEncoding
    guess: F32
    """Arousal and valence ``(n, 2)``."""
    sigma: NDArray[np.float64]

    @classmethod
    def by(
        cls, judge: FaceJudge, corpus: FaceCorpus, conditions: Sequence[str], step: Callable[[], None]
    ) -> JudgedCorpus:
        """Look, encode and regress."""
        seen = judge.look(corpus, conditions, step)
        encoded = judge.encode(seen.crops)
        guess = judge.regressor.compute(encoded.features)
        return cls(corpus, seen, encoded, guess, judge.sigma(seen, encoded))


def evaluate(
    bundle: Bundle,
    folder: Path,
    split: str = "all",
    *,
    conditions: Sequence[str] = ("clean",),
    limit: int | None = None,
    include_training: bool = False,
    begin: Callable[[str, int], None] = lambda what, steps: None,
    step: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Any], list[JudgedCorpus]]:
    """Figures of a bundle on the face corpora in ``folder``.

    Parameters
    ----------
    split
        ``train``, ``valid``, ``test`` or ``all``; a corpus without partitions counts whole.
    conditions
        Names in `CONDITIONS` beside clean.
    limit
        Judge at most so many faces of each corpus, every expression in proportion; ``None``: all of them.
    include_training
        Judge also the faces that the models were trained on.

    Returns
    -------
    dict
        The figures of clean pictures (`judge_condition`), ``accuracy_direct`` without detection, ``left_out`` by
        corpus, ``conditions``: the figures of each by name, and ``held_out_mean`` over those held out from training.
        What no corpus has labels for is ``None``.
    list of JudgedCorpus
        For pictures (`face_report`).
    """
    unknown = set(conditions) - set(CONDITIONS)
    if unknown:
        raise UsageError(f"unknown condition {min(unknown)!r}; known: all, {', '.join(CONDITIONS)}")
    judge = FaceJudge(bundle)
    names = [name for name in CONDITIONS if name == "clean" or name in conditions]
    left_out, judged = {}, []
    for corpus in find_faces(folder):
        chosen = corpus if split == "all" or not np.any(corpus.split != "") else corpus.only(split)
        fresh = chosen if include_training else judge.unseen(chosen)
        left_out[corpus.name] = len(chosen) - len(fresh)
        fresh = fresh if limit is None else fresh.take(stratified(fresh, limit))
        begin(f"looking at {corpus.name}", len(fresh))
        judged.append(JudgedCorpus.by(judge, fresh, names, step))
    by_condition = {name: judge_condition(judged, name) for name in names}
    report = {
        **by_condition["clean"],
        "accuracy_direct": _accuracy_direct(judge, judged),
        "left_out": left_out,
        "conditions": by_condition,
        "held_out_mean": held_out_mean(by_condition),
    }
    return report, judged


def judge_condition(judged: Sequence[JudgedCorpus], condition: str) -> dict[str, Any]:
    """Figures under one condition, over the corpora that have the labels.

    Returns
    -------
    dict
        ``held_out``. ``arousal`` and ``valence`` (`metrics.Scores`) and ``coverage_80``, the share of ratings within
        the 80 % interval, over the rated faces that were found. ``accuracy`` by protocol over all faces with votes,
        found or not, and for the standard protocol ``recall``, ``confusion`` and ``calibration_error``. ``labels``: by
        corpus, accuracy on single expression labels. ``found`` by corpus.
    """
    report: dict[str, Any] = dict.fromkeys((*DIMENSIONS, "coverage_80", "accuracy", "recall"))
    report |= {"confusion": None, "calibration_error": None, "labels": {}, "found": {}}
    votes, probabilities, truth, guess, spread = [], [], [], [], []
    for part in judged:
        corpus, rows = part.corpus, part.seen.under(condition)
        item, found = part.seen.item[rows], part.seen.found[rows]
        report["found"][corpus.name] = {"faces": int(found.sum()), "of": len(rows)}
        if corpus.votes is not None:
            votes.append(corpus.votes[item])
            probabilities.append(part.encoded.votes[rows])
        if corpus.affect is not None:
            truth.append(corpus.affect[item[found]])
            guess.append(part.guess[rows[found]])
            spread.append(part.sigma[rows[found]])
        if corpus.expression is not None and len(rows):
            right = part.encoded.votes[rows].argmax(1) == corpus.expression[item]
            report["labels"][corpus.name] = {"accuracy": float(right.mean()), "n": len(rows)}
    if sum(map(len, votes)):
        report |= _judge_votes(np.concatenate(votes), np.concatenate(probabilities))
    if sum(map(len, truth)):
        report |= _judge_affect(np.concatenate(truth), np.concatenate(guess), np.concatenate(spread))
    return {"held_out": CONDITIONS[condition].held_out, **report}


def held_out_mean(by_condition: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Mean over the held-out conditions of standard accuracy and the two CCC; ``None`` where there are none."""
    held_out = [row for row in by_condition.values() if row["held_out"]]
    figures: dict[str, list[float]] = {
        "accuracy": [row["accuracy"]["standard"] for row in held_out if row["accuracy"]],
        **{name: [row[name]["ccc"] for row in held_out if row[name]] for name in DIMENSIONS},
    }
    return {
        name: float(np.mean(values)) if values and None not in values else None
        for name, values in figures.items()
    }


def stratified(corpus: FaceCorpus, limit: int, seed: int = 0) -> NDArray[np.int64]:
    """At most ``limit`` items, drawn at random, every expression in proportion; in their order."""
    kind = corpus.expression if corpus.votes is None else label(corpus.votes, "standard")
    order = default_rng(seed).permutation(len(corpus))
    if kind is not None:
        order = order[np.argsort(kind[order], kind="stable")]
    places = np.linspace(0, len(order), min(limit, len(order)), endpoint=False).astype(int)
    return np.sort(order[places])


def _judge_votes(votes: F32, probabilities: F32) -> dict[str, Any]:
    table = confusion(votes, probabilities)
    return {
        "accuracy": accuracy(votes, probabilities),
        "recall": recall(table),
        "confusion": table.tolist(),
        "calibration_error": calibration_error(votes, probabilities),
    }


def _judge_affect(truth: F32, guess: F32, spread: NDArray[np.float64]) -> dict[str, Any]:
    shares = sigma.coverage(guess - truth, spread)
    return {**score_both(truth, guess), "coverage_80": dict(zip(DIMENSIONS, shares, strict=True))}


def _accuracy_direct(judge: FaceJudge, judged: Sequence[JudgedCorpus]) -> dict[str, Any] | None:
    voted = [part.corpus for part in judged if part.corpus.votes is not None and len(part.corpus)]
    if not voted:
        return None
    whole = np.stack([small_grey(image) for corpus in voted for image in corpus.images])
    return accuracy(np.concatenate([corpus.votes for corpus in voted]), judge.encode(whole).votes)
