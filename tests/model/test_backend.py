"""Adapters run what they are given on what was asked for, or say how to make that possible."""

from __future__ import annotations

import numpy as np
import pytest
from bundles import ENCODER_FEATURES, encoder_graph, regressor_graph

from edge_emotion.config import Execution
from edge_emotion.errors import BundleError, ProviderError
from edge_emotion.model.backend import OnnxRuntime, open_backend
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


def test_what_is_no_model_is_a_bundle_error() -> None:
    with pytest.raises(BundleError, match="cannot be loaded"):
        open_backend(b"not a model")


@pytest.mark.parametrize("package", ["ai-edge-litert", "tflite-runtime"])
def test_litert_refuses_what_is_no_model(package: str) -> None:
    pytest.importorskip(package.replace("-", "_"))
    from edge_emotion.model.backend import LiteRT

    with pytest.raises(BundleError, match=package):
        LiteRT(b"not a model", package=package)
    with pytest.raises(ProviderError, match="CPU"):
        LiteRT(b"", Execution(provider="cuda"), package=package)
