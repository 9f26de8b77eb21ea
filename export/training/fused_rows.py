"""The device's own fusion, row after row of what two modalities say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_emotion.fusion import fuse
from edge_emotion.types import Estimate

F64 = NDArray[np.float64]
Stated = tuple[F64, F64]
"""Prediction and sigma, ``float64 (n, 2)``; the prediction is NaN where there is no reading."""


def fuse_rows(audio: Stated, video: Stated, error_correlation: float) -> Stated:
    """Each row by `edge_emotion.fusion.fuse`; prediction and sigma are NaN where neither modality has a reading."""
    rows = []
    for values in zip(*audio, *video, strict=True):
        fused = fuse(_estimate(*values[:2]), _estimate(*values[2:]), error_correlation)
        rows.append(np.full((2, 2), np.nan) if fused is None else (fused.value, fused.sigma))
    prediction, sigma = np.array(rows, np.float64).reshape(-1, 2, 2).swapaxes(0, 1)
    return prediction, sigma


def _estimate(prediction: F64, sigma: F64) -> Estimate | None:
    if np.isnan(prediction).any():
        return None
    (arousal, valence), (own, other) = prediction.tolist(), sigma.tolist()
    return Estimate((arousal, valence), (own, other))
