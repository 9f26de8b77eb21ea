"""``edge-emotion profile``: where the time goes on this machine while a clip is analysed."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path

import typer

from edge_emotion.cli.options import AS_PACKED, BUNDLE, CLIP, DURATION, PROVIDER, RATE_HZ, START
from edge_emotion.cli.program import app
from edge_emotion.cli.run import stdout
from edge_emotion.config import Provider

NESTED = frozenset({"detect"})
"""Spans that lie within another one."""


@app.command()
def profile(
    clip: Path = CLIP,
    trace: Path | None = typer.Option(
        None, help="Write all spans here, for chrome://tracing or Perfetto (.json)."
    ),
    bundle: Path | None = BUNDLE,
    rate_hz: float | None = RATE_HZ,
    start: float = START,
    duration: float | None = DURATION,
    provider: Provider = PROVIDER,
    as_packed: bool = AS_PACKED,
) -> None:
    """Show how long each stage takes over CLIP, after one warm-up run over its first seconds."""
    from edge_emotion.capture.file import open_clip
    from edge_emotion.cli.analyze import execution_here, writable
    from edge_emotion.model.bundle import open_bundle
    from edge_emotion.pipeline import EmotionPipeline, replay
    from edge_emotion.pipeline.spans import Spans

    if trace is not None:
        writable(trace)
    models = open_bundle(bundle)
    spans: list[tuple[str, int, int]] = []
    pipeline = EmotionPipeline(
        models,
        rate_hz=rate_hz,
        execution=execution_here(models, provider, as_packed),
        spans=Spans(lambda *span: spans.append(span), time.perf_counter_ns),
    )
    rate = models.manifest.acoustic.sample_rate_hz
    with open_clip(clip, start, min(duration or 4.0, 4.0), rate) as source:
        for _ in replay(pipeline, source):  # compiles, loads, allocates
            pass
    spans.clear()
    pipeline.reset()
    with open_clip(clip, start, duration, rate) as source:
        began_ns, busy_ns = time.perf_counter_ns(), time.process_time_ns()
        last_ns = first_ns = None
        for reading in replay(pipeline, source):
            first_ns = reading.time_ns if first_ns is None else first_ns
            last_ns = reading.time_ns
        whole_ns, busy_ns = time.perf_counter_ns() - began_ns, time.process_time_ns() - busy_ns
    media_ns = (last_ns - first_ns) if first_ns is not None and last_ns is not None else 0
    _report(spans, whole_ns)
    if media_ns:
        stdout.print(
            f"{media_ns / 1e9:.1f} s of clip took {whole_ns / 1e9:.2f} s and {busy_ns / 1e9:.2f} s of processor time: "
            f"{busy_ns / media_ns:.0%} of one core"
        )
    if trace is not None:
        trace.write_text(json.dumps(chrome_trace(spans, began_ns)), encoding="utf-8")
        stdout.print(f"written: {trace}")


def _report(spans: list[tuple[str, int, int]], whole_ns: int) -> None:
    import numpy as np
    from rich.table import Column, Table

    durations: dict[str, list[int]] = defaultdict(list)
    for name, start_ns, end_ns in spans:
        durations[name].append(end_ns - start_ns)
    heads = ("count", "p50 ms", "p95 ms", "p99 ms", "total ms", "share")
    table = Table(Column("stage", no_wrap=True), *heads, box=None, padding=(0, 1))
    for name, values in sorted(durations.items(), key=lambda item: -sum(item[1])):
        p50, p95, p99 = np.percentile(values, (50, 95, 99)) / 1e6
        total = sum(values)
        title = f"- {name}, in faces" if name in NESTED else name
        table.add_row(
            title,
            f"{len(values)}",
            *(f"{p:.3f}" for p in (p50, p95, p99)),
            f"{total / 1e6:.1f}",
            f"{total / whole_ns:.1%}",
        )
    staged = sum(sum(values) for name, values in durations.items() if name not in NESTED)
    rest = whole_ns - staged
    table.add_row("decoding, the rest", "", "", "", "", f"{rest / 1e6:.1f}", f"{rest / whole_ns:.1%}")
    stdout.print(table)


def chrome_trace(spans: list[tuple[str, int, int]], origin_ns: int) -> dict[str, object]:
    """Spans as Chrome's trace event format: complete events, microseconds."""
    events = [
        {
            "name": name,
            "ph": "X",
            "ts": (start_ns - origin_ns) / 1e3,
            "dur": (end_ns - start_ns) / 1e3,
            "pid": 1,
            "tid": 1,
        }
        for name, start_ns, end_ns in spans
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}
