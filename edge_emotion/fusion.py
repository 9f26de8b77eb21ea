"""Late fusion: how much each modality is to be trusted, and what both say together.

Every weight of a reading is computed here and nowhere else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from math import erf, exp, hypot, sqrt

from edge_emotion.config import PerDimension, SigmaParameters, Term
from edge_emotion.types import DIMENSIONS, Dimension, Estimate

Facts = Mapping[str, float | None]


class SigmaModel:
    """Standard deviation of a modality's error, from facts on the quality of its input.

    log sigma is an intercept plus one monotone piecewise-linear term for each fact, flat beyond its knots (our choice:
    it stays positive, can be fitted by maximum likelihood, and bad input can only add doubt).
    """

    def __init__(self, parameters: SigmaParameters) -> None:
        self._parameters = parameters

    def compute(self, facts: Facts) -> tuple[float, float]:
        """Sigma of arousal and of valence; a fact that is unknown or absent counts as its term says."""
        arousal, valence = (
            exp(
                self._parameters.intercept[d]
                + sum(_contribution(term, facts.get(term.fact), d) for term in self._parameters.terms)
            )
            for d in DIMENSIONS
        )
        return arousal, valence


def _contribution(term: Term, x: float | None, dimension: Dimension) -> float:
    if x is None:
        return term.missing[dimension]
    values = term.arousal if dimension == "arousal" else term.valence
    right = bisect_right(term.knots, x)
    if right == 0:
        return values[0]
    if right == len(term.knots):
        return values[-1]
    left = right - 1
    share = (x - term.knots[left]) / (term.knots[right] - term.knots[left])
    return values[left] + share * (values[right] - values[left])


@dataclass(frozen=True, slots=True)
class Fused:
    """What both modalities say together, arousal and valence in this order."""

    value: tuple[float, float]
    sigma: tuple[float, float]
    audio_weight: tuple[float, float]
    """The sound's share, 0 to 1; the picture's is what is left."""


def fuse(audio: Estimate | None, video: Estimate | None, error_correlation: float = 0.0) -> Fused | None:
    """Weigh two estimates by their inverse variances, each dimension by itself; ``None`` where there is neither.

    For independent errors this is the unbiased combination of least variance, 1 / (1/sa² + 1/sv²). Where errors go
    together, the weights stay and the variance of the weighted sum becomes
    ``(w sa)² + ((1-w) sv)² + 2 rho w (1-w) sa sv``.
    """
    if audio is None or video is None:
        if audio is not None:
            return Fused(audio.value, audio.sigma, (1.0, 1.0))
        return None if video is None else Fused(video.value, video.sigma, (0.0, 0.0))
    value, sigma, weight = [], [], []
    for i in range(len(DIMENSIONS)):
        a, v = audio.sigma[i] ** 2, video.sigma[i] ** 2
        w = v / (a + v)
        cross = 2 * error_correlation * w * (1 - w) * audio.sigma[i] * video.sigma[i]
        weight.append(w)
        value.append(w * audio.value[i] + (1 - w) * video.value[i])
        sigma.append(sqrt(w**2 * a + (1 - w) ** 2 * v + cross))
    return Fused((value[0], value[1]), (sigma[0], sigma[1]), (weight[0], weight[1]))


def widen(
    sigma: tuple[float, float], added: PerDimension, fill: float, exponent: float
) -> tuple[float, float]:
    """Sigma with a second independent error, for a window filled to the share ``fill``.

    ``hypot(sigma, added) * fill ** -exponent``; ``fill`` is 0 to 1.
    """
    factor = max(fill, 1e-3) ** -exponent
    return hypot(sigma[0], added.arousal) * factor, hypot(sigma[1], added.valence) * factor


def confidence(sigma: tuple[float, float], half_width: float) -> float:
    """P(|error| <= half_width) for a normal error of width sigma, mean of the two dimensions."""
    return sum(erf(half_width / (s * sqrt(2.0))) for s in sigma) / len(sigma)
