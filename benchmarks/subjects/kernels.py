"""Each kernel's share in the descriptors of ten seconds of sound."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import material
from benchmarks.harness import YARDSTICK, Options, Result, Samples, time_call, yardstick
from edge_emotion.features import functionals
from edge_emotion.kernels import formants, harmonics, pitch, spectrum, transform, trellis, voice_quality

SOUND_S = 10.0
KERNELS = (
    (transform, "transform"),
    (transform, "autocorrelate"),
    (spectrum, "describe"),
    (formants, "formants"),
    (pitch, "candidates"),
    (trellis, "search"),
    (voice_quality, "vary"),
    (harmonics, "describe"),
    (functionals, "functionals"),
)
"""Where each is looked up when it is called."""


def run(options: Options) -> Result:
    """Watch the kernels while functionals are computed; CPU time of all calls of one kernel."""
    sound = material.speech(SOUND_S)
    rounds: list[dict[str, tuple[int, int]]] = []
    for _ in range(options.rounds + 1):
        taken: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        taken[YARDSTICK] = time_call(yardstick)
        with _watched(taken):
            functionals.compute_functionals(sound, material.SAMPLE_RATE_HZ)
        rounds.append(dict(taken))
    result = Result("kernels")
    measured = rounds[1:]  # the first compiles and loads
    samples = {name: np.array([round_[name] for round_ in measured]) for name in measured[0]}
    result.add_timings({name: Samples(*pairs.T.copy()) for name, pairs in samples.items()})
    return result


@contextmanager
def _watched(taken: dict[str, tuple[int, int]]) -> Iterator[None]:
    with ExitStack() as patches:
        for module, name in KERNELS:
            title = f"{module.__name__.rpartition('.')[2]}.{name}"
            timed = _timed(getattr(module, name), title, taken)
            patches.enter_context(mock.patch.object(module, name, timed))
        yield


def _timed(kernel: Callable[..., Any], title: str, taken: dict[str, tuple[int, int]]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        answer = kernel(*arguments)
        cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
        before = taken[title]
        taken[title] = before[0] + cpu, before[1] + wall
        return answer

    return call
