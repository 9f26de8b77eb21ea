"""The fusion part of a bundle, learnt from recordings with sound and picture: how errors go together, and smoothing.

Both parts of the bundle stay as they are, and so do their sigmas. Their own regressors may have been trained on the
very utterances and faces, so a support vector regressor on the same features, fitted on other speakers, stands in for
each; it is stretched to the ratings' spread, as the shipped ones are. Everything is judged at the moment that the
middle of the windows shows: what smoothing adds to the delay counts against it, for a device cannot wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import SmoothingSettings
from edge_emotion.model.manifest import DataSource, FusionPart, Manifest, Training
from edge_emotion.types import DIMENSIONS, MODALITIES, Dimension, Modality

from .blocks import Member, read_labels
from .delay import lag_frames, search_delay
from .evidence import Said, read_evidence
from .fused_rows import Stated, fuse_rows
from .metrics import ccc, pearson
from .post_processing import Chosen, apply, choose_chain
from .protocol import speaker_folds
from .regression import Candidate, Regressor, fit
from .sigma import COVERAGE, HALF_WIDTH
from .speech import scaled, stretch
from .statistics import Interval, Paired, ccc_interval, paired_difference

F64 = NDArray[np.float64]
Traces = Sequence[F64]

STAND_IN = Candidate("rbf", c=1.0, epsilon=0.1)
FIT_ROWS = 4000
FOLDS = 4
MEDIANS_S = (0.4, 0.6, 0.8)
"""Tried: who waits for a reading waits half of it, and the tempo of synthetic pairs is planted (our choice)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One dimension on the development speakers."""

    ccc: Mapping[str, float]
    """Of ``audio``, ``video``, ``fused`` (before smoothing), ``smoothed``, and ``balanced``: fused with each sigma
    brought to the errors that the training speakers showed."""
    intervals: Mapping[str, Interval]
    gains: Mapping[str, Paired]
    """Smoothed fusion less ``audio`` and less ``video``."""
    covered: tuple[float, float]
    """Share of the fused readings within the interval that should hold 80 %: errors taken as independent, and with
    the correlation that was found."""
    sigma: Mapping[Modality, tuple[float, float]]
    """Of the training speakers' errors, and what the part says of them on average."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the training speakers teach, and what it is worth on the others."""

    delays_s: Mapping[Dimension, float]
    error_correlation: float
    smoothing: Mapping[Dimension, Chosen]
    judged: Mapping[Dimension, Judged]
    train: tuple[Member, ...]
    dev: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class _Recording:
    """One recording and dimension: evidence of both modalities, and the rating of each reading's moment."""

    speaker: str
    said: Mapping[Modality, Said]
    truth: F64
    prediction: dict[Modality, F64]


def learn(members: Sequence[Member], manifest: Manifest) -> Learnt:
    """From members whose feature ``evidence`` is a shard of `EvidenceJob`, their labels at the bundle's rate."""
    hop_s = 1.0 / manifest.fusion.rate_hz
    train = tuple(m for m in members if m.partition == "train" and m.labels)
    dev = tuple(m for m in members if m.partition == "dev" and m.labels)
    delays, judged, chains, correlations = {}, {}, {}, []
    for dimension in DIMENSIONS:
        middle_s = (manifest.acoustic.window_s[dimension] + manifest.face.window_s[dimension]) / 2
        delays[dimension] = _delay(train, dimension, hop_s, middle_s)
        lag = lag_frames(delays[dimension], middle_s, hop_s)
        known = [_read(member, dimension, lag) for member in train]
        unseen = [_read(member, dimension, lag) for member in dev]
        _predict(known, unseen, speaker_folds(train, FOLDS))
        correlations.append(_error_correlation(known))
        chains[dimension] = _smoothing(known, hop_s)
        judged[dimension] = _judge(known, unseen, chains[dimension], correlations[-1], hop_s)
    found = round(float(np.clip(np.mean(correlations), 0.0, 0.99)), 4)
    return Learnt(delays, found, chains, judged, train, dev)


def describe(learnt: Learnt, name: str) -> DataSource:
    """What was learnt from."""
    lines = sorted(item for member in learnt.train for item in member.identity())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return DataSource(name=name, licence="as the corpus's own", items=len(learnt.train), items_sha256=digest)


def rebuilt(part: FusionPart, learnt: Learnt, data: DataSource, command: str) -> FusionPart:
    """The part with what was learnt; added sigma and what it follows from stay as they are."""
    former = part.training.metrics if part.training is not None else {}
    kept = {name: value for name, value in former.items() if name.startswith("ferplus_")}
    smoothing = {
        d: part.smoothing[d].model_copy(update={"median_s": chosen.chain.median_s})
        for d, chosen in learnt.smoothing.items()
    }
    return part.model_copy(
        update={
            "error_correlation": learnt.error_correlation,
            "smoothing": SmoothingSettings(**smoothing, restart_after_s=part.smoothing.restart_after_s),
            "training": Training(
                data=(data,),
                command=command,
                metrics={**kept, **metrics(learnt)},
                notes=_protocol(learnt, added=bool(kept)),
            ),
        }
    )


def metrics(learnt: Learnt) -> dict[str, float]:
    """Flat figures for the manifest."""
    flat: dict[str, float] = {
        "train_recordings": len(learnt.train),
        "train_speakers": len({m.speaker for m in learnt.train}),
        "dev_recordings": len(learnt.dev),
        "dev_speakers": len({m.speaker for m in learnt.dev}),
    }
    for d, judged in learnt.judged.items():
        flat[f"delay_s_{d}"] = learnt.delays_s[d]
        for name, value in judged.ccc.items():
            flat[f"dev_{name}_ccc_{d}"] = value
            flat[f"dev_{name}_ccc_{d}_low"], flat[f"dev_{name}_ccc_{d}_high"] = judged.intervals[name]
        for name, paired in judged.gains.items():
            flat[f"dev_gain_over_{name}_ccc_{d}"] = paired.difference
            flat[f"dev_gain_over_{name}_ccc_{d}_low"] = paired.low
            flat[f"dev_gain_over_{name}_ccc_{d}_high"] = paired.high
        flat[f"dev_in_80_independent_{d}"], flat[f"dev_in_80_{d}"] = judged.covered
        for m, (found, said) in judged.sigma.items():
            flat[f"train_{m}_sigma_found_{d}"], flat[f"train_{m}_sigma_said_{d}"] = found, said
        for step in learnt.smoothing[d].steps:
            if step.name == "median":
                flat[f"train_without_median_ccc_{d}"] = step.without
                flat[f"train_with_median_ccc_{d}"] = step.with_it
    return {name: round(float(value), 4) for name, value in flat.items()}


def _protocol(learnt: Learnt, *, added: bool) -> str:
    text = (
        f"Error correlation and medians from {len(learnt.train)} train recordings: support vector regressors on the "
        "bundle's own features, fitted on other speakers (grouped folds), fused by the parts' own sigmas; a median is "
        "chosen on inner folds and kept where it helps on outer ones, its lateness counted. Figures on "
        f"{len(learnt.dev)} dev recordings of other speakers, 95 % bootstrap intervals over speakers, at the moment of "
        "the windows' middle."
    )
    return (
        f"{text} Added sigma: what `edge-emotion-export transfer` measured on photographs." if added else text
    )


def _delay(train: Sequence[Member], dimension: Dimension, hop_s: float, window_s: float) -> float:
    """Of the raters, by what both modalities show, on held-out speakers."""
    features, labels = [], []
    for member in train:
        both = [read_evidence(member.features["evidence"], m, dimension) for m in MODALITIES]
        shown = both[0].known & both[1].known
        # Rows without one of the modalities take the mean: they say nothing of when.
        joined = np.concatenate([said.features for said in both], axis=1)
        joined[~shown] = joined[shown].mean(axis=0) if shown.any() else 0.0
        truth = read_labels(member, dimension)
        count = min(len(truth), len(joined))
        features.append(joined[:count])
        labels.append(truth[:count])
    speakers = [member.speaker for member in train]
    return search_delay(features, labels, speakers, hop_s=hop_s, window_s=window_s, every=1).seconds


def _read(member: Member, dimension: Dimension, lag: int) -> _Recording:
    said = {m: read_evidence(member.features["evidence"], m, dimension) for m in MODALITIES}
    labels = read_labels(member, dimension)
    count = min(len(labels) - max(lag, 0), len(said["audio"].known))
    first = max(0, -lag)
    cut = {
        m: Said(s.sigma[first:count], s.known[first:count], s.features[first:count]) for m, s in said.items()
    }
    return _Recording(member.speaker, cut, labels[first + lag : count + lag], {})


def _predict(
    known: Sequence[_Recording], unseen: Sequence[_Recording], folds: Sequence[tuple[list[int], list[int]]]
) -> None:
    """Fill in out-of-fold predictions of ``known`` and, from all of ``known``, those of ``unseen``."""
    for modality in MODALITIES:
        for fitted, held in folds:
            model = _fit([known[k] for k in fitted], modality)
            for k in held:
                known[k].prediction[modality] = _apply(model, known[k], modality)
        model = _fit(known, modality)
        for recording in unseen:
            recording.prediction[modality] = _apply(model, recording, modality)
        _stretch(known, unseen, modality)


def _fit(recordings: Sequence[_Recording], modality: Modality) -> Regressor:
    rows = np.concatenate([r.said[modality].features[r.said[modality].known] for r in recordings])
    labels = np.concatenate([r.truth[r.said[modality].known] for r in recordings])
    every = -(-len(rows) // FIT_ROWS)
    return fit(STAND_IN, rows[::every], labels[::every], [rows.shape[1]])


def _apply(model: Regressor, recording: _Recording, modality: Modality) -> F64:
    said = recording.said[modality]
    values = np.zeros(len(said.known))
    values[said.known] = model.predict(said.features[said.known])
    return values


def _stretch(known: Sequence[_Recording], unseen: Sequence[_Recording], modality: Modality) -> None:
    """Undo the regressor's shrinking by what the out-of-fold predictions show."""
    found = np.concatenate([r.prediction[modality][r.said[modality].known] for r in known])
    truth = np.concatenate([r.truth[r.said[modality].known] for r in known])
    scale = stretch(truth, found)
    for recording in (*known, *unseen):
        recording.prediction[modality] = np.clip(scaled(recording.prediction[modality], scale), -1.0, 1.0)


def _error_correlation(recordings: Sequence[_Recording]) -> float:
    errors = []
    for r in recordings:
        both = r.said["audio"].known & r.said["video"].known
        errors.append(np.stack([(r.prediction[m] - r.truth)[both] for m in MODALITIES]))
    return pearson(*np.concatenate(errors, axis=1))


def _fused(recording: _Recording, correlation: float) -> tuple[F64, F64]:
    """Value and sigma by the device's own fusion; NaN where neither modality is known."""
    audio, video = (_stated(recording, modality) for modality in MODALITIES)
    value, sigma = fuse_rows(audio, video, correlation)
    return value[:, 0], sigma[:, 0]


def _stated(recording: _Recording, modality: Modality) -> Stated:
    """Of the one dimension, in the place of both."""
    said = recording.said[modality]
    value = np.where(said.known, recording.prediction[modality], np.nan)
    return np.stack([value, value], axis=1), np.stack([said.sigma, said.sigma], axis=1)


def _held(values: F64) -> F64:
    """NaN replaced by the value before, at the beginning by the first one."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return np.zeros(len(values))
    at = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), known[0]))
    held: F64 = values[at]
    return held


def _smoothing(known: Sequence[_Recording], hop_s: float) -> Chosen:
    """The median alone: centre and scale belong to the regressors, and they are others than those that are shipped."""
    traces = [_held(_fused(r, 0.0)[0]) for r in known]
    speakers = [r.speaker for r in known]
    chosen = choose_chain(
        traces,
        [r.truth for r in known],
        speakers,
        hop_s=hop_s,
        lag_s=0.0,
        causal=True,
        folds=FOLDS,
        medians_s=MEDIANS_S,
    )
    return replace(chosen, chain=replace(chosen.chain, shift_s=0.0, centre=0.0, scale=1.0, offset=0.0))


def _judge(
    known: Sequence[_Recording],
    unseen: Sequence[_Recording],
    smoothing: Chosen,
    correlation: float,
    hop_s: float,
) -> Judged:
    fused = [_fused(r, 0.0) for r in unseen]
    widened = [_fused(r, correlation) for r in unseen] if correlation > 0 else fused
    truths = [r.truth for r in unseen]
    speakers = [r.speaker for r in unseen]
    single = {
        m: [_held(np.where(r.said[m].known, r.prediction[m], np.nan)) for r in unseen] for m in MODALITIES
    }
    traces: dict[str, list[F64]] = {str(m): values for m, values in single.items()}
    traces["fused"] = [_held(value) for value, _ in fused]
    traces["smoothed"] = [
        apply(smoothing.chain, value, hop_s=hop_s, causal=True) for value in traces["fused"]
    ]
    sigma = {m: _sigma(known, m) for m in MODALITIES}
    balanced = [_fused(_widened(r, sigma), 0.0)[0] for r in unseen]
    traces["balanced"] = [_held(value) for value in balanced]
    return Judged(
        ccc={name: ccc(np.concatenate(truths), np.concatenate(got)) for name, got in traces.items()},
        intervals={name: ccc_interval(truths, got, speakers) for name, got in traces.items()},
        gains={m: paired_difference(truths, traces["smoothed"], traces[m], speakers) for m in MODALITIES},
        covered=(_covered(fused, truths), _covered(widened, truths)),
        sigma=sigma,
    )


def _sigma(known: Sequence[_Recording], modality: Modality) -> tuple[float, float]:
    shown = [r.said[modality].known for r in known]
    errors = [(r.prediction[modality] - r.truth)[rows] for r, rows in zip(known, shown, strict=True)]
    said = [r.said[modality].sigma[rows] for r, rows in zip(known, shown, strict=True)]
    found = float(np.quantile(np.abs(np.concatenate(errors)), COVERAGE) / HALF_WIDTH)
    return found, float(np.concatenate(said).mean())


def _widened(recording: _Recording, sigma: Mapping[Modality, tuple[float, float]]) -> _Recording:
    """With what is missing in each sigma, in quadrature."""
    said = {}
    for modality, (found, stated) in sigma.items():
        own, missing = recording.said[modality], np.sqrt(max(found**2 - stated**2, 0.0))
        said[modality] = own._replace(sigma=np.hypot(own.sigma, missing))
    return replace(recording, said=said)


def _covered(fused: Sequence[tuple[F64, F64]], truths: Traces) -> float:
    within = [
        (np.abs(value - truth) <= HALF_WIDTH * sigma)[np.isfinite(value)]
        for (value, sigma), truth in zip(fused, truths, strict=True)
    ]
    return float(np.concatenate(within).mean())
