"""Near duplicates among pictures of faces, so that folds keep them on one side."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from edge_emotion.types import U8

ALIKE = 0.9
"""Correlation from which two faces count as one: pairs above it in diffusionfer look like one person (our choice)."""


def near_duplicates(faces: U8, alike: float = ALIKE) -> NDArray[np.int64]:
    """Group number of each face ``uint8 (n, h, w)``; near duplicates, directly or by way of others, share one.

    Faces are compared at 16x16 pixels after removal of mean and contrast.
    """
    small = np.stack([cv2.resize(face, (16, 16), interpolation=cv2.INTER_AREA) for face in faces])
    rows = small.reshape(len(faces), -1).astype(np.float64)
    rows -= rows.mean(1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    _, groups = connected_components(rows @ rows.T > alike, directed=False)
    return np.asarray(groups, np.int64)
