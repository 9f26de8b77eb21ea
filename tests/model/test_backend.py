"""Adapters run what they are given on what was asked for, or say how to make that possible."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from bundles import ENCODER_FEATURES, encoder_graph, regressor_graph

from edge_emotion.config import Execution
from edge_emotion.errors import BundleError, ProviderError
from edge_emotion.model.backend import LiteRT, OnnxRuntime, open_backend
from edge_emotion.model.encoder import FaceNetwork
from edge_emotion.model.manifest import Normalisation
from edge_emotion.model.regressor import AffectRegressor


def test_the_regressor_graph_is_what_it_says() -> None:
    backend = OnnxRuntime(regressor_graph(4, seed=1))
    assert backend.description == "onnxruntime/cpu"
    random = np.random.default_rng(1)
    W, b = random.normal(0, 0.5, (4, 2)).astype(np.float32), random.normal(0, 0.1, 2).astype(np.float32)
    x = np.array([[1.0, -2.0, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0]], np.float32)
    expected = np.tanh(x / (1 + np.abs(x)) @ W + b)
    np.testing.assert_allclose(AffectRegressor(backend).compute(x), expected, atol=1e-6)


def test_the_encoder_normalises_and_takes_any_number_of_crops() -> None:
    network = FaceNetwork(
        open_backend(encoder_graph()), Normalisation(mean=100.0, scale=50.0), ENCODER_FEATURES
    )
    crops = np.full((2, 48, 48), 150, np.uint8)
    encoding = network.encode(crops)
    np.testing.assert_allclose(encoding.features, np.ones((2, ENCODER_FEATURES)), atol=1e-6)
    np.testing.assert_allclose(encoding.votes.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(encoding.feature_norm, [np.sqrt(ENCODER_FEATURES)] * 2, rtol=1e-6)
    assert network.compute(crops[:0]).shape == (0, ENCODER_FEATURES)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_an_absent_provider_is_refused_with_its_remedy(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderError, match="onnxruntime-gpu") as caught:
        OnnxRuntime(regressor_graph(4, seed=1), Execution.model_validate({"provider": provider}))
    assert caught.value.exit_code == 2


def test_a_provider_that_does_not_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel with CUDA on a machine without: onnxruntime itself would go on on the CPU."""
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: listed)
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(ProviderError, match="does not start"),
    ):
        OnnxRuntime(regressor_graph(4, seed=1), Execution(provider="cuda"))
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        assert OnnxRuntime(regressor_graph(4, seed=1)).description == "onnxruntime/cpu"


def test_what_is_no_model_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be loaded"):
        open_backend(b"not a model")
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(BundleError, match=r"broken\.onnx: the model cannot be loaded"):
        open_backend(tmp_path / "broken.onnx")


@pytest.mark.parametrize("package", ["ai-edge-litert", "tflite-runtime"])
def test_litert_refuses_what_is_no_model(package: str) -> None:
    pytest.importorskip(package.replace("-", "_"))
    with pytest.raises(BundleError, match=package):
        LiteRT(b"not a model", Execution(interpreter=package))
    with pytest.raises(ProviderError, match="CPU"):
        LiteRT(b"", Execution(provider="cuda", interpreter=package))


WEIGHTS = np.array([[0.5, -1.0, 0.25], [1.0, 0.0, -0.5]], np.float32)
BIAS = np.array([0.1, -0.2], np.float32)
PACKAGES = ["ai-edge-litert", "tflite-runtime"]


def litert(package: str, **model: object) -> LiteRT:
    pytest.importorskip(package.replace("-", "_"))
    pytest.importorskip("ai_edge_litert.schema_py_generated", reason="writes the models")
    from tflite_models import dense

    return LiteRT(dense(WEIGHTS, BIAS, **model), Execution(interpreter=package))


@pytest.mark.parametrize("package", PACKAGES)
def test_litert_goes_by_the_signature_and_takes_any_batch(package: str) -> None:
    backend = litert(package)
    assert backend.description == f"{package}/cpu"
    assert (backend.input_names, backend.output_names) == (("inputs",), ("outputs",))
    random = np.random.default_rng(0)
    for rows in (1, 3, 3, 2):
        x = random.normal(size=(rows, 3)).astype(np.float32)
        np.testing.assert_allclose(backend.compute({"inputs": x})["outputs"], x @ WEIGHTS.T + BIAS, atol=1e-6)


@pytest.mark.parametrize("package", PACKAGES)
def test_litert_takes_floats_where_the_model_has_integers(package: str) -> None:
    backend = litert(package, scales=(1 / 64, 1 / 127, 1 / 64))
    x = np.array([[1.0, -0.5, 0.25], [9.0, 0.0, 0.0]], np.float32)
    y = backend.compute({"inputs": x})["outputs"]
    assert y.dtype == np.float32
    # What does not fit is limited, as the quantisation was calibrated: inputs to 124/64.
    expected = np.clip(x, -131 / 64, 124 / 64) @ WEIGHTS.T + BIAS
    np.testing.assert_allclose(y, np.clip(expected, -131 / 64, 124 / 64), atol=0.03)


def test_the_suffix_chooses_the_interpreter(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.schema_py_generated", reason="writes the models")
    from tflite_models import dense

    (tmp_path / "regressor.tflite").write_bytes(dense(WEIGHTS, BIAS))
    (tmp_path / "regressor.onnx").write_bytes(regressor_graph(3, seed=1))
    assert open_backend(tmp_path / "regressor.onnx").description == "onnxruntime/cpu"
    backend = open_backend(tmp_path / "regressor.tflite")
    assert backend.description == "ai-edge-litert/cpu"
    x = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(AffectRegressor(backend).compute(x), x @ WEIGHTS.T + BIAS, atol=1e-6)


def test_without_an_interpreter_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ProviderError, match=r"pip install 'edge-emotion\[tflite\]'"):
        LiteRT(b"")
    with pytest.raises(ProviderError, match="tflite-runtime is not installed"):
        LiteRT(b"", Execution(interpreter="tflite-runtime"))
