"""A small causal recurrent regressor beside the support vectors: one GRU, trained on the CCC itself.

It reads the same rows as the early fusion, one each ``step`` hops, and carries its state from call to call in ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from edge_emotion.types import Dimension

from . import shards
from .blocks import Block, Member, read_labels, read_rows
from .delay import shifted
from .folds import grouped
from .metrics import ccc

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

OPSET = 17


@dataclass(frozen=True, slots=True)
class RecurrentSettings:
    """Our choices; ``epochs`` is chosen among its values on speaker-disjoint folds."""

    hidden: int = 32
    epochs: tuple[int, ...] = (40, 80, 160, 320)
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2
    dropout: float = 0.3
    seed: int = 0


class CausalGru(nn.Module):
    """Standardised rows to one value each; nothing looks ahead."""

    def __init__(self, features: int, settings: RecurrentSettings) -> None:
        super().__init__()
        self.drop = nn.Dropout(settings.dropout)
        self.squeeze = nn.Linear(features, settings.hidden)
        self.gru = nn.GRU(settings.hidden, settings.hidden, batch_first=True)
        self.head = nn.Linear(settings.hidden, 1)

    def forward(self, rows: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Rows (batch, time, features) and state (1, batch, hidden) to values (batch, time) and the next state."""
        hidden, state = self.gru(torch.tanh(self.squeeze(self.drop(rows))), state)
        return self.head(hidden)[..., 0], state


@dataclass(frozen=True, slots=True)
class Recurrent:
    """A fitted network and the standardisation of its input."""

    network: CausalGru
    mean: F64
    scale: F64
    epochs: int

    def predict(self, rows: F64) -> F64:
        """Values at raw rows (n, d) of one recording from its beginning."""
        self.network.eval()
        with torch.no_grad():
            values, _ = self.network(_tensor((rows - self.mean) / self.scale)[None])
        result: F64 = values[0].numpy().astype(np.float64)
        return result


def ccc_loss(truth: Tensor, prediction: Tensor, weight: Tensor) -> Tensor:
    """1 - CCC of all weighted moments of a batch taken together (population moments)."""
    total = weight.sum()
    t, p = (truth * weight).sum() / total, (prediction * weight).sum() / total
    covariance = (weight * (truth - t) * (prediction - p)).sum() / total
    spread = (weight * ((truth - t) ** 2 + (prediction - p) ** 2)).sum() / total + (t - p) ** 2
    return 1.0 - 2.0 * covariance / (spread + 1e-8)


def fit_recurrent(
    rows: Sequence[F64],
    labels: Sequence[F64],
    speakers: Sequence[str],
    settings: RecurrentSettings,
    folds: int,
) -> tuple[Recurrent, list[F64]]:
    """Fit on whole recordings; also the out-of-fold predictions of each.

    The number of epochs is the one with the best CCC over all held-out speakers.
    """
    held: dict[int, list[F64]] = {epochs: [np.zeros(0)] * len(rows) for epochs in settings.epochs}
    names = np.array(speakers)
    for fold in grouped(names, min(folds, len(np.unique(names)))):
        trained = _train([rows[k] for k in fold.train], [labels[k] for k in fold.train], settings)
        for epochs, model in trained.items():
            for k in fold.test:
                held[epochs][k] = model.predict(rows[k])
    truth = np.concatenate([np.asarray(label) for label in labels])
    best = max(held, key=lambda epochs: ccc(truth, np.concatenate(held[epochs])))
    final = _train(rows, labels, settings)
    return final[best], held[best]


def _train(rows: Sequence[F64], labels: Sequence[F64], settings: RecurrentSettings) -> dict[int, Recurrent]:
    """Networks after each of the numbers of epochs; one batch is all recordings, padded."""
    torch.manual_seed(settings.seed)
    joined = np.concatenate(rows)
    deviation = joined.std(axis=0)
    mean, scale = joined.mean(axis=0), np.where(deviation > 1e-9, deviation, 1.0)
    longest = max(len(r) for r in rows)
    inputs = torch.zeros(len(rows), longest, joined.shape[1])
    truth, weight = torch.zeros(len(rows), longest), torch.zeros(len(rows), longest)
    for k, (r, y) in enumerate(zip(rows, labels, strict=True)):
        inputs[k, : len(r)] = _tensor((r - mean) / scale)
        truth[k, : len(y)], weight[k, : len(y)] = _tensor(y), 1.0
    network = CausalGru(joined.shape[1], settings)
    with (
        torch.no_grad()
    ):  # an output of the right spread from the start: the loss has little slope far from it
        network.head.bias.fill_(float(np.concatenate(labels).mean()))
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    snapshots: dict[int, Recurrent] = {}
    for epoch in range(1, max(settings.epochs) + 1):
        network.train()
        optimiser.zero_grad()
        prediction, _ = network(inputs)
        ccc_loss(truth, prediction, weight).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if epoch in settings.epochs:
            copy = CausalGru(joined.shape[1], settings)
            copy.load_state_dict(network.state_dict())
            snapshots[epoch] = Recurrent(copy, mean, scale, epoch)
    return snapshots


@dataclass(frozen=True, slots=True)
class RecurrentJob:
    """Fit and judge the recurrent regressor on the rows of an early fusion, one each ``every`` hops."""

    members: tuple[Member, ...]
    blocks: tuple[Block, ...]
    dimension: Dimension
    lag: int
    hop_s: float
    every: int
    folds: int
    settings: RecurrentSettings
    keep: Path

    def path(self) -> Path:
        """The network as ONNX; the predictions lie beside it."""
        members = [member.identity() for member in self.members]
        rest = (self.dimension, self.lag, self.hop_s, self.every, self.folds)
        facts = [asdict(block) for block in self.blocks], asdict(self.settings)
        return self.keep / f"recurrent-{shards.key('recurrent', members, rest, facts)}.onnx"

    def run(self) -> tuple[dict[str, F64], dict[str, F64]]:
        """Out-of-fold predictions of the training recordings, and predictions of the others, every hop."""
        path = self.path()
        columns = shards.read(shards.made(path.with_suffix(".parquet"), lambda: self._fit(path)))
        held: dict[str, F64] = {}
        rest: dict[str, F64] = {}
        for index, member in enumerate(self.members):
            own = columns["prediction"][columns["member"] == index]
            (held if member.partition == "train" else rest)[member.name] = own
        return held, rest

    def _fit(self, path: Path) -> shards.Columns:
        torch.set_num_threads(1)
        train = [k for k, member in enumerate(self.members) if member.partition == "train"]
        inputs, labels, steps, counts = [], [], [], []
        for member in self.members:
            # A recording's rows are large; only every so manyth is kept, as a copy of its own.
            rows = self._rows(member)
            counts.append(len(rows))
            steps.append(rows[:: self.every].astype(np.float64))
            if member.partition == "train":
                x, y = shifted(rows.astype(np.float64), read_labels(member, self.dimension), self.lag)
                inputs.append(x[:: self.every].copy())
                labels.append(y[:: self.every].copy())
        speakers = [self.members[k].speaker for k in train]
        model, held = fit_recurrent(inputs, labels, speakers, self.settings, self.folds)
        predictions = [model.predict(step) for step in steps]
        for k, values in zip(train, held, strict=True):
            predictions[k] = values
        # Rows that the shift took away at the beginning were never predicted: the first value stands for them.
        first = max(0, -self.lag)
        traces = [
            _each_hop(p, self.every, count, first if k in train else 0)
            for k, (p, count) in enumerate(zip(predictions, counts, strict=True))
        ]
        with shards.whole_file(path) as file:
            file.write(to_onnx(model).SerializeToString(deterministic=True))
        return {
            "member": np.repeat(np.arange(len(traces)), [len(trace) for trace in traces]),
            "prediction": np.concatenate(traces),
        }

    def _rows(self, member: Member) -> F32:
        return read_rows(member, self.blocks, self.hop_s, training=False).values


def _each_hop(values: F64, every: int, count: int, first: int) -> F64:
    """Values of every ``every``-th row from ``first`` on, held until the next one."""
    at = np.clip((np.arange(count) - first) // every, 0, len(values) - 1)
    trace: F64 = values[at]
    return trace


def to_onnx(model: Recurrent) -> onnx.ModelProto:
    """Inputs ``features`` float32 (n, d), raw, and ``state`` (1, 1, hidden), zeros at first; outputs ``prediction``
    (n,) and ``next_state``. Any split of a recording gives what one call gives.

    Written operator by operator: ONNX's GRU has torch's equations (``linear_before_reset``) and another gate order.
    """
    network = model.network
    parameters = dict(network.gru.named_parameters())
    hidden, features = network.gru.hidden_size, len(model.mean)
    weights = {
        "mean": model.mean,
        "scale": model.scale,
        "squeeze": _array(network.squeeze.weight).T,
        "squeeze_bias": _array(network.squeeze.bias),
        "input_gates": _gates(parameters["weight_ih_l0"])[None],
        "state_gates": _gates(parameters["weight_hh_l0"])[None],
        "gate_bias": np.concatenate([_gates(parameters["bias_ih_l0"]), _gates(parameters["bias_hh_l0"])])[
            None
        ],
        "head": _array(network.head.weight).T,
        "head_bias": _array(network.head.bias),
    }
    constants = [
        numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
        for name, value in weights.items()
    ]
    constants.append(numpy_helper.from_array(np.array([-1, 1, hidden]), "sequence"))
    constants.append(numpy_helper.from_array(np.array([-1, hidden]), "flat"))
    constants.append(numpy_helper.from_array(np.array([-1]), "values"))
    node = helper.make_node
    nodes = [
        node("Sub", ["features", "mean"], ["centred"]),
        node("Div", ["centred", "scale"], ["standardised"]),
        node("MatMul", ["standardised", "squeeze"], ["product"]),
        node("Add", ["product", "squeeze_bias"], ["sum"]),
        node("Tanh", ["sum"], ["squeezed"]),
        node("Reshape", ["squeezed", "sequence"], ["steps"]),
        node(
            "GRU",
            ["steps", "input_gates", "state_gates", "gate_bias", "", "state"],
            ["all_states", "next_state"],
            hidden_size=hidden,
            linear_before_reset=1,
        ),
        node("Reshape", ["all_states", "flat"], ["states"]),
        node("MatMul", ["states", "head"], ["weighted"]),
        node("Add", ["weighted", "head_bias"], ["column"]),
        node("Reshape", ["column", "values"], ["prediction"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "causal_gru",
        [
            value("features", TensorProto.FLOAT, ["n", features]),
            value("state", TensorProto.FLOAT, [1, 1, hidden]),
        ],
        [
            value("prediction", TensorProto.FLOAT, ["n"]),
            value("next_state", TensorProto.FLOAT, [1, 1, hidden]),
        ],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(proto)
    return proto


def _gates(parameter: Tensor) -> F32:
    """Torch stacks reset, update, new; ONNX update, reset, new."""
    reset, update, new = np.split(_array(parameter), 3)
    return np.concatenate([update, reset, new])


def _array(parameter: Tensor) -> F32:
    array: F32 = parameter.detach().numpy().astype(np.float32)
    return array


def _tensor(values: F64) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
