"""Rates, ages, queues and the machine's own figures, for the health message and the metrics."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from firmware_bridge import machine
from firmware_bridge.engine import Engine
from firmware_bridge.history import History
from firmware_bridge.inbox import Inbox
from firmware_bridge.mqtt import Connection


class Timings:
    """Seconds and calls of each stage of the pipeline, summed since the start (an ``OnSpan``)."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)

    def __call__(self, name: str, start_ns: int, end_ns: int) -> None:
        """Add one span."""
        self.seconds[name] += (end_ns - start_ns) / 1e9
        self.calls[name] += 1


class Vitals:
    """Collects the figures from where they arise."""

    def __init__(
        self,
        inbox: Inbox,
        engine: Engine,
        connection: Connection | None,
        history: History | None,
        timings: Timings,
    ) -> None:
        self._inbox = inbox
        self._engine = engine
        self._connection = connection
        self._history = history
        self._timings = timings
        self._start_s = time.monotonic()
        self._last_s = self._start_s
        self._last_cpu_s = machine.cpu_seconds()
        self._last_counts = self._counts()

    def _counts(self) -> dict[str, int]:
        return {"readings": self._engine.polls, **self._inbox.received}

    def _dropped(self) -> dict[str, int]:
        return {
            **self._inbox.dropped,
            **(self._connection.counts.dropped if self._connection else {}),
            "history": self._history.dropped if self._history else 0,
        }

    def _ages_ms(self) -> dict[str, float | None]:
        now_ns = time.monotonic_ns()
        return {
            name: None if newest is None else round((now_ns - newest) / 1e6, 1)
            for name, newest in self._inbox.newest_ns.items()
        }

    def health(self) -> dict[str, Any]:
        """The health message's facts; rates and processor time count from the call before."""
        now_s, cpu_s, counts = time.monotonic(), machine.cpu_seconds(), self._counts()
        span_s = max(now_s - self._last_s, 1e-3)
        rates = {name: round((count - self._last_counts[name]) / span_s, 2) for name, count in counts.items()}
        cpu_percent = round(100 * (cpu_s - self._last_cpu_s) / span_s, 1)
        self._last_s, self._last_cpu_s, self._last_counts = now_s, cpu_s, counts
        spool = self._history.spool if self._history else None
        broker = self._connection.counts if self._connection else None
        return {
            "uptime_s": round(now_s - self._start_s, 1),
            "rate_hz": rates,
            "age_ms": self._ages_ms(),
            "dropped": self._dropped(),
            "cpu_percent": cpu_percent,
            "rss_mb": round(machine.resident_mb(), 1),
            "temperature_c": machine.temperature_c(),
            "throttled": machine.throttled(),
            "spool": {
                "rows": spool.rows if spool else 0,
                "bytes": spool.bytes if spool else 0,
                "dropped": self._history.dropped if self._history else 0,
            },
            "broker": {
                "connects": broker.connects if broker else 0,
                "failures": broker.failures if broker else 0,
                "refused": broker.refused if broker else 0,
                "unacknowledged": self._history.waiting if self._history else 0,
            },
        }

    def metrics(self) -> dict[str, Any]:
        """The same and more, flat, for Prometheus."""
        ages = {name: None if age is None else age / 1000 for name, age in self._ages_ms().items()}
        return {
            "uptime_seconds": time.monotonic() - self._start_s,
            "items_total": self._counts(),
            "dropped_total": self._dropped(),
            "age_seconds": ages,
            "queue_depth": {
                **self._inbox.depth(),
                "history": self._history.waiting if self._history else 0,
            },
            "stage_seconds_total": dict(self._timings.seconds),
            "stage_calls_total": dict(self._timings.calls),
            "inference_seconds_total": self._engine.busy_s,
            "cpu_seconds_total": machine.cpu_seconds(),
            "resident_bytes": machine.resident_mb() * 2**20,
            "temperature_celsius": machine.temperature_c() or float("nan"),
            "connected": float(self._connection.connected) if self._connection else 0.0,
        }
