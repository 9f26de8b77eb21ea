"""The post-processing chain, one reading: a 3 s median and a 1 s mean at 25 readings a second."""

from __future__ import annotations

from itertools import count

import numpy as np

from benchmarks.harness import YARDSTICK, Options, Result, interleave, yardstick
from edge_emotion.config import SmoothingChain, SmoothingSettings
from edge_emotion.smoothing import Smoother

PERIOD_NS = 40_000_000


def run(options: Options) -> Result:
    """Time `Smoother.update` with full windows."""
    chain = SmoothingChain(median_s=3.0, mean_s=1.0)
    smoother = Smoother(SmoothingSettings(arousal=chain, valence=chain))
    pairs = np.random.default_rng(0).uniform(-1, 1, (1000, 2)).tolist()
    steps = count()

    def tick() -> None:
        step = next(steps)
        arousal, valence = pairs[step % len(pairs)]
        smoother.update(step * PERIOD_NS, (arousal, valence))

    for _ in range(200):
        tick()
    result = Result("smoothing")
    result.add_timings(interleave({YARDSTICK: yardstick, "update": tick}, 10 * options.rounds, block=10))
    result.add("declared latency", smoother.latency_s, "s")
    return result
