"""The inference thread: opens the models, warms them up, and turns what is in the inbox into readings."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from edge_emotion.config import Execution
from edge_emotion.errors import BundleError, EdgeEmotionError
from edge_emotion.types import AudioBlock, Reading, VideoFrame
from firmware_bridge import machine
from firmware_bridge.calibration import Learner
from firmware_bridge.faults import Faults
from firmware_bridge.inbox import Inbox
from firmware_bridge.progress import Stage
from firmware_bridge.settings import Settings

log = logging.getLogger(__name__)

IDLE_S = 0.25
GATHER_S = 0.2
"""Sound and pictures are worked on this often, or with the next reading; one at a time they cost a third more."""
T = TypeVar("T")


class Pipeline(Protocol):
    """What the engine needs of `edge_emotion.pipeline.EmotionPipeline`."""

    @property
    def next_due_ns(self) -> int | None:
        """Time of the next reading; None before the first input."""
        ...

    def push(self, item: AudioBlock | VideoFrame) -> None:
        """Take sound or a picture."""
        ...

    def poll(self, now_ns: int) -> Reading | None:
        """The reading that is due."""
        ...

    def reset(self) -> None:
        """As just constructed."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline and the bundle it was made from."""

    pipeline: Pipeline
    model_id: str
    sha256: str | None
    learner: Learner | None = None
    """Of the personal baseline; None where there is no such thing."""


OnSpan = Callable[[str, int, int], None]
OpenPipeline = Callable[[Settings, Path | None], Loaded]


def open_pipeline(settings: Settings, bundle: Path | None, timings: OnSpan | None = None) -> Loaded:
    """The real pipeline on a bundle (``None``: the built-in one), every kernel compiled or loaded from the cache."""
    from edge_emotion.kernels._jit import compile_all
    from edge_emotion.model.bundle import open_bundle
    from edge_emotion.model.choice import recall
    from edge_emotion.pipeline import EmotionPipeline
    from edge_emotion.pipeline.spans import Spans

    opened = open_bundle(bundle)
    choice = None if settings.as_packed else recall(opened, settings.provider)
    if choice is not None:
        log.info("%s", choice.line)
    execution = Execution(provider=settings.provider, encoder=choice.engine if choice else None)
    spans = Spans(timings, time.perf_counter_ns) if timings else None
    pipeline = EmotionPipeline(
        opened,
        rate_hz=settings.rate_hz,
        execution=execution,
        spans=spans,
        expects_baseline=settings.calibration.enabled,
    )
    compile_all()
    return Loaded(pipeline, opened.manifest.id, opened.manifest.sha256, pipeline.calibration)


def open_best(
    settings: Settings, memory: Path, faults: Faults, open_one: OpenPipeline = open_pipeline
) -> Loaded:
    """The pipeline of the bundle in the settings, else of the last bundle that worked, else of the built-in one.

    Parameters
    ----------
    memory
        File that remembers the last bundle that worked.

    Raises
    ------
    BundleError
        When not even the built-in bundle can be used.
    """
    remembered = _recall(memory)
    fault: EdgeEmotionError | None = None
    for bundle in dict.fromkeys((settings.bundle, remembered, None)):
        try:
            loaded = open_one(settings, bundle)
            warm_up(loaded.pipeline)
        except BundleError as error:
            fault = fault or error
            log.warning("%s", error)
            continue
        if fault is None:
            _remember(memory, bundle)
        else:
            faults.hold("bundle_rejected", f"{fault}; running on {bundle or 'the built-in bundle'}")
        return loaded
    assert fault is not None
    raise fault


def _recall(memory: Path) -> Path | None:
    try:
        return Path(memory.read_text().strip()) if memory.stat().st_size else None
    except OSError:
        return None


def _remember(memory: Path, bundle: Path | None) -> None:
    if bundle == _recall(memory):
        return
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(str(bundle or ""))
    except OSError as error:
        log.warning("the last good bundle cannot be remembered: %s", error)


def warm_up(pipeline: Pipeline) -> None:
    """First inference on a second of noise and three noise pictures, so that none is slower later; then `reset`."""
    random = np.random.default_rng(0)
    sound = (0.01 * random.standard_normal(16_000)).astype(np.float32)
    for step in range(0, 16_000, 320):
        pipeline.push(AudioBlock(sound[step : step + 320], 16_000, step * 62_500))
    for frame in range(3):
        pipeline.push(VideoFrame(random.integers(0, 255, (240, 320, 3), dtype=np.uint8), 300_000_000 * frame))
    pipeline.poll(1_000_000_000)
    pipeline.reset()


class Engine:
    """Runs a pipeline on what arrives in the inbox.

    Parameters
    ----------
    load
        Opens the pipeline, in the engine's thread.
    on_ready
        Called once, after the first inference.
    on_reading
        Called with each reading, in the engine's thread; must not wait.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        inbox: Inbox,
        stage: Stage,
        *,
        on_ready: Callable[[Loaded], None],
        on_reading: Callable[[Reading, int], None],
    ) -> None:
        self._load = load
        self._inbox = inbox
        self._stage = stage
        self._on_ready = on_ready
        self._on_reading = on_reading
        self._closing = threading.Event()
        self._calls: queue.SimpleQueue[tuple[Callable[[Loaded], Any], Future[Any]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self.polls = 0
        self.busy_s = 0.0

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def call(self, work: Callable[[Loaded], T]) -> Future[T]:
        """Have ``work`` done in the engine's thread, between two steps."""
        future: Future[T] = Future()
        self._calls.put((work, future))
        return future

    def reset(self) -> None:
        """Begin anew before the next input: after a pause."""
        self.call(lambda loaded: loaded.pipeline.reset())

    def close(self, timeout_s: float = 5.0) -> None:
        """End the thread; a stuck one is left behind after ``timeout_s``."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        machine.name_thread()
        loaded = self._load()
        if not self._closing.is_set():
            self._on_ready(loaded)
            self._infer(loaded)

    def _infer(self, loaded: Loaded) -> None:
        pipeline = loaded.pipeline
        while not self._closing.is_set():
            self._stage.mark()
            items = self._gather(pipeline.next_due_ns)
            if not self._calls.empty():
                self._answer_calls(loaded)
                continue  # a reset may have been among them: what was taken before is of the past
            began = time.perf_counter()
            for item in items:
                pipeline.push(item)
            reading = pipeline.poll(time.monotonic_ns())
            self.busy_s += time.perf_counter() - began
            if reading is not None:
                self.polls += 1
                self._on_reading(reading, time.monotonic_ns())

    def _gather(self, due_ns: int | None) -> list[AudioBlock | VideoFrame]:
        """What has come by the time of the next reading, or by `GATHER_S` from now."""
        if due_ns is None:
            return self._inbox.take(IDLE_S)
        return self._inbox.gather(min(GATHER_S, max((due_ns - time.monotonic_ns()) / 1e9, 0.0)))

    def _answer_calls(self, loaded: Loaded) -> None:
        """Do what was asked for by `call`."""
        while not self._calls.empty():
            work, future = self._calls.get()
            try:
                future.set_result(work(loaded))
            except EdgeEmotionError as error:
                future.set_exception(error)
