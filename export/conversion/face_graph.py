"""Changes of a face network's float graph that leave its outputs as they are and let 8 bits say more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from edge_emotion.model.backend import OnnxRuntime
from edge_emotion.types import F32

BATCH = 16
SHARE = 0.3
"""How much of the differences between channels goes into the next weights: the least error of 0.3, 0.5 and 0.7."""
_SCALED_BY_CHANNEL = ("Relu", "LeakyRelu", "PRelu", "MaxPool")
"""Nodes that give the double for the double of a channel."""


class Pair(NamedTuple):
    """Two convolutions of which the second reads, as ``between``, what the first gives."""

    first: NodeProto
    second: NodeProto
    between: str
    means: tuple[NodeProto, ...]
    """Means over the picture that read ``between`` as well."""


def rectify_before_pooling(model: onnx.ModelProto) -> None:
    """Turn ``MaxPool, ReLU`` into ``ReLU, MaxPool`` in place: a function that never falls may go first."""
    readers = _readers(model)
    for pool in list(model.graph.node):
        after = readers.get(pool.output[0], [])
        if pool.op_type != "MaxPool" or len(after) != 1 or after[0].op_type != "Relu":
            continue
        relu = after[0]
        first = helper.make_node("Relu", [pool.input[0]], [pool.output[0]], name=relu.name)
        second = NodeProto()
        second.CopyFrom(pool)
        second.input[0], second.output[0] = pool.output[0], relu.output[0]
        pool.CopyFrom(first)
        relu.CopyFrom(second)
        for value in [item for item in model.graph.value_info if item.name == pool.output[0]]:
            model.graph.value_info.remove(value)  # it had the pooled shape


def spell_out_prelu(model: onnx.ModelProto) -> None:
    """Write each PReLU of slopes ``a`` as ``a x + (1 - a) relu(x)`` in place."""
    graph = model.graph
    weights = {item.name: item for item in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        source, out = node.input[0], node.output[0]
        slope = numpy_helper.to_array(weights[node.input[1]])
        graph.initializer.append(numpy_helper.from_array((1 - slope).astype(slope.dtype), f"{out}/rest"))
        nodes += [
            helper.make_node("Relu", [source], [f"{out}/relu"], name=f"{out}/relu"),
            helper.make_node("Mul", [source, node.input[1]], [f"{out}/line"], name=f"{out}/line"),
            helper.make_node("Mul", [f"{out}/relu", f"{out}/rest"], [f"{out}/bend"], name=f"{out}/bend"),
            helper.make_node("Add", [f"{out}/line", f"{out}/bend"], [out], name=f"{out}/sum"),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def equalise(model: onnx.ModelProto, batches: Sequence[dict[str, F32]]) -> None:
    """Bring the channels between each two convolutions to ranges that one 8-bit scale suits, in place.

    A channel is divided by a factor in the first convolution and multiplied by it in the second (cross-layer
    equalisation: Nagel, van Baalen, Blankevoort and Welling 2019, section 4.1). Before a depthwise convolution, whose
    weights have a scale for each channel, all channels get the same range; before any other the factor is
    ``range ** SHARE / weight ** (1 - SHARE)``, as in SmoothQuant (Xiao et al. 2023, equation 4). Means over the picture
    that read the channels as well are multiplied by the factors.
    """
    weights = {item.name: item for item in model.graph.initializer}
    pairs = list(_pairs(model, set(weights)))
    ranges = _channel_ranges(model, [pair.between for pair in pairs], batches)
    for pair, reach in zip(pairs, ranges, strict=True):
        after = numpy_helper.to_array(weights[pair.second.input[1]])
        depthwise = after.shape[1] == 1 and len(reach) > 1
        factor = _factors(reach, None if depthwise else after)
        for name in pair.first.input[1:3]:
            values = numpy_helper.to_array(weights[name])
            _store(weights[name], values / factor.reshape(-1, *[1] * (values.ndim - 1)))
        _store(
            weights[pair.second.input[1]],
            after * factor.reshape((-1, 1, 1, 1) if depthwise else (1, -1, 1, 1)),
        )
        for mean in pair.means:
            _multiply_after(model, mean, factor)


def _factors(reach: F32, weights: F32 | None) -> F32:
    """What each channel is divided by; their geometric mean is 1, and silent channels keep theirs."""
    factor = reach.astype(np.float64)
    if weights is not None:
        size = np.abs(weights)
        part = (size / np.maximum(size.max((1, 2, 3), keepdims=True), 1e-12)).max((0, 2, 3))
        factor = factor**SHARE / np.maximum(part, 1e-6) ** (1 - SHARE)
    heard = reach > 1e-6
    if not heard.any():
        return np.ones(len(reach), np.float32)
    factor /= np.exp(np.log(factor[heard]).mean())
    return np.where(heard, np.clip(factor, 1e-3, 1e3), 1.0).astype(np.float32)


def _channel_ranges(model: onnx.ModelProto, names: list[str], batches: Sequence[dict[str, F32]]) -> list[F32]:
    """Largest size of every channel of these tensors over all batches."""
    largest = [
        [np.abs(values).max((0, 2, 3)) for values in found] for found in tensors(model, names, batches)
    ]
    return [np.max(rows, axis=0) for rows in zip(*largest, strict=True)]


def tensors(
    model: onnx.ModelProto, names: Iterable[str], batches: Sequence[dict[str, F32]]
) -> Iterator[list[F32]]:
    """Values of tensors inside a graph, batch by batch."""
    names = list(names)
    looked = onnx.ModelProto()
    looked.CopyFrom(model)
    del looked.graph.output[:]
    looked.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    backend = OnnxRuntime(looked.SerializeToString())
    for batch in batches:
        found = backend.compute(batch)
        yield [found[name] for name in names]


def _pairs(model: onnx.ModelProto, weights: set[str]) -> Iterator[Pair]:
    readers = _readers(model)
    outputs = {item.name for item in model.graph.output}
    for first in model.graph.node:
        if first.op_type != "Conv" or len(first.input) < 3 or first.input[1] not in weights:
            continue
        name, after = first.output[0], readers.get(first.output[0], [])
        while len(after) == 1 and after[0].op_type in _SCALED_BY_CHANNEL:
            name = after[0].output[0]
            after = readers.get(name, [])
        convolutions = [node for node in after if node.op_type == "Conv"]
        means = tuple(node for node in after if node.op_type in ("ReduceMean", "GlobalAveragePool"))
        if len(convolutions) == 1 and len(means) + 1 == len(after) and name not in outputs:
            yield Pair(first, convolutions[0], name, means)


def _multiply_after(model: onnx.ModelProto, mean: NodeProto, factor: F32) -> None:
    kept = any(item.name == "keepdims" and item.i for item in mean.attribute) or mean.op_type != "ReduceMean"
    out = mean.output[0]
    scale = factor.reshape((1, -1, 1, 1) if kept else (1, -1))
    model.graph.initializer.append(numpy_helper.from_array(scale, f"{out}/factor"))
    mean.output[0] = f"{out}/equalised"
    node = helper.make_node("Mul", [mean.output[0], f"{out}/factor"], [out], name=f"{out}/restored")
    model.graph.node.insert(list(model.graph.node).index(mean) + 1, node)


def _store(item: onnx.TensorProto, values: F32) -> None:
    item.CopyFrom(numpy_helper.from_array(values.astype(np.float32), item.name))


def _readers(model: onnx.ModelProto) -> dict[str, list[NodeProto]]:
    """Nodes that read each tensor."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers
