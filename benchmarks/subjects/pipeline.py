"""The whole tick: 40 ms of sound and one 640x480 picture in, one reading out as JSON, at 25 a second."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from itertools import count

import numpy as np

from benchmarks import material
from benchmarks.harness import (
    YARDSTICK,
    Call,
    Options,
    RemoteCall,
    Result,
    interleave,
    on_schedule,
    yardstick,
)
from benchmarks.peers import measured_peers
from edge_emotion.config import Execution
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.pipeline import EmotionPipeline
from edge_emotion.pipeline.spans import Spans
from edge_emotion.reading_json import Origin, encode, reading_message
from edge_emotion.types import F32, U8, AudioBlock, Reading, VideoFrame

RATE_HZ = 25.0
PERIOD_NS = 40_000_000
HOP = 640
WARM_UP_TICKS = 150
TICKS_TOGETHER = 2
PEERS = ("opensmile", "fer")


def run(options: Options) -> Result:
    """CPU time of one tick, its stages by wall time, its lateness on a schedule."""
    result = Result("pipeline")
    sound = material.speech(30.0)
    pictures = material.frames(60)
    spans: dict[str, list[int]] = defaultdict(list)
    bundle = open_bundle()
    watch = Spans(lambda name, a, b: spans[name].append(b - a), time.perf_counter_ns)
    tick = ticker(bundle, options.execution_of(bundle), sound, pictures, watch)
    for _ in range(WARM_UP_TICKS):
        tick()
    spans.clear()
    calls: dict[str, Call | RemoteCall] = {YARDSTICK: yardstick, "tick": tick}
    with measured_peers(options.peers, PEERS, material.fixtures(sound, pictures[0]), result) as peers:
        # What of the peers belongs to one tick: the functionals of a window, the faces of a picture.
        calls |= {name: call for name, call in peers.items() if name.endswith((": window", ": frame"))}
        # Two ticks as one: the bundle may look at every other picture only.
        timings = interleave(calls, options.rounds, warm_up=1, block=TICKS_TOGETHER)
    result.add_timings(timings)
    if {"opensmile: window", "fer: frame"} <= set(timings):
        theirs = sum(np.median(timings[name].cpu_ns) for name in ("opensmile: window", "fer: frame"))
        result.add("openSMILE + fer / ours", float(theirs / np.median(timings["tick"].cpu_ns)), "x")
    for name, durations in spans.items():
        ticks = TICKS_TOGETHER * (len(timings["tick"].cpu_ns) + 1)
        result.add(f"span {name}", sum(durations) / ticks / 1e6, "ms", "mean wall time a tick")
    late = on_schedule(tick, PERIOD_NS / 1e9, min(options.rounds, 100)) / 1e6
    result.add(
        "due to done, p50", float(np.percentile(late, 50)), "ms", "on a 40 ms schedule, waiting included"
    )
    result.add(
        "due to done, p99", float(np.percentile(late, 99)), "ms", "on a 40 ms schedule, waiting included"
    )
    return result


def ticker(
    bundle: Bundle, execution: Execution, sound: F32, pictures: list[U8], spans: Spans | None = None
) -> Callable[[], Reading | None]:
    """One tick of the bundle over ``sound`` and ``pictures``, again and again; it hands out the reading."""
    pipeline = EmotionPipeline(bundle, rate_hz=RATE_HZ, execution=execution, spans=spans)
    origin = Origin("benchmark", "0", bundle.manifest.id, bundle.manifest.sha256)
    hops, steps = len(sound) // HOP, count()

    def tick() -> Reading | None:
        step = next(steps)
        at = step % hops * HOP
        now = (step + 1) * PERIOD_NS
        pipeline.push(AudioBlock(sound[at : at + HOP], material.SAMPLE_RATE_HZ, step * PERIOD_NS))
        pipeline.push(VideoFrame(pictures[step % len(pictures)], now - 1))
        reading = pipeline.poll(now)
        if reading is not None:
            encode(reading_message(reading, origin))
        return reading

    return tick
