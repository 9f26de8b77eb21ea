"""How much more a face part errs on photographs of people than its sigma says, which generated faces taught it.

Photographs with ratings of arousal and valence could not be had; FER+ validation faces have votes. Their pseudo-label
is the expectation of the rated faces' circumplex under the votes. It lacks what differs within an expression, so this
is a coarse yardstick, but one of real people.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import Execution
from edge_emotion.features.quality import blur, lower_detail
from edge_emotion.fusion import SigmaModel
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.encoder import FaceNetwork
from edge_emotion.model.regressor import AffectRegressor

from ..corpora.faces import FACE_PX
from ..corpora.votes import distribution
from .face_affect import RatedFaces, circumplex, pseudo_affect
from .face_data import affect_data, vote_data
from .metrics import ccc
from .sigma import COVERAGE, HALF_WIDTH

_BATCH = 256
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Errors on ``faces`` photographs against their pseudo-labels; arousal and valence."""

    faces: int
    ccc: Pair
    bias: Pair
    sigma_found: Pair
    """Half of the interval that holds 80 % of the errors, in units of a normal sigma."""
    sigma_said: Pair
    """Mean of what the bundle's sigma model says of the same pictures."""

    @property
    def added(self) -> Pair:
        """What is missing, as a second independent error."""
        arousal, valence = (
            round(float(np.sqrt(max(found**2 - said**2, 0.0))), 3)
            for found, said in zip(self.sigma_found, self.sigma_said, strict=True)
        )
        return arousal, valence


def measure(bundle: Bundle, faces: Path) -> Transfer:
    """Judge the bundle's face part on the aligned FER+ validation faces in ``faces``; raises `InputError`."""
    votes, rated = vote_data(faces), affect_data(faces)
    means = circumplex(RatedFaces(rated.views, rated.affect, rated.expression))
    shares, usable = distribution(votes.valid_votes)
    kept = np.flatnonzero(usable & votes.valid.found)
    truth, crops = pseudo_affect(shares[kept], means), votes.valid.crops[kept]

    part, cpu = bundle.manifest.face, Execution(provider="cpu")
    encoder = FaceNetwork(
        open_backend(bundle.file("face", part.encoder), cpu),
        part.encoder.normalisation,
        part.encoder.features,
    )
    regressor = AffectRegressor(open_backend(bundle.file("face", part.regressor), cpu))
    batches = [crops[start : start + _BATCH] for start in range(0, len(crops), _BATCH)]
    seen = [encoder.encode(batch) for batch in batches]
    guess = np.concatenate([regressor.compute(batch.features) for batch in seen])
    norms = np.concatenate([batch.feature_norm for batch in seen])
    model = SigmaModel(part.sigma)
    said = np.mean(
        [
            model.compute(
                {
                    "face_px": FACE_PX,
                    "blur": blur(crop),
                    "brightness": float(crop.mean()),
                    "lower_detail": lower_detail(crop),
                    "feature_norm": norm,
                }
            )
            for crop, norm in zip(crops, norms.tolist(), strict=True)
        ],
        axis=0,
    )
    error = guess - truth
    found = np.quantile(np.abs(error), COVERAGE, axis=0) / HALF_WIDTH
    return Transfer(
        faces=len(crops),
        ccc=(ccc(truth[:, 0], guess[:, 0]), ccc(truth[:, 1], guess[:, 1])),
        bias=_pair(error.mean(axis=0)),
        sigma_found=_pair(found),
        sigma_said=_pair(said),
    )


def _pair(values: NDArray[Any]) -> Pair:
    return float(values[0]), float(values[1])
