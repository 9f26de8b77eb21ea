"""The face network: three convolutional and two fully connected layers on 48x48 grey faces.

The layer count is the reference system's (Ortega, Cardinal and Koerich 2019); widths, batch normalisation,
pooling and dropout are our choice, sized for a small board.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from ..corpora.votes import CLASSES

SIZE = 48
MEAN, SCALE = 127.5, 127.5
"""How a ``uint8`` crop becomes the network's input: ``(crop - MEAN) / SCALE``."""


class Settings(Protocol):
    """What the settings of every face network tell: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def features(self) -> int:
        """Length of the face feature."""

    @property
    def dropout(self) -> float:
        """Share of values left out while training."""

    @property
    def multiply_adds(self) -> int:
        """Multiply-additions of one crop."""


@dataclass(frozen=True, slots=True)
class FaceCnnSettings:
    """Widths of the layers; ``features`` is the length of the face feature."""

    channels: tuple[int, int, int] = (24, 64, 160)
    kernels: tuple[int, int, int] = (5, 5, 3)
    last_pool: int = 3
    features: int = 128
    dropout: float = 0.4

    @property
    def layers(self) -> list[tuple[int, int, int]]:
        """Width, kernel and pooling of each convolution."""
        return list(zip(self.channels, self.kernels, (2, 2, self.last_pool), strict=True))

    @property
    def multiply_adds(self) -> int:
        """Multiply-additions of one crop, convolutions and linear layers."""
        total, before, side = 0, 1, SIZE
        for width, kernel, pool in self.layers:
            total += before * width * (kernel * side) ** 2
            before, side = width, side // pool
        return total + (before * side**2 + CLASSES + 2) * self.features


class OneHead(nn.Module):
    """Face feature, expression votes and affect from a crop, by convolutions and one head on what they give.

    Input ``(n, 1, 48, 48)``, normalised by `MEAN` and `SCALE`. Each crop is then standardised by its own mean
    and deviation, which takes exposure and contrast out (our choice: it is what makes dark faces readable).
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def _read_by(self, convolutions: Iterable[nn.Module], values: int) -> None:
        """Set the layers that read, once what stands before them is set; the convolutions give ``values`` numbers."""
        self.convolutions = nn.Sequential(*convolutions)
        self.dropout = nn.Dropout(self.settings.dropout)
        self.feature = nn.Sequential(
            nn.Flatten(),
            nn.Linear(values, self.settings.features, bias=False),
            nn.BatchNorm1d(self.settings.features),
            nn.ReLU(),
        )
        self.head = nn.Linear(self.settings.features, CLASSES + 2)

    def look(self, crops: Tensor) -> Tensor:
        """The part of standardised crops ``(n, 1, 48, 48)`` that is read, as large: all."""
        return crops

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features ``(n, d)``, logits of the votes ``(n, 8)`` and affect ``(n, 2)``, arousal and valence in (-1, 1)."""
        centred, deviation = contrast(crops)
        features = self.feature(self.dropout(self.convolutions(self.look(centred / deviation))))
        return features, *votes_and_affect(self.head(self.dropout(features)))

    def exits(self, crops: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What each head says: there is one."""
        return [self(crops)]

    @property
    def description(self) -> dict[str, object]:
        """Settings and size, for the manifest and the metrics file."""
        return describe(self, self.settings)


class FaceCnn(OneHead):
    """Three convolutions, each pooled."""

    settings: FaceCnnSettings

    def __init__(self, settings: FaceCnnSettings | None = None) -> None:
        super().__init__(settings or FaceCnnSettings())
        layers: list[nn.Module] = []
        before, side = 1, SIZE
        for width, kernel, pool in self.settings.layers:
            layers += [
                nn.Conv2d(before, width, kernel, padding=kernel // 2, bias=False),
                # Before the norm and the ReLU: nearly the same network, and a quarter of their work.
                nn.MaxPool2d(pool),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before, side = width, side // pool
        self._read_by(layers, before * side * side)


def contrast(crops: Tensor) -> tuple[Tensor, Tensor]:
    """Each crop ``(n, 1, h, w)`` less its own mean, and the deviation ``(n, 1, 1, 1)`` of its pixels."""
    centred = crops - crops.mean((2, 3), keepdim=True)
    return centred, torch.sqrt((centred * centred).mean((2, 3), keepdim=True) + 1e-4)


def votes_and_affect(out: Tensor) -> tuple[Tensor, Tensor]:
    """A head's outputs ``(n, 10)`` as logits of the votes ``(n, 8)`` and affect ``(n, 2)`` in (-1, 1)."""
    return out[:, :CLASSES], torch.tanh(out[:, CLASSES:])


def describe(network: nn.Module, settings: Settings) -> dict[str, object]:
    """Settings and size of a network, for the manifest and the metrics file."""
    parameters = sum(p.numel() for p in network.parameters())
    return {**asdict(settings), "parameters": parameters, "multiply_adds": settings.multiply_adds}


def to_input(crops: Tensor) -> Tensor:
    """``uint8 (n, 48, 48)`` to the network's ``float32 (n, 1, 48, 48)``."""
    return (crops[:, None].float() - MEAN) / SCALE
