"""The live window: chunking law, equality with the rows at once, bounded memory, declared look-ahead."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_emotion.errors import UsageError
from edge_emotion.features.functionals import ROW_S, compute_functionals
from edge_emotion.features.lld import LowLevelStream
from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES
from edge_emotion.features.window import LOOK_AHEAD_S, DescriptorWindow
from edge_emotion.kernels import descriptor_rows as rows
from edge_emotion.kernels.functionals import add_rows, functionals, new_scratch, new_sums

RATE = 16_000


def speech_like(seconds, seed=0, rate=RATE):
    """Pulse trains of moving pitch between breaths of noise and silence."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    phase = np.cumsum(150 + 40 * np.sin(2 * np.pi * 0.7 * t)) / rate
    voice = np.exp(-30 * (phase % 1.0)) * (np.sin(2 * np.pi * 1.3 * t) > -0.3)
    return (0.3 * voice * (1 + 0.5 * np.sin(7 * t)) + 0.003 * random.normal(size=len(t))).astype(np.float32)


SOUND = speech_like(4.0)
WINDOWS = (0.5, 1.5)


@pytest.fixture(scope="module")
def at_once():
    return DescriptorWindow(RATE, WINDOWS, 0.1).push(SOUND)


def same(results, expected):
    return len(results) == len(expected) and all(
        np.array_equal(a.values, b.values)
        and (a.end_s, a.fill, a.voiced, a.waited_s) == (b.end_s, b.fill, b.voiced, b.waited_s)
        for a, b in zip(results, expected, strict=True)
    )


@given(st.lists(st.integers(0, 20_000), max_size=12))
@settings(max_examples=25, deadline=None)
def test_any_split_is_one_push_and_reset_then_replay_the_same(at_once, cuts):
    window = DescriptorWindow(RATE, WINDOWS, 0.1)
    window.push(SOUND[:12_345])
    window.reset()
    bounds = np.unique(np.clip(np.cumsum([0, *cuts, len(SOUND)]), 0, len(SOUND)))
    results = [r for a, b in itertools.pairwise(bounds) for r in window.push(SOUND[a:b])]
    assert same(results, at_once)


def test_results_come_each_hop_from_the_first_60_ms_on(at_once):
    assert [r.end_s for r in at_once] == pytest.approx(np.arange(1, 41) * 0.1)
    assert at_once[2].fill == pytest.approx((0.6, 0.2))
    first = DescriptorWindow(RATE, (1.0,), 0.04).push(SOUND[:RATE])[0]
    assert first.end_s == pytest.approx(0.08)
    assert DescriptorWindow(RATE).compute() is None


def test_a_hop_that_is_no_whole_number_of_samples_does_not_drift():
    ends = [r.end_s for r in DescriptorWindow(11_025, (0.5,), 0.0333).push(speech_like(3.0, rate=11_025))]
    assert np.abs(np.array(ends) - np.arange(2, len(ends) + 2) * 0.0333).max() <= 0.5 / 11_025


@pytest.mark.parametrize("mode", ["compat", "corrected"])
def test_the_stream_equals_the_rows_at_once_bit_for_bit(mode):
    """The same rows, smoothed from all frames of the whole sound, give the bits that the sliding buffers gave."""
    results = DescriptorWindow(RATE, WINDOWS, 0.3, mode=mode).push(SOUND)
    assert len(results) == 13
    for result in results:
        samples = SOUND[: round(result.end_s * RATE)]
        stream = LowLevelStream(RATE, mode=mode)
        stream.push(samples)
        short, long = stream.short, stream.long
        spectral = np.empty((len(short) - 1, 7), np.float32)
        f0 = np.empty(len(long) - 1, np.float32)
        pitch = np.empty((len(long) - 1, 28), np.float32)
        rows.spectral_rows(short, 0, spectral)
        rows.pitch_rows(short, long, 0, len(long) - 1, len(long) - 1, f0, pitch)
        for i, length in enumerate(WINDOWS):
            first = max(int(np.ceil(round((result.end_s - length) * 100, 6))), 0)
            out = np.empty(88, np.float32)
            sums = new_sums(7), new_sums(28)
            add_rows(spectral[first:], False, sums[0])
            add_rows(pitch[first:], True, sums[1])
            loudness, scratch = spectral[first:, 0].copy(), new_scratch(len(spectral))
            functionals(loudness, f0[first:], *sums, mode == "corrected", scratch, out)
            assert np.array_equal(out, result.values[i])
            voiced = f0[first:]
            assert result.voiced[i] == (np.mean(voiced != 0) if len(voiced) else None)


def test_one_length_twice_is_computed_once_and_given_twice():
    (result,) = DescriptorWindow(RATE, (1.0, 1.0), 2.0).push(SOUND[: 2 * RATE])
    assert np.array_equal(result.values[0], result.values[1])


def test_restarted_windows_are_recordings_of_their_own():
    window = DescriptorWindow(RATE, WINDOWS, 1.0, restart=True)
    results = window.push(SOUND[:20_000]) + window.push(SOUND[20_000:])
    assert len(results) == 4
    for result in results:
        end = round(result.end_s * RATE)
        for i, length in enumerate(WINDOWS):
            alone = compute_functionals(SOUND[max(end - round(length * RATE), 0) : end], RATE)
            assert np.array_equal(alone, result.values[i])
        assert result.waited_s == 0.0


def test_look_ahead_is_declared_and_kept():
    assert set(LOOK_AHEAD_S) == set(LLD_NAMES)
    least, most = LOOK_AHEAD_S["F0semitoneFrom27.5Hz_sma3nz"]
    waits = [r.waited_s for r in DescriptorWindow(RATE, (1.0,), 0.01).push(SOUND)]
    assert min(waits[50:]) >= least
    assert max(waits[50:]) <= most + 0.01 + 1e-9  # a row may be up to one hop old
    assert LOOK_AHEAD_S["Loudness_sma3"] == (0.01, 0.01)


def test_a_row_never_changes_after_its_look_ahead():
    """Other sound after the declared look-ahead leaves the rows before it as they were."""
    least = LOOK_AHEAD_S["Loudness_sma3"][1]
    cut = 2.0
    other = SOUND.copy()
    other[round(cut * RATE) :] = 0.1
    tables = []
    for sound in (SOUND, other):
        stream = LowLevelStream(RATE)
        stream.push(sound)
        spectral = np.empty((len(stream.short), 7), np.float32)
        rows.spectral_rows(stream.short, 0, spectral)
        tables.append(spectral)
    certain = int((cut - least - ROW_S) / 0.01 + 1e-9) + 1
    assert np.array_equal(tables[0][:certain], tables[1][:certain])
    assert not np.array_equal(tables[0][certain], tables[1][certain])


def test_memory_does_not_grow():
    window = DescriptorWindow(RATE, (0.5,), 0.2)
    window.push(speech_like(10.0))
    buffers = [window._source._spectral, window._source._f0, window._source._pitch, window._stream._samples]
    sizes = [b._block.nbytes for b in buffers]
    for seed in range(6):
        window.push(speech_like(10.0, seed))
    assert [b._block.nbytes for b in buffers] == sizes
    assert sum(sizes) < 1_000_000


def test_ten_minutes_add_nothing_to_the_process():
    program = (
        "import numpy as np\n"
        "from edge_emotion.features.window import DescriptorWindow\n"
        "noise = np.random.default_rng(0).normal(0, 0.05, 16_000).astype(np.float32)\n"
        "window = DescriptorWindow(16_000, (3.0,), 1.0)\n"
        "def pages(): return int(open('/proc/self/statm').read().split()[1])\n"
        "for _ in range(30): assert len(window.push(noise)) == 1\n"
        "before = pages()\n"
        "for _ in range(600): window.push(noise)\n"
        "print((pages() - before) * 4)"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("the memory of a process is read from /proc")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # kB


@pytest.mark.parametrize("name", ["silence", "nan", "infinite", "full scale", "subnormal", "click", "noise"])
@pytest.mark.parametrize("mode", ["compat", "corrected"])
def test_every_value_is_finite_for_any_sound(name, mode):
    random = np.random.default_rng(1)
    sound = {
        "silence": np.zeros(RATE),
        "nan": np.full(RATE, np.nan),
        "infinite": np.full(RATE, np.inf) * np.sign(random.normal(size=RATE)),
        "full scale": np.sign(np.sin(np.arange(RATE) / 20)),
        "subnormal": np.full(RATE, 1e-40),
        "click": np.eye(1, RATE, 8000)[0],
        "noise": random.normal(size=RATE),
    }[name].astype(np.float32)
    window = DescriptorWindow(RATE, (0.06, 0.4), 0.1, mode=mode)
    results = window.push(sound)
    assert len(results) == 10
    assert all(np.isfinite(r.values).all() for r in results)
    assert window.faults == (RATE if name in ("nan", "infinite") else 0)


def test_refusals_name_the_remedy():
    with pytest.raises(UsageError, match=r"at least 0\.06 s"):
        DescriptorWindow(RATE, (0.05,))
    for length in (float("nan"), float("inf")):
        with pytest.raises(UsageError, match="an end"):
            DescriptorWindow(RATE, (length,))
    for hop in (0.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="hop"):
            DescriptorWindow(RATE, (1.0,), hop)
    with pytest.raises(UsageError, match="resample"):
        DescriptorWindow(4000)


def test_names_fit():
    (result,) = DescriptorWindow(RATE, (1.0,), 1.0).push(SOUND[:RATE])
    assert result.values.shape == (1, len(FUNCTIONAL_NAMES))
