"""The low-level stream: chunking law, known sounds, awkward sounds, all rates, bounded memory, the reference itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_emotion.errors import UsageError
from edge_emotion.features.lld import LONG, MOST_WAITED, SHORT, LowLevelStream, samples_in
from edge_emotion.kernels._jit import compilations

RATE = 16_000
F0, JITTER, SHIMMER, HNR = range(4)


def run(samples, rate=RATE, mode="compat", blocks=None):
    stream = LowLevelStream(rate, mode=mode)
    for block in blocks or [samples]:
        stream.push(block)
    stream.finish()
    return stream


def tone(f0, seconds=0.5, harmonics=20, rate=RATE):
    t = np.arange(round(seconds * rate)) / rate
    count = min(harmonics, int(0.45 * rate / f0))
    return np.float32(0.3 * sum(np.cos(2 * np.pi * h * f0 * t) / h for h in range(1, count + 1)))


def talk(seconds=1.5, rate=RATE, seed=0):
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    phase = np.cumsum(160 + 50 * np.sin(2 * np.pi * 1.1 * t)) / rate
    voice = np.exp(-25 * (phase % 1.0)) * (np.sin(2 * np.pi * 2.3 * t) > -0.4)
    return np.float32(0.4 * voice + 0.004 * random.normal(size=len(t)))


SOUND = talk()


@pytest.fixture(scope="module")
def at_once():
    return run(SOUND)


@given(st.lists(st.integers(0, 9000), max_size=14))
@settings(max_examples=30, deadline=None)
def test_any_split_is_one_push_and_reset_then_replay_the_same(at_once, cuts):
    bounds = np.unique(np.clip(np.cumsum([0, *cuts, len(SOUND)]), 0, len(SOUND)))
    stream = LowLevelStream(RATE)
    stream.push(SOUND[777:9000])
    stream.reset()
    for a, b in itertools.pairwise(bounds):
        stream.push(SOUND[a:b])
    stream.finish()
    assert np.array_equal(stream.short, at_once.short)
    assert np.array_equal(stream.long, at_once.long)
    assert stream.released == at_once.released


@pytest.mark.parametrize("f0", [80.0, 110.0, 220.0, 440.0])
def test_a_harmonic_complex_has_its_pitch_and_no_jitter(f0):
    rows = run(tone(f0)).long[5:-5]
    assert rows[:, F0] == pytest.approx(12 * np.log2(f0 / 27.5), abs=0.35)
    # Peaks fall between samples: their heights, and so shimmer, differ a little.
    assert np.median(rows[:, JITTER]) < 1e-3
    assert np.median(rows[:, SHIMMER]) < 1.0
    # The window's own decay over a period counts as noise.
    assert rows[:, HNR].min() > 2


def test_the_220_hz_complex_is_36_semitones_up():
    assert np.median(run(tone(220.0)).long[:, F0]) == pytest.approx(36.0, abs=0.1)


def test_mean_square_is_that_of_the_samples():
    level = run(np.full(RATE, 0.5, np.float32)).short[:, SHORT.index("mean_square")]
    assert level == pytest.approx(0.25)


@pytest.mark.parametrize("mode", ["compat", "corrected"])
@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000])
def test_every_rate_finds_the_same_pitch(rate, mode):
    stream = run(tone(150.0, rate=rate), rate, mode)
    n = round(0.5 * rate)
    hop = samples_in(10, rate)
    assert len(stream.short) == (n - samples_in(20, rate)) // hop + 1
    assert len(stream.long) == (n - samples_in(60, rate)) // hop + 1
    assert np.median(stream.long[:, F0]) == pytest.approx(12 * np.log2(150 / 27.5), abs=0.35)
    assert np.isfinite(stream.short).all()
    assert np.isfinite(stream.long).all()


NOISE = np.random.default_rng(0)
AWKWARD = {
    "nothing": np.zeros(0),
    "one sample": np.ones(1),
    "silence": np.zeros(8000),
    "constant": np.full(8000, 0.7),
    "not a number": np.full(8000, np.nan),
    "infinite": np.full(8000, -np.inf),
    "now and then not a number": np.where(np.arange(8000) % 97 == 0, np.nan, 0.3 * NOISE.normal(size=8000)),
    "huge": 1e30 * NOISE.normal(size=8000),
    "subnormal": 1e-41 * NOISE.normal(size=8000),
    "click": np.eye(1, 8000, 4000)[0],
    "white noise": 0.3 * NOISE.normal(size=8000),
    "square": np.sign(np.sin(np.arange(8000) / 17)),
    "4 Hz": np.sin(2 * np.pi * 4 * np.arange(8000) / RATE),
    "highest": np.cos(np.pi * np.arange(8000)),
    "1 kHz": np.sin(2 * np.pi * 1000 * np.arange(8000) / RATE),
    "59 ms": talk()[:944],
    "60 ms": talk()[:960],
    "70 ms": talk()[:1120],
}


@pytest.mark.parametrize("mode", ["compat", "corrected"])
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_sound_has_defined_rows(name, mode):
    sound = np.float32(AWKWARD[name])
    stream = run(sound, mode=mode)
    assert len(stream.short) == max((len(sound) - 320) // 160 + 1, 0)
    assert len(stream.long) == max((len(sound) - 960) // 160 + 1, 0)
    assert np.isfinite(stream.short).all()
    assert np.isfinite(stream.long).all()
    assert stream.faults == np.count_nonzero(~np.isfinite(sound))


def test_the_pitch_search_waits_no_longer_than_declared():
    stream = LowLevelStream(RATE)
    both = tone(200.0, 3.0) + tone(310.0, 3.0)
    for block in np.array_split(both, 100):
        stream.push(block)
        assert 0 <= stream.frames - stream.released <= MOST_WAITED


def test_memory_is_bounded_where_the_consumer_drops_rows():
    stream = LowLevelStream(RATE)
    block = SOUND[:6400]
    sizes = []
    for i in range(300):
        stream.push(block)
        stream.drop_before(stream.first_row + len(stream.long))
        sizes.append(sum(rows._block.nbytes for rows in stream._buffers))
        assert stream.first_row == stream.released, i
    assert sizes[-1] == sizes[60]


def test_dropped_rows_change_none_that_follow(at_once):
    stream = LowLevelStream(RATE)
    kept = []
    for block in np.array_split(SOUND, 37):
        stream.push(block)
        kept.append(stream.long.copy())
        stream.drop_before(stream.released)
    stream.finish()
    assert np.array_equal(np.concatenate([*kept, stream.long]), at_once.long)


def test_unfit_requests_name_the_remedy():
    with pytest.raises(UsageError, match=r"7999 Hz.*8000 to 96000"):
        LowLevelStream(7999)
    with pytest.raises(UsageError, match="'compat' or 'corrected'"):
        LowLevelStream(16_000, mode="both")


def test_corrected_rows_have_zero_for_what_is_missing():
    stream = run(SOUND, mode="corrected")
    amplitudes = stream.long[:, LONG.index("F1amplitude") :]
    unvoiced = stream.long[:, F0] == 0
    assert unvoiced.any()
    assert not amplitudes[unvoiced].any()
    assert (run(SOUND).long[unvoiced, LONG.index("F1amplitude")] == -201).all()


def test_nothing_compiles_after_the_first_reading():
    run(SOUND)
    before = compilations()
    for rate in (8000, 44_100):
        run(talk(rate=rate), rate, blocks=np.array_split(talk(rate=rate), 9))
        run(talk(rate=rate), rate, "corrected")
    assert compilations() == before
