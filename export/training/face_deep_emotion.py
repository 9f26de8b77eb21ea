"""The tiny face network: Deep-Emotion, five convolutions' worth of attention and four of expression.

Minaee, Minaei and Abdolrashidi, *Deep-Emotion: Facial Expression Recognition Using Attentional Convolutional Network*,
Sensors 21(9):3046, 2021. A spatial transformer (Jaderberg, Simonyan, Zisserman and Kavukcuoglu 2015) finds where to
look and by how much to turn and enlarge; four narrow convolutions read what it shows. Batch norms and the affect
outputs are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from ..corpora.votes import CLASSES
from .face_network import SIZE, OneHead

_STILL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The transformation that leaves a picture as it is."""


@dataclass(frozen=True, slots=True)
class DeepEmotionSettings:
    """Widths as published: channels of every convolution that reads, of the two that locate, and hidden units."""

    width: int = 10
    locating: tuple[int, int] = (8, 10)
    located: int = 32
    features: int = 50
    dropout: float = 0.2

    @property
    def multiply_adds(self) -> int:
        """Multiply-additions of one crop, convolutions and linear layers; the sampling adds less than a hundredth."""
        first, second = self.locating
        locating = first * (42 * 7) ** 2 + first * second * (17 * 5) ** 2
        locating += self.located * (second * 8 * 8 + 6)
        reading = self.width * (46 * 3) ** 2 + self.width**2 * sum((side * 3) ** 2 for side in (44, 20, 18))
        return locating + reading + self.features * (self.width * 9 * 9 + CLASSES + 2)


class DeepEmotion(OneHead):
    """Four convolutions that read the part of the crop which the transformer shows them."""

    settings: DeepEmotionSettings

    def __init__(self, settings: DeepEmotionSettings | None = None) -> None:
        super().__init__(settings or DeepEmotionSettings())
        width, (first, second) = self.settings.width, self.settings.locating
        self.locate = nn.Sequential(
            *(nn.Conv2d(1, first, 7), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(first, second, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(second * 8 * 8, self.settings.located), nn.ReLU()),
        )
        self.transformation = nn.Linear(self.settings.located, 6)
        nn.init.zeros_(self.transformation.weight)
        self.transformation.bias.data.copy_(torch.tensor(_STILL))
        self._read_by((*_block(1, width), *_block(width, width)), width * 9 * 9)
        self.register_buffer("grid", _pixels(), persistent=False)

    def look(self, crops: Tensor) -> Tensor:
        """The part of standardised crops ``(n, 1, 48, 48)`` that the transformer finds worth reading, as large."""
        matrix = self.transformation(self.locate(crops)).view(-1, 2, 3)
        # affine_grid is not in ONNX before opset 20; this is the same.
        where = (self.grid @ matrix.transpose(1, 2).to(self.grid.dtype)).view(-1, SIZE, SIZE, 2)
        return fn.grid_sample(crops, where, padding_mode="border", align_corners=False)


def _block(before: int, width: int) -> tuple[nn.Module, ...]:
    """Two convolutions without borders; the picture ends up less than half as wide."""
    return (
        *(nn.Conv2d(before, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
        *(nn.Conv2d(width, width, 3, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(width), nn.ReLU()),
    )


def _pixels() -> Tensor:
    """Centre of each pixel ``(SIZE * SIZE, 3)``: across, down, 1, with the picture from -1 to 1."""
    centres = (2 * torch.arange(SIZE) + 1) / SIZE - 1
    down, across = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([across, down, torch.ones(SIZE, SIZE)], -1).view(-1, 3)
