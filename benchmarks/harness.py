"""Timing that can be trusted: CPU and wall time, interleaved rounds, a yardstick in the same process.

A figure is a distribution (count, mean, p50, p95, p99, max) of single calls. What is compared is measured in
alternating rounds, so that a change of clock rate or load meets both sides alike, and every figure is also
given as a ratio to a fixed piece of arithmetic, which is what budgets are written in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import EncoderEngine, Execution, Interpreter, Provider
from edge_emotion.errors import UsageError
from edge_emotion.model.bundle import Bundle

I64 = NDArray[np.int64]
Call = Callable[[], object]


Backend = Literal["onnxruntime", "litert", "tflite-runtime"]
_INTERPRETERS: dict[Backend, Interpreter] = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}


class RemoteCall(Protocol):
    """A call that is made and timed in another process."""

    def time(self) -> tuple[int, int]:
        """CPU and wall nanoseconds of one call."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of every subject."""

    rounds: int = 200
    threads: int = 1
    provider: Provider = "cpu"
    backend: Backend = "onnxruntime"
    peers: tuple[str, ...] = ()
    passes: int = 1

    @property
    def execution(self) -> Execution:
        """What models run on that come in one format only."""
        return Execution(provider=self.provider, threads=self.threads)

    def execution_of(self, bundle: Bundle) -> Execution:
        """The same with the face encoder in the backend's format: its first form that has it.

        Raises
        ------
        UsageError
            The bundle holds none.
        """
        encoder = bundle.manifest.face.encoder
        forms: dict[str | None, str] = {None: encoder.file}
        forms.update(encoder.variants)
        lite = self.backend != "onnxruntime"
        fitting = [variant for variant, file in forms.items() if file.endswith(".tflite") == lite]
        if not fitting:
            raise UsageError(
                f"--backend {self.backend}: the face encoder of bundle {bundle.manifest.id} has no such form; "
                f"it has: {', '.join(forms.values())}"
            )
        engine = EncoderEngine(
            variant=fitting[0],
            provider=self.provider,
            threads=self.threads,
            interpreter=_INTERPRETERS.get(self.backend, "auto"),
        )
        return self.execution.model_copy(update={"encoder": engine})

    @property
    def smoke(self) -> bool:
        """Whether this run only proves that the benchmark still works."""
        return self.rounds <= 3


@dataclass(frozen=True, slots=True)
class Samples:
    """Durations of single calls, ``int64`` nanoseconds, shape (calls,)."""

    cpu_ns: I64
    wall_ns: I64


@dataclass(frozen=True, slots=True)
class Distribution:
    """Milliseconds."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values_ns: I64) -> Distribution:
        """Summarise durations in nanoseconds."""
        ms = np.asarray(values_ns, np.float64) / 1e6
        p50, p95, p99 = np.percentile(ms, (50, 95, 99))
        return cls(len(ms), *(round(float(x), 6) for x in (ms.mean(), p50, p95, p99, ms.max())))


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a result: a duration, or a plain number with its unit."""

    name: str
    unit: str
    value: float
    cpu: Distribution | None = None
    wall: Distribution | None = None
    yardsticks: float | None = None
    """Median of the ratios to the yardstick of the same round, for durations."""
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """How a figure grows, beside the line that theory expects."""

    name: str
    x_label: str
    y_label: str
    x: list[float]
    y: list[float]
    expected: str
    line: list[float]
    """What is expected, fitted by least squares, at ``x``."""

    @classmethod
    def fit(
        cls,
        labels: tuple[str, str, str],
        x: list[float],
        y: list[float],
        expected: Literal["constant", "linear"],
        bend: float | None = None,
    ) -> Curve:
        """Curve named by ``labels`` (name, x, y) through the points; the line may change its slope at ``bend``."""
        at = np.asarray(x)
        columns = [np.ones(len(at)), at, np.minimum(at, bend or 0.0)]
        basis = np.stack(columns[: 1 + (expected == "linear") + (bend is not None)], axis=1)
        line = basis @ np.linalg.lstsq(basis, np.asarray(y), rcond=None)[0]
        named = expected if bend is None else f"{expected}, bent at {bend:g}"
        return cls(*labels, x, [round(value, 6) for value in y], named, np.round(line, 6).tolist())

    @property
    def departure(self) -> float:
        """Largest distance from the line, in parts of the mean."""
        return float(np.abs(np.subtract(self.y, self.line)).max() / np.mean(self.y))


@dataclass(slots=True)
class Result:
    """What one subject has to say."""

    subject: str
    figures: list[Figure] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)
    """What was asked for and could not be measured, each with the reason."""
    curves: list[Curve] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    """What is said in words."""

    def add(self, name: str, value: float, unit: str, meaning: str = "") -> None:
        """Add a plain number."""
        self.figures.append(Figure(name, unit, round(float(value), 6), meaning=meaning))

    def add_timings(self, timings: Mapping[str, Samples], meanings: Mapping[str, str] | None = None) -> None:
        """Add the median CPU time of each entry in milliseconds; beside a yardstick also in yardsticks."""
        yard = timings[YARDSTICK].cpu_ns if YARDSTICK in timings else None
        for name, samples in timings.items():
            cpu = Distribution.of(samples.cpu_ns)
            self.figures.append(
                Figure(
                    name,
                    "ms",
                    cpu.p50,
                    cpu,
                    Distribution.of(samples.wall_ns),
                    None if yard is None else round(float(np.median(samples.cpu_ns / yard)), 6),
                    (meanings or {}).get(name, ""),
                )
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


YARDSTICK = "yardstick"
_SIGNAL = np.random.default_rng(0).standard_normal((64, 512)).astype(np.float32)
_MATRIX = np.random.default_rng(1).standard_normal((96, 96)).astype(np.float32)


def yardstick() -> float:
    """Do a fixed piece of arithmetic, FFTs and matrix products: about 1 ms on a desktop core of 2023."""
    total = 0.0
    product = _MATRIX
    for _ in range(4):
        total += float(np.abs(np.fft.rfft(_SIGNAL)).sum())
        product = product @ _MATRIX
        product = product / np.abs(product).max()
    return total + float(product[0, 0])


def time_call(call: Call) -> tuple[int, int]:
    """CPU time of the process and wall time of one call, in nanoseconds."""
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    call()
    return time.process_time_ns() - cpu, time.perf_counter_ns() - wall


def interleave(
    calls: Mapping[str, Call | RemoteCall], rounds: int, *, warm_up: int = 3, block: int = 1
) -> dict[str, Samples]:
    """Time the calls in alternating rounds; every other round goes through them backwards.

    ``block`` calls are timed as one and divided, for calls too short for the clock.
    """
    timers = {name: _timer(call, block) for name, call in calls.items()}
    for timer in timers.values():
        for _ in range(min(warm_up, rounds)):
            timer()
    taken: dict[str, list[tuple[int, int]]] = {name: [] for name in calls}
    names = list(calls)
    for index in range(rounds):
        for name in names if index % 2 == 0 else reversed(names):
            taken[name].append(timers[name]())
    return {name: Samples(*np.array(pairs, np.int64).T.copy()) for name, pairs in taken.items()}


def _timer(call: Call | RemoteCall, block: int) -> Callable[[], tuple[int, int]]:
    if not callable(call):
        return call.time

    def timed() -> tuple[int, int]:
        cpu, wall = time_call(call if block == 1 else lambda: [call() for _ in range(block)])
        return cpu // block, wall // block

    return timed


def on_schedule(call: Call, period_s: float, count: int) -> I64:
    """Wall nanoseconds from each *due* time to the end of its call, for calls due every ``period_s``.

    A call that starts late because the one before it was slow has waited, and the wait is in its figure.
    """
    period = int(period_s * 1e9)
    start = time.perf_counter_ns()
    late = np.empty(count, np.int64)
    for index in range(count):
        due = start + index * period
        while (left := due - time.perf_counter_ns()) > 0:
            time.sleep(left / 1e9)
        call()
        late[index] = time.perf_counter_ns() - due
    return late
