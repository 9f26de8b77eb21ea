"""Run every model of a bundle once: what the manifest says of them is what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_emotion.config import Execution
from edge_emotion.errors import BundleError, EdgeEmotionError
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.detector import YuNet
from edge_emotion.model.encoder import FaceNetwork
from edge_emotion.model.manifest import Model, PartName, RegressorModel
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.model.voice_activity import SileroVoiceActivity
from edge_emotion.model.voice_encoder import SPAN, VoiceEncoder

_CPU = Execution(provider="cpu")


def exercise(bundle: Bundle) -> None:
    """Feed each model, in every variant, with a constant.

    Raises
    ------
    BundleError
        A model cannot be loaded or run, or its outputs have other shapes than the manifest says; it is named.
    """
    acoustic, face = bundle.manifest.acoustic, bundle.manifest.face
    voice, encoder, detector = acoustic.voice_activity, face.encoder, face.detector
    size = face.crop.size

    def hear(backend: Any) -> None:
        activity = SileroVoiceActivity(
            backend, step_samples=voice.step_samples, context_samples=voice.context_samples
        )
        _expect(activity.push(np.zeros(2 * voice.step_samples, np.float32)), (2,))

    def describe_voice(backend: Any) -> None:
        listener = VoiceEncoder(backend)
        listener.push(np.full(SPAN, 0.1, np.float32))  # zeros would be a pause, and left out
        features = listener.compute()
        assert features is not None
        _expect(features, (VoiceEncoder.feature_count,))

    def encode(backend: Any) -> None:
        network = FaceNetwork(backend, encoder.normalisation, encoder.features)
        found = network.encode(np.zeros((2, size, size), np.uint8))
        for values, width in zip(found, (encoder.features, 8, 2), strict=True):
            _expect(values, (2, width))

    def detect(backend: Any) -> None:
        YuNet(backend, detector.settings).compute(np.zeros((120, 160, 3), np.uint8))

    _each(bundle, "acoustic", voice, hear)
    if acoustic.voice_encoder is not None:
        _each(bundle, "acoustic", acoustic.voice_encoder, describe_voice)
    _each(bundle, "acoustic", acoustic.regressor, _regression(acoustic.regressor))
    _each(bundle, "face", detector, detect)
    _each(bundle, "face", encoder, encode)
    _each(bundle, "face", face.regressor, _regression(face.regressor))


def _regression(model: RegressorModel) -> Callable[[Any], None]:
    def regress(backend: Any) -> None:
        _expect(AffectRegressor(backend).compute(np.zeros((3, model.features), np.float32)), (3, 2))

    return regress


def _each(bundle: Bundle, part: PartName, model: Model, use: Callable[[Any], None]) -> None:
    for variant in (None, *model.variants):
        file = bundle.file(part, model, variant)
        try:
            use(open_backend(file, _CPU))
        except EdgeEmotionError:
            raise
        except Exception as fault:  # noqa: BLE001  interpreters raise anything
            what = str(fault).strip().splitlines()[0]
            raise BundleError(f"{file}: does not do what the manifest says: {what}") from None


def _expect(values: np.ndarray[Any, Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"the output has shape {values.shape}, not {shape}")
    if not np.isfinite(values).all():
        raise ValueError("the output is not finite")
