"""The 88 functionals: of a whole file, and of a 3 s window each 40 ms of a live stream."""

from __future__ import annotations

from itertools import count

import numpy as np

from benchmarks import material
from benchmarks.harness import YARDSTICK, Call, Options, RemoteCall, Result, interleave, yardstick
from benchmarks.peers import measured_peers
from edge_emotion.features.functionals import compute_functionals
from edge_emotion.features.window import DescriptorWindow

FILE_S = 60.0
HOP = 640
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
    result.add_timings(interleave({YARDSTICK: yardstick, "live hop of 40 ms": hop}, 5 * options.rounds))
    return result
