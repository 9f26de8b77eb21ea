"""What of a face network becomes integers, and up to which values: one plan for onnxruntime and TFLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx
from numpy.random import default_rng

from edge_emotion.types import F32

from .face_graph import tensors

FLOAT_SHARE = 0.1
"""Share of the multiply-adds, from the picture on, that stays float."""
_LEVELS = 255
_BATCHES, _DRAWN = 24, 20_000
"""Batches that set the limits, and values drawn from each tensor in each of them."""
_SHARES = np.geomspace(0.15, 1.0, 24)
"""Of the largest value: the limits that are tried."""


class Plan(NamedTuple):
    """Convolutions in the order of the graph."""

    float_first: int
    """So many of them stay float."""
    limits: tuple[tuple[str, float], ...]
    """For each convolution the name of its rectified result and the value at which that is cut off; an empty name and
    NaN where nothing rectifies it, or where it stays float and no integer convolution reads it."""


def plan(model: onnx.ModelProto, batches: Sequence[dict[str, F32]]) -> Plan:
    """Choose what stays float (`FLOAT_SHARE`), and the limits.

    A limit is the geometric mean of the largest value that calibration met and of the limit with the least mean
    squared error of 8-bit values (cut off above it, rounded below), which alone spoils the few faces that reach far
    above it.
    """
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    work = _multiply_adds(model, convolutions, batches)
    first = int(np.searchsorted(np.cumsum(work), FLOAT_SHARE * sum(work), side="right"))
    rectified = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "Relu"}
    # The last float convolution's result is what the first integer one reads.
    names = [
        rectified.get(node.output[0], "") if at >= first - 1 else "" for at, node in enumerate(convolutions)
    ]
    found = _limits(model, [name for name in names if name], batches)
    return Plan(first, tuple((name, found.get(name, np.nan)) for name in names))


def _multiply_adds(
    model: onnx.ModelProto, convolutions: Sequence[onnx.NodeProto], batches: Sequence[dict[str, F32]]
) -> list[float]:
    shapes = {item.name: list(item.dims) for item in model.graph.initializer}
    one = [{name: values[:1] for name, values in batches[0].items()}]
    (results,) = tensors(model, [node.output[0] for node in convolutions], one)
    return [
        float(result.size * np.prod(shapes[node.input[1]][1:]))
        for node, result in zip(convolutions, results, strict=True)
    ]


def _limits(
    model: onnx.ModelProto, names: Sequence[str], batches: Sequence[dict[str, F32]]
) -> dict[str, float]:
    rng = default_rng(0)
    largest = np.full(len(names), 1e-6)
    drawn: list[list[F32]] = [[] for _ in names]
    spread = np.unique(np.linspace(0, len(batches) - 1, _BATCHES).astype(int))
    for results in tensors(model, names, [batches[at] for at in spread]):
        for at, values in enumerate(results):
            largest[at] = max(largest[at], values.max())
            drawn[at].append(values.flat[rng.integers(0, values.size, _DRAWN)])
    return {
        name: float(np.sqrt(reach * _least_error(np.concatenate(values), reach * _SHARES)))
        for name, values, reach in zip(names, drawn, largest, strict=True)
    }


def _least_error(values: F32, limits: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    errors = []
    for limit in limits:
        step = np.float32(limit / _LEVELS)
        kept = np.minimum(np.rint(values / step), _LEVELS) * step
        errors.append(float(np.square(kept - values).mean()))
    return float(limits[int(np.argmin(errors))])
