"""Training of the face network on vote distributions: seeded, resumable to the bit, one cycle with averaged
weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from edge_emotion.errors import UsageError
from edge_emotion.types import F32, U8

from .face_augmentation import Augmentation, augment
from .face_data import FaceViews
from .face_network import SIZE, FaceCnnSettings, to_input
from .face_networks import FaceNet, FaceNetSettings, build, start
from .face_sface import SFaceNet

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True)
class FaceTrainingSettings:
    """How the network is trained; everything that changes the result but the data."""

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    average_decay: float = 0.998
    crop_share: float = 0.5
    seed: int = 1
    head_rate: float = 1.0
    """Learning rate of features and head, as a multiple."""
    small_epochs: int = 0
    """Epochs, the first ones, in which crops are not enlarged (progressive resizing, Howard 2018)."""
    fading_epochs: float = 0.0
    """Epochs over which the slopes of an SFace trunk fade to ReLU."""
    full_epochs: int = 10**9
    """Epochs in which every level of an SFace trunk learns; after them the first ``frozen`` ones stay, at half the cost
    (Brock, Lim, Ritchie and Weston, *FreezeOut*, 2017)."""
    frozen: int = 0
    network: FaceNetSettings = field(default_factory=FaceCnnSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)
    calm_epochs: int = 0
    """Epochs, the last ones, with `calm` in the place of ``augmentation`` (as *YOLOX* does, Ge and others 2021)."""
    calm: Augmentation = field(
        default_factory=lambda: Augmentation(
            rotation=10, zoom=0.1, shift=0.05, light=0.3, erase_share=0.0, spoil_share=0.15
        )
    )


@dataclass(frozen=True, slots=True)
class Compute:
    """Where training runs; the result depends on it only by rounding."""

    device: str = "cpu"
    threads: int = 2
    bfloat16: bool = False

    @classmethod
    def choose(cls, device: str = "auto", threads: int = 2) -> Compute:
        """CUDA where there is one; bfloat16 products where the processor has instructions for them.

        Raises
        ------
        UsageError
            ``cuda`` was asked for and is not there.
        """
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"unknown device {device!r}; known: auto, cpu, cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError(
                "device cuda is not available here; use --device cpu or install a CUDA build of torch"
            )
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        fast = device == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        return cls(device, threads, fast)


class Average:
    """Moving average of weights and batch-norm statistics, shorter at the start so that it forgets the random
    weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network's present state."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def one_cycle(progress: float, peak: float) -> float:
    """Learning rate at ``progress`` in [0, 1]: linear rise over the first fifth, then half a cosine to nearly
    zero.
    """
    if progress < 0.2:
        return peak * (0.04 + 0.96 * progress / 0.2)
    return peak * max(0.5 * (1 + math.cos(math.pi * (progress - 0.2) / 0.8)), 1e-4)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights with decay; biases and batch-norm scales without."""
    learning = [p for p in network.parameters() if p.requires_grad]
    decayed = [p for p in learning if p.ndim > 1]
    free = [p for p in learning if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def rated_groups(network: nn.Module, weight_decay: float, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """`parameter_groups` of each part, with its ``share`` of the learning rate: 1 for parts not in ``rates``."""
    return [
        {**group, "share": rates.get(name, 1.0)}
        for name, part in network.named_children()
        for group in parameter_groups(part, weight_decay)
        if group["params"]
    ]


def votes_loss(exits: list[tuple[Tensor, Tensor, Tensor]], target: Tensor) -> Tensor:
    """Cross entropy to shares of votes ``(n, 8)``, summed over the heads.

    An early head learns from the last one's opinion as much as from the votes (self-distillation: Zhang, Song, Gao,
    Chen, Bao and Ma, *Be Your Own Teacher*, 2019).
    """
    *early, last = [votes.float().log_softmax(1) for _, votes, _ in exits]
    loss = -(target * last).sum(1).mean()
    taught = 0.5 * (target + last.detach().exp())
    for votes in early:
        loss = loss - (taught * votes).sum(1).mean()
    return loss


class FaceTrainer:
    """Trains a face network; iterate `epochs` to do so.

    Each epoch draws from a generator that is seeded by seed and epoch, so a resumed run gives the same bits
    as an uninterrupted one on the same machine. It begins with the weights of ``begin``, without it where
    `face_networks.start` does.
    """

    def __init__(
        self, settings: FaceTrainingSettings, compute: Compute, folder: Path, begin: FaceNet | None = None
    ) -> None:
        torch.set_num_threads(compute.threads)
        torch.manual_seed(settings.seed)
        self.settings, self.compute, self.folder = settings, compute, folder
        self.network = start(settings.network) if begin is None else build(settings.network)
        if begin is not None:
            self.network.load_state_dict(begin.state_dict())
        self.network.to(compute.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        heads = ("feature", "head", "early_feature", "early_head")
        groups = rated_groups(self.network, settings.weight_decay, dict.fromkeys(heads, settings.head_rate))
        self.optimiser = torch.optim.AdamW(groups)
        self.average = Average(self.network, settings.average_decay)
        self.epoch = 0
        self.history: list[dict[str, Any]] = []

    def epochs(
        self,
        views: FaceViews,
        shares: F32,
        judge: Callable[[FaceNet], dict[str, Any]],
        on_batch: Callable[[], None] = lambda: None,
    ) -> Iterator[dict[str, Any]]:
        """Train the epochs that remain; yield after each what ``judge`` says of the averaged network, and
        keep a checkpoint.
        """
        while self.epoch < self.settings.epochs:
            loss = self._one_epoch(views, shares, on_batch)
            self.epoch += 1
            self.history.append({"epoch": self.epoch, "loss": loss, **judge(self.averaged())})
            self.save()
            yield self.history[-1]

    def averaged(self) -> FaceNet:
        """A copy of the network with the averaged weights, on the CPU, ready for inference."""
        network = build(self.settings.network)
        network.load_state_dict(self.average.state)
        self._set_stage(network, self.epoch - 1e-6)
        return network.eval()

    def _set_stage(self, network: FaceNet, epoch: float) -> None:
        """Let the network enlarge crops and keep slopes as it should at this time."""
        if isinstance(network, SFaceNet):
            network.side = SIZE if epoch < self.settings.small_epochs else network.settings.side
            fading = self.settings.fading_epochs
            network.keep_slopes(max(0.0, 1 - epoch / fading) if fading else 0.0)
            if epoch >= self.settings.full_epochs:
                network.freeze(self.settings.frozen)

    def batches(self, items: int) -> int:
        """Batches in an epoch of ``items`` faces; the incomplete last one is dropped."""
        return max(1, items // self.settings.batch)

    def _one_epoch(self, views: FaceViews, shares: F32, on_batch: Callable[[], None]) -> float:
        settings, device = self.settings, self.compute.device
        rng = default_rng([settings.seed, self.epoch])
        torch.manual_seed(settings.seed * 100_003 + self.epoch)  # dropout draws from the global generator
        order = rng.permutation(len(views))
        count = self.batches(len(order))
        self.network.train()
        total = torch.zeros((), device=device)
        for number in range(count):
            chosen = order[number * settings.batch : (number + 1) * settings.batch]
            images = self._draw(views, chosen, rng)
            target = torch.from_numpy(shares[chosen]).to(device)
            now = self.epoch + number / count
            self._set_stage(self.network, now)
            rate = one_cycle(now / settings.epochs, settings.learning_rate)
            for group in self.optimiser.param_groups:
                group["lr"] = rate * group["share"]
            with torch.autocast(device, torch.bfloat16, enabled=self.compute.bfloat16):
                exits = self.network.exits(images)
            loss = votes_loss(exits, target)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            self.average.update(self.network)
            total += loss.detach()
            on_batch()
        return total.item() / count

    def _draw(self, views: FaceViews, chosen: NDArray[np.int64], rng: Generator) -> Tensor:
        cropped = (rng.random(len(chosen)) < self.settings.crop_share) & views.found[chosen]
        pictures = np.where(cropped[:, None, None], views.crops[chosen], views.direct[chosen])
        calm = self.epoch >= self.settings.epochs - self.settings.calm_epochs
        changes = self.settings.calm if calm else self.settings.augmentation
        images = torch.from_numpy(augment(pictures, changes, rng)).to(self.compute.device)
        return to_input(images).contiguous(memory_format=torch.channels_last)

    def save(self) -> None:
        """Write the checkpoint: weights, averaged weights, optimiser state; epoch, settings and history as
        metadata.
        """
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state.items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
        meta = {
            "epoch": str(self.epoch),
            "updates": str(self.average.updates),
            "settings": json.dumps(asdict(self.settings)),
            "history": json.dumps(self.history),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{CHECKPOINT}"
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial, meta)
        partial.replace(self.folder / CHECKPOINT)

    def resume(self) -> None:
        """Go on from the checkpoint in the folder.

        Raises
        ------
        UsageError
            There is none, or it was made with other settings.
        """
        path = self.folder / CHECKPOINT
        if not path.is_file():
            raise UsageError(f"{path}: nothing to resume; leave out --resume")
        with safe_open(path, "pt") as file:
            meta = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if json.loads(meta["settings"]) != json.loads(json.dumps(asdict(self.settings))):
            raise UsageError(
                f"{path}: made with other settings; resume with the same ones, or leave out --resume"
            )
        self.network.load_state_dict(_below(tensors, "network."))
        self.average.state = {k: v.to(self.compute.device) for k, v in _below(tensors, "average.").items()}
        self.average.updates = int(meta["updates"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "optimiser.").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.epoch, self.history = int(meta["epoch"]), json.loads(meta["history"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@torch.inference_mode()
def infer(network: FaceNet, crops: U8, batch: int = 64) -> tuple[F32, F32, F32]:
    """Features ``(n, d)``, vote probabilities ``(n, 8)`` and affect ``(n, 2)`` of ``uint8 (n, 48, 48)``
    crops.
    """
    network.eval()
    parts = []
    for first in range(0, len(crops), batch):
        features, votes, affect = network(to_input(torch.from_numpy(crops[first : first + batch])))
        parts.append((features.numpy(), votes.softmax(1).numpy(), affect.numpy()))
    features, votes, affect = (np.concatenate(column) for column in zip(*parts, strict=True))
    return features, votes, affect


@torch.inference_mode()
def exit_votes(network: FaceNet, crops: U8, compute: Compute, batch: int = 64) -> list[F32]:
    """Vote probabilities ``(n, 8)`` by each head, at the speed of training."""
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = []
    for first in range(0, len(crops), batch):
        images = to_input(torch.from_numpy(crops[first : first + batch]))
        with torch.autocast("cpu", torch.bfloat16, enabled=compute.bfloat16):
            heads = network.exits(images.contiguous(memory_format=torch.channels_last))
        parts.append([votes.float().softmax(1).numpy() for _, votes, _ in heads])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
