"""Where the landmarks lie in FER+ faces: the measurements behind `CANONICAL` (``edge_emotion.features.crop``) and
`FACE_MM` (``edge_emotion.features.quality``).

    python -m edge_emotion_export.training.crop_geometry ../shared/data/faces

The detector runs on every training face, enlarged four times (`face_crops.find_landmarks`). Of each coordinate the
median over the faces is taken, then the mean with its mirror image, so that a flipped face gives the flipped crop. The
depths of nose tip and mouth are those with which a turned, flat-projected typical face fits the single faces best.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import F32

from ..corpora.faces import FACE_PX, find_faces, with_votes
from .face_crops import find_landmarks

_MIRRORED = [1, 0, 2, 4, 3]
_EYES_MM = 63.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What the faces have in common.

    Attributes
    ----------
    landmarks
        Typical place ``(5, 2)`` in pixels of a FER+ face.
    depth_mm
        Of nose tip and mouth corners before the eyes, which are 63 mm apart.
    detected, faces
        Share of the faces that were found, and how many were looked at.
    """

    landmarks: F32
    depth_mm: tuple[float, float]
    detected: float
    faces: int


def measure(folder: Path) -> Measured:
    """Measure the FER+ training faces in ``folder``."""
    images = with_votes(find_faces(folder)).only("train").images
    landmarks = find_landmarks(images)
    found = np.isfinite(landmarks).all(axis=(1, 2))
    median = np.median(landmarks[found], axis=0)
    mirrored = np.column_stack([FACE_PX - median[_MIRRORED, 0], median[_MIRRORED, 1]])
    typical = ((median + mirrored) / 2).astype(np.float32)
    return Measured(typical, depths(landmarks[found], typical), float(found.mean()), len(images))


def depths(faces: F32, typical: F32) -> tuple[float, float]:
    """Depths in mm, in steps of 2 mm, of nose tip and mouth that fit ``faces`` (n, 5, 2) with the least squares."""
    flat = typical * (_EYES_MM / (typical[1, 0] - typical[0, 0]))
    faces = faces - faces.mean(axis=1, keepdims=True)
    faces = faces / np.linalg.norm(faces, axis=(1, 2), keepdims=True)
    candidates = [(nose, mouth) for nose in range(10, 61, 2) for mouth in range(-20, 21, 2)]
    nose, mouth = min(
        candidates, key=lambda at: _misfit(faces, np.column_stack([flat, [0, 0, at[0], at[1], at[1]]]))
    )
    return float(nose), float(mouth)


def _misfit(faces: F32, shape: NDArray[np.float64]) -> float:
    """Mean over the faces of what the best turned and scaled orthographic view of ``shape`` (5, 3) leaves over."""
    shape = shape - shape.mean(axis=0)
    affine = faces.transpose(0, 2, 1) @ np.linalg.pinv(shape).T
    left, scales, right = np.linalg.svd(affine, full_matrices=False)
    rigid = scales.mean(axis=1)[:, None, None] * (left @ right)
    return float(np.mean((faces - shape @ rigid.transpose(0, 2, 1)) ** 2))


def main() -> None:
    """Print the measurement."""
    measured = measure(Path(sys.argv[1]))
    points = ", ".join(f"({x:.2f}, {y:.2f})" for x, y in measured.landmarks.tolist())
    nose, mouth = measured.depth_mm
    print(f"{measured.faces} faces, {measured.detected:.1%} detected: {points}")  # noqa: T201
    print(f"nose tip {nose:.0f} mm and mouth {mouth:.0f} mm before the eyes")  # noqa: T201


if __name__ == "__main__":
    main()
