"""What the face models learn from: FER+ votes and rated faces, as published and as the run-time path crops them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import InputError
from edge_emotion.types import F32, U8

from ..corpora.faces import FACE_PX, FaceCorpus, find_faces, with_affect, with_votes
from ..corpora.votes import distribution
from .face_crops import face_crops


@dataclass(frozen=True)
class FaceViews:
    """Faces as published and, where a face was detected in them, as the run-time path would crop them.

    Attributes
    ----------
    direct, crops
        ``uint8 (n, 48, 48)`` grey. Where no face was found the crop is the whole picture.
    found
        ``bool (n,)``: whether the crop is aligned.
    """

    direct: U8
    crops: U8
    found: NDArray[np.bool_]

    def __len__(self) -> int:
        """Faces."""
        return len(self.direct)

    def take(self, index: NDArray[np.int64]) -> FaceViews:
        """The faces at ``index``."""
        return FaceViews(self.direct[index], self.crops[index], self.found[index])


@dataclass(frozen=True)
class VoteData:
    """FER+ training faces with the share of votes ``(n, 8)`` that the network learns, and the validation corpus."""

    train: FaceViews
    shares: F32
    valid: FaceViews
    corpus: FaceCorpus
    used: NDArray[np.int64]
    """Index in ``corpus`` of each training face."""

    @property
    def valid_votes(self) -> F32:
        """Votes ``(n, 10)`` of the validation faces."""
        votes = self.corpus.only("valid").votes
        assert votes is not None
        return votes


@dataclass(frozen=True)
class AffectData:
    """Rated faces: arousal and valence ``(n, 2)``, expression ``(n,)``."""

    views: FaceViews
    affect: F32
    expression: NDArray[np.int64]
    corpus: FaceCorpus


def views_of(corpus: FaceCorpus) -> FaceViews:
    """Both views of each face of a corpus; detection is cached (`face_crops`)."""
    crops, found = face_crops(corpus.images)
    return FaceViews(np.stack([small_grey(image) for image in corpus.images]), crops, found)


def vote_data(folder: Path) -> VoteData:
    """FER+ faces in ``folder``; training faces without votes for an expression are left out."""
    corpus = with_votes(find_faces(folder))
    assert corpus.votes is not None
    train = np.flatnonzero(corpus.split == "train")
    shares, usable = distribution(corpus.votes[train])
    kept = np.flatnonzero(usable)
    return VoteData(
        train=views_of(corpus.take(train)).take(kept),
        shares=shares[kept],
        valid=views_of(corpus.only("valid")),
        corpus=corpus,
        used=train[kept],
    )


def affect_data(folder: Path) -> AffectData:
    """Rated faces in ``folder``, all of them."""
    corpus = with_affect(find_faces(folder))
    assert corpus.affect is not None
    if corpus.expression is None:
        raise InputError(f"{corpus.name}: training needs an expression beside arousal and valence")
    return AffectData(views_of(corpus), corpus.affect, corpus.expression, corpus)


def small_grey(image: U8) -> U8:
    """A whole picture as a 48x48 grey crop."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if image.shape != (FACE_PX, FACE_PX):
        image = cv2.resize(image, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
    return image
