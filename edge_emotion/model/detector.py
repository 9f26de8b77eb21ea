"""YuNet face detection: low-resolution input, decoding of the twelve outputs, non-maximum suppression.

Source: Wu, Peng & Yu, *YuNet: a tiny millisecond-level face detector*, Machine Intelligence Research 20
(2023); decoding as in OpenCV's ``FaceDetectorYN``, to which the tests compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_emotion.config import DetectorSettings
from edge_emotion.types import F32, U8, FaceBox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_emotion.model.backend import Backend

STRIDES = (8, 16, 32)
INPUT = "input"
_DIVISOR = 32


class YuNet:
    """Finds faces and their five landmarks (implements `edge_emotion.types.FaceDetector`).

    Parameters
    ----------
    backend
        Runs the folded model (`edge_emotion_export.conversion.yunet`), whose input size is free.
    settings
        Input size, score below which a detection is dropped (0 to 1, the geometric mean of class and objectness),
        overlap (intersection over union) from which the weaker of two is dropped, and how many are returned at most.
    """

    def __init__(self, backend: Backend, settings: DetectorSettings | None = None) -> None:
        self._backend = backend
        self.settings = settings or DetectorSettings()

    def compute(self, image: U8) -> list[FaceBox]:
        """Faces of one picture, best score first, in its pixels.

        Parameters
        ----------
        image
            ``uint8``, ``(h, w, 3)`` BGR, ``(h, w, 4)`` BGRA or ``(h, w)`` grey, of any size.
        """
        if image.size == 0:
            return []
        settings = self.settings
        small, scale = shrink(image, settings.long_side_px)
        tensor = _to_tensor(small)
        outputs = self._backend.compute({INPUT: tensor})
        scores, boxes, landmarks = _decode(outputs, tensor.shape[3], settings.score_threshold)
        if len(scores) == 0:
            return []
        keep = cv2.dnn.NMSBoxes(
            boxes.tolist(), scores.tolist(), settings.score_threshold, settings.nms_threshold
        )
        boxes *= np.tile(scale, 2)
        landmarks *= scale
        return [_face_box(boxes[i], landmarks[i], scores[i]) for i in keep[: settings.max_faces]]


def _face_box(box: F32, landmarks: F32, score: np.float32) -> FaceBox:
    x, y, width, height = box.tolist()
    return FaceBox(x, y, width, height, landmarks, float(score))


def shrink(image: U8, longest_side: int) -> tuple[U8, F32]:
    """Return the picture with its longer side at most ``longest_side``, and the factors (x, y) back.

    It is halved by averaging for as long as it is twice too large, and interpolated for the rest: fine
    patterns do not alias, and both steps are fast whatever the size.
    """
    factor = np.ones(2, np.float32)
    while max(image.shape[:2]) >= 2 * longest_side and min(image.shape[:2]) > 1:
        height, width = image.shape[0] // 2, image.shape[1] // 2
        image = cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        factor *= 2
    height, width = image.shape[:2]
    share = longest_side / max(height, width)
    if share >= 1:
        return image, factor
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return small, factor * np.array([width / size[0], height / size[1]], np.float32)


def _to_tensor(image: U8) -> F32:
    """Float32 (1, 3, h, w), BGR, 0 to 255, padded by black at the right and below to multiples of 32."""
    height, width = image.shape[:2]
    padded = (-(-height // _DIVISOR) * _DIVISOR, -(-width // _DIVISOR) * _DIVISOR)
    tensor = np.zeros((1, 3, *padded), np.float32)
    tensor[0, :, :height, :width] = image if image.ndim == 2 else image[:, :, :3].transpose(2, 0, 1)
    return tensor


def _decode(outputs: Mapping[str, F32], width: int, min_score: float) -> tuple[F32, F32, F32]:
    """Scores (n,), boxes (n, 4: x, y, width, height), landmarks (n, 5, 2) of the cells at ``min_score``."""
    scores, boxes, landmarks = [], [], []
    for stride in STRIDES:
        score = np.sqrt(outputs[f"cls_{stride}"][0, :, 0] * outputs[f"obj_{stride}"][0, :, 0])
        cells = np.flatnonzero(score >= min_score)
        row, column = np.divmod(cells, width // stride)
        corner = np.stack([column, row], axis=1).astype(np.float32)
        box = outputs[f"bbox_{stride}"][0, cells]
        extent = np.exp(box[:, 2:])
        scores.append(score[cells])
        boxes.append(np.hstack([corner + box[:, :2] - extent / 2, extent]) * stride)
        landmarks.append((outputs[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + corner[:, None]) * stride)
    return np.concatenate(scores), np.concatenate(boxes), np.concatenate(landmarks)
