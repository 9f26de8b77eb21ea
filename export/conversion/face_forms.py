"""The forms of a face encoder (float, int8, TFLite): made from the float one, and held against it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx

from edge_emotion.config import Engine
from edge_emotion.errors import BundleError
from edge_emotion.model.backend import Backend, LiteRT, OnnxRuntime, open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.encoder import FaceNetwork
from edge_emotion.model.manifest import FacePart
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.model.trial import REFERENCE, interpreters
from edge_emotion.types import F32, U8

P99, MOST, POINTS = 0.02, 0.06, 0.3
"""What a form may differ from float: 99th percentile and most of single arousal and valence values; accuracy in %."""
ENOUGH = 200
"""Faces from which on a 99th percentile is judged."""
TFLITE = "tflite-int8"
UNROUNDED = "unrounded"
"""The float network whose weights were not rounded yet: accuracy is held against it; it is no form that is written."""
_ROUNDS, _CALLS = 7, 20


@dataclass(frozen=True, slots=True)
class Faces:
    """Crops ``uint8 (n, size, size)`` and, where they are known, expressions ``int64 (n,)``, -1 where there is none."""

    crops: U8
    expression: np.ndarray[Any, np.dtype[np.int64]] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One form on one interpreter, against the float form."""

    form: str
    ran_on: str
    p99: float
    most: float
    accuracy: float | None
    """In %, where expressions are known."""
    lost: float | None
    """Points of accuracy below the float form, or the float network before its weights were rounded."""
    cpu_ms: float
    """Least over rounds of the mean processor time of one face on one thread."""
    bytes: int
    faces: int

    @property
    def holds(self) -> bool:
        """Whether this form says what the float form says."""
        if self.form == UNROUNDED:
            return True
        near = self.most <= MOST and (self.faces < ENOUGH or self.p99 <= P99)
        return near and (self.lost is None or self.lost <= POINTS)

    def report(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {**asdict(self), "holds": self.holds}


def float_form(bundle: Bundle) -> bytes:
    """The float encoder of a bundle, as ONNX.

    Raises
    ------
    BundleError
        The bundle holds none.
    """
    encoder = bundle.manifest.face.encoder
    file = bundle.file("face", encoder, REFERENCE if REFERENCE in encoder.variants else None)
    data = file.read_bytes()
    if any(node.op_type == "QuantizeLinear" for node in onnx.load_from_string(data).graph.node):
        raise BundleError(
            f"{file}: quantised already, and the bundle holds no variant {REFERENCE!r} to start from"
        )
    return data


def stored_forms(bundle: Bundle) -> dict[str, bytes]:
    """Every form of a bundle's encoder by its variant's name; the main file is ``main``."""
    encoder = bundle.manifest.face.encoder
    variants = {"main": None} | {name: name for name in encoder.variants}
    return {name: bundle.file("face", encoder, variant).read_bytes() for name, variant in variants.items()}


def compare(
    part: FacePart, regressor: AffectRegressor, forms: Mapping[str, bytes], faces: Faces
) -> list[Comparison]:
    """Hold every form, on every interpreter that is installed, against the form `REFERENCE` (or ``main``).

    Values are arousal and valence by the part's regressor of single faces, each taken as a window of its own.
    """
    runs = [(name, backend, len(data)) for name, data in forms.items() for backend in _backends(data)]
    wanted_form = REFERENCE if REFERENCE in forms else "main"
    networks = [
        FaceNetwork(backend, part.encoder.normalisation, part.encoder.features) for _, backend, _ in runs
    ]
    said = [_answers(part, network, regressor, faces.crops) for network in networks]
    times = _processor_ms(networks, faces.crops)
    by_form = {name: answers for (name, _, _), answers in zip(runs, said, strict=True)}
    expected, _ = by_form[wanted_form]
    best = _accuracy(by_form.get(UNROUNDED, by_form[wanted_form])[1], faces)
    found = []
    for (name, backend, size), (values, votes), cpu_ms in zip(runs, said, times, strict=True):
        apart, accuracy = np.abs(values - expected), _accuracy(votes, faces)
        lost = None if accuracy is None or best is None else best - accuracy
        p99, most = float(np.percentile(apart, 99)), float(apart.max())
        found.append(
            Comparison(name, backend.description, p99, most, accuracy, lost, cpu_ms, size, len(faces.crops))
        )
    return found


def compare_bundle(bundle: Bundle, faces: Faces) -> list[Comparison]:
    """`compare` for the forms that a bundle holds."""
    part = bundle.manifest.face
    regressor = AffectRegressor(open_backend(bundle.file("face", part.regressor), Engine(provider="cpu")))
    return compare(part, regressor, stored_forms(bundle), faces)


def check(found: Sequence[Comparison]) -> None:
    """Raise `BundleError` that names the first form that does not say what the float form says."""
    for row in found:
        if not row.holds:
            lost = "" if row.lost is None else f", {row.lost:.2f} points of accuracy lost (up to {POINTS})"
            raise BundleError(
                f"the face encoder's form {row.form} on {row.ran_on} differs from float by p99 {row.p99:.3f} "
                f"(up to {P99}), most {row.most:.3f} (up to {MOST}){lost} on {row.faces} faces"
            )


def _backends(data: bytes) -> Iterator[Backend]:
    if data[4:8] != b"TFL3":
        yield OnnxRuntime(data, Engine(provider="cpu"))
        return
    for interpreter in interpreters():
        yield LiteRT(data, Engine(interpreter=interpreter))


def _answers(part: FacePart, network: FaceNetwork, regressor: AffectRegressor, crops: U8) -> tuple[F32, F32]:
    batches = [network.encode(crops[at : at + 16]) for at in range(0, len(crops), 16)]
    features = np.concatenate([batch.features for batch in batches])
    if part.pooling == "mean_deviation":
        features = np.hstack([features, np.zeros_like(features)])
    return regressor.compute(features), np.concatenate([batch.votes for batch in batches])


def _accuracy(votes: F32, faces: Faces) -> float | None:
    if faces.expression is None or not (known := faces.expression >= 0).any():
        return None
    return float(100 * (votes.argmax(1)[known] == faces.expression[known]).mean())


def _processor_ms(networks: Sequence[FaceNetwork], crops: U8) -> list[float]:
    rounds = []
    for _ in range(_ROUNDS):
        taken = []
        for network in networks:
            network.encode(crops[:1])
            start = time.process_time()
            for call in range(_CALLS):
                network.encode(crops[call % len(crops)][None])
            taken.append((time.process_time() - start) / _CALLS * 1e3)
        rounds.append(taken)
    return [float(value) for value in np.min(rounds, axis=0)]
