"""The shipped face networks: the trunk of SFace, a face-recognition network, with heads for votes and affect.

SFace (Zhong, Deng, Hu, Zhao, Li and Wen, *SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition*,
2021; published weights Apache-2.0) is a MobileNetV1 (Howard et al. 2017) with PReLU and a first stride of 1. Its
levels are pooled over the picture, so that the head sees coarse and fine features of any size of crop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import onnx
import torch
import torch.nn.functional as fn
from onnx import numpy_helper
from torch import Tensor, nn

from ..conversion.yunet import fold_weights
from ..corpora.votes import CLASSES
from .face_network import SCALE, contrast, describe, votes_and_affect

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Channels of the levels conv_1 to conv_14."""
HALVING = (3, 5, 7, 13)
"""Levels with a stride of 2."""
EPSILON = 1e-3
CONTRAST = 0.5
"""Deviation of the standardised crop, about that of the faces on which the trunk was trained."""


@dataclass(frozen=True, slots=True)
class SFaceSettings:
    """Which levels are pooled into how many features.

    ``early`` adds a head on those levels alone, which learns beside the last one; `SFaceNet.alone` parts them. Crops
    are enlarged to ``side`` pixels inside the network, for the trunk was trained on larger faces. ``momentum`` is that
    of the trunk's batch norms.
    """

    levels: tuple[int, ...] = (8, 10, 12)
    features: int = 128
    side: int = 64
    early: tuple[int, ...] = ()
    early_features: int = 128
    dropout: float = 0.3
    momentum: float = 0.02

    @property
    def multiply_adds(self) -> int:
        """Multiply-additions of one crop, convolutions and linear layers of the last head."""
        total, before, side = 0, 1, self.side
        for number in range(1, max(self.levels) + 1):
            side = -(-side // 2) if number in HALVING else side
            width = WIDTHS[number - 1]
            total += side**2 * (9 * width if number == 1 else before * (9 + width))
            before = width
        pooled = sum(WIDTHS[number - 1] for number in self.levels)
        return total + (pooled + CLASSES + 2) * self.features


SMALL = SFaceSettings()
"""What the default bundle holds."""
LARGE = SFaceSettings(levels=(8, 10, 12, 14), features=256)
PAIR = replace(LARGE, early=SMALL.levels, early_features=SMALL.features)
"""Both in one training."""


class Unit(NamedTuple):
    """One published convolution with its norm and slopes, as they are in the file."""

    weight: Tensor
    norm: tuple[Tensor, Tensor, Tensor, Tensor]
    """Scale, shift, mean and variance."""
    slope: Tensor


def read_units(path: Path) -> Iterator[Unit]:
    """The units of the published ONNX file in order; weights unpacked from int8."""
    model = onnx.load(str(path))
    fold_weights(model)
    stored = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
    found: dict[str, list[Tensor]] = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "BatchNormalization", "PRelu"):
            found[node.op_type] = [stored[name] for name in node.input[1:]]
        if node.op_type == "PRelu":
            scale, shift, mean, variance = found["BatchNormalization"]
            yield Unit(found["Conv"][0], (scale, shift, mean, variance), found["PRelu"][0].flatten())


class FadingPReLU(nn.Module):
    """PReLU whose slopes are a share of the published ones: 1 at first, 0 in the end, which is ReLU.

    onnxruntime has no integer PReLU, and ReLU costs nothing behind a convolution.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.slope: Tensor
        self.register_buffer("slope", torch.zeros(width))
        self.kept = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Keep what is positive, scale what is negative."""
        return fn.prelu(x, (self.kept * self.slope).to(x.dtype)) if self.kept else fn.relu(x)


def _unit(before: int, width: int, kernel: int, stride: int, momentum: float) -> nn.Module:
    groups = before if kernel == 3 and before > 1 else 1
    return nn.Sequential(
        nn.Conv2d(before, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width, EPSILON, momentum),
        FadingPReLU(width),
    )


def _level(number: int, momentum: float) -> nn.Sequential:
    width = WIDTHS[number - 1]
    if number == 1:
        return nn.Sequential(_unit(1, width, 3, 1, momentum))
    before, stride = WIDTHS[number - 2], 2 if number in HALVING else 1
    return nn.Sequential(_unit(before, before, 3, stride, momentum), _unit(before, width, 1, 1, momentum))


def _feature(levels: Sequence[int], features: int, settings: SFaceSettings) -> nn.Sequential:
    """From pooled levels to the features; the first norm brings the levels to one scale."""
    pooled = sum(WIDTHS[number - 1] for number in levels)
    return nn.Sequential(
        nn.BatchNorm1d(pooled),
        nn.Dropout(settings.dropout),
        nn.Linear(pooled, features, bias=False),
        nn.BatchNorm1d(features),
        nn.ReLU(),
    )


class SFaceNet(nn.Module):
    """Face feature, expression votes and affect from a crop; the contract of `face_network.OneHead`.

    Input ``(n, 1, 48, 48)``, normalised by `MEAN` and `SCALE`. Each crop is then brought to the mean
    and deviation of an ordinary picture, which takes exposure and contrast out (our choice).
    """

    def __init__(self, settings: SFaceSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or SFaceSettings()
        self.side = self.settings.side
        depth = max(self.settings.levels)
        self.trunk = nn.ModuleList(_level(number, self.settings.momentum) for number in range(1, depth + 1))
        self.feature = _feature(self.settings.levels, self.settings.features, self.settings)
        self.dropout = nn.Dropout(self.settings.dropout)
        if self.settings.early:
            self.early_feature = _feature(self.settings.early, self.settings.early_features, self.settings)
            self.early_head = nn.Linear(self.settings.early_features, CLASSES + 2)
        self.head = nn.Linear(self.settings.features, CLASSES + 2)
        self.frozen = 0

    def load_published(self, path: Path) -> None:
        """Take the trunk's weights from the published file; the colours of the first convolution are added up."""
        state = self.trunk.state_dict()
        places = dict.fromkeys(".".join(name.split(".")[:2]) for name in state)
        for place, given in zip(places, read_units(path), strict=False):
            # The file's own normalisation divides by 128, ours by SCALE.
            weight = given.weight.sum(1, keepdim=True) * (SCALE / 128) if place == "0.0" else given.weight
            scale, shift, mean, variance = given.norm
            state |= {
                f"{place}.0.weight": weight,
                f"{place}.1.weight": scale,
                f"{place}.1.bias": shift,
                f"{place}.1.running_mean": mean,
                f"{place}.1.running_var": variance,
                f"{place}.2.slope": given.slope,
            }
        self.trunk.load_state_dict(state)

    def keep_slopes(self, share: float) -> None:
        """Let negative values pass by this share of the published slopes."""
        for part in self.modules():
            if isinstance(part, FadingPReLU):
                part.kept = share

    def levels(self, crops: Tensor) -> list[Tensor]:
        """Outputs of every level, for crops as they come in."""
        centred, deviation = contrast(crops)
        x, found = centred * (CONTRAST / deviation), []
        if self.side != x.shape[-1]:
            x = fn.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        for number, level in enumerate(self.trunk):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.frozen):
                x = level(x)
            found.append(x)
        return found

    def exits(self, crops: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What each head says, the early one first."""
        found = self.levels(crops)
        outputs = []
        if self.settings.early:
            outputs.append(self._exit(found, self.settings.early, self.early_feature, self.early_head))
        outputs.append(self._exit(found, self.settings.levels, self.feature, self.head))
        return outputs

    def _exit(
        self, found: list[Tensor], levels: Sequence[int], feature: nn.Module, head: nn.Module
    ) -> tuple[Tensor, Tensor, Tensor]:
        pooled = torch.cat([found[number - 1].mean((2, 3)) for number in levels], 1)
        features = feature(pooled)
        return features, *votes_and_affect(head(self.dropout(features)))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features ``(n, d)``, logits of the votes ``(n, 8)`` and affect ``(n, 2)``, arousal and valence in (-1, 1)."""
        return self.exits(crops)[-1]

    def alone(self, *, early: bool) -> SFaceNet:
        """One head of two, with the levels that it needs and the same weights."""
        given = self.settings
        last = replace(given, early=())
        settings = replace(last, levels=given.early, features=given.early_features) if early else last
        network = SFaceNet(settings)
        state = self.state_dict()
        network.load_state_dict({name: state[self._name_here(name, early)] for name in network.state_dict()})
        return network.eval()

    @staticmethod
    def _name_here(name: str, early: bool) -> str:
        return f"early_{name}" if early and name.startswith(("feature.", "head.")) else name

    def freeze(self, levels: int) -> None:
        """From now on the first ``levels`` levels neither learn nor renew the statistics of their norms."""
        self.frozen = levels
        for level in self.trunk[:levels]:
            level.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> SFaceNet:
        """Set the mode of all but the frozen levels."""
        super().train(mode)
        for level in self.trunk[: self.frozen]:
            level.eval()
        return self

    @property
    def description(self) -> dict[str, object]:
        """Settings and size, for the manifest and the metrics file."""
        return describe(self, self.settings)
