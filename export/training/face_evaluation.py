"""Judge a bundle's face models on labelled pictures, through the code that runs on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.detector import YuNet
from edge_emotion.model.encoder import FaceEncoding, FaceNetwork
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.types import DIMENSIONS, U8

from ..conversion.face_part import is_known, known_items
from ..corpora.faces import FaceCorpus, find_faces
from .face_data import small_grey
from .face_report import accuracy, confusion, recall
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

    def look(self, corpus: FaceCorpus, on_picture: Callable[[], None]) -> Sightings:
        """Detect, crop and measure the face of each picture."""
        return look(corpus.images, self.detector, self.part.crop, on_picture=on_picture)

    def encode(self, crops: U8, batch: int = 256) -> FaceEncoding:
        """Everything the encoder says of the crops."""
        starts = range(0, max(len(crops), 1), batch)
        parts = [self.encoder.encode(crops[start : start + batch]) for start in starts]
        return FaceEncoding(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def evaluate(
    bundle: Bundle,
    folder: Path,
    split: str = "all",
    *,
    include_training: bool = False,
    begin: Callable[[str, int], None] = lambda what, steps: None,
    step: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Figures of a bundle on the face corpora in ``folder``.

    Parameters
    ----------
    split
        ``train``, ``valid``, ``test`` or ``all``; a corpus without partitions counts whole.
    include_training
        Judge also the faces that the models were trained on.

    Returns
    -------
    dict
        ``arousal`` and ``valence`` (`metrics.Scores`) over the rated faces that were found, ``accuracy`` by protocol
        over all faces with votes (a face that is not found is taken whole, so that n does not depend on the detector),
        ``accuracy_direct`` without detection, ``recall`` and ``confusion`` (standard protocol), ``found`` and
        ``left_out`` by corpus. What no corpus has labels for is ``None``.
    """
    judge = FaceJudge(bundle)
    report: dict[str, Any] = {
        **dict.fromkeys(DIMENSIONS),
        **dict.fromkeys(("accuracy", "accuracy_direct", "recall", "confusion")),
        "found": {},
        "left_out": {},
    }
    for corpus in find_faces(folder):
        chosen = corpus if split == "all" or not np.any(corpus.split != "") else corpus.only(split)
        fresh = chosen if include_training else judge.unseen(chosen)
        report["left_out"][corpus.name] = len(chosen) - len(fresh)
        begin(f"looking at {corpus.name}", len(fresh))
        if not len(fresh):
            report["found"][corpus.name] = {"faces": 0, "of": 0}
            continue
        seen = judge.look(fresh, step)
        report["found"][corpus.name] = {"faces": len(seen), "of": len(fresh)}
        if fresh.votes is not None:
            report |= _judge_votes(judge, fresh, seen)
        if fresh.affect is not None and len(seen):
            guess = judge.regressor.compute(judge.encode(seen.crops).features)
            report |= score_both(fresh.affect[seen.item], guess)
    return report


def _judge_votes(judge: FaceJudge, corpus: FaceCorpus, seen: Sightings) -> dict[str, Any]:
    assert corpus.votes is not None
    direct = _whole(corpus.images)
    crops = direct.copy()
    crops[seen.item] = seen.crops
    probabilities = judge.encode(crops).votes
    table = confusion(corpus.votes, probabilities)
    return {
        "accuracy": accuracy(corpus.votes, probabilities),
        "accuracy_direct": accuracy(corpus.votes, judge.encode(direct).votes),
        "recall": recall(table),
        "confusion": table.tolist(),
    }


def _whole(images: Sequence[U8]) -> U8:
    return np.stack([small_grey(image) for image in images])
