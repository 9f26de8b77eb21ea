"""Tiny TFLite models written straight into flatbuffers: fully connected layers, in float or in static int8."""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl


def dense(
    weights: np.ndarray, bias: np.ndarray, *, scales: tuple[float, float, float] | None = None
) -> bytes:
    """``outputs = inputs @ weights.T + bias`` with the signature inputs -> outputs.

    ``scales`` of input, weights and output make it int8, all zero points 3 but the weights'.
    """
    model = tfl.ModelT()
    model.version = 3
    model.buffers = [tfl.BufferT() for _ in range(5)]
    if scales is None:
        kind, stored_bias = tfl.TensorType.FLOAT32, np.asarray(bias, np.float32)
        stored = np.asarray(weights, np.float32)
    else:
        kind = tfl.TensorType.INT8
        stored = np.rint(weights / scales[1]).astype(np.int8)
        stored_bias = np.rint(bias / (scales[0] * scales[1])).astype(np.int32)
    model.buffers[3].data = np.frombuffer(stored.tobytes(), np.uint8)
    model.buffers[4].data = np.frombuffer(stored_bias.tobytes(), np.uint8)

    quantised = scales is not None
    graph = tfl.SubGraphT()
    graph.tensors = [
        _tensor(b"x:0", [1, weights.shape[1]], kind, 1, (scales[0], 3) if quantised else None),
        _tensor(b"y:0", [1, weights.shape[0]], kind, 2, (scales[2], 3) if quantised else None),
        _tensor(b"w", list(weights.shape), kind, 3, (scales[1], 0) if quantised else None),
        _tensor(
            b"b",
            [len(bias)],
            tfl.TensorType.INT32 if quantised else kind,
            4,
            (scales[0] * scales[1], 0) if quantised else None,
        ),
    ]
    graph.inputs, graph.outputs, graph.name = [0], [1], b"main"
    graph.operators = [_layer([0, 2, 3], [1])]
    model.subgraphs = [graph]

    model.operatorCodes = [_fully_connected(4 if quantised else 1)]
    signature = tfl.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs, signature.outputs = [_named(b"inputs", 0)], [_named(b"outputs", 1)]
    model.signatureDefs = [signature]
    return _packed(model)


def face_encoder(seed: int = 3) -> bytes:
    """The float twin of `bundles.encoder_graph`: features, votes before the softmax and affect before the tanh.

    Each is one layer on the whole crop (1, 1, 48, 48), which the interpreter flattens.
    """
    random = np.random.default_rng(seed)
    votes, affect = random.normal(0, 0.5, (16, 8)), random.normal(0, 0.2, (16, 2))
    blocks = np.arange(48) // 12
    pooling = np.zeros((16, 48 * 48), np.float32)
    pooling[(blocks[:, None] * 4 + blocks).ravel(), np.arange(48 * 48)] = 1 / 144
    layers = {"features": pooling, "votes": votes.T @ pooling, "affect": affect.T @ pooling}
    model, graph, signature = tfl.ModelT(), tfl.SubGraphT(), tfl.SignatureDefT()
    model.version, graph.name, graph.inputs = 3, b"main", [0]
    model.buffers = [tfl.BufferT(), tfl.BufferT()]
    graph.tensors = [_tensor(b"crops", [1, 1, 48, 48], tfl.TensorType.FLOAT32, 1, None)]
    graph.operators, graph.outputs, signature.outputs = [], [], []
    for name, weights in layers.items():
        at, buffer = len(graph.tensors), len(model.buffers)
        model.buffers += [tfl.BufferT(), tfl.BufferT()]
        model.buffers[buffer].data = np.frombuffer(weights.astype(np.float32).tobytes(), np.uint8)
        graph.tensors += [
            _tensor(f"{name}_weights".encode(), list(weights.shape), tfl.TensorType.FLOAT32, buffer, None),
            _tensor(name.encode(), [1, len(weights)], tfl.TensorType.FLOAT32, buffer + 1, None),
        ]
        graph.operators.append(_layer([0, at, -1], [at + 1]))
        graph.outputs.append(at + 1)
        signature.outputs.append(_named(name.encode(), at + 1))
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs = [_named(b"crops", 0)]
    model.subgraphs, model.operatorCodes, model.signatureDefs = [graph], [_fully_connected(1)], [signature]
    return _packed(model)


def _packed(model: tfl.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _fully_connected(version: int) -> tfl.OperatorCodeT:
    code = tfl.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = tfl.BuiltinOperator.FULLY_CONNECTED
    code.version = version
    return code


def _layer(inputs: list[int], outputs: list[int]) -> tfl.OperatorT:
    operator = tfl.OperatorT()
    operator.inputs, operator.outputs = inputs, outputs
    operator.builtinOptionsType = tfl.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = tfl.FullyConnectedOptionsT()
    return operator


def _tensor(
    name: bytes, shape: list[int], kind: int, buffer: int, scale: tuple[float, int] | None
) -> tfl.TensorT:
    tensor = tfl.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, buffer
    if scale is not None:
        tensor.quantization = tfl.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale[0]], [scale[1]]
    return tensor


def _named(name: bytes, index: int) -> tfl.TensorMapT:
    tensor = tfl.TensorMapT()
    tensor.name, tensor.tensorIndex = name, index
    return tensor
