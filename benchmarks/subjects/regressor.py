"""Support vector regressors, one row: our ONNX graph beside skl2onnx's own operator and scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from edge_emotion_export.conversion.svr import OPSET, to_onnx
from edge_emotion_export.training.affect_svr import AffectSVR
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR, LinearSVR

from benchmarks.harness import YARDSTICK, Call, Options, Result, interleave, yardstick
from edge_emotion.model.backend import OnnxRuntime
from edge_emotion.types import F32

SUPPORT_VECTORS = 2000
INPUTS = 200
ROWS_PER_TIMING = 50


def run(options: Options) -> Result:
    """Time one row of 200 inputs through 2,000 support vectors, and through linear regressors."""
    result = Result("regressor")
    rows = np.random.default_rng(0).standard_normal((SUPPORT_VECTORS, INPUTS)).astype(np.float32)
    targets = np.tanh(rows[:, :2] + rows[:, 2:4])
    scaler = StandardScaler().fit(rows)
    z = scaler.transform(rows.astype(np.float64))
    # epsilon 0: every row becomes a support vector.
    kernels = [SVR(gamma=1 / INPUTS, epsilon=0.0).fit(z, targets[:, k]) for k in (0, 1)]
    linear = LinearSVR(loss="squared_epsilon_insensitive", dual=False)
    linears = [clone(linear).fit(z, targets[:, k]) for k in (0, 1)]
    execution = options.execution
    row = np.random.default_rng(1).standard_normal((1, INPUTS)).astype(np.float32)
    calls: dict[str, Call] = {}
    for kind, fitted in (("rbf", kernels), ("linear", linears)):
        model = AffectSVR.of(scaler, fitted)
        ours = OnnxRuntime(to_onnx(model).SerializeToString(), execution)
        theirs = OnnxRuntime(_one_operator(scaler, fitted[0]), execution)
        calls[f"{kind}: ours, two outputs"] = partial(ours.compute, {"features": row})
        calls[f"{kind}: skl2onnx, one output"] = partial(theirs.compute, {"features": row})
        calls[f"{kind}: scikit-learn, two outputs"] = partial(_predict, scaler, fitted, row)
        many = np.random.default_rng(2).standard_normal((500, INPUTS)).astype(np.float32)
        difference = np.abs(ours.compute({"features": many})["prediction"] - model.predict(many)).max()
        result.add(f"{kind}: largest difference to scikit-learn", difference, "")
    result.add("rbf: support vectors of a dimension", len(kernels[0].support_vectors_), "")
    result.add_timings(interleave({YARDSTICK: yardstick, **calls}, options.rounds, block=ROWS_PER_TIMING))
    return result


def _predict(scaler: StandardScaler, fitted: Sequence[SVR | LinearSVR], row: F32) -> list[object]:
    z = scaler.transform(row)
    return [regressor.predict(z) for regressor in fitted]


def _one_operator(scaler: StandardScaler, fitted: SVR | LinearSVR) -> bytes:
    pipeline = make_pipeline(scaler, fitted)
    kind = [("features", FloatTensorType([None, INPUTS]))]
    return bytes(convert_sklearn(pipeline, initial_types=kind, target_opset=OPSET).SerializeToString())
