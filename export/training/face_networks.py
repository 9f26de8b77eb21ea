"""The face networks by name, and what they have in common.

Each has ``settings`` and ``description``, gives features, logits of the votes and affect of crops, and one such triple
for each of its heads by ``exits``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal

from ..packaged_files import fetch
from .face_deep_emotion import DeepEmotion, DeepEmotionSettings
from .face_network import FaceCnn, FaceCnnSettings
from .face_sface import PAIR, SFaceNet, SFaceSettings

FaceNet = FaceCnn | SFaceNet | DeepEmotion
FaceNetSettings = FaceCnnSettings | SFaceSettings | DeepEmotionSettings
Name = Literal["small", "large", "reference", "tiny"]
NAMES: tuple[Name, ...] = ("small", "large", "reference", "tiny")
FROM_NOTHING: tuple[Name, ...] = ("reference", "tiny")
"""Those that start from random weights."""
_KINDS: dict[type[FaceNetSettings], Callable[[Any], FaceNet]] = {
    FaceCnnSettings: FaceCnn,
    SFaceSettings: SFaceNet,
    DeepEmotionSettings: DeepEmotion,
}


def trained_settings(name: Name) -> FaceNetSettings:
    """What is trained to get a network: ``small`` and ``large`` learn together."""
    alone: dict[Name, FaceNetSettings] = {"reference": FaceCnnSettings(), "tiny": DeepEmotionSettings()}
    return alone.get(name, PAIR)


def build(settings: FaceNetSettings) -> FaceNet:
    """The network of these settings, with random weights."""
    return _KINDS[type(settings)](settings)


def start(settings: FaceNetSettings) -> FaceNet:
    """The network from which training starts: a trunk of SFace has its published weights."""
    network = build(settings)
    if isinstance(network, SFaceNet):
        network.load_published(fetch("sface.onnx"))
    return network


def part(network: FaceNet, name: Name) -> FaceNet:
    """The network of this name out of the one that was trained for it."""
    return network.alone(early=name == "small") if isinstance(network, SFaceNet) else network


def settings_from(given: dict[str, Any]) -> FaceNetSettings:
    """Settings from their JSON or a network's description; whose they are is told by their names."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    kind = next(kind for kind in _KINDS if {field.name for field in fields(kind)} <= set(values))
    chosen: dict[str, Any] = {field.name: values[field.name] for field in fields(kind)}
    settings: FaceNetSettings = kind(**chosen)
    return settings
