"""Where the landmarks lie in FER+ faces: the measurement behind `edge_emotion.features.crop.CANONICAL`.

    python -m edge_emotion_export.training.crop_geometry ../shared/data/faces

The detector runs on every training face, enlarged four times (`face_crops.find_landmarks`). Of each coordinate the
median over the faces is taken, then the mean with its mirror image, so that a flipped face gives the flipped crop.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_emotion.types import F32

from ..corpora.faces import FACE_PX, find_faces, with_votes
from .face_crops import find_landmarks

_MIRRORED = [1, 0, 2, 4, 3]


@dataclass(frozen=True, slots=True)
class Measured:
    """Typical landmarks ``(5, 2)`` in pixels of a FER+ face, the share of faces found, and how many were looked at."""

    landmarks: F32
    detected: float
    faces: int


def measure(folder: Path) -> Measured:
    """Measure the FER+ training faces in ``folder``."""
    images = with_votes(find_faces(folder)).only("train").images
    landmarks = find_landmarks(images)
    found = np.isfinite(landmarks).all(axis=(1, 2))
    median = np.median(landmarks[found], axis=0)
    mirrored = np.column_stack([FACE_PX - median[_MIRRORED, 0], median[_MIRRORED, 1]])
    return Measured(((median + mirrored) / 2).astype(np.float32), float(found.mean()), len(images))


def main() -> None:
    """Print the measurement."""
    measured = measure(Path(sys.argv[1]))
    points = ", ".join(f"({x:.2f}, {y:.2f})" for x, y in measured.landmarks.tolist())
    print(f"{measured.faces} faces, {measured.detected:.1%} detected: {points}")  # noqa: T201


if __name__ == "__main__":
    main()
