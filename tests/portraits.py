"""Real faces for tests: the detector, clips of ``../shared/data``, files of packages; absent ones skip the test."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from edge_emotion_export.conversion.yunet import fold_yunet
from edge_emotion_export.packaged_files import fetch

from edge_emotion.config import DetectorSettings, Execution
from edge_emotion.errors import EdgeEmotionError
from edge_emotion.model.backend import open_backend
from edge_emotion.model.detector import YuNet

cv2.setNumThreads(1)
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def packaged(name: str) -> Path:
    """A file of `packaged_files.FILES`."""
    try:
        return fetch(name)
    except EdgeEmotionError as fault:
        pytest.skip(str(fault))


@cache
def folded_yunet() -> bytes:
    return fold_yunet(packaged("yunet.onnx"))


def yunet(**settings) -> YuNet:
    return YuNet(open_backend(folded_yunet(), Execution(provider="cpu")), DetectorSettings(**settings))


@cache
def portrait(index: int) -> np.ndarray:
    """The first picture, 360x288 BGR, of one of the GRID clips; each shows one person from the front."""
    clips = sorted((SHARED / "av" / "grid").glob("*.mpg"))
    if not clips:
        pytest.skip("no GRID clips in ../shared/data/av/grid")
    with av.open(str(clips[index])) as container:
        image = next(container.decode(video=0)).to_ndarray(format="bgr24")
    image.flags.writeable = False
    return image


def crowd() -> np.ndarray:
    """Five people in a row, 1000x667 BGR."""
    return cv2.imread(str(packaged("multi_face.jpg")))


def frames(path: Path, every: int = 1) -> list[tuple[int, np.ndarray]]:
    """Times in nanoseconds and BGR pictures of a clip."""
    with av.open(str(path)) as container:
        return [
            (round(frame.time * 1e9), frame.to_ndarray(format="bgr24"))
            for i, frame in enumerate(container.decode(video=0))
            if i % every == 0
        ]


def moved(
    image: np.ndarray, *, x: float = 0, y: float = 0, turn_deg: float = 0, scale: float = 1
) -> np.ndarray:
    """The picture turned clockwise and scaled about its middle, then shifted; its edge repeats."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -turn_deg, scale)
    matrix[:, 2] += (x, y)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
