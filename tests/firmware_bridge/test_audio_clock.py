import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.audio_clock import AudioClock, FlatLine


def simulate(ppm, jitter_ms, seconds, rate=48_000, seed=1):
    """A device whose crystal is off by ``ppm``, read every 20 ms with late wake-ups; returns errors in ms over time."""
    clock, random, errors = AudioClock(rate), np.random.default_rng(seed), []
    true_period = 1e9 / rate * (1 + ppm * 1e-6)
    for block in range(1, int(seconds * 50)):
        now = 10**12 + block * 960 * true_period
        clock.update(block * 960, int(now + random.exponential(jitter_ms) * 1e6))
        errors.append((clock.time_ns(block * 960) - now) / 1e6)
    return clock, np.array(errors)


@pytest.mark.parametrize("ppm", [-200, 0, 150])
def test_drift_is_followed_and_jitter_is_not(ppm):
    clock, errors = simulate(ppm, jitter_ms=2, seconds=300)
    settled = errors[50 * 60 :]
    assert abs(settled.mean() - 2) < 0.5  # the mean lateness of the reads remains
    assert settled.std() < 0.6  # of 2 ms of jitter
    assert clock.drift_ppm == pytest.approx(ppm, abs=30)
    assert clock.jumps == 0


def test_an_hour_without_correction_would_be_far_off():
    _, errors = simulate(100, jitter_ms=1, seconds=1200)
    assert abs(errors[-1]) < 5  # 100 ppm of 20 min are 120 ms


def test_lost_samples_begin_anew():
    clock = AudioClock(16_000)
    for block in range(100):
        assert not clock.update(block * 320, block * 20_000_000)
    assert clock.update(100 * 320, 100 * 20_000_000 + 400_000_000)
    assert clock.jumps == 1
    assert clock.time_ns(100 * 320) == 2_400_000_000


def test_time_needs_an_observation():
    with pytest.raises(ValueError, match="observation"):
        AudioClock(16_000).time_ns(0)


def flat(pieces, rate=100):
    line = FlatLine(rate)
    for piece in pieces:
        line.push(np.array(piece, np.int16))
    return line.seconds, line.value


@given(st.lists(st.integers(-2, 2), max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_flat_line_is_the_same_for_any_split(samples, cuts):
    cuts = sorted(min(cut, len(samples)) for cut in cuts)
    pieces = [samples[a:b] for a, b in zip([0, *cuts], [*cuts, len(samples)], strict=True)]
    assert flat(pieces) == flat([samples])


def test_flat_line_measures_the_run_at_the_end():
    assert flat([[1, 2, 3, 0, 0, 0, 0, 0]]) == (0.05, 0)
    assert flat([[7] * 200]) == (2.0, 7)
    assert flat([[0] * 100, [1]]) == (0.01, 1)
