"""The post-processing chain: which of its steps help on speakers that did not choose them, and with what parameters.

Median filter, centring, scaling about the mean, shift in time, in this order (Ortega, Cardinal and Koerich 2019; AVEC
baselines). The causal variant runs the device's own `Smoother`; the offline variant may look ahead. Both are judged at
the raters' clock: a prediction is moved later by the raters' delay, which is no look-ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from edge_emotion.config import SmoothingChain, SmoothingSettings
from edge_emotion.smoothing import Smoother

from .folds import grouped
from .metrics import ccc

F64 = NDArray[np.float64]

MEDIANS_S = (0.4, 0.8, 1.2, 2.0, 3.2, 5.2, 8.0, 12.0, 20.0)
SHIFTS_S = tuple(round(-2.0 + 0.2 * index, 1) for index in range(21))
"""About the raters' delay."""
GAIN = 1e-3
"""A step stays when it raises the CCC on held-out speakers by more than this (our choice)."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Parameters of the whole chain; neutral as constructed, but for the shift."""

    shift_s: float
    """How much later a prediction counts: the raters' delay less half the window, less the median's own latency."""
    median_s: float = 0.0
    centre: float = 0.0
    scale: float = 1.0
    offset: float = 0.0

    def smoothing(self) -> SmoothingChain:
        """What the device does of it: all but the shift, for a device owes nobody the raters' delay."""
        return SmoothingChain(
            median_s=self.median_s, centre=self.centre, scale=self.scale, offset=self.offset
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One step's trial: CCC on held-out speakers without and with it, its parameters chosen on the others."""

    name: str
    without: float
    with_it: float
    kept: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """The chain, fitted on all out-of-fold predictions, and how each step was judged."""

    chain: Chain
    steps: tuple[Step, ...]

    @property
    def earned(self) -> float:
        """CCC on held-out training speakers with the steps that were kept."""
        last = self.steps[-1]
        return last.with_it if last.kept else last.without


def apply(chain: Chain, prediction: F64, *, hop_s: float, causal: bool) -> F64:
    """The chain on one recording's predictions ``(n,)``, rows ``hop_s`` apart; limited to [-1, 1]."""
    smooth = median(prediction, chain.median_s, hop_s=hop_s, causal=causal)
    scaled = chain.centre + chain.scale * (smooth - chain.centre) + chain.offset
    return later(np.clip(scaled, -1.0, 1.0), chain.shift_s, hop_s)


def median(prediction: F64, width_s: float, *, hop_s: float, causal: bool) -> F64:
    """Median filter, trailing as the device runs it, or centred with the ends held."""
    if width_s <= 0:
        return prediction
    if not causal:
        filtered: F64 = median_filter(prediction, size=2 * round(width_s / hop_s / 2) + 1, mode="nearest")
        return filtered
    # The device's chain limits its output to [-1, 1]; predictions are brought well inside and back.
    scale = max(1.0, float(np.abs(prediction).max()))
    smoother = Smoother(SmoothingSettings(arousal=SmoothingChain(median_s=width_s), restart_after_s=60.0))
    result = np.empty(len(prediction))
    for index, value in enumerate(prediction):
        smoothed = smoother.update(round(index * hop_s * 1e9), (float(value) / scale, 0.0))
        result[index] = value if smoothed is None else smoothed[0] * scale
    return result


def later(prediction: F64, seconds: float, hop_s: float) -> F64:
    """Move a trace later by ``seconds`` (earlier where negative), the end values held."""
    at = np.clip(np.arange(len(prediction)) - round(seconds / hop_s), 0, len(prediction) - 1)
    moved: F64 = prediction[at]
    return moved


def raters_clock(lag_s: float, *, causal: bool) -> Chain:
    """The neutral chain: predictions moved to the raters' clock; the causal one waits, it never looks ahead."""
    return Chain(shift_s=max(0.0, lag_s) if causal else lag_s)


def choose_chain(
    predictions: Sequence[F64],
    truths: Sequence[F64],
    speakers: Sequence[str],
    *,
    hop_s: float,
    lag_s: float,
    causal: bool,
    folds: int = 4,
    medians_s: Sequence[float] = MEDIANS_S,
) -> Chosen:
    """Build the chain step by step from out-of-fold predictions.

    For each step the parameters are chosen on the inner folds' speakers and judged on the outer fold's; a step that
    does not raise the CCC there by `GAIN` is left out. What is kept is then fitted once more on everything.
    """
    names = np.array(speakers)
    split = list(grouped(names, min(folds, len(np.unique(names)))))
    medians = {
        width: [median(p, width, hop_s=hop_s, causal=causal) for p in predictions]
        for width in (0.0, *medians_s)
    }
    everything = np.arange(len(truths))

    def outcome(chain: Chain, index: int) -> F64:
        value = chain.centre + chain.scale * (medians[chain.median_s][index] - chain.centre) + chain.offset
        return later(np.clip(value, -1.0, 1.0), chain.shift_s, hop_s)

    def score(chains: Sequence[Chain], members: NDArray[np.intp]) -> float:
        got = [outcome(chain, k) for chain, k in zip(chains, members, strict=True)]
        return ccc(np.concatenate([truths[k] for k in members]), np.concatenate(got))

    def best(candidates: Sequence[Chain], members: NDArray[np.intp]) -> Chain:
        return max(candidates, key=lambda chain: score([chain] * len(members), members))

    def moments(chain: Chain, members: NDArray[np.intp]) -> tuple[F64, F64]:
        got = np.concatenate([outcome(chain, k) for k in members])
        return np.concatenate([truths[k] for k in members]), got

    fits = _fitters(best, moments, tuple(medians), lag_s=lag_s, causal=causal)
    whole = raters_clock(lag_s, causal=causal)
    of_fold = [whole] * len(split)
    steps: list[Step] = []
    for name, fit in fits.items():
        trial = [fit(chain, fold.train) for chain, fold in zip(of_fold, split, strict=True)]
        order = np.concatenate([fold.test for fold in split])
        without = score([c for c, f in zip(of_fold, split, strict=True) for _ in f.test], order)
        with_it = score([c for c, f in zip(trial, split, strict=True) for _ in f.test], order)
        kept = with_it > without + GAIN
        steps.append(Step(name, without, with_it, kept))
        if kept:
            of_fold, whole = trial, fit(whole, everything)
    return Chosen(whole, tuple(steps))


_Fit = Callable[[Chain, NDArray[np.intp]], Chain]


def _fitters(
    best: Callable[[Sequence[Chain], NDArray[np.intp]], Chain],
    moments: Callable[[Chain, NDArray[np.intp]], tuple[F64, F64]],
    medians_s: Sequence[float],
    *,
    lag_s: float,
    causal: bool,
) -> dict[str, _Fit]:
    def shift(seconds: float, chain: Chain) -> float:
        # A trailing median is half its width late: that much of the raters' delay is already spent.
        return max(0.0, seconds - chain.median_s / 2) if causal else seconds

    def with_median(chain: Chain, members: NDArray[np.intp]) -> Chain:
        wide = [_replace(chain, median_s=width) for width in medians_s]
        return best([_replace(c, shift_s=shift(lag_s, c)) for c in wide], members)

    def centred(chain: Chain, members: NDArray[np.intp]) -> Chain:
        truth, got = moments(chain, members)
        return _replace(chain, offset=chain.offset + float(truth.mean() - got.mean()))

    def scaled(chain: Chain, members: NDArray[np.intp]) -> Chain:
        truth, got = moments(chain, members)
        scale = float(np.clip(truth.std() / max(got.std(), 1e-9), 0.1, 10.0))
        return _replace(chain, centre=float(got.mean()) - chain.offset, scale=scale)

    def shifted(chain: Chain, members: NDArray[np.intp]) -> Chain:
        return best([_replace(chain, shift_s=shift(lag_s + extra, chain)) for extra in SHIFTS_S], members)

    return {"median": with_median, "centring": centred, "scaling": scaled, "shift": shifted}


def _replace(chain: Chain, **changes: float) -> Chain:
    values = {name: getattr(chain, name) for name in Chain.__slots__}
    return Chain(**(values | changes))
