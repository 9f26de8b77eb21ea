"""The voice encoder: the first two LSTM layers of a published speaker encoder as a stateful ONNX graph.

Resemblyzer's encoder (Apache-2.0; GE2E, Wan et al. 2018) was trained to tell speakers apart on LibriSpeech and
VoxCeleb. What its second layer says still carries how something is said; the third has forgotten it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_emotion.errors import EdgeEmotionError, UsageError
from edge_emotion.model.backend import open_backend
from edge_emotion.model.voice_encoder import VoiceEncoder

from ..packaged_files import fetch

BANDS = 40
UNITS = 256
LAYERS = 2
OPSET = 17
LEAST_CORRELATION = 0.97
LARGEST_DISTANCE = 0.15
"""Measured on each 20th recording of EmoTale and EmoDB: 0.996 and 0.06; with activations in int8 0.66 and 1.0."""
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


def shrink(model: ModelProto) -> ModelProto:
    """The same graph at a quarter of the size: weights are stored short and become float32 as the graph is loaded.

    The recurrent weights and those between the layers are int8 with a scale for each row; those of the mel bands are
    float16, as bands differ by orders of magnitude. Only storage is quantised: the network computes in float32, so that
    no instruction set (saturating int16 sums of AVX2, VNNI, NEON) changes what it says. Activations in int8 would halve
    the time and lose the quiet bands: the worst feature then correlates 0.55 with that of float weights.
    """
    small = ModelProto()
    small.CopyFrom(model)
    nodes, tensors = list(small.graph.node), list(small.graph.initializer)
    del small.graph.node[:], small.graph.initializer[:]
    for tensor in tensors:
        if tensor.name not in ("W0", "R0", "W1", "R1"):
            small.graph.initializer.append(tensor)
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if name == "W0":
            stored = {f"{name}_stored": values.astype(np.float16)}
            small.graph.node.append(
                helper.make_node("Cast", [f"{name}_stored"], [name], to=TensorProto.FLOAT)
            )
        else:
            scale = np.abs(values).max(axis=2, keepdims=True) / 127
            stored = {
                f"{name}_stored": np.rint(values / scale).astype(np.int8),
                f"{name}_scale": scale.astype(np.float32),
            }
            small.graph.node.append(
                helper.make_node("Cast", [f"{name}_stored"], [f"{name}_float"], to=TensorProto.FLOAT)
            )
            small.graph.node.append(helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [name]))
        small.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in stored.items())
    small.graph.node.extend(nodes)
    return small


def voice_encoder_graph() -> bytes:
    """The graph that bundles carry and training listens with, from the published weights (fetched once)."""
    return shrink(_published()).SerializeToString()


class Parity(NamedTuple):
    """How far the features (mean and deviation) of a stored graph are from those of float weights."""

    correlation: float
    """Over the sounds, of all but the worst hundredth of the 512 features: some hardly vary over a few sounds."""
    distance: float
    """Of the worst sound: between its features, in units of the mean distance of a sound from the mean sound."""


def parity(graph: bytes, sounds: Iterable[F32]) -> Parity:
    """Compare ``graph`` with the published weights on sounds at 16 kHz of which each is long enough for features."""
    encoders = [VoiceEncoder(open_backend(each)) for each in (graph, _published().SerializeToString())]
    rows = np.array([[describe(encoder, sound) for encoder in encoders] for sound in sounds], np.float64)
    found, wanted = rows.transpose(1, 0, 2) - rows.mean(axis=0)[:, None]
    correlation = (
        (found * wanted).sum(axis=0) / np.linalg.norm(found, axis=0) / np.linalg.norm(wanted, axis=0)
    )
    distances = np.linalg.norm(rows[:, 0] - rows[:, 1], axis=1) / np.linalg.norm(wanted, axis=1).mean()
    return Parity(float(np.quantile(correlation, 0.01)), float(distances.max()))


def hold_parity(graph: bytes, sounds: Iterable[F32]) -> None:
    """Refuse a graph whose features are not those of the published weights.

    Raises
    ------
    EdgeEmotionError
        Features correlate less than `LEAST_CORRELATION` or a sound is further off than `LARGEST_DISTANCE`.
    """
    found = parity(graph, sounds)
    # written so that not-a-number fails
    if not (found.correlation >= LEAST_CORRELATION and found.distance <= LARGEST_DISTANCE):
        raise EdgeEmotionError(
            f"the stored voice encoder is not the published one: correlation {found.correlation:.4f} (at least "
            f"{LEAST_CORRELATION}), distance {found.distance:.3f} (at most {LARGEST_DISTANCE})"
        )


def describe(encoder: VoiceEncoder, sound: F32) -> F32:
    """Features at the end of one sound, heard from a fresh start."""
    encoder.reset()
    encoder.push(sound)
    features = encoder.compute()
    if features is None:
        raise UsageError("the sound is shorter than the encoder's first step (55 ms)")
    return features


def _published() -> ModelProto:
    return encoder_graph(read_weights(fetch("ge2e.pt")))


def _gates(tensor: F32) -> F32:
    """PyTorch's order of the gates (i, f, c, o) to ONNX's (i, o, f, c), along the first axis."""
    parts = np.split(np.asarray(tensor, np.float32), 4)
    return np.concatenate([parts[_TORCH_GATES[gate]] for gate in _ONNX_GATES])


def _value(name: str, shape: list[Any]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
