"""Figures with known answers, splits without leaks, and a sigma model that finds the noise it was made
with."""

import numpy as np
import pytest
from edge_emotion_export.training import sigma
from edge_emotion_export.training.folds import grouped, leave_one_out
from edge_emotion_export.training.metrics import bootstrap, ccc, pearson, rmse, score_both
from hypothesis import given
from hypothesis import strategies as st

from edge_emotion.config import SigmaParameters, parse
from edge_emotion.errors import UsageError
from edge_emotion.fusion import SigmaModel


def test_ccc_of_a_shifted_and_scaled_copy():
    t = np.array([1.0, 2.0, 3.0, 4.0])  # variance 1.25
    assert ccc(t, t) == pytest.approx(1.0)
    assert ccc(t, -t + 5) == pytest.approx(-1.0)
    assert ccc(t, t + 1) == pytest.approx(2 * 1.25 / (1.25 + 1.25 + 1.0))
    assert ccc(t, 2 * t) == pytest.approx(2 * 2.5 / (1.25 + 5.0 + 2.5**2))
    assert pearson(t, 2 * t + 7) == pytest.approx(1.0)
    assert rmse(t, [2.0, 1.0, 4.0, 3.0]) == pytest.approx(1.0)


def test_constants_do_not_divide_by_zero():
    assert ccc([1.0, 1.0], [1.0, 1.0]) == 0.0
    assert ccc([0.0, 1.0], [0.5, 0.5]) == 0.0
    assert pearson([0.0, 1.0], [0.5, 0.5]) == 0.0


def test_both_dimensions_are_named():
    truth = np.random.default_rng(0).normal(size=(50, 2))
    report = score_both(truth, np.column_stack([truth[:, 0], -truth[:, 1]]))
    assert report["arousal"]["ccc"] == pytest.approx(1.0)
    assert report["valence"]["pearson_r"] == pytest.approx(-1.0)
    assert report["arousal"]["n"] == 50


def test_bootstrap_draws_groups_not_rows():
    groups = np.repeat(np.arange(8), 200)
    values = np.random.default_rng(1).normal(size=8)[groups]
    low, high = bootstrap(lambda rows: float(values[rows].mean()), groups, count=400)
    assert low < values.mean() < high
    assert high - low > 0.5  # rows alone would give about 0.1


@given(st.lists(st.integers(0, 9), min_size=12, max_size=80), st.integers(2, 4), st.integers(0, 99))
def test_folds_test_each_row_once_and_share_no_group(labels, count, seed):
    groups = np.array(labels)
    if len(set(labels)) < count:
        with pytest.raises(UsageError, match="folds: there must be"):
            list(grouped(groups, count))
        return
    tested = []
    for train, test in grouped(groups, count, seed=seed):
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == len(groups)
        tested.append(test)
    assert sorted(np.concatenate(tested)) == list(range(len(groups)))


def test_leave_one_out_tests_one_group_at_a_time():
    groups = ["b", "a", "b", "c"]
    assert [list(fold.test) for fold in leave_one_out(groups)] == [[1], [0, 2], [3]]


def make_errors(count: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Errors whose true log sigma falls by 0.04 a decibel of arousal's SNR and does not depend on
    clipping."""
    rng = np.random.default_rng(seed)
    facts = {"snr_db": rng.uniform(0, 30, count), "clipped": rng.choice([0.0, 0.05], count)}
    facts["snr_db"][: count // 20] = np.nan
    true = np.column_stack(
        [np.exp(-1.0 - 0.04 * np.nan_to_num(facts["snr_db"], nan=15)), np.full(count, 0.3)]
    )
    return rng.normal(size=(count, 2)) * true, facts, true


TERMS = (
    sigma.Term("snr_db", (0.0, 10.0, 20.0, 30.0)),
    sigma.Term("clipped", (0.0, 0.05), grows=True),
)


def test_sigma_model_recovers_the_noise():
    errors, facts, true = make_errors(8000, 3)
    model = sigma.fit(errors, facts, TERMS)
    found = sigma.evaluate(model, facts, len(errors))
    assert np.abs(np.log(found / true)).max() < 0.15
    fresh, fresh_facts, _ = make_errors(8000, 4)
    for share in sigma.coverage(fresh, sigma.evaluate(model, fresh_facts, len(fresh))):
        assert share == pytest.approx(0.8, abs=0.02)


def test_terms_are_monotone_even_where_the_errors_are_not():
    errors, facts, _ = make_errors(2000, 5)
    errors[facts["snr_db"] > 20] *= 5  # better sound, worse estimates: the model must not learn that
    model = sigma.fit(errors, facts, TERMS)
    snr, clipped = model["terms"]
    for name in ("arousal", "valence"):
        assert np.all(np.diff(snr[name]) <= 0)
        assert np.all(np.diff(clipped[name]) >= 0)
        assert snr[name][-1] == 0.0
        assert clipped[name][0] == 0.0


def test_a_fact_that_is_always_missing_adds_nothing():
    errors, facts, _ = make_errors(300, 6)
    facts["snr_db"][:] = np.nan
    model = sigma.fit(errors, facts, TERMS)
    assert model["terms"][0]["missing"] == {"arousal": 0.0, "valence": 0.0}
    assert np.all(np.isfinite(sigma.evaluate(model, facts, 300)))


def test_weights_count_rows():
    errors, facts, _ = make_errors(400, 7)
    twice = {name: np.concatenate([v, v[:100]]) for name, v in facts.items()}
    repeated = sigma.fit(np.concatenate([errors, errors[:100]]), twice, TERMS)
    weighted = sigma.fit(errors, facts, TERMS, weights=np.where(np.arange(400) < 100, 2.0, 1.0))
    assert repeated["intercept"]["arousal"] == pytest.approx(weighted["intercept"]["arousal"], abs=0.02)


def test_the_device_computes_the_same_sigma():
    errors, facts, _ = make_errors(500, 8)
    model = sigma.fit(errors, facts, TERMS)
    device = SigmaModel(parse(SigmaParameters, model, "sigma"))
    found = [
        device.compute({k: None if np.isnan(v[i]) else float(v[i]) for k, v in facts.items()})
        for i in range(60)
    ]
    np.testing.assert_allclose(found, sigma.evaluate(model, facts, 500)[:60], rtol=1e-9)
