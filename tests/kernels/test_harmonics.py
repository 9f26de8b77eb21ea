"""Harmonics against the plain form and spectra made by hand."""

from __future__ import annotations

import naive_lld as naive
import numpy as np
import pytest

from edge_emotion.kernels import harmonics as kernels

pytestmark = pytest.mark.kernels

BIN_HZ = 16000 / 1024


def describe(magnitude, correlation, hertz, formants, corrected=False):
    rows = np.empty((1, kernels.COLUMNS), np.float32)
    kernels.describe(
        np.float32(magnitude)[None],
        np.float32(correlation)[None],
        np.float32([hertz]),
        np.float32(formants)[None],
        BIN_HZ,
        corrected,
        np.zeros((kernels.HARMONICS, 3)),
        rows,
    )
    return rows[0]


def comb(levels_db, spacing=10):
    """Peaks at every ``spacing``-th bin."""
    magnitude = np.full(513, 1e-3)
    for h, db in enumerate(levels_db, start=1):
        magnitude[h * spacing] = 10 ** (db / 20)
    return magnitude


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_those_of_the_plain_form(seed):
    random = np.random.default_rng(seed)
    magnitude = np.float32(random.exponential(size=513))
    correlation = np.float32(np.sort(random.exponential(size=513))[::-1] * random.uniform(0.5, 1, 513))
    correlation[0] = correlation.max() + 1
    hertz = np.float32(random.uniform(55, 900))
    formants = np.float32(np.sort(random.uniform(50, 5000, 3)))
    if seed % 5 == 0:
        formants[2] = 0
    expected = naive.harmonics(magnitude, np.float64(correlation), float(hertz), np.float64(formants), BIN_HZ)
    assert describe(magnitude, correlation, hertz, formants) == pytest.approx(expected, rel=1e-4, abs=1e-4)


FLAT = np.r_[1.0, np.zeros(512)]
F0 = 10 * BIN_HZ


def test_levels_of_a_comb():
    row = describe(comb([0, -6, -10, -20, -12]), FLAT, F0, [2 * F0, 4 * F0, 5 * F0])
    # The reference counts partials from the second on; near 5 F0 its neighbours are stronger and in range.
    assert row[1] == pytest.approx(-6 + 10, abs=1e-3)
    assert row[3] == pytest.approx(-6, abs=1e-3)
    assert row[5] == pytest.approx(-12, abs=1e-3)
    assert row[2] == pytest.approx(-6 + 12, abs=1e-3)


def test_corrected_levels_count_from_the_fundamental():
    levels = comb([0, -6, -10, -20, -12])
    row = describe(levels, FLAT, F0, [F0, 4 * F0, 5 * F0], corrected=True)
    assert row[1] == pytest.approx(6, abs=1e-3)
    assert row[2] == pytest.approx(12, abs=1e-3)
    assert row[3] == pytest.approx(0, abs=1e-3)
    assert describe(levels, FLAT, 0.0, [F0, 0, 0], corrected=True).tolist() == [0] * 6
    assert describe(comb([0]), FLAT, F0, [F0, 0, 0], corrected=True)[1:3].tolist() == [0, 0]


def test_corrected_takes_the_fundamental_for_the_strongest_at_a_formant():
    levels = comb([0, -6, -10])
    assert describe(levels, FLAT, F0, [F0, 2 * F0, F0], corrected=True)[2] == pytest.approx(0, abs=1e-3)
    # The reference finds none there: the second partial less -201 dB.
    assert describe(levels, FLAT, F0, [F0, 2 * F0, F0])[2] == pytest.approx(-6 + 201, abs=1e-3)


def test_corrected_h1_a3_is_0_where_nothing_is_near_f3():
    levels = comb([0, -6, -10])
    assert describe(levels, FLAT, F0, [F0, 2 * F0, 10 * F0], corrected=True)[2] == 0
    assert describe(levels, FLAT, F0, [F0, 2 * F0, 10 * F0])[2] == pytest.approx(-6 + 201, abs=1e-3)


def test_hnr_of_a_known_correlation():
    correlation = np.zeros(513)
    correlation[0], correlation[102] = 1.0, 10 / 11
    assert describe(comb([0]), correlation, 16000 / 100.5, [0, 0, 0])[0] == pytest.approx(10.0, abs=1e-3)


def test_unvoiced_and_silent_frames():
    assert describe(comb([0]), FLAT, 0.0, [500, 1500, 2500]).tolist() == [0, 0, 0, -201, -201, -201]
    silent = describe(np.zeros(513), np.zeros(513), 100.0, [500, 1500, 2500])
    assert np.isfinite(silent).all()
