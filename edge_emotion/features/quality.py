"""Facts about a face that tell how far to trust what is read from it, and the flags that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import QualityThresholds
from edge_emotion.types import F32, U8, FaceBox, QualityFlag

F64 = NDArray[np.float64]

FACE_MM: F64 = np.array(
    [[-31.5, -32.7, 0.0], [31.5, -32.7, 0.0], [0.0, 1.7, 28.0], [-25.5, 31.8, -8.0], [25.5, 31.8, -8.0]]
)
"""Eyes, nose tip and corners of the mouth of a typical face: right in the picture, down, towards the camera.

Scaled to eyes 63 mm apart. Across and down: the typical FER+ landmarks; depth: what explains their turned heads best
(``edge_emotion_export.training.crop_geometry``).
"""
_FROM_LANDMARKS: F64 = np.linalg.pinv(FACE_MM - FACE_MM.mean(axis=0))


class FaceFacts(NamedTuple):
    """What is known of one face in one picture."""

    face_px: float
    """Width of the detector's box in pixels of the frame."""
    score: float
    """Detection score, 0 to 1."""
    blur: float
    """Blur of the aligned crop (`blur`), 0 sharp to 1."""
    yaw_deg: float
    """Turn to the side, positive towards the person's left, about -90 to 90 (`head_pose`)."""
    roll_deg: float
    """Turn in the picture's plane, clockwise positive, -180 to 180."""
    brightness: float
    """Mean grey level of the middle of the aligned crop, 0 to 255."""
    lower_detail: float = 0.0
    """Logarithm of the contrast of mouth and chin over that of eyes and brow (`lower_detail`)."""


def measure(face: FaceBox, crop: U8) -> FaceFacts:
    """Facts of a detected face and its aligned grey crop ``(size, size)``."""
    yaw_deg, roll_deg = head_pose(face.landmarks)
    edge = crop.shape[0] // 6
    middle = crop[edge:-edge, edge:-edge]
    light = cv2.mean(middle)[0]
    return FaceFacts(face.width, face.score, blur(crop), yaw_deg, roll_deg, light, lower_detail(crop))


def lower_detail(crop: U8) -> float:
    """Logarithm of the deviation of grey levels in the lower half of an aligned crop over that in the upper half.

    About 0 for a bare face, below -0.4 for one in fifty; a mask or a scarf lowers it, for cloth is plain (our choice).
    Two grey levels are added to both, so that a flat picture gives 0.
    """
    size = crop.shape[0]
    edge, half = size // 8, size // 2
    upper, lower = crop[edge:half, edge:-edge], crop[half + size // 24 : -(size // 12), edge:-edge]
    (above,), (below,) = (cv2.meanStdDev(part)[1][0] for part in (upper, lower))
    return math.log((below + 2.0) / (above + 2.0))


def blur(crop: U8) -> float:
    """No-reference blur of a grey picture, 0 (sharp) to 1 (flat): Crete, Dolmiere, Ladret & Nicolas (2007).

    The picture is blurred once more: what was sharp loses its steps between neighbours, what was blurred keeps them.
    Taken on the aligned crop it is normalised for the size of the face: it tells how much of the detail that the
    encoder could use is there. A low-resolution face is blurred, and so is a flat picture; contrast and brightness
    cancel.
    """
    grey = crop.astype(np.float32)
    return max(_kept_variation(grey), _kept_variation(np.ascontiguousarray(grey.T)))


_BLUR_PX = 9  # the paper's length of the averaging filter


def _kept_variation(grey: F32) -> float:
    """Share of the variation along the columns that averaging along them leaves."""
    smooth = cv2.blur(grey, (1, _BLUR_PX), borderType=cv2.BORDER_REPLICATE)
    steps = cv2.absdiff(grey[1:], grey[:-1])
    lost = cv2.subtract(steps, cv2.absdiff(smooth[1:], smooth[:-1]))
    total = cv2.sumElems(steps)[0]
    return 1.0 - cv2.sumElems(cv2.max(lost, 0.0))[0] / total if total > 0 else 1.0


def head_pose(landmarks: F32) -> tuple[float, float]:
    """Yaw and roll in degrees of a face from its five landmarks; both 0 where they coincide.

    The scaled orthographic camera that maps `FACE_MM` onto the landmarks in the least squares sense (POS: DeMenthon &
    Davis 1995). A rough figure: noses differ.
    """
    right, down = (_FROM_LANDMARKS @ (landmarks - landmarks.mean(axis=0))).T
    scale = float(np.linalg.norm(right) + np.linalg.norm(down)) / 2
    if not scale > 1e-9:
        return 0.0, 0.0
    # Rows of the rotation Rz(roll) Rx(pitch) Ry(yaw), up to scale; the third is their cross product.
    towards_x = (right[1] * down[2] - right[2] * down[1]) / scale
    towards_z = (right[0] * down[1] - right[1] * down[0]) / scale
    return math.degrees(math.atan2(-towards_x, towards_z)), math.degrees(math.atan2(-right[1], down[1]))


def flags(faces: Sequence[FaceFacts], limits: QualityThresholds) -> tuple[QualityFlag, ...]:
    """Flags of a picture with these faces, the one that the reading is about first."""
    if not faces:
        return ("no_face",)
    first = faces[0]
    found: list[QualityFlag] = []
    if len(faces) > 1:
        found.append("multi_face")
    if first.brightness < limits.low_light:
        found.append("low_light")
    if first.blur > limits.blur:
        found.append("blur")
    if abs(first.yaw_deg) > limits.off_axis_deg:
        found.append("off_axis")
    return tuple(found)
