"""Fine-tuning the face network on a corpus's own frames: the reference system's core step.

The network that was trained on expressions goes on with the training speakers' frames, the ratings moved back by the
raters' delay, under the loss that the field reports. Frames of other speakers are never seen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.random import default_rng
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from edge_emotion.errors import BundleError
from edge_emotion.types import DIMENSIONS, F32, U8, Dimension

from ..conversion.face import face_onnx, fold_norms
from ..conversion.quantisation import quantise
from ..conversion.rounded_weights import unpacked
from ..conversion.yunet import fold_weights
from . import shards
from .blocks import Member, read_labels
from .delay import shifted
from .extraction import square
from .face_augmentation import Augmentation, augment
from .face_network import FaceCnn, FaceCnnSettings, to_input
from .face_networks import FaceNet
from .face_sface import LARGE, SMALL, WIDTHS, SFaceNet
from .face_training import Average, one_cycle, parameter_groups
from .recurrent import ccc_loss

POOLED = "feature.2.weight"
"""Of `SFaceNet`: from the pooled levels to the features."""
POOLED_WIDTHS = tuple(WIDTHS[level - 1] for level in LARGE.levels)

CALIBRATION = 1500
"""Frames with which the tuned encoder is quantised."""


@dataclass(frozen=True, slots=True)
class TuningSettings:
    """Our choices: few, gentle epochs, for neighbouring frames are nearly the same picture."""

    epochs: int = 2
    batch: int = 64
    learning_rate: float = 2e-4
    weight_decay: float = 0.05
    every: int = 25
    """Of the frames, one in so many."""
    most: int = 6000
    frozen: int = 8
    """Levels of `SFaceNet` that stay as they are: half of the work, and what they see is common to all faces."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TuneJob:
    """Fine-tune on ``members``; all of them are training speakers."""

    members: tuple[Member, ...]
    encoder: Path
    delays_s: tuple[float, float]
    """Of arousal and valence."""
    hop_s: float
    settings: TuningSettings
    keep: Path

    def run(self) -> Path:
        """The network as ONNX, in the place of the one that it started from."""
        members = [member.identity() for member in self.members]
        name = shards.key(
            "tuned",
            members,
            shards.content_hash(self.encoder),
            self.delays_s,
            self.hop_s,
            asdict(self.settings),
        )
        path = self.keep / f"encoder-{name}.onnx"
        if not path.is_file():
            network = read_network(self.encoder)
            crops, labels = self._frames()
            tune(network, crops, labels, self.settings)
            with shards.whole_file(path) as file:
                drawn = default_rng(self.settings.seed).permutation(len(crops))[:CALIBRATION]
                file.write(quantise(face_onnx(network), crops[drawn]))
        return path

    def _frames(self) -> tuple[U8, F32]:
        share = max(1, self.settings.most // len(self.members))
        crops, labels = [], []
        for member in self.members:
            columns = shards.read(member.features["faces"], ["crop", "present"])
            rows = np.arange(len(columns["present"]))
            gold = [self._labels(member, dimension, rows) for dimension in DIMENSIONS]
            common = np.intersect1d(gold[0][0], gold[1][0])
            kept = common[columns["present"][common]]
            kept = kept[:: max(self.settings.every, -(-len(kept) // share))]
            crops.append(columns["crop"][kept])
            labels.append(np.stack([label[np.searchsorted(at, kept)] for at, label in gold], axis=1))
        return square(np.concatenate(crops)), np.concatenate(labels).astype(np.float32)

    def _labels(
        self, member: Member, dimension: Dimension, rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        lag = round(self.delays_s[DIMENSIONS.index(dimension)] / self.hop_s)
        at, labels = shifted(rows.astype(np.float64), read_labels(member, dimension), lag)
        return at.astype(np.intp), labels


def tune(network: FaceNet, crops: U8, labels: F32, settings: TuningSettings) -> None:
    """Go on training ``network`` in place: crops uint8 (n, 48, 48), labels (n, 2), the CCC of each batch as the loss.

    The affect head alone carries the loss; votes drift with the features. Seeded; one thread, so that the result does
    not depend on the machine's load.
    """
    torch.manual_seed(settings.seed)
    torch.set_num_threads(1)
    if isinstance(network, SFaceNet):
        network.freeze(settings.frozen)
    optimiser = torch.optim.AdamW(parameter_groups(network, settings.weight_decay))
    average = Average(network, 0.99)
    batches = max(1, len(crops) // settings.batch)
    for epoch in range(settings.epochs):
        rng = default_rng([settings.seed, epoch])
        order = rng.permutation(len(crops))
        network.train()
        for index in range(batches):
            rows = order[index * settings.batch : (index + 1) * settings.batch]
            progress = (epoch * batches + index) / (settings.epochs * batches)
            for group in optimiser.param_groups:
                group["lr"] = one_cycle(progress, settings.learning_rate)
            pictures = to_input(torch.from_numpy(augment(crops[rows], Augmentation(), rng)))
            truth = torch.from_numpy(labels[rows])
            affect = network(pictures)[2]
            weight = torch.ones(len(rows))
            loss = sum(ccc_loss(truth[:, k], affect[:, k], weight) for k in range(len(DIMENSIONS)))
            optimiser.zero_grad()
            assert isinstance(loss, torch.Tensor)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            average.update(network)
    network.load_state_dict(average.state)
    network.eval()


def read_network(path: Path) -> FaceNet:
    """The torch network of an ONNX file that `face_onnx` wrote, quantised since or not: its batch norms are folded and
    stay so.

    Raises
    ------
    BundleError
        The encoder is another network; it cannot be fine-tuned.
    """
    model = unpacked(path.read_bytes())
    fold_weights(model)
    state = {
        tensor.name.removeprefix("network.").removesuffix("_DequantizeLinear_Output"): torch.from_numpy(
            np.array(numpy_helper.to_array(tensor))
        )
        for tensor in model.graph.initializer
        if tensor.name.startswith("network.")
    }
    try:
        if (factors := _pooled_factors(model)) is not None:
            state[POOLED] = state[POOLED] * torch.from_numpy(factors)
        return _sface(state) if any(name.startswith("trunk.") for name in state) else _cnn(state)
    except (KeyError, RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(
            f"{path}: not a face network of ours ({reason}); fine-tune another encoder elsewhere, or use --no-fine-tune"
        ) from None


def _pooled_factors(model: onnx.ModelProto) -> F32 | None:
    """What the pooled levels are multiplied by before the feature layer, where quantisation has equalised channels."""
    made = {node.output[0]: node for node in model.graph.node}
    stored = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    layer = [node for node in model.graph.node if f"network.{POOLED}" in node.input]
    if not layer or made[layer[0].input[0]].op_type != "Concat":
        return None
    factors = []
    for name, width in zip(made[layer[0].input[0]].input, POOLED_WIDTHS, strict=False):
        level = made[name]
        factors.append(stored[level.input[1]].ravel() if level.op_type == "Mul" else np.ones(width))
    return np.concatenate(factors).astype(np.float32)


def _sface(state: dict[str, torch.Tensor]) -> FaceNet:
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("trunk."))
    network = fold_norms(SFaceNet(SMALL if depth == max(SMALL.levels) else LARGE))
    slopes = {name: value for name, value in network.state_dict().items() if name.endswith(".slope")}
    network.load_state_dict(state | slopes)
    return network


def _cnn(state: dict[str, torch.Tensor]) -> FaceNet:
    network = fold_norms(FaceCnn(_settings(state)))
    _restore_norms(network, state)
    network.load_state_dict(state)
    return network


def _settings(state: dict[str, torch.Tensor]) -> FaceCnnSettings:
    convolutions = [w for name, w in state.items() if name.startswith("convolutions.") and w.ndim == 4]
    width = state["feature.1.weight"]
    side = round((width.shape[1] / convolutions[2].shape[0]) ** 0.5)
    channels, kernels = [w.shape[0] for w in convolutions], [w.shape[2] for w in convolutions]
    return FaceCnnSettings(
        channels=(channels[0], channels[1], channels[2]),
        kernels=(kernels[0], kernels[1], kernels[2]),
        last_pool=12 // side,
        features=width.shape[0],
    )


def _restore_norms(network: FaceNet, state: dict[str, Any]) -> None:
    """Layers whose norm could not be folded keep it, and have no bias of their own."""
    for name in [name for name in state if name.endswith("running_mean")]:
        block_name, number = name.split(".")[:2]
        block = getattr(network, block_name)
        block[int(number)] = nn.BatchNorm2d(len(state[name]))
        block[int(number) - 2].bias = None
        state.setdefault(f"{block_name}.{number}.num_batches_tracked", torch.tensor(0))
