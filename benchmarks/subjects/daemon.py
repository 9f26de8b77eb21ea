"""The daemon between camera, microphone and broker: start, processor, memory, delays, and its readings of a clip."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import live, step_clip
from benchmarks.harness import Options, Result
from edge_emotion.capture.file import open_clip
from edge_emotion.errors import EdgeEmotionError
from edge_emotion.model.bundle import open_bundle
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.types import DIMENSIONS, Dimension, Reading

RATE_HZ = 5.0
FPS = 12.5
FULL_S = 3.0
"""Windows are full, and what was before the clip is out of them."""

F64 = NDArray[np.float64]
STEPS: tuple[tuple[str, Dimension, float], ...] = (
    ("neutral to smile", "valence", step_clip.SMILE_S),
    ("calm to excited", "arousal", step_clip.EXCITED_S),
)


def run(options: Options) -> Result:
    """Play a minute with two known steps in real time, at the default settings, and watch from outside."""
    result = Result("daemon")
    if absent := live.missing():
        result.not_measured["live run"] = f"not installed: {', '.join(absent)} (make system-packages)"
        return result
    seconds = 8.0 if options.smoke else float(step_clip.SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        try:
            clip = step_clip.write(Path(folder) / "clip.mkv")
        except EdgeEmotionError as fault:
            result.not_measured["live run"] = str(fault)
            return result
        offline = list(_offline(clip, seconds))
        with live.running(clip, rate_hz=RATE_HZ, fps=FPS) as daemon:
            pass  # compiles and caches what is new, so that the next start is the usual one
        with live.running(clip, rate_hz=RATE_HZ, fps=FPS) as daemon:
            how = "others wait" if daemon.preferred else "beside whatever else runs"
            result.add("start to READY", daemon.ready_s, "s", f"wall, kernels cached, {how}")
            result.add("start to READY, processor", daemon.ready_cpu_s, "s", "all threads")
            start_ns = daemon.play()
            time.sleep(2 + seconds / 3)
            before = daemon.usage()
            time.sleep(seconds * 2 / 3 - 0.5)
            after = daemon.usage()
            time.sleep(1)
        _add_usage(result, before, after)
        trace = [
            (at_ns, message)
            for at_ns, message in daemon.readings
            if message["ts_mono_ns"] >= start_ns + FULL_S * 1e9
        ]
        _add_delays(result, trace, offline)
        _add_agreement(result, trace, offline, start_ns)
        for name, dimension, step_s in STEPS if not options.smoke else ():
            result.add(
                f"reaction, {name}", _reaction_s(trace, start_ns, dimension, step_s), "s", "half of the step"
            )
    return result


def _offline(clip: Path, seconds: float) -> Iterator[Reading]:
    """As ``edge-emotion analyze`` reads the clip; readings lie at the same times as the live ones."""
    pipeline = EmotionPipeline(open_bundle(None), rate_hz=RATE_HZ)
    with open_clip(clip, 0.0, seconds) as source:
        yield from replay(pipeline, source)


def _add_usage(result: Result, before: live.Usage, after: live.Usage) -> None:
    span_s = after.at_s - before.at_s
    shares = {
        name: 100 * (seconds - before.cpu_s.get(name, 0.0)) / span_s for name, seconds in after.cpu_s.items()
    }
    result.add("processor share", sum(shares.values()), "% of a core", "all threads, MJPEG decoding included")
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        if share >= 0.05:
            result.add(f"processor share, {name}", share, "% of a core")
    result.add("resident memory", after.resident_mib, "MiB")


def _add_delays(result: Result, trace: list[tuple[int, dict[str, Any]]], offline: list[Reading]) -> None:
    late_ms = [(at_ns - m["ts_mono_ns"]) / 1e6 + m["age_ms"] for at_ns, m in trace]
    span_s = (trace[-1][1]["ts_mono_ns"] - trace[0][1]["ts_mono_ns"]) / 1e9
    result.add("readings", (len(trace) - 1) / span_s, "Hz", f"of {RATE_HZ:g}")
    for name, share in (("p50", 50), ("p99", 99)):
        result.add(
            f"transport age, {name}",
            float(np.percentile(late_ms, share)),
            "ms",
            "newest input captured to subscriber",
        )
    waited_ms = max(reading.waited_ns for reading in offline) / 1e6
    result.add("algorithmic delay", waited_ms, "ms", "declared, before smoothing")


def _add_agreement(
    result: Result, trace: list[tuple[int, dict[str, Any]]], offline: list[Reading], start_ns: int
) -> None:
    calm = {round(reading.time_ns / 1e6): reading for reading in offline if reading.valid}
    both = [
        (m, calm[at])
        for _, m in trace
        if m["valid"] and (at := round((m["ts_mono_ns"] - start_ns) / 1e6)) in calm
    ]
    for dimension in DIMENSIONS:
        errors = np.array([m[dimension] - getattr(reading, dimension) for m, reading in both], np.float64)
        rmse = float(np.sqrt(np.mean(errors**2)))
        result.add(f"live against analysed, {dimension}", rmse, "RMSE", f"{len(errors)} readings")


def _reaction_s(
    trace: list[tuple[int, dict[str, Any]]], start_ns: int, dimension: Dimension, step_s: float
) -> float:
    """Seconds from a step to the arrival of the first reading beyond half of it."""
    times = np.array([m["ts_mono_ns"] - start_ns for _, m in trace]) / 1e9 - step_s
    values = np.array([m[dimension] for _, m in trace], np.float64)
    arrivals = np.array([at_ns - start_ns for at_ns, _ in trace]) / 1e9 - step_s
    low, high = (float(np.nanmedian(values[(times > a) & (times < b)])) for a, b in ((-3, 0), (4, 8)))
    beyond = (values - (low + high) / 2) * np.sign(high - low) >= 0
    return float(arrivals[(times > 0) & beyond][0])
