"""The voice encoder: the first two LSTM layers of a published speaker encoder as a stateful ONNX graph.

Resemblyzer's encoder (Apache-2.0; GE2E, Wan et al. 2018) was trained to tell speakers apart on LibriSpeech and
VoxCeleb. What its second layer says still carries how something is said; the third has forgotten it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

BANDS = 40
UNITS = 256
LAYERS = 2
OPSET = 17
_TORCH_GATES = {"i": 0, "f": 1, "c": 2, "o": 3}
_ONNX_GATES = "iofc"

F32 = NDArray[np.float32]


def encoder_graph(weights: dict[str, F32]) -> ModelProto:
    """Inputs ``mel`` (1, frames, 40), ``hidden`` and ``cell`` (2, 1, 256); outputs ``frames`` (1, frames, 256) and the
    new states.

    Parameters
    ----------
    weights
        PyTorch's names: ``lstm.weight_ih_l0`` (1024, inputs), ``lstm.weight_hh_l0``, ``lstm.bias_ih_l0``,
        ``lstm.bias_hh_l0`` and the same for layer 1.
    """
    nodes = [helper.make_node("Transpose", ["mel"], ["steps"], perm=[1, 0, 2])]
    constants: list[TensorProto] = []
    for name in ("hidden", "cell"):
        parts = [f"{name}_{layer}" for layer in range(LAYERS)]
        nodes.append(helper.make_node("Split", [name], parts, axis=0))
    source = "steps"
    for layer in range(LAYERS):
        tensors = {
            f"W{layer}": _gates(weights[f"lstm.weight_ih_l{layer}"])[None],
            f"R{layer}": _gates(weights[f"lstm.weight_hh_l{layer}"])[None],
            f"B{layer}": np.concatenate(
                [_gates(weights[f"lstm.bias_ih_l{layer}"]), _gates(weights[f"lstm.bias_hh_l{layer}"])]
            )[None],
        }
        constants += [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in tensors.items()]
        nodes.append(
            helper.make_node(
                "LSTM",
                [source, *tensors, "", f"hidden_{layer}", f"cell_{layer}"],
                [f"directed_{layer}", f"new_hidden_{layer}", f"new_cell_{layer}"],
                hidden_size=UNITS,
            )
        )
        nodes.append(helper.make_node("Squeeze", [f"directed_{layer}", "one"], [f"out_{layer}"]))
        source = f"out_{layer}"
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    nodes.append(helper.make_node("Transpose", [source], ["frames"], perm=[1, 0, 2]))
    for name in ("hidden", "cell"):
        parts = [f"new_{name}_{layer}" for layer in range(LAYERS)]
        nodes.append(helper.make_node("Concat", parts, [f"next_{name}"], axis=0))
    state = [LAYERS, 1, UNITS]
    graph = helper.make_graph(
        nodes,
        "voice_encoder",
        [_value("mel", [1, "n", BANDS]), _value("hidden", state), _value("cell", state)],
        [_value("frames", [1, "n", UNITS]), _value("next_hidden", state), _value("next_cell", state)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def read_weights(checkpoint: Path) -> dict[str, F32]:
    """The LSTM's tensors of a PyTorch checkpoint, read without running what it may contain."""
    import torch

    state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)["model_state"]
    return {name: tensor.numpy() for name, tensor in state.items() if name.startswith("lstm.")}


def quantise(model: ModelProto) -> bytes:
    """The same graph with int8 weights and activations quantised on the fly (onnxruntime's dynamic quantisation)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        float_file, int8_file = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        float_file.write_bytes(model.SerializeToString())
        quantize_dynamic(float_file, int8_file, weight_type=QuantType.QInt8, per_channel=True)
        return int8_file.read_bytes()


def _gates(tensor: F32) -> F32:
    """PyTorch's order of the gates (i, f, c, o) to ONNX's (i, o, f, c), along the first axis."""
    parts = np.split(np.asarray(tensor, np.float32), 4)
    return np.concatenate([parts[_TORCH_GATES[gate]] for gate in _ONNX_GATES])


def _value(name: str, shape: list[Any]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
