"""Static int8 quantisation of the face network, by onnxruntime's own tool.

Which integers. Activations are unsigned and weights signed (U8S8), with a scale for each output channel. Processors
with AVX2 and without VNNI multiply by ``vpmaddubsw``, which adds two neighbouring products in 16 bits and saturates
(onnxruntime, "Quantize ONNX models", section on U8S8). onnxruntime's remedy, ``reduce_range``, keeps weights to 7 bits:
255 * 64 * 2 stays below 32,767. Here the weights of a channel are scaled so that no two of one sign among the four that
are packed together add up to more than 128, which is all that the instruction needs: nearly 8 bits, and the same
integers on AVX2, VNNI and ARM. Depthwise convolutions do not go through that instruction and have all 8 bits. Rounding
the pointwise weights of a trunk of 12 levels alone moved affect by p99 0.030 with 7 bits, 0.015 so, 0.016 with 8. U8U8
is exact as well, and takes 1.9 to 2.8 times as long where VNNI is there; S8S8 is turned into U8S8 on x86.

What stays float: the first tenth of the work and all behind the last convolution (`integer_plan`). A face's picture has
more levels than 8 bits say once its contrast is set: of the difference that 8-bit activations made in `small`, the
picture alone made nine tenths (mean square), and what is as large as the picture most of the rest. The first four of 23
convolutions, 11 of 158 million multiply-adds, are quicker in float than the depthwise ones among them are in integers.
Activations are cut off where that makes the least mean squared error; some reach four times as far.

Rounded weights are the network's weights. What comes out is two forms of one network: `Quantised.int8`, and
`Quantised.rounded` with the same weights in float arithmetic; so between the forms nothing differs but activations.
The large layer behind the pooled levels is rounded as well; it is stored as integers and multiplied out on loading.

What is changed in the float graph first, without changing its outputs (`face_graph`):

- ReLU goes before max pooling. A ReLU behind a convolution costs nothing and leaves all 8 bits to positive values.
- PReLU becomes ``a x + (1 - a) relu(x)``. onnxruntime has no integer PReLU and its float one is slow. On a trunk of 23
  depthwise-separable layers (89 million multiply-adds at 48x48, one thread of an EPYC of Zen 5): PReLU 3.9 ms float and
  4.4 ms int8, rewritten 1.2 and 1.1 ms; LeakyReLU with one slope 1.2 and 0.68 ms; ReLU 1.1 and 0.36 ms. A network that
  must be quick on the device is trained with ReLU, or with slopes that go to zero in training.
- Channels are equalised, so that one scale for a tensor suits all of them.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge_emotion.errors import EdgeEmotionError
from edge_emotion.model.manifest import Normalisation
from edge_emotion.types import F32, U8

from ..training.face_network import MEAN, SCALE
from .face_graph import BATCH, equalise, rectify_before_pooling, spell_out_prelu
from .integer_plan import Plan, plan
from .rounded_weights import (
    is_rounded,
    mixing_weights,
    pack_weights,
    round_layers,
    shorten,
    with_weights_of,
)
from .weight_grid import LARGEST, steps

PACKED = 4
"""Weights along a row that kernels pack together; products of two of them are added in 16 bits."""
_BETWEEN = ("Relu", "LeakyRelu", "MaxPool", "Mul", "Add")
_INPUT_PIXELS = Normalisation(mean=MEAN, scale=SCALE)


class _Batches(CalibrationDataReader):
    """Crops in batches, as the calibrator asks for them."""

    def __init__(self, batches: Sequence[dict[str, F32]]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, F32] | None:
        return next(self._left, None)


class Quantised(NamedTuple):
    """Two forms of one network, ONNX."""

    int8: bytes
    """QDQ form with static ranges."""
    rounded: bytes
    """Float arithmetic with the same weights."""


def quantise(float_onnx: bytes, calibration_crops: U8, normalisation: Normalisation = _INPUT_PIXELS) -> bytes:
    """The int8 form alone: `quantised_forms`."""
    return quantised_forms(float_onnx, calibration_crops, normalisation).int8


def quantised_forms(
    float_onnx: bytes, calibration_crops: U8, normalisation: Normalisation = _INPUT_PIXELS
) -> Quantised:
    """Quantise a face network to int8: weights rounded, ranges of activations set.

    Parameters
    ----------
    float_onnx
        ONNX with one input ``crops`` float32 ``(n, 1, size, size)`` and an output ``features``.
    calibration_crops
        ``uint8 (n, size, size)``: training crops as the run-time path cuts them, a few hundred: they set the range of
        each activation.
    normalisation
        From pixels to the input.

    Returns
    -------
    Quantised
        ONNX files with the same inputs and outputs, all float32. Quantising ``rounded`` again gives the same weights.

    Raises
    ------
    EdgeEmotionError
        No crops, or crops of another size than the network's.
    """
    prepared, batches = prepare(float_onnx, calibration_crops, normalisation)
    spell_out_prelu(prepared)
    with tempfile.TemporaryDirectory() as folder:
        int8 = _quantised(prepared, batches, Path(folder) / "int8.onnx")
    return Quantised(_packed(int8), _packed(with_weights_of(int8, prepared)))


def _packed(model: onnx.ModelProto) -> bytes:
    pack_weights(model)
    shorten(model)
    model.producer_name, model.producer_version, model.doc_string = "edge_emotion", "", ""
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def prepare(
    float_onnx: bytes, calibration_crops: U8, normalisation: Normalisation = _INPUT_PIXELS
) -> tuple[onnx.ModelProto, list[dict[str, F32]]]:
    """The float graph as it is quantised, and its input for the crops in batches.

    Channels are equalised and the large layers behind the convolutions rounded, but where the weights are rounded
    already.
    Parameters and errors are those of `quantised_forms`.
    """
    model = onnx.load_from_string(float_onnx)
    name, size = model.graph.input[0].name, model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    if not len(calibration_crops) or calibration_crops.shape[1:] != (size, size):
        raise EdgeEmotionError(
            f"calibration crops of shape {calibration_crops.shape} for a network of {size} x {size} pixels: "
            f"give a few hundred crops (n, {size}, {size})"
        )
    batches = _batches(name, calibration_crops, normalisation)
    with tempfile.TemporaryDirectory() as folder:
        prepared = _plain(model, Path(folder) / "float.onnx")
    if not is_rounded(prepared):
        equalise(prepared, batches)
        round_layers(prepared)
    return prepared, batches


def _plain(model: onnx.ModelProto, file: Path) -> onnx.ModelProto:
    onnx.save_model(model, file)
    quant_pre_process(str(file), str(file), skip_symbolic_shape=True)
    prepared = onnx.load_model(file)
    rectify_before_pooling(prepared)
    return prepared


def _quantised(model: onnx.ModelProto, batches: Sequence[dict[str, F32]], file: Path) -> onnx.ModelProto:
    planned = plan(model, batches)
    given = onnx.ModelProto()
    given.CopyFrom(model)  # the tool moves the weights of what it is given into a file
    with _quiet():
        quantize_static(
            given,
            str(file),
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_float_nodes(model, planned),
            extra_options={"WeightSymmetric": True, "TensorQuantOverrides": _ranges(model, planned)},
        )
    return onnx.load_model(file)


def _ranges(model: onnx.ModelProto, planned: Plan) -> dict[str, list[dict[str, Any]]]:
    """Ranges of rectified activations, and of each output channel of the convolutions that mix channels: that of their
    grid, or else `widest`.
    """
    ranges: dict[str, list[dict[str, Any]]] = {
        name: [{"rmin": np.float32(0), "rmax": np.float32(limit)}] for name, limit in planned.limits if name
    }
    for name, weights in mixing_weights(model).items():
        rows = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
        found = LARGEST * steps(rows)
        channels: list[dict[str, Any]] = [
            {"rmin": np.float32(-reach), "rmax": np.float32(reach)}
            for reach in np.where(found > 0, found, widest(rows))
        ]
        channels[0]["axis"] = 0  # onnxruntime wants the axis once
        ranges[name] = channels
    return ranges


def widest(rows: F32) -> F32:
    """For each row ``(channels, inputs)`` the largest sum of two weights of one sign that are packed together."""
    missing = -rows.shape[1] % PACKED
    groups = np.pad(rows, ((0, 0), (0, missing))).reshape(len(rows), -1, PACKED)
    sums = [np.sort(np.maximum(sign * groups, 0), axis=2)[..., -2:].sum(2) for sign in (1, -1)]
    return np.maximum(np.max(sums, axis=(0, 2)), 1e-9)


def _batches(name: str, crops: U8, normalisation: Normalisation) -> list[dict[str, F32]]:
    pixels = (crops[:, None].astype(np.float32) - np.float32(normalisation.mean)) / np.float32(
        normalisation.scale
    )
    return [{name: pixels[at : at + BATCH]} for at in range(0, len(pixels), BATCH)]


def _float_nodes(model: onnx.ModelProto, planned: Plan) -> list[str]:
    """Names of all nodes but the convolutions that the plan makes integers and what is between two of them or
    rectifies the last.
    """
    reached: set[str] = set()
    kept: list[str] = []
    convolutions = 0
    for node in model.graph.node:
        convolutions += node.op_type == "Conv"
        integer = node.op_type == "Conv" and convolutions > planned.float_first
        if integer or (node.op_type in _BETWEEN and reached & set(node.input)):
            reached.update(node.output)
        else:
            kept.append(node.name)
    return kept


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tool's advice to run the step that has been run."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
