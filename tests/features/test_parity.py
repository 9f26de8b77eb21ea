"""Agreement with the reference program: kept figures everywhere, the program itself where it is installed."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from benchmarks import parity
from edge_emotion.features.functionals import compute_functionals
from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES

DEGENERATE = {
    # Constant pitch: its slopes, of the order of 1e-2 semitones a second, are what rounding leaves.
    "am": "F0semitoneFrom27.5Hz_sma3nz_(mean|stddev)(Rising|Falling)Slope",
    "harmonic_220": "F0semitoneFrom27.5Hz_sma3nz_(mean|stddev)(Rising|Falling)Slope",
}


@pytest.fixture(scope="module")
def golden():
    return {one.name: one for one in parity.golden()}


def shares(compared, names, wanted, tolerance):
    """Least share of a name within ``tolerance`` among those of a kind."""
    columns = [parity.kind(name) == wanted for name in names]
    functionals = names is FUNCTIONAL_NAMES
    values = [one.functionals[None] if functionals else one.lld for one in compared]
    return (np.concatenate(values)[:, columns] <= tolerance).mean(axis=0).min()


def test_the_names_are_the_references():
    with (parity.GOLDEN / "functionals.csv").open() as file:
        assert tuple(next(csv.reader(file))[1:]) == FUNCTIONAL_NAMES
    with (parity.GOLDEN / "am_lld.csv").open() as file:
        assert tuple(next(csv.reader(file))[1:]) == LLD_NAMES


def test_the_kinds_count_66_2_and_20():
    kinds = [parity.kind(name) for name in FUNCTIONAL_NAMES]
    assert [kinds.count(kind) for kind in ("plain", "hnr", "formant")] == [66, 2, 20]


def test_a_difference_is_measured_against_the_reference_or_a_tenth():
    assert parity.distance(np.float32([1.01, 0.02]), np.array([1.0, 0.0])) == pytest.approx(
        [0.01, 0.2], rel=1e-4
    )


@pytest.mark.parametrize("name", [path.stem for path in sorted(parity.GOLDEN.glob("*.wav"))])
def test_golden_signal(golden, name):
    import re

    one = golden[name]
    spared = re.compile(DEGENERATE.get(name, "(?!)"))
    for column, distance in zip(FUNCTIONAL_NAMES, one.functionals, strict=True):
        if parity.kind(column) != "formant" and not spared.fullmatch(column):
            assert distance <= parity.TOLERANCE, column
    for column, distances in zip(LLD_NAMES, one.lld.T, strict=True):
        if parity.kind(column) != "formant":
            assert distances.max() <= parity.TOLERANCE, column


def test_formants_of_the_golden_signals(golden):
    compared = list(golden.values())
    assert shares(compared, FUNCTIONAL_NAMES, "formant", 0.02) >= 0.9
    assert shares(compared, LLD_NAMES, "formant", 0.02) >= 0.95


def test_every_figure_is_of_a_known_length():
    signal = parity.Signal("x", np.zeros(3200, np.int16), 16_000)
    with pytest.raises(ValueError, match="the reference has"):
        parity.compare(signal, np.zeros(88), np.zeros((3, 25)))
    assert compute_functionals(signal.samples, 16_000) is not None


@pytest.fixture(scope="module")
def python():
    python = parity.wheel()
    if python is None:
        pytest.skip("the opensmile wheel is neither importable nor in .peers/opensmile")
    return python


@pytest.fixture(scope="module")
def speech():
    if not parity.SPEECH.is_dir():
        pytest.skip("no speech in ../shared/data/speech")
    return list(parity.utterances(each_speaker=3))


@pytest.mark.peer
@pytest.mark.slow
def test_real_speech_of_every_speaker(python, speech):
    assert len(speech) >= 100
    compared = list(parity.against_wheel(speech, python))
    assert shares(compared, FUNCTIONAL_NAMES, "plain", 1e-3) >= 0.99
    assert shares(compared, FUNCTIONAL_NAMES, "hnr", 1e-3) >= 0.97
    assert shares(compared, FUNCTIONAL_NAMES, "formant", 0.02) >= 0.85
    assert shares(compared, LLD_NAMES, "plain", 1e-3) >= 0.99


@pytest.mark.peer
@pytest.mark.slow
def test_other_rates(python, speech):
    compared = list(parity.against_wheel(parity.resampled(speech[0]), python))
    assert shares(compared, FUNCTIONAL_NAMES, "plain", 1e-3) >= 0.9
    assert shares(compared, FUNCTIONAL_NAMES, "formant", 0.05) >= 0.8


@pytest.mark.peer
@pytest.mark.slow
def test_cuts_from_60_ms_on(python, speech):
    compared = [one for signal in speech[::25] for one in parity.against_wheel(parity.cuts(signal), python)]
    assert shares(compared, FUNCTIONAL_NAMES, "plain", 1e-3) >= 0.98
