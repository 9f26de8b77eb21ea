"""The 88 functionals: of a whole file, and of a 3 s window each 40 ms of a live stream.

A hop may take long by itself, because more frames become certain in it, or because the machine did something else. So
the same hops are also taken several times, and the least time of each counts: what is left is the engine.
"""

from __future__ import annotations

import time
from itertools import count

import numpy as np

from benchmarks import material
from benchmarks.harness import I64, YARDSTICK, Call, Options, RemoteCall, Result, interleave, yardstick
from benchmarks.peers import measured_peers
from edge_emotion.features.functionals import compute_functionals
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.types import F32

FILE_S = 60.0
HOP = 640
PASSES = 7
PASS_HOPS = 500
PEERS = ("opensmile", "librosa", "parselmouth")


def run(options: Options) -> Result:
    """CPU time of a 60 s file (few rounds) and of single hops; peers interleaved."""
    result = Result("acoustic")
    sound = material.speech(FILE_S)
    calls: dict[str, Call | RemoteCall] = {
        YARDSTICK: yardstick,
        "file of 60 s": lambda: compute_functionals(sound, material.SAMPLE_RATE_HZ),
    }
    with measured_peers(options.peers, PEERS, material.fixtures(sound), result) as peers:
        calls |= peers
        timings = interleave(calls, max(options.rounds // 20, 1), warm_up=1)
    result.add_timings(timings)
    ours = np.median(timings["file of 60 s"].cpu_ns)
    for name in peers:
        result.add(f"{name} / ours (file of 60 s)", float(np.median(timings[name].cpu_ns) / ours), "x")

    window = DescriptorWindow(material.SAMPLE_RATE_HZ, (3.0,), HOP / material.SAMPLE_RATE_HZ)
    hops, position = len(sound) // HOP, count()

    def hop() -> None:
        at = next(position) % hops * HOP
        window.push(sound[at : at + HOP])

    for _ in range(150):
        hop()
    timings = interleave({YARDSTICK: yardstick, "live hop of 40 ms": hop}, 5 * options.rounds)
    result.add_timings(timings)
    cpu = timings["live hop of 40 ms"].cpu_ns
    result.add("live hop, p99 / median of CPU time", _tail(cpu), "x", "engine and machine")
    passes = 3 if options.smoke else PASSES
    least = np.min([_pass_ns(window, sound[: PASS_HOPS * HOP]) for _ in range(passes)], axis=0)
    result.add("live hop, p99 / median, least of the passes", _tail(least), "x", "the engine alone")
    return result


def _pass_ns(window: DescriptorWindow, sound: F32) -> I64:
    """CPU nanoseconds of this thread for each hop of ``sound`` but the first second's, heard from the start."""
    window.reset()
    taken = []
    for block in sound.reshape(-1, HOP):
        begin = time.thread_time_ns()
        window.push(block)
        taken.append(time.thread_time_ns() - begin)
    return np.array(taken[25:], np.int64)


def _tail(taken_ns: I64) -> float:
    return float(np.percentile(taken_ns, 99) / np.median(taken_ns))
