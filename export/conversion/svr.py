"""Support vector regressors of arousal and valence as one ONNX graph of matrix products.

ONNX's own ``SVMRegressor`` walks its support vectors one by one; here the squared distances of a whole batch
come from one matrix product, so a row costs little more than reading the support vectors once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.algebra.onnx_ops import (
    OnnxAdd,
    OnnxCast,
    OnnxClip,
    OnnxExp,
    OnnxGemm,
    OnnxMatMul,
    OnnxMul,
    OnnxReduceSum,
    OnnxReduceSumSquare,
    OnnxSub,
    OnnxUnsqueeze,
)
from skl2onnx.common.data_types import FloatTensorType
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVR

from edge_emotion.errors import UsageError

from ..training.affect_svr import AffectSVR, Kernel

OPSET = 17
F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
ROUNDING = 1e-5
"""Most that float32 may cost a sum of products of raw features, to first order."""


@dataclass(frozen=True, slots=True)
class Constants:
    """The numbers of the graph, float64, for standardised rows ``z = (x - mean) * inverse_scale``.

    ``prediction = exp(2 gamma * (z @ supports.T) - |z|^2 * gamma + offset) @ weights + z @ linear + intercept``;
    ``gamma`` and ``offset`` have one entry for each support vector, which folds a dimension's own kernel width into
    the shared product.
    """

    mean: F64
    inverse_scale: F64
    supports: F64
    gamma: F64
    offset: F64
    weights: F64
    linear: F64
    intercept: F64


def fold(scaler: StandardScaler, regressors: Sequence[Kernel | LinearSVR]) -> Constants:
    """Collect fitted regressors on ``scaler``'s output; shared support vectors are stored once."""
    mean32 = scaler.mean_.astype(np.float32).astype(np.float64)
    inverse32 = (1.0 / scaler.scale_).astype(np.float32).astype(np.float64)
    # What rounding the scaler to float32 moves is put right in the support vectors.
    stretch = inverse32 * scaler.scale_
    shift = (scaler.mean_ - mean32) * inverse32

    inputs, outputs = len(mean32), len(regressors)
    columns: dict[tuple[float, bytes], tuple[F64, F64]] = {}
    linear, intercept = np.zeros((inputs, outputs)), np.zeros(outputs)
    for output, regressor in enumerate(regressors):
        if isinstance(regressor, LinearSVR):
            linear[:, output] = regressor.coef_ / stretch
            intercept[output] = float(np.ravel(regressor.intercept_)[0]) - shift @ linear[:, output]
            continue
        intercept[output] = regressor.intercept
        for row, weight in zip(regressor.supports, regressor.weights, strict=True):
            _, weights = columns.setdefault(
                (regressor.gamma, row.tobytes()), (row * stretch + shift, np.zeros(outputs))
            )
            weights[output] += weight
    supports = np.array([row for row, _ in columns.values()]).reshape(-1, inputs)
    gamma = np.array([gamma for gamma, _ in columns])
    return Constants(
        mean=mean32,
        inverse_scale=inverse32,
        supports=supports,
        gamma=gamma,
        offset=-gamma * np.sum(supports**2, axis=1),
        weights=np.array([weights for _, weights in columns.values()]).reshape(-1, outputs),
        linear=linear,
        intercept=intercept,
    )


def affine(scaler: StandardScaler, regressors: Sequence[LinearSVR]) -> tuple[F32, F32, F32]:
    """Shift, weights and bias of ``(x - shift) @ weights + bias``: scaler and linear regressors as one product.

    The shift is zero, and nothing need be subtracted, but where means so far from zero would cost digits of float32.
    """
    weights = np.stack([np.ravel(r.coef_) / scaler.scale_ for r in regressors], axis=1).astype(np.float32)
    reach = (np.abs(scaler.mean_) + 3.0 * scaler.scale_) @ np.abs(weights)
    exact = bool(np.all(reach * np.finfo(np.float32).eps <= ROUNDING))
    shift = np.zeros(len(weights), np.float32) if exact else scaler.mean_.astype(np.float32)
    intercept = np.array([float(np.ravel(r.intercept_)[0]) for r in regressors])
    # What rounding the weights and the shift moves at the mean is put right in the bias.
    bias = intercept - (scaler.mean_ - shift) @ weights.astype(np.float64)
    return shift, weights, bias.astype(np.float32)


def _shape(operator: Any) -> None:
    operator.outputs[0].type = FloatTensorType([None, len(operator.raw_operator.regressors_)])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    model: AffectSVR = operator.raw_operator

    def f32(values: F64) -> NDArray[np.float32]:
        return np.ascontiguousarray(values, np.float32)

    def node(op: Any, *inputs: Any, **more: Any) -> Any:
        return op(*inputs, op_version=OPSET, **more)

    x = operator.inputs[0]
    if model.scores_ is not None:
        s = model.scores_
        spread = node(OnnxUnsqueeze, x, np.array([2], np.int64))
        climbed = node(OnnxMul, node(OnnxSub, spread, f32(s.knot_)), f32(s.inverse_width_))
        climbed = node(OnnxClip, climbed, np.array(0, np.float32), np.array(1, np.float32))
        risen = node(OnnxReduceSum, node(OnnxMul, climbed, f32(s.rise_)), np.array([2], np.int64), keepdims=0)
        x = node(OnnxAdd, risen, f32(s.start_))
    if all(isinstance(regressor, LinearSVR) for regressor in model.regressors_):
        shift, weights, bias = affine(model.scaler_, model.regressors_)
        x = node(OnnxSub, x, shift) if np.any(shift) else x
        node(OnnxGemm, x, weights, bias, output_names=operator.outputs[:1]).add_to(scope, container)
        return
    c = fold(model.scaler_, model.regressors_)
    z = node(OnnxMul, node(OnnxSub, x, f32(c.mean)), f32(c.inverse_scale))
    parts = []
    if len(c.gamma):
        norm = node(OnnxReduceSumSquare, z, axes=[1], keepdims=1)
        # z.s and |z|^2 are summed before the exponential: one product, one outer product, no intermediate
        # distances.
        half = c.supports.T.astype(np.float16)
        if np.array_equal(
            half, c.supports.T
        ):  # they are stored short, and the graph is folded as it is loaded
            name = scope.get_unique_variable_name("supports")
            stored = numpy_helper.from_array(np.ascontiguousarray(half))
            container.add_initializer(name, TensorProto.FLOAT16, half.shape, stored)
            long = node(OnnxCast, name, to=TensorProto.FLOAT)
            cross = node(OnnxMul, long, f32(2.0 * c.gamma))
        else:
            cross = f32(2.0 * (c.supports * c.gamma[:, None]).T)
        exponent = node(OnnxAdd, node(OnnxMatMul, z, cross), f32(c.offset))
        exponent = node(OnnxSub, exponent, node(OnnxMatMul, norm, f32(c.gamma[None])))
        # Large weights of both signs nearly cancel: their sum alone is taken in double precision.
        kernel = node(OnnxCast, node(OnnxExp, exponent), to=TensorProto.DOUBLE)
        parts.append(node(OnnxCast, node(OnnxMatMul, kernel, c.weights), to=TensorProto.FLOAT))
    if np.any(c.linear):
        parts.append(node(OnnxMatMul, z, f32(c.linear)))
    total = node(OnnxAdd, parts[0], parts[1]) if len(parts) == 2 else parts[0]
    node(OnnxAdd, total, f32(c.intercept), output_names=operator.outputs[:1]).add_to(scope, container)


update_registered_converter(AffectSVR, "EdgeEmotionAffectSVR", _shape, _convert)


def to_onnx(model: AffectSVR) -> ModelProto:
    """Convert a fitted model: input ``features`` float32 (n, d), output ``prediction`` float32 (n, 2).

    Parity with ``model.predict`` in float64: 1e-5 with RBF kernels, 5e-5 linear (held by tests).

    Raises
    ------
    UsageError
        The model is not fitted.
    """
    if not hasattr(model, "regressors_"):
        raise UsageError("the regressor is not fitted: call fit() before converting it")
    graph = convert_sklearn(
        model,
        name="affect_svr",
        initial_types=[("features", FloatTensorType([None, len(model.scaler_.mean_)]))],
        target_opset=OPSET,
    )
    graph.graph.output[0].name, old = "prediction", graph.graph.output[0].name
    for op in graph.graph.node:
        op.output[:] = ["prediction" if name == old else name for name in op.output]
    return graph


def write(model: AffectSVR, path: Path) -> None:
    """Convert ``model`` and write the graph to ``path``."""
    path.write_bytes(to_onnx(model).SerializeToString())
