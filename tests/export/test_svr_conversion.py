"""The converted regressor says what scikit-learn says, and says it fast."""

import numpy as np
import onnxruntime
import pytest
from edge_emotion_export.conversion.svr import to_onnx
from edge_emotion_export.training.affect_svr import AffectSVR
from edge_emotion_export.training.normal_scores import NormalScores
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR, LinearSVR

from edge_emotion.errors import UsageError


def open_session(model: AffectSVR) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        to_onnx(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def make_rows(count: int, inputs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features in the awkward units of descriptors: means far from zero, scales from 1e-3 to
    1e3."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3, 3, inputs)
    x = (
        rng.normal(size=(count, 8)) @ rng.normal(size=(8, inputs)) + rng.normal(size=(count, inputs))
    ) * scale
    x += 10 * scale * rng.normal(size=inputs)
    y = np.tanh(x[:, :2] / x[:, :2].std(0) - x[:, :2].mean(0) / x[:, :2].std(0))
    return x.astype(np.float32), y + 0.1 * rng.normal(size=y.shape)


def worst(model: AffectSVR, x: np.ndarray) -> float:
    (found,) = open_session(model).run(["prediction"], {"features": x})
    assert found.shape == (len(x), 2)
    return float(np.abs(found - model.predict(x)).max())


@pytest.mark.parametrize("gammas", [("scale", "scale"), (0.002, 0.02)])
def test_rbf_parity(gammas):
    x, y = make_rows(600, 88, 1)
    model = AffectSVR(SVR(C=1.0, gamma=gammas[0]), SVR(C=3.0, gamma=gammas[1])).fit(x, y)
    fresh, _ = make_rows(300, 88, 1)
    assert worst(model, np.concatenate([fresh, x])) <= 1e-5


def test_normal_scores_are_part_of_the_graph():
    x, y = make_rows(600, 88, 9)
    x[:, 3] = np.maximum(x[:, 3], np.median(x[:, 3]))  # half of the rows share one value
    x[:, 4] = 7.0
    model = AffectSVR(SVR(gamma=0.004), SVR(gamma=0.01), scores=True).fit(x, y)
    fresh, _ = make_rows(300, 88, 9)
    assert worst(model, np.concatenate([fresh, x, 100 * x])) <= 1e-5


def test_normal_scores_are_normal_and_bounded():
    x = np.exp(np.random.default_rng(0).normal(size=(5000, 1)))
    scores = NormalScores().fit(x)
    found = scores.transform(x)[:, 0]
    assert np.abs(found - np.log(x[:, 0]))[np.abs(found) < 2].max() < 0.15
    np.testing.assert_allclose(scores.transform([[-1e9], [1e9]])[:, 0], [-3.09, 3.09], atol=0.01)
    assert np.all(np.diff(scores.transform(np.linspace(0, 5, 100)[:, None])[:, 0]) >= 0)


def test_linear_and_mixed_parity():
    x, y = make_rows(400, 88, 2)
    linear = AffectSVR(LinearSVR(C=0.01, max_iter=20000), LinearSVR(C=0.1, max_iter=20000)).fit(x, y)
    assert worst(linear, x) <= 5e-5
    assert worst(AffectSVR(SVR(), LinearSVR(C=0.01, max_iter=20000)).fit(x, y), x) <= 5e-5


def test_a_linear_regressor_is_one_node_where_its_means_allow():
    x, y = make_rows(400, 88, 2)
    regressors = LinearSVR(C=0.01, max_iter=20000), LinearSVR(C=0.1, max_iter=20000)
    near = AffectSVR(*regressors).fit(x, y)
    assert [node.op_type for node in to_onnx(near).graph.node] == ["Gemm"]
    scores = AffectSVR(*regressors, scores=True).fit(x, y)
    assert worst(scores, x) <= 5e-5
    # A float32 row this far from zero keeps three digits of its spread: the mean has to go first.
    x += 1000 * x.std(axis=0)
    far = AffectSVR(*regressors).fit(x, y)
    assert [node.op_type for node in to_onnx(far).graph.node] == ["Sub", "Gemm"]
    assert worst(far, x) <= 5e-5


def test_already_fitted_regressors_can_be_wrapped():
    x, y = make_rows(200, 20, 3)
    scaler = StandardScaler().fit(x.astype(np.float64))
    z = scaler.transform(x.astype(np.float64))
    regressors = [SVR().fit(z, y[:, 0]), SVR(gamma=0.1).fit(z, y[:, 1])]
    model = AffectSVR.of(scaler, regressors)
    np.testing.assert_allclose(model.predict(x)[:, 1], regressors[1].predict(z), atol=1e-12)
    assert worst(model, x) <= 1e-5


def test_dimensions_with_one_kernel_width_share_their_support_vectors():
    x, y = make_rows(300, 20, 4)
    shared = to_onnx(AffectSVR(SVR(gamma=0.05, epsilon=0), SVR(gamma=0.05, epsilon=0)).fit(x, y)).ByteSize()
    apart = to_onnx(AffectSVR(SVR(gamma=0.05, epsilon=0), SVR(gamma=0.06, epsilon=0)).fit(x, y)).ByteSize()
    assert shared < 0.6 * apart


def test_a_budget_keeps_the_function_with_fewer_support_vectors():
    x, y = make_rows(1500, 30, 5)
    full = AffectSVR(SVR(gamma=0.01), SVR(gamma=0.01)).fit(x, y)
    short = AffectSVR(SVR(gamma=0.01), SVR(gamma=0.01), budget=150).fit(x, y)
    fresh, _ = make_rows(500, 30, 5)
    assert all(len(r.supports) == 150 for r in short.regressors_)
    for k in range(2):
        assert np.corrcoef(full.predict(fresh)[:, k], short.predict(fresh)[:, k])[0, 1] > 0.97
    assert worst(short, fresh) <= 1e-5


def test_rescaling_moves_and_stretches_the_predictions():
    x, y = make_rows(200, 20, 8)
    model = AffectSVR(SVR(), LinearSVR(C=0.01, max_iter=20000)).fit(x, y)
    before = model.predict(x)
    model.rescale([(0.1, 2.0, -0.3), (0.0, 0.5, 0.2)])
    np.testing.assert_allclose(model.predict(x)[:, 0], -0.3 + 2.0 * (before[:, 0] - 0.1), atol=1e-12)
    np.testing.assert_allclose(model.predict(x)[:, 1], 0.2 + 0.5 * before[:, 1], atol=1e-12)
    assert worst(model, x) <= 5e-5


def test_faults_are_named():
    with pytest.raises(UsageError, match="not fitted"):
        to_onnx(AffectSVR(SVR(), SVR()))
    with pytest.raises(UsageError, match="arousal and valence"):
        AffectSVR(SVR(), SVR()).fit(np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(UsageError, match="'poly'"):
        AffectSVR(SVR(kernel="poly"), SVR()).fit(*make_rows(30, 4, 6))


def test_2000_support_vectors_of_200_inputs_agree_with_scikit_learn():
    """At the size whose cost `python -m benchmarks run regressor` measures."""
    x, y = make_rows(1000, 200, 7)
    model = AffectSVR(SVR(C=10, epsilon=0, gamma=0.004), SVR(C=10, epsilon=0, gamma=0.006)).fit(x, y)
    assert sum(len(r.supports) for r in model.regressors_) >= 1990
    fresh, _ = make_rows(200, 200, 8)
    (found,) = open_session(model).run(["prediction"], {"features": fresh.astype(np.float32)})
    np.testing.assert_allclose(found, model.predict(fresh), atol=1e-5, rtol=0)
