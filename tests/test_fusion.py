"""Weights, sigma and confidence against closed forms and against drawn errors."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_emotion.config import PerDimension, SigmaParameters, parse
from edge_emotion.errors import ConfigError
from edge_emotion.fusion import SigmaModel, confidence, fuse, widen
from edge_emotion.types import Estimate

AUDIO = Estimate(value=(0.4, 0.1), sigma=(0.1, 0.3))
VIDEO = Estimate(value=(0.0, -0.3), sigma=(0.2, 0.3))
sigmas = st.floats(0.01, 2.0)


def test_two_sigmas_give_known_weights() -> None:
    """1/0.01 against 1/0.04 is 4 to 1; equal sigmas share evenly."""
    fused = fuse(AUDIO, VIDEO)
    assert fused is not None
    assert fused.audio_weight == (pytest.approx(0.8), pytest.approx(0.5))
    assert fused.value == (pytest.approx(0.32), pytest.approx(-0.1))
    assert fused.sigma == (pytest.approx(sqrt(1 / 125)), pytest.approx(0.3 / sqrt(2)))


def test_a_missing_modality_leaves_the_other_as_it_is() -> None:
    alone = fuse(AUDIO, None)
    assert alone is not None
    assert (alone.value, alone.sigma, alone.audio_weight) == (AUDIO.value, AUDIO.sigma, (1.0, 1.0))
    alone = fuse(None, VIDEO)
    assert alone is not None
    assert (alone.value, alone.sigma, alone.audio_weight) == (VIDEO.value, VIDEO.sigma, (0.0, 0.0))
    assert fuse(None, None) is None


@given(sigmas, sigmas, st.floats(0, 0.95))
def test_fused_sigma_is_that_of_drawn_errors(a: float, v: float, rho: float) -> None:
    fused = fuse(Estimate((0, 0), (a, a)), Estimate((0, 0), (v, v)), rho)
    assert fused is not None
    w = np.array([fused.audio_weight[0], 1 - fused.audio_weight[0]])
    covariance = np.array([[a * a, rho * a * v], [rho * a * v, v * v]])
    assert fused.sigma[0] == pytest.approx(sqrt(w @ covariance @ w))
    if rho == 0:
        assert fused.sigma[0] <= min(a, v)


def test_confidence_is_the_normal_distribution() -> None:
    """P(|z| <= 1) = 0.6827, P(|z| <= 2) = 0.9545."""
    assert confidence((0.25, 0.25), 0.25) == pytest.approx(0.682689, abs=1e-6)
    assert confidence((0.25, 0.125), 0.25) == pytest.approx((0.682689 + 0.954500) / 2, abs=1e-6)


def test_a_short_window_is_doubted_more() -> None:
    none = PerDimension(arousal=0.0, valence=0.0)
    assert widen((0.2, 0.4), none, 1.0, 0.25) == (0.2, 0.4)
    assert widen((0.2, 0.4), none, 0.0625, 0.25) == (pytest.approx(0.4), pytest.approx(0.8))


def test_an_error_that_training_did_not_show_is_added_in_quadrature() -> None:
    added = PerDimension(arousal=0.4, valence=0.0)
    assert widen((0.3, 0.3), added, 1.0, 0.25) == (pytest.approx(0.5), pytest.approx(0.3))


def model(**term) -> SigmaModel:
    base = {"fact": "snr_db", "knots": [0, 10], "missing": {"arousal": 0.7, "valence": 0.8}}
    intercept = {"arousal": -1.0, "valence": -2.0}
    return SigmaModel(parse(SigmaParameters, {"intercept": intercept, "terms": [base | term]}, "test"))


def test_sigma_is_piecewise_linear_in_its_logarithm() -> None:
    sigma = model(arousal=[1.0, 0.0], valence=[2.0, 0.0])
    assert sigma.compute({"snr_db": 5.0}) == (pytest.approx(exp(-0.5)), pytest.approx(exp(-1.0)))
    assert sigma.compute({"snr_db": -40.0}) == (pytest.approx(exp(0.0)), pytest.approx(exp(0.0)))
    assert sigma.compute({"snr_db": 40.0}) == (pytest.approx(exp(-1.0)), pytest.approx(exp(-2.0)))
    assert sigma.compute({"snr_db": None}) == (pytest.approx(exp(-0.3)), pytest.approx(exp(-1.2)))
    assert sigma.compute({}) == sigma.compute({"snr_db": None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"knots": [10, 0]}, "must rise"),
        ({"arousal": [1.0]}, "one value for each of 2 knots"),
        ({"knots": [0, 1, 2], "arousal": [0, 1, 0], "valence": [0, 0, 0]}, "monotone"),
        ({"knot": [1]}, r"terms\.0\.knot: unknown key"),
    ],
)
def test_a_bad_sigma_model_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model(**({"arousal": [1.0, 0.0], "valence": [1.0, 0.0]} | change))
