"""Threads, spinning, precision and backend: of the face encoder, of the whole tick, and which setting is chosen."""

from __future__ import annotations

import gc
import os
import time

import numpy as np

from benchmarks import material
from benchmarks.harness import Call, Options, Result, Samples
from benchmarks.subjects.pipeline import PERIOD_NS, WARM_UP_TICKS, ticker
from edge_emotion.config import EncoderEngine, Execution
from edge_emotion.model import trial
from edge_emotion.model.bundle import open_bundle

BUDGET_MS = 20.0


def run(options: Options) -> Result:
    """Every form of the encoder on one crop, as `edge-emotion bundle choose` times them; then the tick with each."""
    result = Result("sweep")
    bundle = open_bundle()
    cores = len(os.sched_getaffinity(0))
    asked = list(trial.engines(bundle, [n for n in (1, 2, 4) if n <= cores], spinning=True))
    cuda = EncoderEngine(provider="cuda")
    if cuda not in asked:
        asked.append(cuda)  # refused, so that the result says why
    timings, refused = trial.measure(bundle, asked, 0.0 if options.smoke else 0.2 * options.rounds)
    result.not_measured |= refused
    result.add_timings(
        {f"encoder: {each.engine}": Samples(each.cpu_ns, each.wall_ns) for each in timings},
        {
            f"encoder: {each.engine}": f"p95 {each.p95_ms:.2f} ms, answers differ by {each.difference:.3f}"
            for each in timings
        },
    )
    best, reason = trial.decide(timings, BUDGET_MS)
    result.notes["chosen"] = f"{best.engine} on {best.ran_on}: {reason}"
    ticks = 3 if options.smoke else options.rounds // 2
    sound, pictures = material.speech(30.0), material.frames(60)
    for each in (each for each in timings if each.agrees):
        execution = Execution(provider="cpu", encoder=each.engine)
        tick = ticker(bundle, execution, sound, pictures)
        for _ in range(min(WARM_UP_TICKS, 10 * ticks)):
            tick()
        cpu_ms, wall_ms = _on_schedule(tick, ticks)
        result.add(f"tick: {each.engine}", cpu_ms, "ms", "CPU time a tick at 25 a second, spinning included")
        result.add(f"tick, wall: {each.engine}", wall_ms, "ms", "median")
        del tick
        gc.collect()  # ends its threads
    return result


def _on_schedule(tick: Call, count: int) -> tuple[float, float]:
    """CPU milliseconds a tick, what idle threads burn between ticks included, and its median wall time."""
    walls = []
    begin, cpu = time.perf_counter_ns(), time.process_time_ns()
    for index in range(count):
        while (left := begin + index * PERIOD_NS - time.perf_counter_ns()) > 0:
            time.sleep(left / 1e9)
        start = time.perf_counter_ns()
        tick()
        walls.append(time.perf_counter_ns() - start)
    return (time.process_time_ns() - cpu) / count / 1e6, float(np.median(walls)) / 1e6
