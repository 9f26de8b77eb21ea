"""Gold standard, delay, standardisation, windows, post-processing and statistics against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from edge_emotion_export.corpora.records import Traces
from edge_emotion_export.training import post_processing
from edge_emotion_export.training.delay import candidates, lag_frames, search_delay, shifted
from edge_emotion_export.training.gold import agreement, gold_of, gold_standard
from edge_emotion_export.training.metrics import ccc
from edge_emotion_export.training.post_processing import Chain, choose_chain
from edge_emotion_export.training.protocol import late_weight
from edge_emotion_export.training.standardise import RunningStandardiser, global_statistics, per_speaker
from edge_emotion_export.training.statistics import baseline, ccc_interval, paired_difference
from edge_emotion_export.training.windows import fill_gaps, held, moving_statistics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from edge_emotion.errors import InputError

HOP_S = 0.04


def naive_gold(ratings: np.ndarray) -> np.ndarray:
    """The definition, term by term."""
    frames, raters = ratings.shape
    pair = {}
    for a in range(raters):
        for b in range(raters):
            x, y = ratings[:, a], ratings[:, b]
            cov = sum((x - x.mean()) * (y - y.mean())) / frames
            pair[a, b] = 2 * cov / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    w = [np.mean([pair[r, o] for o in range(raters) if o != r]) for r in range(raters)]
    m = [ratings[:, r].mean() for r in range(raters)]
    mu = sum(m[r] * w[r] for r in range(raters)) / sum(w)
    return np.array([np.mean([ratings[t, r] - m[r] + mu for r in range(raters)]) for t in range(frames)])


def walk(rng: np.random.Generator, frames: int, smooth: int = 50) -> np.ndarray:
    """A slow trace within about [-0.6, 0.6]."""
    steps = np.convolve(rng.normal(size=frames + smooth), np.ones(smooth) / smooth, mode="valid")[:frames]
    return np.tanh(steps / steps.std() * 0.4)


class TestGold:
    def test_definition(self) -> None:
        rng = np.random.default_rng(1)
        truth = walk(rng, 700)
        ratings = (
            truth[:, None] * rng.uniform(0.5, 1.5, 6) + rng.normal(0, 0.1, 6) + rng.normal(0, 0.05, (700, 6))
        )
        np.testing.assert_allclose(gold_standard(ratings), naive_gold(ratings), atol=5.1e-7)

    def test_one_rater_and_constant_raters(self) -> None:
        one = np.linspace(-0.5, 0.5, 9)[:, None]
        np.testing.assert_allclose(gold_standard(one), one[:, 0], atol=5e-7)
        flat = np.tile([0.1, 0.3], (5, 1))
        np.testing.assert_allclose(gold_standard(flat), 0.2)
        assert agreement(np.column_stack([one, np.zeros(9)])).tolist() == [0.0, 0.0]

    def test_published_gold_comes_first(self) -> None:
        gold = np.array([0.5, 0.6])
        assert gold_of(Traces(np.arange(2.0), ("a",), np.zeros((2, 1)), gold)) is gold

    def test_no_ratings(self) -> None:
        with pytest.raises(InputError, match="one rater or more"):
            gold_standard(np.empty((5, 0)))


class TestDelay:
    @pytest.mark.parametrize("planted_s", [1.4, 2.8, 3.6])
    @pytest.mark.parametrize("window_s", [0.0, 4.0])
    def test_planted_delay_is_found(self, planted_s: float, window_s: float) -> None:
        rng = np.random.default_rng(int(planted_s * 10))
        features, labels, speakers = [], [], []
        for speaker in "abcdef":
            truth = walk(rng, 3000)
            rows = truth[:, None] * rng.uniform(0.5, 1, 5) + rng.normal(0, 0.5, (3000, 5))
            if window_s:
                rows, _ = moving_statistics(
                    rows, np.ones(3000, bool), round(window_s / HOP_S), deviation=False
                )
            features.append(rows)
            labels.append(np.roll(truth, round(planted_s / HOP_S)))
            speakers.append(speaker)
        found = search_delay(features, labels, speakers, hop_s=HOP_S, window_s=window_s)
        assert abs(found.seconds - planted_s) <= 0.2 + 1e-9
        assert len(found.scores) == len(candidates()) == 25

    def test_shifted_drops_first_labels_and_last_rows(self) -> None:
        x, y = np.arange(10.0)[:, None], np.arange(10.0)
        rows, labels = shifted(x, y, 3)
        assert (rows[:, 0] + 3 == labels).all()
        assert len(labels) == 7
        rows, labels = shifted(x, y, -2)
        assert (rows[:, 0] - 2 == labels).all()
        with pytest.raises(InputError, match="leaves nothing"):
            shifted(x, y, 10)

    def test_a_window_spends_half_its_length(self) -> None:
        assert lag_frames(2.8, 4.0, 0.04) == 20
        assert lag_frames(1.4, 6.0, 0.04) == -40


class TestStandardise:
    def test_blocks_are_merged_exactly(self) -> None:
        rows = np.random.default_rng(0).normal(1e6, 1e-2, (1000, 3))
        got = global_statistics([rows[:10], rows[10:10], rows[10:700], rows[700:]])
        np.testing.assert_allclose(got.mean, rows.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(got.scale, rows.std(axis=0), rtol=1e-6)

    def test_per_speaker_spans_recordings(self) -> None:
        a, b, c = (np.random.default_rng(k).normal(k, 1 + k, (50, 2)) for k in range(3))
        first, second, _ = per_speaker([a, b, c], ["x", "x", "y"])
        joined = np.concatenate([first, second])
        np.testing.assert_allclose(joined.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(joined.std(axis=0), 1)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(0, 40), max_size=6))
    def test_running_obeys_the_chunking_law(self, cuts: list[int]) -> None:
        rows = np.random.default_rng(2).normal(3, 2, (40, 2))
        running = RunningStandardiser(global_statistics([rows[:20] - 1]), 10)
        whole = running.push(rows)
        running.reset()
        parts = [running.push(part) for part in np.split(rows, sorted(cuts))]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-9, atol=1e-12)

    def test_running_starts_at_the_prior_and_ends_at_the_speaker(self) -> None:
        prior = global_statistics([np.random.default_rng(0).normal(0, 1, (500, 1))])
        rows = np.random.default_rng(1).normal(5, 2, (20000, 1))
        got = RunningStandardiser(prior, 100).push(rows)
        assert got[0, 0] == pytest.approx(prior.apply(rows[:1])[0, 0], rel=0.2)
        np.testing.assert_allclose(got[-2000:].mean(), 0, atol=0.1)
        np.testing.assert_allclose(got[-2000:].std(), 1, atol=0.1)


class TestWindows:
    def test_gaps_are_filled_by_pchip(self) -> None:
        values = np.random.default_rng(0).normal(size=(12, 2))
        valid = np.ones(12, bool)
        valid[[0, 4, 5, 6, 11]] = False
        got = fill_gaps(np.where(valid[:, None], values, 99.0), valid)
        known = np.flatnonzero(valid)
        np.testing.assert_allclose(got[4:7], PchipInterpolator(known, values[known])([4, 5, 6]))
        np.testing.assert_array_equal(got[valid], values[valid])
        np.testing.assert_array_equal(got[[0, 11]], values[[1, 10]])
        assert not fill_gaps(values, np.zeros(12, bool)).any()

    def test_held_at_most(self) -> None:
        valid = np.array([0, 1, 0, 0, 0, 1, 1, 0], bool)
        assert held(valid, 2).tolist() == [False, True, True, True, False, True, True, True]

    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 30), st.integers(0, 2**20 - 1))
    def test_moving_statistics_by_hand(self, frames: int, pattern: int) -> None:
        valid = np.array([pattern >> k & 1 for k in range(20)], bool)
        values = np.random.default_rng(3).normal(10, 1, (20, 2))
        got, present = moving_statistics(values, valid, frames)
        for t in range(20):
            inside = slice(max(0, t + 1 - frames), t + 1)
            chosen = values[inside][valid[inside]]
            assert present[t] == (len(chosen) > 0)
            if len(chosen):
                np.testing.assert_allclose(got[t], [*chosen.mean(0), *chosen.std(0)], atol=1e-7)
            else:
                assert not got[t].any()


class TestLateWeight:
    SPEAKERS = ("anna", "bert", "cora", "dirk", "emma", "finn")

    def weight(self, seed: int, errors: tuple[float, float], know: tuple[float, float]) -> float:
        """Of two predictions of ``know`` parts truth and ``errors`` parts slow noise of their own."""
        rng = np.random.default_rng(seed)

        def slow() -> np.ndarray:
            return np.convolve(rng.standard_normal(1600), np.ones(100) / 10, "valid")

        truths = {name: slow() for name in self.SPEAKERS}
        first, second = (
            {name: k * truth + e * slow() for name, truth in truths.items()}
            for e, k in zip(errors, know, strict=True)
        )
        return late_weight(first, second, truths, (0, 0), {name: name for name in truths})

    def test_what_both_know_is_weighed_by_their_errors(self) -> None:
        weights = [self.weight(seed, (0.5, 1.0), (1.0, 1.0)) for seed in range(8)]
        assert np.median(weights) == pytest.approx(0.8, abs=0.1)

    def test_noise_is_not_mixed_in(self) -> None:
        weights = np.array([self.weight(seed, (0.7, 1.0), (1.0, 0.0)) for seed in range(20)])
        assert (weights == 1.0).mean() >= 0.8
        swapped = np.array([self.weight(seed, (1.0, 0.7), (0.0, 1.0)) for seed in range(20)])
        assert (swapped == 0.0).mean() >= 0.8


class TestPostProcessing:
    def data(self, gain: float = 0.4, offset: float = 0.2, noise: float = 0.3) -> tuple[list, list, list]:
        rng = np.random.default_rng(5)
        truths = [walk(rng, 1500) for _ in range(8)]
        predictions = [gain * t + offset + rng.normal(0, noise, 1500) for t in truths]
        return predictions, truths, list("abcdefgh")

    @pytest.mark.parametrize("causal", [False, True])
    def test_helpful_steps_are_kept_and_help_on_others(self, causal: bool) -> None:
        predictions, truths, speakers = self.data()
        chosen = choose_chain(
            predictions[:6], truths[:6], speakers[:6], hop_s=HOP_S, lag_s=0.0, causal=causal
        )
        kept = {step.name for step in chosen.steps if step.kept}
        assert {"median", "centring"} <= kept
        assert chosen.chain.offset + chosen.chain.centre != 0
        for p, t in zip(predictions[6:], truths[6:], strict=True):
            after = post_processing.apply(chosen.chain, p, hop_s=HOP_S, causal=causal)
            assert ccc(t, after) > ccc(t, p) + 0.1

    def test_nothing_to_gain_is_left_out(self) -> None:
        _, truths, speakers = self.data()
        chosen = choose_chain(truths, truths, speakers, hop_s=HOP_S, lag_s=0.0, causal=False)
        assert chosen.chain == Chain(0.0)
        assert not any(step.kept for step in chosen.steps)

    def test_offline_shift_is_found(self) -> None:
        _, truths, speakers = self.data()
        late = [np.roll(t, 20) for t in truths]
        chosen = choose_chain(late, truths, speakers, hop_s=HOP_S, lag_s=0.0, causal=False)
        assert chosen.chain.shift_s == pytest.approx(-0.8)

    @pytest.mark.parametrize("width_s", [0.4, 2.0])
    def test_causal_median_looks_back_only(self, width_s: float) -> None:
        x = np.random.default_rng(0).normal(size=200) * 3
        whole = post_processing.median(x, width_s, hop_s=HOP_S, causal=True)
        cut = post_processing.median(x[:120], width_s, hop_s=HOP_S, causal=True)
        np.testing.assert_allclose(whole[:120], cut)
        chain = Chain(shift_s=1.0, median_s=width_s)
        a = post_processing.apply(chain, x / 9, hop_s=HOP_S, causal=True)
        b = post_processing.apply(chain, x[:120] / 9, hop_s=HOP_S, causal=True)
        np.testing.assert_allclose(a[:120], b)

    def test_causal_chain_never_moves_earlier(self) -> None:
        predictions, truths, speakers = self.data()
        late = [np.roll(p, 20) for p in predictions]
        chosen = choose_chain(late, truths, speakers, hop_s=HOP_S, lag_s=0.2, causal=True)
        assert chosen.chain.shift_s >= 0


class TestStatistics:
    def data(self, noise: float, speakers: int = 9) -> tuple[list, list, list]:
        rng = np.random.default_rng(7)
        truths = [walk(rng, 400) for _ in range(speakers)]
        return truths, [t + rng.normal(0, noise, 400) for t in truths], [f"s{k}" for k in range(speakers)]

    def test_interval_agrees_with_resampled_rows(self) -> None:
        truths, predictions, speakers = self.data(0.5)
        got = ccc_interval(truths, predictions, speakers, count=1000, seed=3)
        rng = np.random.default_rng(3)
        draws = rng.integers(0, 9, (1000, 9))
        direct = [
            ccc(np.concatenate([truths[k] for k in d]), np.concatenate([predictions[k] for k in d]))
            for d in draws
        ]
        np.testing.assert_allclose(got, np.quantile(direct, [0.025, 0.975]), atol=1e-9)
        assert got.low < ccc(np.concatenate(truths), np.concatenate(predictions)) < got.high

    def test_paired_difference(self) -> None:
        truths, good, speakers = self.data(0.2)
        _, poor, _ = self.data(0.8)
        better = paired_difference(truths, good, poor, speakers)
        assert better.low > 0
        assert better.p_value == pytest.approx(2 / 2**9)
        same = paired_difference(truths, good, good, speakers)
        assert same == (0.0, 0.0, 0.0, 1.0)

    def test_two_files_of_one_speaker_move_together(self) -> None:
        truths, predictions, _ = self.data(0.5, 4)
        one = ccc_interval(truths, predictions, ["a"] * 4)
        assert one.low == pytest.approx(one.high)

    def test_baseline_knows_only_training(self) -> None:
        train, test = [np.array([0.0, 0.0, 0.0, 1.0])], [np.array([0.0, 0.0, 1.0, 1.0])]
        got = baseline(train, test)
        assert got.ccc == 0.0
        assert got.rmse == pytest.approx(np.sqrt((2 * 0.25**2 + 2 * 0.75**2) / 4))
        assert got.majority == 0.5
