"""From a count of samples to monotonic time, and the tests that a microphone is alive."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

JUMP_S = 0.25


class AudioClock:
    """Time of samples: a count, slowly corrected against the monotonic clock by a second-order loop.

    Reading times jitter by milliseconds and a sound card's crystal is off by up to some 100 ppm; the loop passes the
    drift and stops the jitter. A disagreement above `JUMP_S` (samples were lost, the machine slept) begins anew.

    Parameters
    ----------
    rate_hz
        Nominal rate of the samples.
    bandwidth_hz
        Of the loop once it has settled; during the first seconds it is wider.

    Notes
    -----
    Source: F. Adriaensen, "Using a DLL to filter time", 2005.
    """

    def __init__(self, rate_hz: float, bandwidth_hz: float = 0.05) -> None:
        self._rate_hz = rate_hz
        self._bandwidth_hz = bandwidth_hz
        self.jumps = 0
        self.reset()

    def reset(self) -> None:
        """As just constructed, but for the count of jumps."""
        self._count = 0
        self._time_ns = 0.0
        self._origin_ns: int | None = None
        self._period_ns = 1e9 / self._rate_hz
        self._age_s = 0.0

    @property
    def drift_ppm(self) -> float:
        """How much longer than nominal the device's sample period is, in millionths."""
        return (self._period_ns * self._rate_hz / 1e9 - 1) * 1e6

    def update(self, count: int, now_ns: int) -> bool:
        """Observe that the device had produced ``count`` samples in all at ``now_ns``; returns whether time jumped."""
        if self._origin_ns is None:
            self._origin_ns, self._count, self._time_ns = now_ns, count, 0.0
            return False
        samples = count - self._count
        if samples <= 0:
            return False
        predicted_ns = self._time_ns + samples * self._period_ns
        error_ns = now_ns - self._origin_ns - predicted_ns
        if abs(error_ns) > JUMP_S * 1e9:
            self.jumps += 1
            self.reset()
            self._origin_ns, self._count = now_ns, count
            return True
        span_s = samples / self._rate_hz
        self._age_s += span_s
        # wide at first, so that the first reading's jitter is forgotten within seconds
        bandwidth_hz = max(self._bandwidth_hz, min(0.5, 0.5 / max(self._age_s, 1e-3)))
        omega = min(2 * math.pi * bandwidth_hz * span_s, 0.5)
        self._time_ns = predicted_ns + math.sqrt(2) * omega * error_ns
        self._period_ns += omega * omega * error_ns / samples
        self._count = count
        return False

    def time_ns(self, count: float) -> int:
        """Monotonic time at which sample number ``count`` began; needs one `update` before."""
        if self._origin_ns is None:
            raise ValueError("no observation yet")
        return self._origin_ns + round(self._time_ns + (count - self._count) * self._period_ns)


class FlatLine:
    """How long a signal has not changed at all. Rooms are never silent to the last bit: this is a dead microphone."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._value: int | None = None
        self._run = 0

    def push(self, samples: NDArray[np.int16]) -> None:
        """Take the next samples; any split gives the same."""
        if not len(samples):
            return
        last = int(samples[-1])
        same = samples == last
        tail = len(samples) if same.all() else int(np.argmin(same[::-1]))
        self._run = self._run + tail if tail == len(samples) and last == self._value else tail
        self._value = last

    @property
    def seconds(self) -> float:
        """Length of the run of equal samples that the signal ends with."""
        return self._run / self._rate_hz

    @property
    def value(self) -> int | None:
        """The value of that run; 0 is digital silence."""
        return self._value
