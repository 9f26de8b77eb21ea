"""YuNet face detection: low-resolution input, decoding of the twelve outputs, non-maximum suppression.

Source: Wu, Peng & Yu, *YuNet: a tiny millisecond-level face detector*, Machine Intelligence Research 20
(2023); decoding as in OpenCV's ``FaceDetectorYN``, to which the tests compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_emotion.types import F32, U8, FaceBox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

STRIDES = (8, 16, 32)
INPUT = "input"
_DIVISOR = 32


class YuNet:
    """Finds faces and their five landmarks (implements `edge_emotion.types.FaceDetector`).

    Parameters
    ----------
    model
        The folded ONNX file (`edge_emotion_export.conversion.yunet.fold_yunet`) as bytes.
    longest_side
        Pictures are shrunk until their longer side has this many pixels (never enlarged). A face must keep
        about 10 pixels between the cheeks to be found: with 160 from a 640x480 picture, about 40.
    min_score
        Detections below are dropped, 0 to 1 (geometric mean of class and objectness, as the paper's).
    overlap
        Of two detections with a greater intersection over union the weaker is dropped.
    """

    def __init__(
        self, model: bytes, *, longest_side: int = 160, min_score: float = 0.6, overlap: float = 0.3
    ) -> None:
        self._session = _open_session(model)
        self._names = [output.name for output in self._session.get_outputs()]
        self.longest_side = longest_side
        self.min_score = min_score
        self.overlap = overlap

    def compute(self, image: U8) -> list[FaceBox]:
        """Faces of one picture, best score first, in its pixels.

        Parameters
        ----------
        image
            ``uint8``, ``(h, w, 3)`` BGR, ``(h, w, 4)`` BGRA or ``(h, w)`` grey, of any size.
        """
        if image.size == 0:
            return []
        small, scale = shrink(image, self.longest_side)
        tensor = _to_tensor(small)
        outputs = dict(zip(self._names, self._session.run(self._names, {INPUT: tensor}), strict=True))
        scores, boxes, landmarks = _decode(outputs, tensor.shape[3], self.min_score)
        if len(scores) == 0:
            return []
        keep = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), self.min_score, self.overlap)
        boxes *= np.tile(scale, 2)
        landmarks *= scale
        return [_face_box(boxes[i], landmarks[i], scores[i]) for i in keep]


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


def _open_session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
