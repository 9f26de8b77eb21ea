"""A face network's float ONNX to static int8 TFLite; run by `tflite` in the converter's own environment.

``python tflite_worker.py FLOAT.onnx GIVEN.npz OUT.tflite``: the network for one crop at a time; ``crops`` float32
``(n, 1, size, size)``, its input, and the plan: ``float_first`` and ``limits`` of `integer_plan`. Imports nothing of
this project but `weight_grid`, for the converter wants another NumPy.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litert_torch
import numpy as np
import onnx
import torch
import torch.nn.functional as fn
import weight_grid
from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.algorithms.uniform_quantize import dequantized_weight_recovery
from ai_edge_quantizer.utils import qsv_utils, tfl_flatbuffer_utils
from onnx import helper, numpy_helper
from torch import Tensor, nn

KEYS = algorithm_manager.AlgorithmName
QUANTISED = {
    qtyping.TFLOperationName.CONV_2D: KEYS.DEQUANTIZED_WEIGHT_RECOVERY,
    # The largest weight of a rounded channel is 127 steps, which is what this one expects.
    qtyping.TFLOperationName.DEPTHWISE_CONV_2D: KEYS.MIN_MAX_UNIFORM_QUANT,
}
"""How the weights of each kind of operator become integers: those that they were rounded to."""


def _convolution(x: Tensor, weight: Tensor, bias: Tensor, **given: Any) -> Tensor:
    pads = given["pads"]
    assert pads[:2] == pads[2:], "convolutions are padded alike on all sides"
    return fn.conv2d(
        x, weight, bias, given["strides"], pads[:2], given.get("dilations", 1), given.get("group", 1)
    )


def _linear(x: Tensor, weight: Tensor, bias: Tensor, **given: Any) -> Tensor:
    return fn.linear(x, weight if given.get("transB") else weight.T, bias)


def _mean(x: Tensor, over: Tensor | None = None, axes: list[int] | None = None, keepdims: int = 1) -> Tensor:
    given: list[int] = axes or [] if over is None else over.tolist()
    return x.mean(tuple(given), keepdim=bool(keepdims))


def _resize(x: Tensor, _roi: Any, _scales: Any, sizes: Tensor, **given: Any) -> Tensor:
    assert given["mode"] == b"linear", "pictures are enlarged bilinearly"
    return fn.interpolate(x, tuple(sizes.tolist()[2:]), mode="bilinear", align_corners=False)


def _slice(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor, _steps: Tensor | None = None) -> Tensor:
    parts = [slice(None)] * x.ndim
    for start, end, axis in zip(starts.tolist(), ends.tolist(), axes.tolist(), strict=True):
        parts[axis] = slice(start, min(end, x.shape[axis]))
    return x[tuple(parts)]


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Sqrt": torch.sqrt,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Tanh": torch.tanh,
    "Softmax": lambda x, axis=-1: x.softmax(axis),
    "Flatten": lambda x, axis=1: x.flatten(axis),
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "MaxPool": lambda x, kernel_shape, strides, **_: fn.max_pool2d(x, kernel_shape, strides),
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "Conv": _convolution,
    "Gemm": _linear,
    "ReduceMean": _mean,
    "Resize": _resize,
    "Slice": _slice,
}


class Graph(nn.Module):
    """An ONNX graph of `OPERATIONS`, run node by node."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self.nodes = [node for node in model.graph.node if node.op_type != "Constant"]
        unknown = {node.op_type for node in self.nodes} - set(OPERATIONS)
        if unknown:
            sys.exit(
                f"the network has operations that are not converted to TFLite: {', '.join(sorted(unknown))}"
            )
        self.constants = {
            item.name: torch.from_numpy(numpy_helper.to_array(item).copy())
            for item in model.graph.initializer
        }
        for node in model.graph.node:
            if node.op_type == "Constant":
                value = numpy_helper.to_array(node.attribute[0].t).copy()
                self.constants[node.output[0]] = torch.from_numpy(value)
        self.outputs = [item.name for item in model.graph.output]

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """All outputs by name."""
        values: dict[str, Tensor | None] = {"": None, "crops": crops, **self.constants}
        for node in self.nodes:
            given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            values[node.output[0]] = _apply(node.op_type, [values[name] for name in node.input], given)
        return {name: values[name] for name in self.outputs}  # type: ignore[misc]


def _apply(kind: str, inputs: list[Tensor | None], given: dict[str, Any]) -> Tensor:
    if kind in ("Conv", "Gemm", "ReduceMean", "Resize", "MaxPool", "Softmax", "Flatten", "Concat"):
        return OPERATIONS[kind](*inputs, **given)
    return OPERATIONS[kind](*inputs)


def _ranges(plain: Path, work: quantizer.Quantizer, given: Any) -> Any:
    """Smallest and largest value of every tensor; by itself the quantiser takes a moving average of them.

    Where the plan has a limit for a convolution's result, that is the largest value.
    """
    recipe = recipe_manager.RecipeManager()
    recipe.load_quantization_recipe(work.get_quantization_recipe())
    found = calibrator.Calibrator(str(plain), num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    found.calibrate({"serving_default": [{"crops": crop[None]} for crop in given["crops"]]}, recipe)
    ranges = found.get_model_qsvs()
    for (tensor, _), limit in zip(_convolutions(plain), given["limits"], strict=True):
        if np.isfinite(limit) and tensor in ranges:
            for key, value in (("min", 0.0), ("max", limit)):
                ranges[tensor][key] = np.full_like(ranges[tensor][key], value)
    return ranges


def _convolutions(plain: Path) -> list[tuple[str, str]]:
    """Name of the result of each convolution, and the scope by which a recipe knows it, in the graph's order."""
    model = tfl_flatbuffer_utils.read_model(str(plain))
    graph = model.subgraphs[0]
    codes = {tfl_flatbuffer_utils.TFL_OP_NAME_TO_CODE[kind] for kind in QUANTISED}
    return [
        (
            tfl_flatbuffer_utils.get_tensor_name(graph.tensors[operator.outputs[0]]),
            tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors),
        )
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode in codes
    ]


def _grid_of(dequant_vals: Any, quantized_dimension: int | None = None, **_: Any) -> tuple[Any, Any]:
    """Zero points and steps of rounded weights; the library's own rule takes the least gap between two values."""
    assert quantized_dimension == 0, "convolutions have a step for each output"
    step = weight_grid.steps(dequant_vals.reshape(len(dequant_vals), -1))
    step = step.reshape(-1, *[1] * (dequant_vals.ndim - 1))
    return np.zeros_like(step, np.int32), step


def main(source: Path, plan: Path, out: Path) -> None:
    """Convert, calibrate and quantise the convolutions of the plan; all else stays float, as in the ONNX form."""
    given = np.load(plan)
    graph = Graph(onnx.load(str(source))).eval()
    plain = out.with_suffix(".float.tflite")
    litert_torch.convert(graph, sample_kwargs={"crops": torch.from_numpy(given["crops"][:1])}).export(
        str(plain)
    )
    dequantized_weight_recovery.get_zp_scale_from_dequantized_symmetric_weights = _grid_of
    work = quantizer.Quantizer(str(plain))
    for kind, algorithm in QUANTISED.items():
        work.add_static_config(".*", kind, 8, 8, algorithm_key=algorithm)
    for _, scope in _convolutions(plain)[: int(given["float_first"])]:
        work.update_quantization_recipe(
            f"^{re.escape(scope)}$", qtyping.TFLOperationName.ALL_SUPPORTED, algorithm_key=KEYS.NO_QUANTIZE
        )
    work.quantize(_ranges(plain, work, given)).export_model(str(out), overwrite=True)
    plain.unlink()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
