"""Feature vectors to arousal and valence."""

from __future__ import annotations

import numpy as np

from edge_emotion.model.backend import Backend
from edge_emotion.types import F32


class AffectRegressor:
    """A regressor over any backend (implements `edge_emotion.types.Regressor`).

    Its input ``features`` is raw: the training set's standardisation is part of the graph. Its output ``prediction`` is
    not clipped.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._input = backend.input_names[0]
        self._output = backend.output_names[0]

    def compute(self, features: F32) -> F32:
        """``float32 (n, features)`` to ``float32 (n, 2)``: arousal, valence."""
        rows = np.ascontiguousarray(features, np.float32)
        return self._backend.compute({self._input: rows})[self._output]
