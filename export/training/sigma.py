"""How wrong a modality is likely to be, learnt from its out-of-fold errors and the quality facts of the same
moments.

The model is ``log sigma = intercept + sum of terms``; each term is piecewise linear and monotone in one fact,
so that worse light or more noise never makes an estimate surer (our choice; the likelihood is that of a
normal error).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from edge_emotion.types import DIMENSIONS

F64 = NDArray[np.float64]

COVERAGE = 0.8
HALF_WIDTH = 1.2815515655446004
"""Half width, in sigmas, of the central interval with `COVERAGE` of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Term:
    """One fact's part of the model.

    Attributes
    ----------
    fact
        Its name in the bundle (``snr_db``).
    knots
        Where the line may bend, increasing, two or more; beyond the ends it is flat.
    grows
        Whether sigma grows with the fact (clipping) or falls (signal-to-noise ratio).
    least
        By how much log sigma rises at least from the best knot to the worst, whatever the data say.
    """

    fact: str
    knots: tuple[float, ...]
    grows: bool = False
    least: float = 0.0


AUDIO_TERMS = (
    Term("voiced", (0.1, 0.3, 0.5, 0.7)),
    Term("snr_db", (-5.0, 0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0)),
    Term("hnr_db", (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0)),
    Term("f1_hz", (550.0, 600.0, 650.0, 700.0, 750.0, 800.0, 900.0, 1000.0), grows=True, least=0.1),
    Term("f0_semitones", (20.0, 24.0, 27.0, 30.0, 33.0, 36.0, 40.0), grows=True),
    Term("clipped", (0.0, 0.001, 0.01, 0.05), grows=True),
    Term("level_dbfs", (-60.0, -45.0, -30.0)),
)
"""What a voice's sigma depends on: besides the sound's quality, what the descriptors say of the room and of the
microphone (`edge_emotion.features.names.QUALITY_COLUMNS`). A first formant that seems high adds a tenth at least: there
are stranger microphones than training draws (our choice)."""

FACE_TERMS = (
    Term("face_px", (12.0, 18.0, 24.0, 40.0, 64.0, 96.0), least=0.1),
    Term("score", (0.6, 0.75, 0.82, 0.86, 0.89, 0.91, 0.93)),
    Term("blur", (0.35, 0.45, 0.55, 0.7), grows=True, least=0.1),
    Term("yaw_deg", (10.0, 20.0, 35.0, 50.0), grows=True, least=0.1),
    Term("brightness", (4.0, 12.0, 30.0, 80.0), least=0.1),
    Term("lower_detail", (-0.5, -0.3, -0.15), least=0.4),
)
"""What a face's sigma depends on. A covered face shows in its score, if only by hundredths. Small, blurred, dark and
turned faces add a tenth at least: the network is so robust to what stills can be put through that these alone would say
less than a moving camera deserves (our choice). So is what a plain lower half adds: no trained condition has a mask."""
NORM_SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9)


def face_terms(feature_norm: NDArray[Any]) -> tuple[Term, ...]:
    """`FACE_TERMS` and that of the features' norm, whose scale is the network's own: its knots are quantiles."""
    knots = np.unique(np.quantile(feature_norm, NORM_SHARES).round(4))
    return (*FACE_TERMS, Term("feature_norm", tuple(knots.tolist()))) if len(knots) > 1 else FACE_TERMS


def fit(
    errors: ArrayLike,
    facts: Mapping[str, ArrayLike],
    terms: Sequence[Term],
    *,
    weights: ArrayLike | None = None,
    smoothness: float = 1e-2,
) -> dict[str, Any]:
    """Fit the bundle's sigma model.

    Parameters
    ----------
    errors
        Prediction less rating, out of fold, shape (n, 2): arousal, valence.
    facts
        For each term's fact n values; NaN where the fact was missing.
    weights
        Of the rows, (n,); windows of one utterance should share its weight.
    smoothness
        Ridge on the steps between knots, against the mean log likelihood.

    Returns
    -------
    dict
        ``{"intercept": {"arousal": x, "valence": y}, "terms": [{"fact", "knots", "arousal", "valence",
        "missing"}]}`` in the layout of the bundle. The intercept is scaled last so that intervals of +-1.2816
        sigma hold 80 % of the errors. A missing fact contributes its mean over the rows that have it.
    """
    e = np.asarray(errors, np.float64)
    w = np.ones(len(e)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    bases = [_basis(term, facts[term.fact]) for term in terms]
    means = [_mean_of_known(basis, w) for basis in bases]
    design = np.hstack([np.where(np.isnan(b), m, b) for b, m in zip(bases, means, strict=True)])

    floor = np.concatenate(
        [np.full(b.shape[1], t.least / b.shape[1]) for t, b in zip(terms, bases, strict=True)]
    )

    intercept, steps = {}, {}
    for k, name in enumerate(DIMENSIONS):
        intercept[name], steps[name] = _fit_one(e[:, k], design, w, smoothness, floor)
    starts = np.cumsum([0, *(b.shape[1] for b in bases)])
    rows = []
    for term, mean, start, end in zip(terms, means, starts[:-1], starts[1:], strict=True):
        row: dict[str, Any] = {"fact": term.fact, "knots": list(term.knots), "missing": {}}
        for name in DIMENSIONS:
            part = steps[name][start:end]
            row[name] = [round(float(v), 6) for v in _at_knots(term) @ part]
            row["missing"][name] = round(float(mean @ part), 6)
        rows.append(row)
    return {"intercept": {name: round(value, 6) for name, value in intercept.items()}, "terms": rows}


def evaluate(model: Mapping[str, Any], facts: Mapping[str, ArrayLike], count: int) -> F64:
    """Sigma (count, 2) of a fitted model, for training; the device's evaluation is
    `edge_emotion.fusion.SigmaModel`.
    """
    out = np.empty((count, 2))
    for k, name in enumerate(DIMENSIONS):
        out[:, k] = model["intercept"][name]
        for term in model["terms"]:
            values = np.asarray(facts[term["fact"]], np.float64)
            line = np.interp(values, term["knots"], term[name])
            out[:, k] += np.where(np.isnan(values), term["missing"][name], line)
    return np.exp(out)


def coverage(errors: ArrayLike, sigma: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, float]:
    """Share of errors within +-1.2816 sigma, for arousal and valence; 0.8 is right."""
    inside = np.abs(np.asarray(errors)) <= HALF_WIDTH * np.asarray(sigma)
    arousal, valence = np.average(inside, axis=0, weights=None if weights is None else np.asarray(weights))
    return float(arousal), float(valence)


def _fit_one(error: F64, design: F64, weights: F64, smoothness: float, floor: F64) -> tuple[float, F64]:
    """Maximum likelihood; convex in the parameters, steps not below ``floor``."""

    def loss(parameters: F64) -> tuple[float, F64]:
        steps = parameters[1:]
        log_sigma = parameters[0] + design @ steps
        ratio = error**2 * np.exp(-2 * log_sigma)
        value = weights @ (log_sigma + 0.5 * ratio) + smoothness * steps @ steps
        slope = weights * (1 - ratio)
        return float(value), np.concatenate([[slope.sum()], design.T @ slope + 2 * smoothness * steps])

    start = np.concatenate([[0.0], floor])
    start[0] = 0.5 * np.log(weights @ error**2 + 1e-12)
    bounds = [(-10.0, 3.0), *[(low, 5.0) for low in floor]]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    spread = np.abs(error) / np.exp(found[0] + design @ found[1:])
    scale = _quantile(spread, weights, COVERAGE) / HALF_WIDTH
    return float(found[0] + np.log(max(scale, 1e-6))), found[1:]


def _basis(term: Term, values: ArrayLike) -> F64:
    """How much of each step between knots a value has taken from the better end on, shape (n, knots - 1)."""
    v = np.asarray(values, np.float64)[:, None]
    left, right = np.array(term.knots[:-1]), np.array(term.knots[1:])
    risen = np.clip((v - left) / (right - left), 0.0, 1.0)
    return np.asarray(risen if term.grows else 1.0 - risen)


def _mean_of_known(basis: F64, weights: F64) -> F64:
    known = ~np.isnan(basis[:, 0])
    if not known.any():
        return np.zeros(basis.shape[1])
    return np.asarray(np.average(basis[known], axis=0, weights=weights[known]))


def _at_knots(term: Term) -> F64:
    return _basis(term, term.knots)


def _quantile(values: F64, weights: F64, share: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])
