"""Jitter and shimmer by matching neighbouring periods of the waveform.

Section 5 of the descriptor specification.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge_emotion.kernels._jit import Indices, Matrix32, Vector32, Vector64, kernel, part

_SPREAD = 0.1
_ACCEPTED = 0.5


class Periods(NamedTuple):
    """What the matching remembers between frames."""

    place: Indices
    """Absolute sample where reading goes on; samples of the last frame that it left unread."""
    last: Vector32
    """Length of the last accepted period (s), jitter and shimmer of the last frame with one."""


def new_periods() -> Periods:
    """A matcher that has seen nothing."""
    return Periods(place=np.zeros(2, np.int64), last=np.zeros(3, np.float32))


class PeriodPlan(NamedTuple):
    """Lengths in samples for one rate."""

    rate_hz: float
    hop: int
    step: int
    frame: int


@kernel
def vary(
    samples: Vector32,
    first_sample: int,
    first_frame: int,
    hertz: Vector32,
    plan: PeriodPlan,
    state: Periods,
    rows: Matrix32,
) -> None:
    """Jitter (ratio) and shimmer (dB) of frames with known fundamentals into the two columns of ``rows``.

    ``samples[0]`` is the sample number ``first_sample`` of the stream.
    """
    correlation = np.empty(int(plan.frame) + 2)
    for t in range(rows.shape[0]):
        start = (first_frame + t) * plan.hop
        period = plan.rate_hz / float(hertz[t]) if hertz[t] > 0.0 else 0.0
        longest = int(math.ceil((1.0 + _SPREAD) * period))
        wanted = plan.step + state.place[1]
        if period > 0.0:
            wanted = max(wanted, 2 * longest + 2)
        limit = state.place[1] + plan.frame
        if start - state.place[1] != state.place[0]:
            state.place[0] = start
            limit = plan.frame
        wanted = min(wanted, limit)
        if period <= 0.0:
            state.place[0] += wanted
            state.place[1] = 0
            state.last[:] = 0.0
        else:
            begin = state.place[0] - first_sample
            _match(samples[begin : begin + wanted], period, plan, state, correlation)
        rows[t, 0] = state.last[1]
        rows[t, 1] = 20.0 * math.log10(1.0 + float(state.last[2]))


@part
def _match(samples, period, plan, state, correlation):  # type: ignore[no-untyped-def]
    """Walk through ``samples`` period by period."""
    shortest = int(math.floor((1.0 - _SPREAD) * period))
    longest = int(math.ceil((1.0 + _SPREAD) * period))
    whole = int(math.floor(period + 0.5))
    due = plan.step + state.place[1]
    s = 0
    walked = 0
    periods = changes = 0
    period_sum = change_sum = np.float32(0.0)
    amplitude_sum = amplitude_change = np.float32(0.0)
    while s < len(samples) - 2 * longest - 1:
        best = _best_lag(samples, s, shortest, longest, correlation)
        if best < 0:
            s += whole
        else:
            q = shortest + best
            before, peak, after = correlation[best - 1], correlation[best], correlation[best + 1]
            offset = 0.5 * (before - after) / (before - 2.0 * peak + after)
            top = peak - 0.25 * (before - after) * offset
            if top > _ACCEPTED:
                length = np.float32((q + offset) / plan.rate_hz)
                period_sum += length
                periods += 1
                if state.last[0] > 0.0:
                    change_sum += abs(length - state.last[0])
                    changes += 1
                state.last[0] = length
                first, second = _swing(samples, s, q), _swing(samples, s + q, q)
                amplitude_sum += np.float32(0.5) * (first + second)
                amplitude_change += abs(second - first)
            s += q
        if s < due - 1:
            walked = s
    if periods > 0:
        jitter = 0.0
        if changes > 0 and period_sum > 0.0:
            jitter = (change_sum / changes) / (period_sum / periods)
        state.last[1] = min(jitter, 1.0)
        shimmer = 0.0
        if amplitude_sum > 0.0:
            shimmer = amplitude_change / amplitude_sum
        state.last[2] = min(shimmer, 1.0)
    state.place[0] += walked
    state.place[1] = due - walked


@part
def _best_lag(samples, s, shortest, longest, correlation):  # type: ignore[no-untyped-def]
    """Index of the best interior peak of the normalised cross-correlation over lags, -1 where there is none."""
    lags = longest - shortest + 1
    for i in range(lags):
        correlation[i] = _similarity(samples, s, shortest + i)
    best = -1
    for i in range(1, lags - 2):
        if (
            correlation[i] > correlation[i - 1]
            and correlation[i] > correlation[i + 1]
            and (best < 0 or correlation[i] > correlation[best])
        ):
            best = i
    return best


@part
def _similarity(samples, s, q):  # type: ignore[no-untyped-def]
    sum_x = sum_y = sum_xx = sum_yy = sum_xy = 0.0
    for i in range(q):
        x, y = float(samples[s + i]), float(samples[s + q + i])
        sum_x += x
        sum_y += y
        sum_xx += x * x
        sum_yy += y * y
        sum_xy += x * y
    power = (sum_xx - sum_x * sum_x / q) * (sum_yy - sum_y * sum_y / q)
    if power <= 0.0:
        return 0.0
    return (sum_xy - sum_x * sum_y / q) / math.sqrt(power)


@part
def _swing(samples, s, q):  # type: ignore[no-untyped-def]
    """Largest less smallest sample of a period, its first and last left out."""
    low = high = samples[s + 1]
    for i in range(s + 2, s + q - 1):
        low = min(low, samples[i])
        high = max(high, samples[i])
    return high - low
