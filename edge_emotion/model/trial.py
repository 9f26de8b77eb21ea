"""Every way to run the face encoder on this machine, timed beside each other and compared by their answers.

The face encoder is the dearest model and the only one that may come in several formats. Which of them is quickest
depends on the board: int8 is slower than float on some, and wrong on processors whose 8-bit products overflow.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import EncoderEngine, Interpreter
from edge_emotion.errors import BundleError, EdgeEmotionError
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.encoder import FaceNetwork
from edge_emotion.model.manifest import FacePart
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.types import F32, U8

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

REFERENCE = "float"
"""In the name of the variant that others must agree with; where a bundle has none such, its main file."""
TOLERANCE = 0.1
"""Largest difference in arousal or valence from the reference that still counts as the same model (our choice)."""
WORTH = 1.05
"""What costs at most this much more than the cheapest is as good: the first in the bundle's order is taken."""
_INTERPRETERS: tuple[Interpreter, ...] = ("ai-edge-litert", "tflite-runtime")
_REST_S = 0.004
_MINIMUM_ROUNDS = 4
_CALLS = 8
_CHECKED_FACES = 12


@dataclass(frozen=True, slots=True)
class Timing:
    """One engine on one crop: a call each, ``int64`` nanoseconds (calls,)."""

    engine: EncoderEngine
    ran_on: str
    """Interpreter and provider."""
    cpu_ns: I64
    """Of the whole process, with what its threads go on to burn in the 4 ms after the call."""
    wall_ns: I64
    difference: float
    """Largest difference in arousal or valence from the reference, on drawn faces."""

    @property
    def cpu_ms(self) -> float:
        """Median."""
        return float(np.median(self.cpu_ns)) / 1e6

    @property
    def p95_ms(self) -> float:
        """Wall time that 95 calls of 100 keep to."""
        return float(np.percentile(self.wall_ns, 95)) / 1e6

    @property
    def agrees(self) -> bool:
        """Whether its answers are the reference's."""
        return self.difference <= TOLERANCE


def engines(bundle: Bundle, threads: Sequence[int], *, spinning: bool = False) -> Iterator[EncoderEngine]:
    """All ways to run the bundle's encoder here, the main file on one thread first."""
    encoder = bundle.manifest.face.encoder
    for variant in (None, *encoder.variants):
        common = {"variant": variant, "provider": "cpu"}
        if bundle.file("face", encoder, variant).suffix == ".tflite":
            for interpreter in interpreters():
                for count in threads:
                    yield EncoderEngine.model_validate(
                        common | {"threads": count, "interpreter": interpreter}
                    )
            continue
        for count in threads:
            for spins in (False, True) if spinning and count > 1 else (False,):
                yield EncoderEngine.model_validate(common | {"threads": count, "spinning": spins})
        if _has_cuda():
            yield EncoderEngine(variant=variant, provider="cuda")


def interpreters() -> list[Interpreter]:
    """Of TFLite files, those that are installed here."""
    return [name for name in _INTERPRETERS if importlib.util.find_spec(name.replace("-", "_"))]


def measure(
    bundle: Bundle, asked: Sequence[EncoderEngine], seconds: float = 4.0
) -> tuple[list[Timing], dict[str, str]]:
    """Time the engines in alternating rounds for about ``seconds``.

    Returns
    -------
    timings, refused
        What ran, in the order asked for; what did not load, by its engine in words, with the reason.
    """
    faces = drawn_faces(bundle.manifest.face)
    reference, _ = _open(bundle, EncoderEngine(variant=_reference(bundle), provider="cpu"))
    part = bundle.manifest.face
    regressor = AffectRegressor(
        open_backend(bundle.file("face", part.regressor), EncoderEngine(provider="cpu"))
    )
    expected = _answers(part, reference, regressor, faces)
    able: list[tuple[EncoderEngine, str, float]] = []
    refused: dict[str, str] = {}
    for engine in asked:
        try:
            network, ran_on = _open(bundle, engine)
        except EdgeEmotionError as fault:
            refused[str(engine)] = str(fault)
            continue
        able.append(
            (engine, ran_on, float(np.abs(_answers(part, network, regressor, faces) - expected).max()))
        )
        del network  # threads that spin would do so on the others' time
    taken = _alternate(bundle, [engine for engine, _, _ in able], faces, seconds)
    timings = [
        Timing(engine, ran_on, cpu_ns, wall_ns, difference)
        for (engine, ran_on, difference), (cpu_ns, wall_ns) in zip(able, taken, strict=True)
    ]
    return timings, refused


def decide(timings: Sequence[Timing], budget_ms: float) -> tuple[Timing, str]:
    """The engine to take, and why: least processor time within the budget, else the quickest."""
    sound = [timing for timing in timings if timing.agrees]
    if not sound:
        raise BundleError("no form of the face encoder answers as its reference does on this machine")
    wrong = len(timings) - len(sound)
    apart = f"; {wrong} answered differently and were passed over" if wrong else ""
    quick = [timing for timing in sound if timing.p95_ms <= budget_ms]
    if not quick:
        best = min(sound, key=lambda timing: timing.p95_ms)
        return best, f"nothing keeps to {budget_ms:g} ms; this is quickest with {best.p95_ms:.2f} ms{apart}"
    least = min(timing.cpu_ms for timing in quick)
    best = next(timing for timing in quick if timing.cpu_ms <= WORTH * least)
    return best, (
        f"least processor time, {best.cpu_ms:.2f} ms a face, of {len(quick)} that keep to {budget_ms:g} ms{apart}"
    )


def drawn_faces(part: FacePart) -> U8:
    """Twelve plain faces ``uint8 (12, size, size)`` with the crop's landmarks, light and features varied."""
    size = part.crop.size
    points = np.array(part.crop.landmarks)
    rows, columns = np.mgrid[:size, :size].astype(np.float64)
    random = np.random.default_rng(0)
    unit = float(np.linalg.norm(points[0] - points[1]))

    def blob(at: F64, wide: float, high: float) -> F64:
        return np.exp(-(((columns - at[0]) / (wide * unit)) ** 2) - ((rows - at[1]) / (high * unit)) ** 2)

    faces = []
    for _ in range(_CHECKED_FACES):
        light, open_eyes, open_mouth, slant = random.uniform(
            (90, 0.06, 0.04, -0.6), (190, 0.16, 0.3, 0.6)
        ).tolist()
        middle, mouth = points[2], points[3:].mean(axis=0)
        face = 40 + light * np.clip(2.2 * blob(middle, 1.3, 1.7), 0, 1) + slant * (columns - middle[0])
        for eye in points[:2]:
            face -= 0.55 * light * blob(eye, 0.25, open_eyes)
            face -= 0.4 * light * blob(eye - (0, (0.2 + open_eyes) * unit), 0.35, 0.07)
        face -= 0.3 * light * blob(middle, 0.2, 0.12)
        face -= 0.6 * light * blob(mouth, 0.42, open_mouth)
        faces.append(face + random.normal(0, 3, face.shape))
    return np.clip(faces, 0, 255).astype(np.uint8)


def _open(bundle: Bundle, engine: EncoderEngine) -> tuple[FaceNetwork, str]:
    encoder = bundle.manifest.face.encoder
    backend = open_backend(bundle.file("face", encoder, engine.variant), engine)
    return FaceNetwork(backend, encoder.normalisation, encoder.features), backend.description


def _answers(part: FacePart, network: FaceNetwork, regressor: AffectRegressor, faces: U8) -> F32:
    """Arousal and valence (n, 2) of each face, as if a window had been filled with it."""
    features = np.concatenate([network.compute(face[None]) for face in faces])
    if part.pooling == "mean_deviation":
        features = np.hstack([features, np.broadcast_to(features.std(axis=0), features.shape)])
    return regressor.compute(features)


def _alternate(
    bundle: Bundle, engines: Sequence[EncoderEngine], faces: U8, seconds: float
) -> list[tuple[I64, I64]]:
    """Processor and wall time of each engine's calls; every other round goes through them backwards."""
    taken: list[list[tuple[int, int]]] = [[] for _ in engines]
    order = list(range(len(engines)))
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < _MINIMUM_ROUNDS or time.perf_counter() < end:
        for index in order:
            taken[index] += _time(bundle, engines[index], faces)
        order.reverse()
        rounds += 1
    return [(np.array(pairs, np.int64)[:, 0], np.array(pairs, np.int64)[:, 1]) for pairs in taken]


def _time(bundle: Bundle, engine: EncoderEngine, faces: U8) -> list[tuple[int, int]]:
    """A few calls of a model that is loaded for them alone."""
    network, _ = _open(bundle, engine)
    network.compute(faces[:1])
    taken = []
    for face in faces[:_CALLS]:
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        network.compute(face[None])
        wall = time.perf_counter_ns() - wall
        time.sleep(_REST_S)
        taken.append((time.process_time_ns() - cpu, wall))
    return taken


def _reference(bundle: Bundle) -> str | None:
    variants = bundle.manifest.face.encoder.variants
    named = [variant for variant in variants if REFERENCE in variant]
    return min(named, key=lambda variant: variants[variant].endswith(".tflite"), default=None)


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
