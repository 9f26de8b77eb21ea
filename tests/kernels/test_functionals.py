"""Functionals: against a naive twin, against values that can be told by hand, and on whatever hypothesis makes up."""

from __future__ import annotations

import naive_functionals as naive
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edge_emotion.features.names import FUNCTIONAL_NAMES
from edge_emotion.kernels import functionals as kernels

pytestmark = pytest.mark.kernels


def run(spectral, f0, pitch, corrected=False):
    out = np.full(88, np.nan, np.float32)
    spectral, pitch = np.float32(spectral), np.float32(pitch)
    sums = kernels.new_sums(spectral.shape[1]), kernels.new_sums(pitch.shape[1])
    kernels.add_rows(spectral, False, sums[0])
    kernels.add_rows(pitch, True, sums[1])
    scratch = kernels.new_scratch(max(len(spectral), len(f0)))
    kernels.functionals(spectral[:, 0].copy(), np.float32(f0), *sums, corrected, scratch, out)
    return out


def slopes(x, corrected=False):
    out = np.full(4, np.nan, np.float32)
    x = np.asarray(x, np.float32)
    peaks = kernels.slopes(x, np.arange(len(x)), len(x), corrected, kernels.new_scratch(len(x)), out)
    return out, peaks


def segments(hits, voiced=True, corrected=False):
    out = np.full(2, np.nan, np.float32)
    count = kernels.segments(np.asarray(hits, np.float32), voiced, corrected, np.zeros(len(hits)), out)
    return count, *out


def rows(seed, n, m):
    """Curves that wander, with unvoiced stretches and plateaus."""
    random = np.random.default_rng(seed)
    spectral = np.abs(random.normal(size=(n, 7)).cumsum(axis=0)).astype(np.float32)
    spectral[:, 0] = np.round(spectral[:, 0] * 4) / 4
    voiced = np.repeat(random.random(m // 4 + 1) > 0.4, 4)[:m]
    f0 = (30 + random.normal(size=m).cumsum() * voiced).astype(np.float32) * voiced
    pitch = random.normal(size=(m, 28)).astype(np.float32) * 10
    pitch[:, :23] *= voiced[:, None]
    pitch[:, 23:] *= ~voiced[:, None]
    return spectral, f0, pitch


@pytest.mark.parametrize("seed", range(30))
def test_equals_the_naive_twin(seed):
    table = rows(seed, 40 + 13 * seed, 36 + 13 * seed)
    assert run(*table) == pytest.approx(naive.functionals(*table), rel=1e-5, abs=1e-5)


@given(
    npst.arrays(np.float32, st.integers(0, 60), elements=st.integers(-8, 8).map(np.float32)),
)
@settings(max_examples=300, deadline=None)
def test_slopes_of_any_curve_equal_the_naive_twin(x):
    out, peaks = slopes(x)
    expected, expected_peaks = naive.slopes(x)
    assert peaks == expected_peaks
    assert out == pytest.approx(expected, rel=1e-5, abs=1e-6)


@given(st.lists(st.booleans(), max_size=60))
@settings(max_examples=300, deadline=None)
def test_segments_of_any_voicing_equal_the_naive_twin(hits):
    count, mean, deviation = segments(hits)
    lengths = naive.segment_lengths(hits)
    assert count == len(lengths)
    assert mean == pytest.approx(np.mean(lengths) * 0.01 if lengths else 0.0, abs=1e-6)
    assert deviation == pytest.approx(np.std(lengths) * 0.01 if lengths else 0.0, abs=1e-6)


@given(
    npst.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(3)), elements=st.floats(-99, 99, width=32))
)
@settings(max_examples=100, deadline=None)
def test_sums_in_pieces_are_the_sums_at_once(rows):
    at_once, in_pieces = kernels.new_sums(3), kernels.new_sums(3)
    kernels.add_rows(rows, True, at_once)
    for piece in np.array_split(rows, 4):
        kernels.add_rows(piece, True, in_pieces)
    assert np.array_equal(at_once, in_pieces)
    assert (at_once[0] == np.count_nonzero(rows, axis=0)).all()
    assert at_once[0] * at_once[1] + at_once[2] == pytest.approx(rows.sum(axis=0, dtype=float), abs=1e-9)


def test_a_constant_has_no_deviation_however_large():
    spectral = np.full((1000, 7), 12345.678)
    named = dict(zip(FUNCTIONAL_NAMES, run(spectral, np.zeros(0), np.zeros((0, 28))), strict=True))
    assert named["mfcc1_sma3_amean"] == np.float32(12345.678)
    assert named["mfcc1_sma3_stddevNorm"] == 0


def test_a_triangle_rises_and_falls_at_its_slope():
    triangle = np.interp(np.arange(401), [0, 100, 200, 300, 400], [0, 10, 0, 10, 0])
    (rising, rising_deviation, falling, _), peaks = slopes(triangle)
    assert peaks == 2
    assert rising == pytest.approx(10.0)
    assert rising_deviation == pytest.approx(0.0, abs=1e-5)
    assert falling == pytest.approx(0.0, abs=1e-5)  # 10 once, -10 at the end: the reference's sign
    (_, _, falling, deviation), _ = slopes(triangle, corrected=True)
    assert (falling, deviation) == pytest.approx((10.0, 0.0), abs=1e-4)


def test_a_straight_line_has_no_extrema():
    (rising, _, falling, _), peaks = slopes(np.linspace(0, 5, 101))
    assert (peaks, falling) == (0, 0)
    assert rising == pytest.approx(5 / 101)
    assert slopes(np.linspace(0, 5, 101), corrected=True)[0][0] == pytest.approx(5.0)
    assert slopes(np.linspace(5, 0, 101), corrected=True)[0][2] == pytest.approx(5.0)
    assert slopes(np.linspace(5, 0, 101))[0][2] == pytest.approx(-5 / 101)


def test_corrected_f0_slopes_run_over_true_time():
    """A pitch that rises by 12 semitones a second, a third of it unvoiced."""
    f0 = 20.0 + 0.12 * np.arange(150)
    f0[50:100] = 0
    rising = FUNCTIONAL_NAMES.index("F0semitoneFrom27.5Hz_sma3nz_meanRisingSlope")
    nothing = np.zeros((150, 7)), f0, np.zeros((150, 28))
    assert run(*nothing, corrected=True)[rising] == pytest.approx(12.0, rel=1e-5)
    # The reference: the rise over the voiced rows alone, per row.
    assert run(*nothing)[rising] == pytest.approx(0.12 * 149 / 100, rel=1e-5)


def test_ripples_below_a_tenth_of_the_range_are_no_peaks():
    curve = np.sin(np.linspace(0, 6 * np.pi, 601))
    assert slopes(curve)[1] == 3
    ripple = 0.02 * np.sin(np.linspace(0, 200 * np.pi, 601))
    assert slopes(curve + ripple)[1] == 3


def test_segments_are_recorded_one_frame_short():
    hits = [0] * 5 + [1] * 10 + [0] * 5
    assert segments(hits) == pytest.approx((1, 0.09, 0.0))
    assert segments(hits, corrected=True) == pytest.approx((1, 0.10, 0.0))
    assert segments(hits, voiced=False) == pytest.approx((2, 0.04, 0.0))


@pytest.mark.parametrize(
    ("hits", "count"),
    [
        ([1, 1, 0, 0, 1, 1], 0),
        ([1, 1, 0, 1], 1),
        ([1, 1, 1, 0, 0, 1, 1, 1], 2),
        ([1, 1, 1, 0, 1, 1, 1], 1),
        ([], 0),
    ],
)
def test_segments_bridge_one_frame_and_need_three(hits, count):
    assert segments(hits)[0] == count


def test_nothing_at_all_is_all_zero_but_the_level():
    out = run(np.zeros((0, 7)), np.zeros(0), np.zeros((0, 28)))
    assert out[-1] == pytest.approx(-120.0)
    assert not out[:-1].any()


def test_percentiles_and_level_of_a_ramp():
    spectral = np.zeros((101, 7))
    spectral[:, 0] = np.arange(101)
    spectral[:, 6] = 0.5
    named = dict(zip(FUNCTIONAL_NAMES, run(spectral, np.zeros(97), np.zeros((97, 28))), strict=True))
    assert named["loudness_sma3_amean"] == 50
    assert named["loudness_sma3_percentile20.0"] == 20
    assert named["loudness_sma3_pctlrange0-2"] == 60
    assert named["equivalentSoundLevel_dBp"] == pytest.approx(10 * np.log10(0.5))
    assert named["VoicedSegmentsPerSec"] == 0
    assert named["MeanUnvoicedSegmentLength"] == pytest.approx(0.96)


anything = st.floats(-(2.0**99), 2.0**99, width=32)


@given(
    npst.arrays(np.float32, st.tuples(st.integers(0, 30), st.just(7)), elements=anything),
    npst.arrays(np.float32, st.tuples(st.integers(0, 30), st.just(29)), elements=anything),
    st.booleans(),
)
@example(np.full((5, 7), 1e30, np.float32), np.full((5, 29), -1e30, np.float32), False)
@settings(max_examples=200, deadline=None)
def test_finite_rows_never_give_anything_but_finite_values(spectral, pitch, corrected):
    spectral[:, 6] = np.abs(spectral[:, 6])
    assert np.isfinite(run(spectral, pitch[:, 0].copy(), pitch[:, 1:].copy(), corrected)).all()
