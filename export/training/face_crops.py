"""Aligned crops of the training faces, by the device's own detector and crop function.

The landmarks, which take a minute or two for FER+, are kept in the cache folder; the crops are cut anew at each call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import CropSettings, DetectorSettings, Execution
from edge_emotion.features.crop import CANONICAL, align
from edge_emotion.model.backend import open_backend
from edge_emotion.model.detector import YuNet
from edge_emotion.types import F32, U8

from ..conversion.yunet import default_detector
from ..packaged_files import cache_folder
from .shards import whole_file

DETECTOR_PX = 192
"""Corpus faces are scaled to about this side, at which YuNet knows them best, and set in a plain border."""
BORDER = 1 / 6
MIN_SCORE = 0.5


def find_landmarks(images: Sequence[U8]) -> F32:
    """Landmarks of the main face of each picture, ``(n, 5, 2)`` in its pixels; NaN where the detector finds none.

    The result is cached under the SHA-256 of the pictures, the detector and the constants above.
    """
    detector = default_detector()
    path = cache_folder() / "landmarks" / f"{_digest(images, detector)}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return np.asarray(stored["landmarks"], np.float32)
    settings = DetectorSettings(long_side_px=4 * DETECTOR_PX, score_threshold=MIN_SCORE)
    yunet = YuNet(open_backend(detector, Execution(provider="cpu")), settings)
    landmarks = np.stack([_landmarks(yunet, image) for image in images])
    with whole_file(path) as file:
        np.savez_compressed(file, landmarks=landmarks)
    return landmarks


def face_crops(
    images: Sequence[U8], geometry: CropSettings = CANONICAL, *, grey: bool = True
) -> tuple[U8, NDArray[np.bool_]]:
    """Aligned crops of corpus pictures, each of which shows one face.

    Parameters
    ----------
    images
        ``uint8`` pictures, grey ``(h, w)`` or BGR ``(h, w, 3)``; for example ``FaceCorpus.images``.
    geometry
        As for `edge_emotion.features.crop.align`; ``CANONICAL.scaled(112)`` gives larger crops.
    grey
        Crops ``(n, size, size)``; otherwise ``(n, size, size, 3)`` BGR.

    Returns
    -------
    crops
        ``uint8``. Where no face was found: the whole picture, scaled to ``size`` (FER+ pictures are cut round
        the face already, and the canonical geometry is their mean).
    found
        ``bool (n,)``: whether the crop is aligned.
    """
    landmarks = find_landmarks(images)
    found = np.asarray(np.isfinite(landmarks).all(axis=(1, 2)))
    whole = zip(images, landmarks, found, strict=True)
    return np.stack(
        [
            align(image, points if aligned else _frame(image, geometry), geometry, grey=grey)
            for image, points, aligned in whole
        ]
    ), found


def _landmarks(yunet: YuNet, image: U8) -> F32:
    scale = DETECTOR_PX / max(image.shape[:2])
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    border = round(BORDER * DETECTOR_PX)
    shade = [float(value) for value in np.atleast_1d(large.mean(axis=(0, 1)))]
    faces = yunet.compute(
        cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_CONSTANT, value=shade)
    )
    if not faces:
        return np.full((5, 2), np.nan, np.float32)
    main = max(faces, key=lambda face: face.width * face.height)
    return ((main.landmarks - border) / scale).astype(np.float32)


def _frame(image: U8, geometry: CropSettings) -> F32:
    """Landmarks that make `align` return the whole picture."""
    height, width = image.shape[:2]
    return np.asarray(np.array(geometry.landmarks) / geometry.size * (width, height), np.float32)


def _digest(images: Iterable[U8], detector: bytes) -> str:
    digest = hashlib.sha256(f"{DETECTOR_PX} {BORDER} {MIN_SCORE}".encode())
    digest.update(detector)
    for image in images:
        digest.update(str(image.shape).encode())
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:16]
