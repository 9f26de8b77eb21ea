"""The one crop of a face: training and run time go through `align`, so that the encoder sees one kind of picture.

Coordinates are continuous: pixel ``i`` spans ``i`` to ``i + 1``, so scaling a picture scales its coordinates.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import CropSettings
from edge_emotion.types import F32, U8

F64 = NDArray[np.float64]


CANONICAL = CropSettings(
    size=48, landmarks=((14.98, 18.28), (33.02, 18.28), (24.0, 28.13), (16.69, 36.76), (31.31, 36.76))
)
"""Typical place of the landmarks in FER+ faces (measured by ``edge_emotion_export.training.crop_geometry``)."""


_TO_GREY = {3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}
_TO_BGR = {1: cv2.COLOR_GRAY2BGR, 4: cv2.COLOR_BGRA2BGR}


def align(image: U8, landmarks: F32, geometry: CropSettings = CANONICAL, *, grey: bool = True) -> U8:
    """Return the face turned upright, scaled and moved so that its landmarks meet the geometry's.

    The similarity transform minimises the squared distances of the five landmarks in the crop (Umeyama 1991).
    Only the face's own part of the picture is read (`view`).

    Parameters
    ----------
    image
        ``uint8``, ``(h, w, 3)`` BGR, ``(h, w, 4)`` BGRA or ``(h, w)`` grey.
    landmarks
        ``(5, 2)`` in pixels of ``image``, in the order of `edge_emotion.types.FaceBox`.
    geometry
        Place of the landmarks in the crop, and its size.
    grey
        Return ``(size, size)``; otherwise ``(size, size, 3)`` BGR.

    Returns
    -------
    numpy.ndarray
        ``uint8``, a new array.

    Raises
    ------
    ValueError
        The landmarks coincide or are not finite, or the picture is empty.
    """
    crop = view(image, crop_to_image(landmarks, geometry), geometry.size)
    channels = crop.shape[2] if crop.ndim == 3 else 1
    if grey:
        return crop if channels == 1 else cv2.cvtColor(crop, _TO_GREY[channels])
    return crop if channels == 3 else cv2.cvtColor(crop, _TO_BGR[channels])


def view(image: U8, to_image: F64, size: int) -> U8:
    """``size`` x ``size`` pixels of a picture as the similarity ``to_image`` (2, 3) shows them, in the picture's
    colours.

    ``to_image`` leads from the view's coordinates to the picture's. What is shrunk is averaged first, so that it does
    not alias; what lies outside the picture repeats its edge.
    """
    part, origin = _cut(image, to_image, size)
    to_part = to_image.copy()
    to_part[:, 2] -= origin
    scale = float(np.hypot(to_part[0, 0], to_part[1, 0]))
    while scale >= 2 and min(part.shape[:2]) > 1:
        height, width = part.shape[0] // 2, part.shape[1] // 2
        part = cv2.resize(part[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        to_part /= 2
        scale /= 2
    # OpenCV counts from pixel centres.
    to_part[:, 2] += to_part[:, :2].sum(axis=1) / 2 - 0.5
    return cv2.warpAffine(
        part,
        to_part,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def crop_to_image(landmarks: F32, geometry: CropSettings) -> F64:
    """The similarity ``(2, 3)`` that leads from the crop's coordinates to the picture's; raises as `align` does."""
    x, y = np.asarray(landmarks, np.float64).T
    found = x + 1j * y
    wanted = np.array([complex(*point) for point in geometry.landmarks])
    centre, goal = found.mean(), wanted.mean()
    spread = np.sum(np.abs(found - centre) ** 2)
    turn = np.sum(np.conj(found - centre) * (wanted - goal))
    if not (spread > 1e-6 and abs(turn) > 1e-6):
        raise ValueError("landmarks coincide or are not finite")
    back = spread / turn
    shift = centre - back * goal
    return np.array([[back.real, -back.imag, shift.real], [back.imag, back.real, shift.imag]])


def _cut(image: U8, to_image: F64, size: int) -> tuple[U8, F64]:
    """Return the part of the picture that the crop shows, with a margin for interpolation, and its corner (x, y)."""
    height, width = image.shape[:2]
    if height == 0 or width == 0:
        raise ValueError("the picture is empty")
    corners = to_image @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]], np.float64)
    margin = 2 + 2 * np.hypot(to_image[0, 0], to_image[1, 0])
    limit = np.array([width, height])
    low = np.clip(np.floor(corners.min(axis=1) - margin), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=1) + margin), low + 1, limit).astype(int)
    return image[low[1] : high[1], low[0] : high[0]], low.astype(np.float64)
