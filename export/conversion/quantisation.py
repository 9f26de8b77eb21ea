"""Static int8 quantisation of the face network, by onnxruntime's own tool.

Which integers. Activations are unsigned and weights signed (U8S8), the weights kept to 7 bits (``reduce_range``), per
output channel, symmetric. Processors with AVX2 and without VNNI multiply by ``vpmaddubsw``, which adds two products in
16 bits and saturates (onnxruntime, "Quantize ONNX models", section on U8S8): two products of at most 255 * 64 add up to
32,640 and stay below 32,767, so that AVX2, VNNI and ARM give the same integers. U8U8 is exact as well, and takes 1.9 to
2.8 times as long where VNNI is there (0.42 against 0.22 ms for the default encoder, one thread of an EPYC of Zen 5);
S8S8 is turned into U8S8 by onnxruntime on x86 and saturates like it. The eighth bit of the weights is worth nothing
measurable here: errors of affect p99 0.036 with it and 0.038 without, before what follows.

What stays float: all before the first convolution (each crop's own mean and deviation) and all behind ``features`` (the
heads: 0.01 % of the work), and the features themselves.

What is changed in the float graph first, without changing its outputs:

- ReLU goes before max pooling. The two change places exactly, and a ReLU behind a convolution costs nothing and leaves
  the whole range of 8 bits to positive values (p99 0.038 to 0.021).
- PReLU becomes ``a x + (1 - a) relu(x)``. onnxruntime has no integer PReLU and its float one is slow. On a trunk of 23
  depthwise-separable layers (89 million multiply-adds at 48x48, one thread): PReLU 3.9 ms float and 4.4 ms int8,
  rewritten 1.2 and 1.1 ms; LeakyReLU with one slope 1.2 and 0.68 ms; ReLU 1.1 and 0.36 ms. A network that must be quick
  on the device is trained with ReLU, or with slopes that go to zero in training.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge_emotion.errors import EdgeEmotionError
from edge_emotion.model.manifest import Normalisation
from edge_emotion.types import F32, U8

from ..training.face_network import MEAN, SCALE

BATCH = 16
FEATURES = "features"
"""Output up to which the network is quantised."""
_INPUT_PIXELS = Normalisation(mean=MEAN, scale=SCALE)
_RECTIFIERS = ("Relu", "LeakyRelu", "PRelu")


class _Crops(CalibrationDataReader):
    """Crops in batches, as the calibrator asks for them."""

    def __init__(self, name: str, crops: F32) -> None:
        self._batches = iter([{name: crops[at : at + BATCH]} for at in range(0, len(crops), BATCH)])

    def get_next(self) -> dict[str, F32] | None:
        return next(self._batches, None)


def quantise(float_onnx: bytes, calibration_crops: U8, normalisation: Normalisation = _INPUT_PIXELS) -> bytes:
    """Quantise a face network to int8, in QDQ form, with static ranges.

    Parameters
    ----------
    float_onnx
        ONNX with one input ``crops`` float32 ``(n, 1, size, size)`` and an output ``features``.
    calibration_crops
        ``uint8 (n, size, size)``: training crops as the run-time path cuts them, a few hundred. The range of each
        activation is the largest that they cause.
    normalisation
        From pixels to the input.

    Returns
    -------
    bytes
        ONNX with the same inputs and outputs, all float32; about a quarter of the size.

    Raises
    ------
    EdgeEmotionError
        No crops, or crops of another size than the network's.
    """
    model = onnx.load_from_string(float_onnx)
    name, size = model.graph.input[0].name, model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    if not len(calibration_crops) or calibration_crops.shape[1:] != (size, size):
        raise EdgeEmotionError(
            f"calibration crops of shape {calibration_crops.shape} for a network of {size} x {size} pixels: "
            f"give a few hundred crops (n, {size}, {size})"
        )
    crops = (calibration_crops[:, None].astype(np.float32) - np.float32(normalisation.mean)) / np.float32(
        normalisation.scale
    )
    with tempfile.TemporaryDirectory() as folder:
        plain, done = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        onnx.save_model(model, plain)
        quant_pre_process(str(plain), str(plain), skip_symbolic_shape=True)
        prepared = onnx.load_model(plain)
        rectify_before_pooling(prepared)
        spell_out_prelu(prepared)
        with _quiet():
            quantize_static(
                prepared,
                str(done),
                _Crops(name, crops),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=_float_nodes(prepared),
                extra_options={"WeightSymmetric": True, "OpTypesToExcludeOutputQuantization": ["Gemm"]},
            )
        result = onnx.load_model(done)
    result.producer_name, result.producer_version, result.doc_string = "edge_emotion", "", ""
    onnx.checker.check_model(result)
    data: bytes = result.SerializeToString(deterministic=True)
    return data


def rectify_before_pooling(model: onnx.ModelProto) -> None:
    """Turn ``MaxPool, ReLU`` into ``ReLU, MaxPool`` in place: a function that never falls may go first."""
    for pool, after in list(_followed(model, "MaxPool")):
        if after.op_type != "Relu":
            continue
        first = helper.make_node("Relu", [pool.input[0]], [pool.output[0]], name=after.name)
        second = NodeProto()
        second.CopyFrom(pool)
        second.input[0], second.output[0] = pool.output[0], after.output[0]
        for value in [item for item in model.graph.value_info if item.name == pool.output[0]]:
            model.graph.value_info.remove(value)  # it had the pooled shape
        pool.CopyFrom(first)
        after.CopyFrom(second)


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


def _followed(model: onnx.ModelProto, kind: str) -> Iterator[tuple[NodeProto, NodeProto]]:
    """Nodes of a kind with the one node that reads what they give."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in model.graph.node:
        if node.op_type == kind and len(after := readers.get(node.output[0], [])) == 1:
            yield node, after[0]


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that are not between the first convolution and the features, and of mean pooling."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    above: set[str] = set()
    waiting = [FEATURES]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in above:
            above.add(node.name)
            waiting += node.input
    below: set[str] = set()
    reached: set[str] = set()
    for node in graph.node:
        if node.op_type == "Conv" or reached & set(node.input):
            below.add(node.name)
            reached.update(node.output)
    return [
        node.name
        for node in graph.node
        if node.name not in above & below or node.op_type in ("ReduceMean", "GlobalAveragePool")
    ]


class _quiet:  # noqa: N801  used like a function
    """Silence the tool's advice to run the step that has been run."""

    def __enter__(self) -> None:
        self._level = logging.root.level
        logging.root.setLevel(logging.ERROR)

    def __exit__(self, *_: Any) -> None:
        logging.root.setLevel(self._level)
