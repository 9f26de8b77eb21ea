"""The table of 25 descriptors and the 88 functionals of a recording: truths, edges, modes, the chunking law."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.signal import lfilter

from edge_emotion.errors import UsageError
from edge_emotion.features.functionals import (
    Recording,
    TableRecording,
    compute_descriptors,
    compute_functionals,
)
from edge_emotion.features.lld import samples_in
from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES
from edge_emotion.features.rows import Rows
from edge_emotion.features.window import DescriptorWindow

RATE = 16_000
MODES = ("compat", "corrected")


def harmonics(hertz, seconds=1.0, rate=RATE):
    t = np.arange(round(seconds * rate)) / rate
    return (0.2 * sum(np.sin(2 * np.pi * k * hertz * t) / k for k in range(1, 13))).astype(np.float32)


def bursts():
    """Voice of three lengths between silences."""
    silence = np.zeros(4800, np.float32)
    pieces = [harmonics(150, seconds) for seconds in (0.5, 0.3, 0.7)]
    return np.concatenate([silence, *itertools.chain.from_iterable((piece, silence) for piece in pieces)])


def functionals(samples, mode="compat", rate=RATE):
    values = compute_functionals(samples, rate, mode)
    return None if values is None else dict(zip(FUNCTIONAL_NAMES, values.tolist(), strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_a_harmonic_tone_of_220_hz_is_36_semitones_without_jitter(mode):
    named = functionals(harmonics(220), mode)
    assert named["F0semitoneFrom27.5Hz_sma3nz_amean"] == pytest.approx(36, abs=0.05)
    assert named["F0semitoneFrom27.5Hz_sma3nz_stddevNorm"] == pytest.approx(0, abs=1e-3)
    assert named["jitterLocal_sma3nz_amean"] < 1e-3
    assert named["MeanUnvoicedSegmentLength"] == 0
    power = np.mean(harmonics(220).astype(float) ** 2)
    assert named["equivalentSoundLevel_dBp"] == pytest.approx(10 * np.log10(power), abs=0.02)


@pytest.mark.parametrize("mode", MODES)
def test_three_bursts_are_three_voiced_segments(mode):
    named = functionals(bursts(), mode)
    frames = (len(bursts()) - 960) // 160 + 1
    assert named["VoicedSegmentsPerSec"] == pytest.approx(3 / (frames * 0.01), rel=0.02)
    assert named["MeanVoicedSegmentLengthSec"] == pytest.approx(0.5, abs=0.05)
    assert named["loudnessPeaksPerSec"] > 0


def test_twice_as_loud_is_6_db_more_and_the_same_pitch():
    soft, loud = functionals(0.25 * bursts()), functionals(0.5 * bursts())
    level = "equivalentSoundLevel_dBp"
    assert loud[level] - soft[level] == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert loud["loudness_sma3_amean"] == pytest.approx(2**0.66 * soft["loudness_sma3_amean"], rel=1e-2)
    for name in (
        "F0semitoneFrom27.5Hz_sma3nz_amean",
        "MeanVoicedSegmentLengthSec",
        "alphaRatioV_sma3nz_amean",
    ):
        assert loud[name] == pytest.approx(soft[name], rel=1e-3)


def test_corrected_leaves_the_mark_of_missing_amplitudes_out():
    named = functionals(bursts(), "corrected")
    assert -80 < named["F1amplitudeLogRelF0_sma3nz_amean"] < 20
    assert functionals(bursts())["F1amplitudeLogRelF0_sma3nz_amean"] < -80


def test_corrected_counts_slopes_by_their_size():
    named = functionals(bursts(), "corrected")
    slopes = [name for name in FUNCTIONAL_NAMES if "Slope" in name]
    assert len(slopes) == 8
    assert all(named[name] >= 0 for name in slopes)


@pytest.mark.parametrize(
    ("mode", "decibel"), [("corrected", 20 * np.log10(2)), ("compat", 20 * np.log10(1.5))]
)
def test_h1_h2_of_partials_that_fall_as_1_over_k(mode, decibel):
    """Corrected is the first less the second, compat the second less the third."""
    assert functionals(harmonics(220), mode)["logRelF0-H1-H2_sma3nz_amean"] == pytest.approx(decibel, abs=0.2)


def test_corrected_finds_the_formants_of_a_vowel():
    pulses = np.zeros(RATE)
    pulses[:: RATE // 125] = 1.0
    for hertz, width in ((600, 80), (1500, 100), (2500, 120), (3500, 150), (4500, 200)):
        radius = np.exp(-np.pi * width / RATE)
        pulses = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], pulses)
    sound = (0.3 * pulses / np.abs(pulses).max()).astype(np.float32)
    for mode, near in (("corrected", True), ("compat", False)):
        named = functionals(sound, mode)
        found = np.array([named[f"F{k}frequency_sma3nz_amean"] for k in (1, 2, 3)])
        assert (np.abs(found - [600, 1500, 2500]).max() < 60) == near, found


def test_corrected_keeps_the_voice_at_the_very_end():
    named = {mode: compute_descriptors(harmonics(220), RATE, mode) for mode in MODES}
    last = LLD_NAMES.index("logRelF0-H1-H2_sma3nz")
    assert named["corrected"].values[-1, last] != 0
    assert len(named["compat"].values) == len(named["corrected"].values) + 1
    # A second that is voiced throughout has 95 frames; the reference loses those decided at the end, and one more.
    lengths = [functionals(harmonics(220), mode)["MeanVoicedSegmentLengthSec"] for mode in MODES]
    assert lengths[1] == pytest.approx(0.95)
    assert 0.55 < lengths[0] < 0.94


@pytest.mark.parametrize(("mode", "rows"), [("compat", 96), ("corrected", 95)])
def test_rows_and_times_of_the_table(mode, rows):
    table = compute_descriptors(harmonics(150), RATE, mode)
    assert table.values.shape == (rows, 25)
    assert table.names == LLD_NAMES
    assert table.start_s == pytest.approx(np.arange(rows) * 0.01)
    assert table.end_s[:-1] == pytest.approx(np.arange(rows - 1) * 0.01 + 0.02)
    assert table.end_s[-1] == 1.0


def test_times_follow_the_true_hop_of_odd_rates():
    table = compute_descriptors(harmonics(150, rate=11_025), 11_025)
    assert table.start_s[10] == pytest.approx(10 * 110 / 11_025)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [0, 1, 159, 160, 320, 943, 959])
def test_below_60_ms_is_too_short_and_says_so(mode, count):
    assert compute_functionals(harmonics(150)[:count], RATE, mode) is None
    assert compute_descriptors(harmonics(150)[:count], RATE, mode).too_short


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [960, 961, 1119, 1120, 1280])
def test_from_60_ms_on_every_value_is_finite(mode, count):
    assert np.isfinite(compute_functionals(harmonics(150)[:count], RATE, mode)).all()
    table = compute_descriptors(harmonics(150)[:count], RATE, mode)
    assert not table.too_short
    assert np.isfinite(table.values).all()


random = np.random.default_rng(3)
SOUNDS = {
    "silence": np.zeros(RATE),
    "dc": np.full(RATE, 0.5),
    "nan": np.full(RATE, np.nan),
    "some nan": np.where(np.arange(RATE) % 1000 == 0, np.nan, harmonics(150)),
    "infinite": np.full(RATE, -np.inf),
    "clipped": np.clip(20 * harmonics(150), -1, 1),
    "click": np.eye(1, RATE, 8000)[0],
    "noise": random.normal(size=RATE),
    "4 Hz": np.sin(2 * np.pi * 4 * np.arange(RATE) / RATE),
    "subnormal": np.full(RATE, 1e-42),
    "loudest": np.full(RATE, 3e38) * np.sign(random.normal(size=RATE)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SOUNDS)
def test_odd_sounds_give_finite_values(name, mode):
    sound = SOUNDS[name].astype(np.float32)
    values = functionals(sound, mode)
    assert np.isfinite(list(values.values())).all()
    assert np.isfinite(compute_descriptors(sound, RATE, mode).values).all()
    if name in ("silence", "nan", "infinite", "dc", "subnormal"):
        assert values["VoicedSegmentsPerSec"] == 0
        assert values["F0semitoneFrom27.5Hz_sma3nz_amean"] == 0
    if name in ("silence", "nan", "infinite", "subnormal"):
        assert values["equivalentSoundLevel_dBp"] == pytest.approx(-120)


@given(
    npst.arrays(
        np.float32, st.integers(0, 3000), elements=st.floats(width=32), fill=st.floats(-1, 1, width=32)
    ),
    st.sampled_from([8_000, 11_025, 16_000, 44_100]),
    st.sampled_from(MODES),
)
@example(np.full(960, np.float32(3.4e38)), RATE, "compat")
@settings(max_examples=150, deadline=None)
def test_any_input_never_gives_nan(samples, rate, mode):
    values = compute_functionals(samples, rate, mode)
    assert (values is None) == (len(samples) < samples_in(60, rate))
    assert values is None or np.isfinite(values).all()
    assert np.isfinite(compute_descriptors(samples, rate, mode).values).all()


@given(st.lists(st.integers(0, 9000), max_size=8), st.sampled_from(MODES))
@settings(max_examples=20, deadline=None)
def test_any_split_is_one_push_and_reset_then_replay_the_same(cuts, mode):
    sound = bursts()
    recording, table = Recording(RATE, mode), TableRecording(RATE, mode)
    for described in (recording, table):
        described.push(sound[:7777])
        described.reset()
    bounds = np.clip(np.cumsum([0, *cuts, len(sound)]), 0, len(sound))
    for begin, end in itertools.pairwise(bounds):
        recording.push(sound[begin:end])
        table.push(sound[begin:end])
    assert np.array_equal(recording.finish(), compute_functionals(sound, RATE, mode))
    found, expected = table.finish(), compute_descriptors(sound, RATE, mode)
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.end_s, expected.end_s)


def test_the_recording_in_hand_says_how_much_is_voiced():
    recording = Recording(RATE)
    assert recording.voiced is None
    recording.push(bursts())
    assert 0.3 < recording.voiced < 0.7


def test_a_long_recording_keeps_only_pitch_and_loudness():
    recording = Recording(RATE)
    for _ in range(20):
        recording.push(bursts())
    seconds = 20 * len(bursts()) / RATE
    kept = [rows._block.nbytes for rows in (recording._loudness, recording._f0)]
    assert sum(kept) <= 4 * 2 * 4 * 100 * seconds
    held = [rows._block.nbytes for rows in vars(recording._stream).values() if isinstance(rows, Rows)]
    assert sum(held) < 2_000_000


STEPS = np.round(bursts() * 32_767).astype(np.int16)
LAYOUTS = {
    "int16, big endian": STEPS.astype(">i2"),
    "float32": STEPS / np.float32(32_767),
    "float64": (STEPS / np.float32(32_767)).astype(np.float64),
    "two channels": np.stack([STEPS, STEPS], axis=1),
    "two channels, column by column": np.stack([STEPS, STEPS]).T,
    "one channel": STEPS[:, None],
    "strided": np.repeat(STEPS, 3)[::3],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_samples_that_mean_the_same_give_the_same(layout):
    sound = LAYOUTS[layout]
    sound.setflags(write=False)
    expected = compute_functionals(STEPS, RATE)
    assert np.array_equal(compute_functionals(sound, RATE), expected)
    recording, table = Recording(RATE), TableRecording(RATE)
    windows = [DescriptorWindow(RATE, (1.0,), 1.0, restart=restart) for restart in (False, True)]
    for block in np.array_split(sound, 7):
        recording.push(block)
        table.push(block)
    assert np.array_equal(recording.finish(), expected)
    assert np.array_equal(table.finish().values, compute_descriptors(STEPS, RATE).values)
    for window in windows:
        found = window.push(sound)
        window.reset()
        assert len(found) == 2
        for a, b in zip(found, window.push(STEPS), strict=True):
            assert np.array_equal(a.values, b.values)


def test_a_channel_can_be_chosen():
    both = np.stack([np.zeros_like(STEPS), STEPS], axis=1)
    assert np.array_equal(compute_functionals(both, RATE, channel=1), compute_functionals(STEPS, RATE))
    values = compute_descriptors(both, RATE, channel=1).values
    assert np.array_equal(values, compute_descriptors(both[:, 1], RATE).values)
    with pytest.raises(UsageError, match="no channel 2"):
        compute_functionals(both, RATE, channel=2)


@pytest.mark.parametrize("rate", [16_000.0, np.float32(16_000), np.int64(16_000)])
def test_a_rate_may_be_any_whole_number(rate):
    expected = compute_functionals(STEPS, RATE)
    assert np.array_equal(compute_functionals(STEPS, rate), expected)
    table = compute_descriptors(STEPS, rate)
    assert np.array_equal(table.values, compute_descriptors(STEPS, RATE).values)
    window = DescriptorWindow(rate, (1.0,), 1.0)
    assert isinstance(window.sample_rate_hz, int)
    assert len(window.push(STEPS)) == 2


@pytest.mark.parametrize("rate", [16_000.5, np.nan, np.inf, "16000", None, True])
def test_another_rate_is_refused_with_the_remedy(rate):
    for describe in (compute_functionals, compute_descriptors):
        with pytest.raises(UsageError, match="resample to a whole number from 8000 to 96000 Hz"):
            describe(STEPS, rate)
    with pytest.raises(UsageError, match="resample"):
        DescriptorWindow(rate)


def test_refusals():
    with pytest.raises(UsageError, match="resample"):
        compute_functionals(np.zeros(4000, np.float32), 4000)
    with pytest.raises(UsageError, match="mode"):
        compute_functionals(np.zeros(4000, np.float32), RATE, "fast")
    with pytest.raises(UsageError, match="int16"):
        compute_functionals(np.zeros(4000, np.int64), RATE)
    with pytest.raises(UsageError, match="type"):
        compute_functionals(None, RATE)
