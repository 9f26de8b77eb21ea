"""Kernel ridge regression on landmarks: folds by subtraction, the same numbers as the textbook, and a graph."""

import numpy as np
import onnxruntime
import pytest
from edge_emotion_export.conversion.svr import to_onnx
from edge_emotion_export.training.affect_svr import AffectSVR
from edge_emotion_export.training.landmarks import Landmarks, Moments
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import StandardScaler


def make_rows(count: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, width))
    return z, np.stack([np.sin(z[:, 0]), z[:, 1] * z[:, 2]], axis=1) + 0.1 * rng.normal(size=(count, 2))


def fit(z: np.ndarray, y: np.ndarray, weight: np.ndarray, landmarks: Landmarks) -> AffectSVR:
    weights, intercept = landmarks.solve(Moments.of(landmarks.kernel(z), y, weight), 0.5)
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_ = np.zeros(z.shape[1]), np.ones(z.shape[1])
    return AffectSVR.of(scaler, [landmarks.expansion(weights[:, k], intercept[k]) for k in (0, 1)])


def test_with_all_rows_as_landmarks_it_is_kernel_ridge_regression():
    z, y = make_rows(120, 6, 0)
    landmarks = Landmarks.of(z, 0.1)
    found = fit(landmarks.rows, y, np.ones(len(z)), landmarks).predict(z)
    # the intercept is free here, while scikit-learn's is part of the kernel: a constant of large weight
    level = 1e4
    kernel = landmarks.kernel(landmarks.rows) + level
    known = KernelRidge(alpha=0.5, kernel="precomputed").fit(kernel, y).predict(landmarks.kernel(z) + level)
    np.testing.assert_allclose(found, known, atol=2e-3)


def test_rows_are_left_out_by_subtraction_and_weights_count_rows():
    z, y = make_rows(200, 5, 1)
    landmarks = Landmarks.of(z[:40], 0.2)
    kernel, weight = landmarks.kernel(z), np.where(np.arange(200) < 50, 2.0, 1.0)
    rest = Moments.of(kernel, y, weight) - Moments.of(kernel[150:], y[150:], weight[150:])
    twice = np.concatenate([np.arange(150), np.arange(50)])
    plain = Moments.of(kernel[twice], y[twice], np.ones(200))
    for one, other in zip(landmarks.solve(rest, 0.3), landmarks.solve(plain, 0.3), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_it_learns_and_a_larger_penalty_shrinks():
    z, y = make_rows(2000, 5, 2)
    fresh, truth = make_rows(500, 5, 3)
    landmarks = Landmarks.of(z[:300], 0.1)
    moments = Moments.of(landmarks.kernel(z), y, np.ones(len(z)))
    spread = []
    for penalty in (0.1, 100.0):
        weights, intercept = landmarks.solve(moments, penalty)
        values = landmarks.kernel(fresh) @ weights + intercept
        spread.append(values.std(axis=0))
        if penalty == 0.1:
            assert np.all(np.mean((values - truth) ** 2, axis=0) < 0.3 * truth.var(axis=0))
    assert np.all(spread[1] < spread[0])


@pytest.mark.parametrize("width", [8, 600])
def test_the_graph_says_the_same_and_stores_landmarks_short(width):
    z, y = make_rows(900, width, 4)
    model = fit(z, y, np.ones(len(z)), Landmarks.of(z[:300], 0.2 / width))
    graph = to_onnx(model).SerializeToString()
    assert len(graph) < 300 * (2 * width + 24) + 8 * width + 4000
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    fresh = make_rows(200, width, 5)[0].astype(np.float32)
    said = session.run(None, {"features": fresh})[0]
    np.testing.assert_allclose(said, model.predict(fresh), atol=1e-5)
