"""Rounded weights in ONNX graphs: taken over from an int8 form, stored as integers in any form."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edge_emotion.types import F32

from .weight_grid import LARGEST, steps

LARGE = 4096
"""Weights from which on a layer is rounded and stored as integers."""


def mixing_weights(model: onnx.ModelProto) -> dict[str, F32]:
    """Weights by name of the convolutions that read all channels for each output: not the depthwise ones."""
    stored = _stored(model)
    return {
        node.input[1]: stored[node.input[1]]
        for node in model.graph.node
        if node.op_type == "Conv" and not any(item.name == "group" and item.i > 1 for item in node.attribute)
    }


def is_rounded(model: onnx.ModelProto) -> bool:
    """Whether the weights of a convolution that mixes channels are multiples of a step in each output channel."""
    weights = mixing_weights(model).values()
    return any(bool(steps(values.reshape(len(values), -1)).all()) for values in weights)


def round_layers(model: onnx.ModelProto) -> None:
    """Round the weights of large linear layers to 8 bits, with a step for each output, in place."""
    stored = {item.name: item for item in model.graph.initializer}
    for name in _linear(model):
        rows = numpy_helper.to_array(stored[name])
        step = np.maximum(np.abs(rows).max(1, keepdims=True), 1e-9) / LARGEST
        rounded = (np.rint(rows / step) * step).astype(np.float32)
        stored[name].CopyFrom(numpy_helper.from_array(rounded, name))


def with_weights_of(int8: onnx.ModelProto, prepared: onnx.ModelProto) -> onnx.ModelProto:
    """The float graph ``prepared`` with the weights that its int8 form ``int8`` has."""
    integers = _stored(int8)
    model = onnx.ModelProto()
    model.CopyFrom(prepared)
    for item in model.graph.initializer:
        if (counts := integers.get(f"{item.name}_quantized")) is not None and counts.dtype == np.int8:
            step = integers[f"{item.name}_scale"].reshape(-1, *[1] * (counts.ndim - 1))
            item.CopyFrom(numpy_helper.from_array((counts * step).astype(np.float32), item.name))
    return model


def pack_weights(model: onnx.ModelProto) -> None:
    """Store large rounded float weights as int8, in place; ``Cast`` and ``Mul`` make them float again.

    onnxruntime does both once, on loading. A ``DequantizeLinear`` it would keep, and do at every call.
    """
    graph = model.graph
    read = {node.input[1] for node in graph.node if node.op_type == "Conv"} | set(_linear(model))
    nodes = []
    for item in [item for item in graph.initializer if item.name in read]:
        values = numpy_helper.to_array(item)
        step = steps(values.reshape(len(values), -1)) if values.size >= LARGE else np.zeros(1)
        if values.dtype != np.float32 or not step.all():
            continue
        name, column = item.name, step.reshape(-1, *[1] * (values.ndim - 1))
        counts = np.rint(values / column).astype(np.int8)
        graph.initializer.remove(item)
        graph.initializer.append(numpy_helper.from_array(counts, f"{name}/counts"))
        graph.initializer.append(numpy_helper.from_array(column.astype(np.float32), f"{name}/step"))
        nodes += [
            helper.make_node("Cast", [f"{name}/counts"], [f"{name}/float"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}/float", f"{name}/step"], [name]),
        ]
    for node in reversed(nodes):
        graph.node.insert(0, node)


def unpacked(data: bytes) -> onnx.ModelProto:
    """The graph of an ONNX file, with `pack_weights` undone."""
    model = onnx.load_from_string(data)
    stored = {item.name: item for item in model.graph.initializer}
    for name in [name.removesuffix("/counts") for name in stored if name.endswith("/counts")]:
        counts, step = stored[f"{name}/counts"], stored[f"{name}/step"]
        values = numpy_helper.to_array(counts) * numpy_helper.to_array(step)
        counts.CopyFrom(numpy_helper.from_array(values, name))
        model.graph.initializer.remove(step)
        for node in [node for node in model.graph.node if node.output[0] in (name, f"{name}/float")]:
            model.graph.node.remove(node)
    return model


def shorten(model: onnx.ModelProto) -> None:
    """Give nodes and the tensors between them short names, in place: the exporter's are paths."""
    graph = model.graph
    kept = {item.name for item in (*graph.input, *graph.output)}
    names: dict[str, str] = {}
    for node in graph.node:
        node.name = ""
        for given in (node.input, node.output):
            for at, name in enumerate(given):
                if name.startswith("/") and name not in kept:
                    given[at] = names.setdefault(name, f"t{len(names)}")
    for item in graph.initializer:
        item.name = names.get(item.name, item.name)
    del graph.value_info[:]


def _linear(model: onnx.ModelProto) -> list[str]:
    """Names of the weights ``(outputs, inputs)`` of large linear layers."""
    stored = _stored(model)
    return [
        node.input[1]
        for node in model.graph.node
        if node.op_type == "Gemm"
        and any(item.name == "transB" and item.i for item in node.attribute)
        and node.input[1] in stored
        and stored[node.input[1]].size >= LARGE
    ]


def _stored(model: onnx.ModelProto) -> dict[str, Any]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
