"""The face networks by name, and what they have in common.

Each has ``settings`` and ``description``, gives features, logits of the votes and affect of crops, and one such triple
for each of its heads by ``exits``.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from ..packaged_files import fetch
from .face_network import FaceCnn, FaceCnnSettings
from .face_sface import PAIR, SFaceNet, SFaceSettings

FaceNet = FaceCnn | SFaceNet
FaceNetSettings = FaceCnnSettings | SFaceSettings
Name = Literal["small", "large", "reference"]
NAMES: tuple[Name, ...] = ("small", "large", "reference")


def trained_settings(name: Name) -> FaceNetSettings:
    """What is trained to get a network: ``small`` and ``large`` learn together."""
    return FaceCnnSettings() if name == "reference" else PAIR


def build(settings: FaceNetSettings) -> FaceNet:
    """The network of these settings, with random weights."""
    return SFaceNet(settings) if isinstance(settings, SFaceSettings) else FaceCnn(settings)


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
    kind: type[FaceNetSettings] = SFaceSettings if "levels" in values else FaceCnnSettings
    chosen: dict[str, Any] = {field.name: values[field.name] for field in fields(kind)}
    return kind(**chosen)
