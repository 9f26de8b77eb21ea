"""Smoothing, gates and endings of section 6, against a naive twin and by hand."""

from __future__ import annotations

import naive_functionals as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_emotion.features.lld import LONG, SHORT
from edge_emotion.kernels import descriptor_rows as kernels

pytestmark = pytest.mark.kernels


def frames(seed, n, m):
    """Raw frames with unvoiced stretches, single gaps and values missing here and there."""
    random = np.random.default_rng(seed)
    short = random.normal(size=(n, 17)).astype(np.float32)
    long = random.normal(size=(m, 9)).astype(np.float32)
    long[:, 0] = (30 + random.random(m)) * (random.random(m) > 0.3)
    long[:, 1:4] *= random.random((m, 3)) > 0.2
    return short, long


def pitch_rows(short, long, begin, count, last, last_gated):
    f0, out = np.empty(count, np.float32), np.empty((count, 28), np.float32)
    kernels.pitch_rows(short, long, begin, last, last_gated, f0, out)
    return f0, out


def test_columns_are_where_the_stream_puts_them():
    assert (len(SHORT), len(LONG)) == (kernels.SHORT_COLUMNS, kernels.LONG_COLUMNS)
    assert SHORT[kernels.LOUDNESS] == "loudness"
    assert SHORT[kernels.SPECTRAL] == "alphaRatio"
    assert SHORT[kernels.FLUX] == "spectralFlux"
    assert SHORT[kernels.MFCC] == "mfcc1"
    assert SHORT[kernels.FREQUENCY] == "F1frequency"
    assert SHORT[kernels.BANDWIDTH] == "F1bandwidth"
    assert SHORT[kernels.MEAN_SQUARE] == "mean_square"
    assert LONG[kernels.F0] == "f0_semitone"
    assert LONG[kernels.VOICE] == "jitterLocal"
    assert LONG[kernels.AMPLITUDE] == "F1amplitude"


@pytest.mark.parametrize("seed", range(5))
def test_rows_equal_the_naive_twin(seed):
    short, long = frames(seed, 44, 40)
    spectral = np.empty((44, 7), np.float32)
    kernels.spectral_rows(short, 0, spectral)
    for k, column in enumerate((0, 5, 6, 7, 8, 9)):
        assert spectral[:, k] == pytest.approx(naive.sma3(short[:, column]), abs=1e-6)
    assert (spectral[:, 6] == short[:, 16]).all()
    f0, pitch = pitch_rows(short, long, 0, 40, 39, 39)
    voiced = long[:, 0] > 0
    assert f0 == pytest.approx(naive.sma3nz(long[:, 0]), abs=1e-5)
    for k in range(5):
        assert pitch[:, k] == pytest.approx(naive.sma3nz(long[:, 1 + k]), abs=1e-6)
    for k in range(3):
        assert pitch[:, 5 + 3 * k] == pytest.approx(naive.sma3nz(short[:40, 10 + k] * voiced), abs=1e-6)
        assert pitch[:, 6 + 3 * k] == pytest.approx(naive.sma3nz(short[:40, 13 + k] * voiced), abs=1e-6)
        assert pitch[:, 7 + 3 * k] == pytest.approx(naive.sma3nz(long[:, 6 + k]), abs=1e-6)
    for k in range(9):
        assert pitch[:, 14 + k] == pytest.approx(naive.sma3nz(short[:40, 1 + k] * voiced), abs=1e-6)
    for k in range(5):
        assert pitch[:, 23 + k] == pytest.approx(naive.sma3nz(short[:40, 1 + k] * ~voiced), abs=1e-6)


@given(st.integers(0, 1000), st.lists(st.integers(1, 12), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_rows_piece_by_piece_are_the_rows_at_once(seed, pieces):
    count = sum(pieces)
    short, long = frames(seed, count + 5, count + 1)
    f0, pitch = pitch_rows(short, long, 0, count, count, count)
    done = 0
    for piece in pieces:
        first = max(done - 1, 0)
        seen = done + piece + 1
        part = pitch_rows(
            short[first:], long[first:seen], done - first, piece, seen - first - 1, seen - first - 1
        )
        assert (part[0] == f0[done : done + piece]).all()
        assert (part[1] == pitch[done : done + piece]).all()
        done += piece


def test_the_ending_of_a_file_looks_one_frame_further_for_f0_than_for_the_voice():
    short, long = frames(1, 12, 8)
    long[:, 0] = np.arange(30, 38)
    long[:, 1] = np.arange(1, 9)
    f0, pitch = pitch_rows(short, long, 0, 5, 4, 5)
    assert f0[4] == pytest.approx(34)  # 33, 34, 35
    assert pitch[4, 0] == pytest.approx((4 + 5 + 5) / 3)
    table = np.empty((9, 25), np.float32)
    kernels.lld_rows(short, long, 0, 5, table)
    assert table[4:, 10] == pytest.approx([(33 + 34 + 34) / 3, 34, 36, (36 + 37 + 37) / 3, 37])
    part = np.empty((4, 25), np.float32)
    kernels.lld_rows(short, long, 3, 5, part)
    assert np.array_equal(part, table[3:7])
    assert table[8, 0] == pytest.approx(short[7:10, 0].mean())


def test_own_frame_leaves_the_future_out():
    short, long = frames(1, 12, 3)
    long[:, 0] = (30, 33, 36)
    f0, _ = pitch_rows(short, long, 0, 3, 2, kernels.OWN_FRAME)
    assert f0 == pytest.approx([30, 32, 35])
