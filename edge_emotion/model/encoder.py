"""The face network: aligned crops to features, votes on eight expressions, and affect."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_emotion.model.backend import Backend
from edge_emotion.model.manifest import Normalisation
from edge_emotion.types import F32, U8

OUTPUTS = ("features", "votes", "affect")


class FaceEncoding(NamedTuple):
    """What the network says of ``n`` crops."""

    features: F32
    """``(n, d)``: the input of the regressor."""
    votes: F32
    """``(n, 8)``: probabilities of the FER+ expressions."""
    affect: F32
    """``(n, 2)``: arousal and valence by the network's own head."""

    @property
    def feature_norm(self) -> F32:
        """Euclidean length of each row of features ``(n,)``: how much of what the network looks for is there.

        It falls where a face is covered or unlike those of the training, which no fact of the picture shows (compare
        Yu, Shin, Lee, Jun and Lee, *Block selection method for using feature norm in out-of-distribution detection*,
        2023).
        """
        return np.sqrt(np.einsum("nd,nd->n", self.features, self.features))


class FaceNetwork:
    """A face network over any backend (implements `edge_emotion.types.FaceEncoder`).

    Parameters
    ----------
    backend
        Input ``crops`` float32 (n, 1, size, size); outputs `OUTPUTS`. A model without these names (TFLite) goes by
        order.
    normalisation
        ``(pixel - mean) / scale``.
    feature_count
        Width of ``features``.
    """

    def __init__(self, backend: Backend, normalisation: Normalisation, feature_count: int) -> None:
        self._backend = backend
        self._mean = np.float32(normalisation.mean)
        self._inverse_scale = np.float32(1.0 / normalisation.scale)
        self.feature_count = feature_count
        self._input = "crops" if "crops" in backend.input_names else backend.input_names[0]
        named = set(OUTPUTS) <= set(backend.output_names)
        self._outputs = OUTPUTS if named else backend.output_names[:3]

    def encode(self, crops: U8) -> FaceEncoding:
        """All three outputs for crops ``uint8 (n, size, size)``; ``n`` may be 0."""
        if len(crops) == 0:
            return FaceEncoding(*(np.zeros((0, width), np.float32) for width in (self.feature_count, 8, 2)))
        pixels = (crops[:, None].astype(np.float32) - self._mean) * self._inverse_scale
        outputs = self._backend.compute({self._input: pixels})
        return FaceEncoding(*(outputs[name] for name in self._outputs))

    def compute(self, crops: U8) -> F32:
        """Features of crops ``uint8 (n, size, size)`` as ``float32 (n, feature_count)``."""
        return self.encode(crops).features
