"""Numbers the readings, says who speaks and when, and hands each message to every output when it is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

from edge_emotion import __version__
from edge_emotion.reading_json import Clock, Origin, encode, reading_message
from edge_emotion.types import QualityFlag, Reading
from firmware_bridge import payload
from firmware_bridge.faults import Faults
from firmware_bridge.outputs import Output
from firmware_bridge.settings import Settings

_ORDER = get_args(QualityFlag)


class Reporter:
    """What leaves the daemon, beside history's way to the broker.

    Parameters
    ----------
    previous_run
        How the run before this one ended, for the status; None where that was in order.
    """

    def __init__(
        self,
        settings: Settings,
        boot: str,
        outputs: Sequence[Output],
        faults: Faults,
        previous_run: dict[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.origin = Origin(settings.device, boot, "", None)
        self.clock: Clock = "unsynced"
        self.seq = 0
        self.newest_age_ms: float | None = None
        self._outputs = outputs
        self._faults = faults
        self._previous_run = previous_run
        self._lock = threading.Lock()
        self._summary = payload.SummaryWindow()
        self._summary_due_s = 0.0
        self._health_due_s = 0.0
        self._history_due_ns = 0
        self._told: tuple[int, str] | None = None

    def reading(self, reading: Reading, now_ns: int) -> None:
        """Number a reading and send it, with those of further faces; called in the thread of the inference."""
        self.seq += 1
        seq = self.seq
        # wall time enters here only: a step of the wall clock moves `ts` and nothing else
        ts = payload.timestamp(time.time_ns() - (now_ns - reading.time_ns))
        for each in (*reading.others, reading):
            flags = [*each.quality, "clock_unsynced"] if self.clock == "unsynced" else each.quality
            numbered = replace(each, seq=seq, quality=tuple(sorted(flags, key=_ORDER.index)), others=())
            body = encode(reading_message(numbered, self.origin, ts=ts, clock=self.clock))
            for output in self._outputs:
                output.reading(numbered, body)
        with self._lock:
            self._summary.push(reading)
        self.newest_age_ms = reading.age_ns / 1e6 if reading.valid else None
        if self._history_is_due(reading.time_ns):
            for output in self._outputs:
                output.history(body, now_ns)

    def _history_is_due(self, time_ns: int) -> bool:
        rate_hz = self.settings.history.rate_hz
        if rate_hz <= 0:
            return False
        if rate_hz >= self.settings.rate_hz:
            return True
        period_ns = round(1e9 / rate_hz)
        if time_ns < self._history_due_ns - period_ns // 20:
            return False
        self._history_due_ns = max(self._history_due_ns + period_ns, time_ns + period_ns // 2)
        return True

    def status(self) -> None:
        """Tell the state, if it is another than told before."""
        held, state = self._faults.held(), self._faults.state
        now = (self._faults.version, state + self.origin.model_id + self.clock)
        if now == self._told:
            return
        self._told = now
        message = payload.status(
            self.origin, state, held, __version__, time.time_ns(), self.clock, self._previous_run
        )
        for output in self._outputs:
            output.message("status", encode(message), retained=True)
            output.state(state, len(held))

    def summary(self) -> None:
        """Tell the means, if that is due."""
        now_s = time.monotonic()
        if now_s < self._summary_due_s:
            return
        first = self._summary_due_s == 0.0
        self._summary_due_s = now_s + 1 / self.settings.summary_hz
        if first:
            return
        with self._lock:
            message = self._summary.take(self.origin, time.monotonic_ns(), time.time_ns())
        for output in self._outputs:
            output.message("summary", encode(message), retained=True)

    def health(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Tell how machine and daemon are doing, if that is due."""
        now_s = time.monotonic()
        if now_s < self._health_due_s:
            return
        self._health_due_s = now_s + self.settings.health_s
        head = {
            "schema": "edge_emotion.health/1",
            "device": self.origin.device,
            "boot": self.origin.boot,
            "ts": payload.timestamp(time.time_ns()),
        }
        for output in self._outputs:
            output.message("health", encode(head | facts()), retained=False)
