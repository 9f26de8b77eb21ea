"""Where the time goes on this machine with its own devices."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np
from rich.table import Table

from edge_emotion.cli.run import stdout
from edge_emotion.types import Reading
from firmware_bridge import machine
from firmware_bridge.daemon import Daemon
from firmware_bridge.engine import open_pipeline
from firmware_bridge.faults import Faults, State
from firmware_bridge.settings import Settings


class _Ages:
    """An output that keeps how old the newest input of each reading was when the reading was ready."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.faults: dict[str, str] = {}

    def reading(self, reading: Reading, body: bytes) -> None:
        self.ms.append((time.monotonic_ns() - reading.time_ns + reading.age_ns) / 1e6)

    def history(self, body: bytes, now_ns: int) -> None: ...
    def message(self, kind: str, body: bytes, *, retained: bool) -> None: ...
    def state(self, state: State, reasons: int) -> None: ...

    def poll(self, faults: Faults) -> None:
        self.faults = faults.held()

    def close(self) -> None: ...


def measure(settings: Settings, seconds: float) -> None:
    """Run on the devices for ``seconds`` and print p50, p95, p99 of each stage, processor time and memory."""
    spans: defaultdict[str, list[float]] = defaultdict(list)
    ages = _Ages()

    def on_span(name: str, start_ns: int, end_ns: int) -> None:
        spans[name].append((end_ns - start_ns) / 1e6)

    daemon = Daemon(settings, open_one=partial(open_pipeline, timings=on_span), outputs=[ages])
    began: list[float] = []

    def begin() -> None:
        spans.clear()
        ages.ms.clear()
        began[:] = [time.monotonic(), machine.cpu_seconds()]

    warm = threading.Timer(3.0, begin)
    stop = threading.Timer(3.0 + seconds, daemon.stop)
    warm.start()
    stop.start()
    daemon.run()
    warm.cancel()
    stop.cancel()
    table = Table("stage", "n", "p50 ms", "p95 ms", "p99 ms", "share of a core")
    span_s = time.monotonic() - began[0] if began else float("nan")
    for name, values in spans.items():
        table.add_row(name, str(len(values)), *_percentiles(values), f"{sum(values) / 10 / span_s:.1f} %")
    table.add_row("age of the newest input", str(len(ages.ms)), *_percentiles(ages.ms), "")
    stdout.print(table)
    cpu = (machine.cpu_seconds() - began[1]) / span_s if began else float("nan")
    stdout.print(f"processor {cpu:.1%} of one core, memory {machine.resident_mb():.0f} MiB, {span_s:.0f} s")
    for code, detail in ages.faults.items():
        stdout.print(f"{code}: {detail}", markup=False)


def _percentiles(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in np.percentile(values, (50, 95, 99))] if values else ["—"] * 3
