"""The bundle that a reproduction ends with: late or early fusion, whichever earned more on training speakers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVR

from edge_emotion.config import SigmaParameters, SmoothingSettings, WindowLengths
from edge_emotion.errors import UsageError
from edge_emotion.features.names import FUNCTIONAL_NAMES
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.model.manifest import AcousticPart, DataSource, EarlyModel, RegressorModel, Training
from edge_emotion.types import DIMENSIONS, Dimension

from ..conversion import svr
from ..conversion.bundle import write_part
from . import shards, sigma
from .affect_svr import AffectSVR, Kernel, reduced_set
from .blocks import Member, read_labels, read_rows, training_rows
from .delay import shifted
from .metrics import ccc, pearson
from .post_processing import later
from .protocol import Plan, widths_of
from .regression import Regressor, fit_scaled, scaling
from .reproduction import Outcome, Reproduction

F64 = NDArray[np.float64]

ShippedFusion = Literal["best", "late", "early"]

Costs = dict[tuple[str, Dimension], float]
"""CCC on ``dev`` that a support vector budget took from a system's regressor, before post-processing."""

FACE_TERMS = (
    sigma.Term("face_px", (20.0, 40.0, 80.0, 160.0)),
    sigma.Term("blur", (0.2, 0.35, 0.5, 0.7), grows=True),
    sigma.Term("brightness", (20.0, 50.0, 90.0)),
)
TERMS = {"audio": sigma.AUDIO_TERMS, "faces": FACE_TERMS}
"""Of sigma, by the shard that holds their facts."""
EARLY_PREFIX = {"audio": "audio.", "faces": "video."}
"""Of the facts' names where sigma knows both modalities."""


def write_bundle(
    outcome: Outcome,
    settings: Reproduction,
    out: Path,
    *,
    corpus: str,
    command: str,
    fusion: ShippedFusion = "best",
) -> Costs:
    """Write the bundle: regressors as ONNX, sigma from out-of-fold errors, the chosen causal chain.

    Late fusion is the device's own, by inverse variance; early fusion adds the joint regressor, and the parts' own
    then look through its windows, since one row of features has to serve both. ``best`` is what earned the higher CCC
    on held-out training speakers, mean of both dimensions. What a support vector budget cost is returned, and in the
    manifest.
    """
    if not outcome.encoders:
        raise UsageError("a bundle needs the network that its face features came from")
    late, early = (f"{kind}{outcome.suffix}" for kind in ("late", "early"))
    best: Literal["late", "early"] = "early" if outcome.earned(early) > outcome.earned(late) else "late"
    kind = best if fusion == "best" else fusion
    writer = _Writer(outcome, settings, open_bundle(settings.bundle), corpus, command, kind)
    out.mkdir(parents=True, exist_ok=True)
    return writer.acoustic(out) | writer.face(out) | writer.fusion(out)


@dataclass(frozen=True, slots=True)
class _Writer:
    outcome: Outcome
    settings: Reproduction
    base: Bundle
    corpus: str
    command: str
    kind: Literal["late", "early"]

    @property
    def suffix(self) -> str:
        """Of the systems whose face network is shipped."""
        return self.outcome.suffix

    def acoustic(self, out: Path) -> Costs:
        part = self.base.manifest.acoustic
        model, cost = self._model("audio")
        voice = self.base.file("acoustic", part.voice_activity)
        write_part(
            out,
            AcousticPart(
                sample_rate_hz=part.sample_rate_hz,
                mode=part.mode,
                feature_names=FUNCTIONAL_NAMES,
                window_s=self._windows("audio"),
                hop_s=self.settings.protocol.hop_s,
                voice_activity=part.voice_activity.model_copy(update={"file": voice.name, "variants": {}}),
                regressor=RegressorModel(file="regressor.onnx", features=len(FUNCTIONAL_NAMES)),
                sigma=self._sigma("audio", "audio"),
                training=self._training("audio", cost),
            ),
            {voice.name: voice, "regressor.onnx": svr.to_onnx(model).SerializeToString(deterministic=True)},
        )
        return cost

    def face(self, out: Path) -> Costs:
        part, system = self.base.manifest.face, f"video{self.suffix}"
        model, cost = self._model(system)
        detector = self.base.file("face", part.detector)
        width = 2 * part.encoder.features
        write_part(
            out,
            part.model_copy(
                update={
                    "detector": part.detector.model_copy(update={"file": detector.name, "variants": {}}),
                    "encoder": part.encoder.model_copy(update={"file": "encoder.onnx", "variants": {}}),
                    "pooling": "mean_deviation",
                    "window_s": self._windows(system),
                    "regressor": RegressorModel(file="regressor.onnx", features=width),
                    "sigma": self._sigma(system, "faces"),
                    "training": self._training(system, cost),
                }
            ),
            {
                detector.name: detector,
                "encoder.onnx": self.outcome.encoders[self.suffix],
                "regressor.onnx": svr.to_onnx(model).SerializeToString(deterministic=True),
            },
        )
        return cost

    def fusion(self, out: Path) -> Costs:
        part, system = self.base.manifest.fusion, f"{self.kind}{self.suffix}"
        chains = {d: self.outcome.verdicts[system, d].chains["causal"].chain.smoothing() for d in DIMENSIONS}
        early, files = None, {}
        cost: Costs = {}
        if self.kind == "early":
            model, cost = self._model(system)
            files = {"early.onnx": svr.to_onnx(model).SerializeToString(deterministic=True)}
            sigma_both = self._sigma(system, "audio", "faces")
            early = EarlyModel(file="early.onnx", features=len(model.scaler_.mean_), sigma=sigma_both)
        changes = {
            "kind": self.kind,
            "early": early,
            "smoothing": SmoothingSettings(**chains, restart_after_s=part.smoothing.restart_after_s),
            "error_correlation": self._error_correlation(f"video{self.suffix}"),
            "training": self._training(system, cost),
        }
        write_part(out, part.model_copy(update=changes), files)
        return cost

    def _plan(self, system: str, dimension: Dimension) -> Plan:
        plan = self.outcome.plans[system, dimension]
        if self.kind == "late":
            return plan
        joint = self.outcome.plans[f"early{self.suffix}", dimension].blocks
        return replace(plan, blocks=tuple(block for block in joint if block.source in plan.system.sources))

    def _windows(self, system: str) -> WindowLengths:
        return WindowLengths(**{d: self._plan(system, d).blocks[0].window_s for d in DIMENSIONS})

    def _train(self) -> list[Member]:
        return [member for member in self.outcome.partition("train") if member.labels]

    def _rows(self, system: str, dimension: Dimension) -> tuple[F64, F64]:
        p, plan = self.settings.protocol, self._plan(system, dimension)
        rows, labels, _ = training_rows(
            self._train(), plan.blocks, dimension, plan.lag(p.hop_s), p.hop_s, p.fit_rows, p.every
        )
        return rows, labels

    def _model(self, system: str) -> tuple[AffectSVR, Costs]:
        """Both dimensions on one standardiser, for they share a graph; and what a budget cost."""
        rows = {d: self._rows(system, d) for d in DIMENSIONS}
        scaler = self._scaler(system, np.concatenate([x for x, _ in rows.values()]))
        regressors: list[Kernel | LinearSVR] = []
        cost: Costs = {}
        for dimension, (x, y) in rows.items():
            z = scaler.transform(x)
            candidate = self._plan(system, dimension).candidate
            full = fit_scaled(candidate, z, y, scaler.mean_, scaler.scale_, self.settings.protocol.seed)
            short = self._within_budget(full, z)
            if short is not full:
                lost = self._score(system, dimension, full) - self._score(system, dimension, short)
                cost[system, dimension] = lost
            regressors.append(_shippable(short))
        model = AffectSVR.of(scaler, [LinearSVR(), LinearSVR()])
        model.regressors_ = regressors
        return model, cost

    def _scaler(self, system: str, rows: F64) -> StandardScaler:
        """Both dimensions weigh the blocks alike."""
        plan, scaler = self._plan(system, "arousal"), StandardScaler().fit(rows)
        widths = widths_of(self._train()[0], plan.blocks, self.settings.protocol.hop_s)
        scaler.mean_, scaler.scale_ = scaling(plan.candidate, rows, widths)
        return scaler

    def _within_budget(self, full: Regressor, z: F64) -> Regressor:
        budget = self.settings.protocol.budget
        if budget is None or len(full.supports) <= budget:
            return full
        kernel = Kernel(full.supports, full.weights, full.gamma, full.intercept)
        short = reduced_set(kernel, z, budget, self.settings.protocol.seed)
        return Regressor(full.mean, full.scale, short.supports, short.weights, short.gamma, short.intercept)

    def _score(self, system: str, dimension: Dimension, model: Regressor) -> float:
        plan, hop_s = self._plan(system, dimension), self.settings.protocol.hop_s
        truths, got = [], []
        for member in self.outcome.partition("dev"):
            if member.labels:
                values = model.predict(
                    read_rows(member, plan.blocks, hop_s, training=False).values.astype(np.float64)
                )
                truth = read_labels(member, dimension)
                count = min(len(truth), len(values))
                truths.append(truth[:count])
                got.append(later(values, plan.lag(hop_s), 1.0)[:count])
        return ccc(np.concatenate(truths), np.concatenate(got))

    def _sigma(self, system: str, *sources: str) -> SigmaParameters:
        """From the out-of-fold errors of the training speakers, and the facts of the same rows."""
        every = self.settings.protocol.every
        prefix = EARLY_PREFIX if len(sources) > 1 else dict.fromkeys(sources, "")
        terms = [replace(term, fact=prefix[s] + term.fact) for s in sources for term in TERMS[s]]
        errors, facts = [], []
        for member in self._train():
            pairs = [self._error(system, d, member) for d in DIMENSIONS]
            columns = [column for source in sources for column in _facts(member, source)]
            count = min(len(column) for column in (*columns, *pairs))
            errors.append(np.stack([error[:count:every] for error in pairs], axis=1))
            facts.append(np.stack([column[:count:every] for column in columns], axis=1))
        joined = np.concatenate(errors)
        known = np.isfinite(joined).all(axis=1)
        values = dict(zip([term.fact for term in terms], np.concatenate(facts)[known].T, strict=True))
        return SigmaParameters.model_validate(sigma.fit(joined[known], values, terms))

    def _error_correlation(self, video: str) -> float:
        """Of sound's and picture's out-of-fold errors, mean of both dimensions; a negative one counts as none."""
        found = []
        for dimension in DIMENSIONS:
            pairs = []
            for member in self._train():
                a, b = (self._error(name, dimension, member) for name in ("audio", video))
                count = min(len(a), len(b))
                pairs.append(np.stack([a[:count], b[:count]]))
            joined = np.concatenate(pairs, axis=1)
            found.append(pearson(*joined[:, np.isfinite(joined).all(axis=0)]))
        return round(float(np.clip(np.mean(found), 0.0, 0.99)), 4)

    def _error(self, system: str, dimension: Dimension, member: Member) -> F64:
        """Prediction less its own label, in the clock of the media; NaN where there is no label."""
        held = self.outcome.out_of_fold[system, dimension][member.name]
        lag = self.outcome.plans[system, dimension].lag(self.settings.protocol.hop_s)
        values, labels = shifted(held, read_labels(member, dimension), lag)
        error = np.full(len(held), np.nan)
        first = max(0, -lag)
        error[first : first + len(values)] = values - labels
        return error

    def _training(self, system: str, costs: Costs) -> Training:
        metrics: dict[str, Any] = {f"support_vectors_{d}_ccc_cost": lost for (_, d), lost in costs.items()}
        for dimension in DIMENSIONS:
            figures = self.outcome.verdicts[system, dimension].figures["causal"]
            metrics[f"dev_causal_ccc_{dimension}"] = figures["ccc"]
            metrics[f"dev_causal_ccc_{dimension}_low"] = figures["interval"].low
            metrics[f"dev_causal_ccc_{dimension}_high"] = figures["interval"].high
            metrics[f"delay_s_{dimension}"] = self.outcome.agreed_s[dimension]
        names = sorted(name for member in self._train() for name in member.identity())
        return Training(
            data=(
                DataSource(
                    name=self.corpus,
                    licence="as the corpus's own",
                    items=len(self._train()),
                    items_sha256=_digest(names),
                ),
            ),
            command=self.command,
            seed=self.settings.protocol.seed,
            metrics={name: round(float(value), 6) for name, value in metrics.items()},
            notes="Trained on the train speakers; figures on dev, speaker-disjoint, causal chain; 95 % intervals.",
        )


def _facts(member: Member, source: str) -> list[F64]:
    names = [term.fact for term in TERMS[source]]
    columns = shards.read(member.features[source], names)
    return [np.asarray(columns[name], np.float64) for name in names]


def _shippable(model: Regressor) -> Kernel | LinearSVR:
    if len(model.supports):
        return Kernel(model.supports, model.weights, model.gamma, model.intercept)
    linear = LinearSVR()
    linear.coef_, linear.intercept_ = model.weights, np.array([model.intercept])
    return linear


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
