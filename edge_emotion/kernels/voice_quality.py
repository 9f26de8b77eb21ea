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
    similarity: Vector64,
    rows: Matrix32,
) -> None:
    """Jitter (ratio) and shimmer (dB) of frames with known fundamentals into the two columns of ``rows``.

    ``samples[0]`` is the sample number ``first_sample`` of the stream. ``similarity`` has room for ``plan.frame``.
    """
    for t in range(rows.shape[0]):
        start = (first_frame + t) * plan.hop
        period = plan.rate_hz / float(hertz[t]) if hertz[t] > 0.0 else 0.0
        wanted = plan.step + state.place[1]
        if period > 0.0:
            wanted = max(wanted, 2 * _longest(period) + 2)
        limit = state.place[1] + plan.frame
        if start - state.place[1] != state.place[0]:
            state.place[0] = start
            limit = plan.frame
        wanted = min(wanted, limit)
        if period > 0.0:
            begin = state.place[0] - first_sample
            _match(samples[begin : begin + wanted], period, plan, state, similarity)
        else:
            state.place[0] += wanted
            state.place[1] = 0
            state.last[0] = state.last[1] = state.last[2] = 0.0
        rows[t, 0] = state.last[1]
        rows[t, 1] = 20.0 * math.log10(1.0 + float(state.last[2]))


@part
def _match(
    samples: Vector32,
    period: float,
    plan: PeriodPlan,
    state: Periods,
    similarity: Vector64,
) -> None:
    """Walk through ``samples`` period by period."""
    shortest, longest = _shortest(period), _longest(period)
    whole = int(period + 0.5)
    due = plan.step + state.place[1]
    s = walked = 0
    periods = changes = 0
    period_sum = change_sum = np.float32(0.0)
    amplitude_sum = amplitude_change = np.float32(0.0)
    while s < len(samples) - 2 * longest - 1:
        _compare(samples[s : s + 2 * longest], shortest, longest, similarity)
        best = _best(similarity, longest - shortest + 1)
        if best < 0:
            s += whole
        else:
            q = shortest + best
            before, peak, after = similarity[best - 1], similarity[best], similarity[best + 1]
            offset = 0.5 * (before - after) / (before - 2.0 * peak + after)
            if peak - 0.25 * (before - after) * offset > _ACCEPTED:
                length = np.float32((q + offset) / plan.rate_hz)
                period_sum += length
                periods += 1
                if state.last[0] > 0.0:
                    change_sum += abs(length - state.last[0])
                    changes += 1
                state.last[0] = length
                first, second = _swing(samples[s : s + q]), _swing(samples[s + q : s + 2 * q])
                amplitude_sum += np.float32(0.5) * (first + second)
                amplitude_change += abs(second - first)
            s += q
        if s < due - 1:
            walked = s
    if periods > 0:
        state.last[1] = state.last[2] = 0.0
        if changes > 0:
            state.last[1] = min(float((change_sum / changes) / (period_sum / periods)), 1.0)
        if amplitude_sum > 0.0:
            state.last[2] = min(float(amplitude_change / amplitude_sum), 1.0)
    state.place[0] += walked
    state.place[1] = due - walked


@part
def _shortest(period: float) -> int:
    return int((1.0 - _SPREAD) * period)


@part
def _longest(period: float) -> int:
    return math.ceil((1.0 + _SPREAD) * period)


@part
def _compare(x: Vector32, shortest: int, longest: int, similarity: Vector64) -> None:
    """Normalised cross-correlation, means removed, of x[:q] and x[q:2q] for each q from ``shortest`` to ``longest``.

    Products are summed for all q side by side, four samples at a time; the other sums move on from one q to the next.
    """
    lags = longest - shortest + 1
    for j in range(lags):
        similarity[j] = 0.0
    for i in range(0, shortest - 3, 4):
        x0, x1, x2, x3 = float(x[i]), float(x[i + 1]), float(x[i + 2]), float(x[i + 3])
        y = x[i + shortest : i + longest + 4]
        for j in range(lags):
            similarity[j] += (x0 * y[j] + x1 * y[j + 1]) + (x2 * y[j + 2] + x3 * y[j + 3])
    for i in range(shortest // 4 * 4, longest):
        first = max(i + 1 - shortest, 0)
        x0 = float(x[i])
        y = x[i + shortest + first : i + longest + 1]
        others = similarity[first:lags]
        for j in range(len(others)):
            others[j] += x0 * y[j]
    sum_x = sum_y = sum_xx = sum_yy = 0.0
    for i in range(shortest):
        a, b = float(x[i]), float(x[shortest + i])
        sum_x += a
        sum_y += b
        sum_xx += a * a
        sum_yy += b * b
    for q in range(shortest, longest + 1):
        power = (sum_xx - sum_x * sum_x / q) * (sum_yy - sum_y * sum_y / q)
        product = similarity[q - shortest] - sum_x * sum_y / q
        similarity[q - shortest] = product / math.sqrt(power) if power > 0.0 else 0.0
        if q < longest:
            a, b, c = float(x[q]), float(x[2 * q]), float(x[2 * q + 1])
            sum_x += a
            sum_xx += a * a
            sum_y += (b + c) - a
            sum_yy += (b * b + c * c) - a * a


@part
def _best(similarity: Vector64, lags: int) -> int:
    """Index of the highest inner peak, the first of equals, -1 without any; the last lag but one is left out."""
    best = -1
    for i in range(1, lags - 2):
        if (
            similarity[i] > similarity[i - 1]
            and similarity[i] > similarity[i + 1]
            and (best < 0 or similarity[i] > similarity[best])
        ):
            best = i
    return best


@part
def _swing(period: Vector32) -> np.float32:
    """Largest less smallest sample of a period, its first and last left out."""
    low = high = period[1]
    for i in range(1, len(period) - 1):
        value = period[i]
        low = value if value < low else low
        high = value if value > high else high
    return high - low
