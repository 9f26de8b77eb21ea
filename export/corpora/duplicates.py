"""Near duplicates among pictures of faces, so that folds and splits keep them on one side."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from edge_emotion.types import U8

from .face_records import FaceCorpus

ALIKE = 0.9
"""Correlation from which two faces count as one: pairs above it in diffusionfer look like one person (our choice)."""
SAME = 0.98
"""Correlation from which two pictures count as one, cut or coded anew (our choice)."""
_BLOCK = 2048


def near_duplicates(faces: U8, alike: float = ALIKE) -> NDArray[np.int64]:
    """Group number of each face ``uint8 (n, h, w)``; near duplicates, directly or by way of others, share one.

    Faces are compared at 16x16 pixels after removal of mean and contrast.
    """
    rows = _signatures(faces)
    _, groups = connected_components(rows @ rows.T > alike, directed=False)
    return np.asarray(groups, np.int64)


def without_leaks(corpus: FaceCorpus, same: float = SAME) -> FaceCorpus:
    """The corpus less the items that a later split shows too: of train and valid, and of valid and test, the latter
    keeps what both have. Pictures are compared as by `near_duplicates`.
    """
    order = [name for name in ("train", "valid", "test") if np.any(corpus.split == name)]
    if len(order) < 2:
        return corpus
    rows = _signatures(corpus.images).astype(np.float32)
    later = {name: np.isin(corpus.split, order[place + 1 :]) for place, name in enumerate(order)}
    leaks = np.zeros(len(corpus), bool)
    for name, kept_back in later.items():
        here = np.flatnonzero(corpus.split == name)
        for start in range(0, len(here), _BLOCK):
            block = here[start : start + _BLOCK]
            leaks[block] = (rows[block] @ rows[kept_back].T > same).any(axis=1)
    return corpus.take(np.flatnonzero(~leaks)) if leaks.any() else corpus


def _signatures(faces: Iterable[U8]) -> NDArray[np.float64]:
    """Faces at 16x16 grey pixels, each row of mean 0 and length 1."""
    small = np.stack([cv2.resize(_grey(face), (16, 16), interpolation=cv2.INTER_AREA) for face in faces])
    rows = small.reshape(len(small), -1).astype(np.float64)
    rows -= rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _grey(face: U8) -> U8:
    return cv2.cvtColor(face, cv2.COLOR_BGR2GRAY) if face.ndim == 3 else face
