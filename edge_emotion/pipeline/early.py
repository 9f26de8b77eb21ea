"""Early fusion: while sound and picture are both there, one regressor that has learnt from both together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_emotion.config import Execution
from edge_emotion.errors import BundleError
from edge_emotion.fusion import Fused, SigmaModel
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.pipeline.evidence import Evidence, estimate


class EarlyFusion:
    """The bundle's regressor on the features of both modalities side by side, the sound's first.

    Raises
    ------
    BundleError
        The bundle's fusion is late.
    """

    def __init__(self, bundle: Bundle, execution: Execution) -> None:
        model = bundle.manifest.fusion.early
        if model is None:
            raise BundleError("this bundle has no regressor for early fusion")
        self._regressor = AffectRegressor(open_backend(bundle.file("fusion", model), execution))
        self._sigma = SigmaModel(model.sigma)
        self._row = np.zeros((2, model.features), np.float32)

    def compute(self, heard: Evidence, seen: Evidence, late: Fused) -> Fused:
        """What both say together; ``late`` where one of them is missing.

        The shares stay those of late fusion: a joint regressor has none of its own.
        """
        if heard.estimate is None or seen.estimate is None or heard.features is None or seen.features is None:
            return late
        width = heard.features.shape[1]
        self._row[:, :width], self._row[:, width:] = heard.features, seen.features
        facts = {f"audio.{name}": value for name, value in heard.facts.items()}
        facts |= {f"video.{name}": value for name, value in seen.facts.items()}
        together = estimate(self._regressor.compute(self._row), self._sigma.compute(facts))
        return late if together is None else replace(late, value=together.value, sigma=together.sigma)
