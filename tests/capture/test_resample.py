"""Change of rate: the delay is accounted for, and any split of the input gives the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_emotion.capture.resample import Resampler

NOISE = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)


def resampled(resampler, samples, cuts=()):
    pieces = [resampler.push(part) for part in np.split(samples, sorted(cuts))]
    return np.concatenate([*pieces, resampler.finish()])


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_click_stays_where_it_is(rate):
    samples = np.zeros(rate, np.float32)
    samples[rate // 4] = 1.0
    heard = resampled(Resampler(rate, 16_000), samples)
    assert len(heard) == 16_000
    place = (np.arange(16_000) * heard**2).sum() / (heard**2).sum()
    assert place / 16_000 == pytest.approx((rate // 4) / rate, abs=1 / 16_000)


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 20_000), max_size=12), rate=st.sampled_from([8000, 16_000, 44_100, 48_000])
)
def test_any_split_and_a_replay_give_the_same(cuts, rate):
    resampler = Resampler(rate, 16_000)
    whole = resampled(resampler, NOISE)
    resampler.reset()
    assert np.array_equal(resampled(resampler, NOISE, cuts), whole)
