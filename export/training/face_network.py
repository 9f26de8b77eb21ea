"""The face network: three convolutional and two fully connected layers on 48x48 grey faces.

The layer count is the reference system's (Ortega, Cardinal and Koerich 2019); widths, batch normalisation,
pooling and dropout are our choice, sized for a small board.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from ..corpora.votes import CLASSES

SIZE = 48
MEAN, SCALE = 127.5, 127.5
"""How a ``uint8`` crop becomes the network's input: ``(crop - MEAN) / SCALE``."""


@dataclass(frozen=True, slots=True)
class FaceCnnSettings:
    """Widths of the layers; ``features`` is the length of the face feature."""

    channels: tuple[int, int, int] = (24, 64, 160)
    kernels: tuple[int, int, int] = (5, 5, 3)
    last_pool: int = 3
    features: int = 128
    dropout: float = 0.4


class FaceCnn(nn.Module):
    """Face feature, expression votes and affect from a crop.

    Input ``(n, 1, 48, 48)``, normalised by `MEAN` and `SCALE`. Each crop is then standardised by its own mean
    and deviation, which takes exposure and contrast out (our choice: it is what makes dark faces readable).
    """

    def __init__(self, settings: FaceCnnSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or FaceCnnSettings()
        layers: list[nn.Module] = []
        before, side = 1, SIZE
        pools = (2, 2, self.settings.last_pool)
        for width, kernel, pool in zip(self.settings.channels, self.settings.kernels, pools, strict=True):
            layers += [
                nn.Conv2d(before, width, kernel, padding=kernel // 2, bias=False),
                # Before the norm and the ReLU: nearly the same network, and a quarter of their work.
                nn.MaxPool2d(pool),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before, side = width, side // pool
        self.convolutions = nn.Sequential(*layers)
        self.dropout = nn.Dropout(self.settings.dropout)
        self.feature = nn.Sequential(
            nn.Flatten(),
            nn.Linear(before * side * side, self.settings.features, bias=False),
            nn.BatchNorm1d(self.settings.features),
            nn.ReLU(),
        )
        self.head = nn.Linear(self.settings.features, CLASSES + 2)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features ``(n, d)``, logits of the votes ``(n, 8)`` and affect ``(n, 2)``, arousal and valence in (-1, 1)."""
        centred, deviation = contrast(crops)
        features = self.feature(self.dropout(self.convolutions(centred / deviation)))
        out = self.head(self.dropout(features))
        return features, out[:, :CLASSES], torch.tanh(out[:, CLASSES:])

    def exits(self, crops: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What each head says: there is one."""
        return [self(crops)]

    @property
    def description(self) -> dict[str, object]:
        """Settings and size, for the manifest and the metrics file."""
        return {**asdict(self.settings), **sizes(self, multiply_adds(self.settings))}


def contrast(crops: Tensor) -> tuple[Tensor, Tensor]:
    """Each crop ``(n, 1, h, w)`` less its own mean, and the deviation ``(n, 1, 1, 1)`` of its pixels."""
    centred = crops - crops.mean((2, 3), keepdim=True)
    return centred, torch.sqrt((centred * centred).mean((2, 3), keepdim=True) + 1e-4)


def sizes(network: nn.Module, multiply_adds: int) -> dict[str, int]:
    """What a network's description says of its size."""
    return {"parameters": sum(p.numel() for p in network.parameters()), "multiply_adds": multiply_adds}


def multiply_adds(settings: FaceCnnSettings) -> int:
    """Multiply-additions of one crop, convolutions and linear layers."""
    total, before, side = 0, 1, SIZE
    pools = (2, 2, settings.last_pool)
    for width, kernel, pool in zip(settings.channels, settings.kernels, pools, strict=True):
        total += before * width * (kernel * side) ** 2
        before, side = width, side // pool
    return total + (before * side**2 + CLASSES + 2) * settings.features


def to_input(crops: Tensor) -> Tensor:
    """``uint8 (n, 48, 48)`` to the network's ``float32 (n, 1, 48, 48)``."""
    return (crops[:, None].float() - MEAN) / SCALE
