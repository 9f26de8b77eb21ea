"""The life of the daemon: everything starts, is watched over five times a second, and ends in order."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_emotion.errors import EdgeEmotionError
from firmware_bridge import machine
from firmware_bridge.control import Control
from firmware_bridge.engine import OpenPipeline
from firmware_bridge.faults import Faults
from firmware_bridge.history import POLL_S, History
from firmware_bridge.outputs import Output, Stdout
from firmware_bridge.parts import Hooks, Parts, assemble
from firmware_bridge.progress import Stage
from firmware_bridge.settings import Settings
from firmware_bridge.systemd import Notifier

log = logging.getLogger(__name__)

TURN_S = 0.2
CLOCK_S = 10.0
OVERLOAD_S = 10.0
KEEPER_BUDGET_S = 60.0
BROKER_BUDGET_S = 60.0
SETTLE_S = 10.0
"""After the first inference; the devices have been opened by then."""


class Daemon:
    """Senses, estimates and tells until it is stopped; `run` returns the exit code.

    Parameters
    ----------
    settings
        Validated settings.
    config_path
        Where they came from, for ``reload``.
    open_one, outputs
        As for `parts.assemble`.
    """

    def __init__(
        self,
        settings: Settings,
        config_path: Path | None = None,
        *,
        open_one: OpenPipeline | None = None,
        outputs: Sequence[Output] | None = None,
    ) -> None:
        self.settings = settings
        self.faults = Faults()
        self._open_one = open_one
        self._outputs = outputs
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._control = Control(settings, config_path, self._wake.set)
        self._notifier = Notifier()
        self._failure: BaseException | None = None
        self._clock_due_s = 0.0
        self._settle_due_s: float | None = None
        self._dropped = 0
        self._overload_until_s = 0.0

    def stop(self) -> None:
        """End `run` in order; from any thread."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> int:
        """Run until a signal, the end of a replay, or a failure.

        Raises
        ------
        EdgeEmotionError
            What ended it, where that is a fault that a user can mend.
        """
        _no_core_dumps()
        faulthandler.enable()
        self._notifier.send("STATUS=loading models")
        with self._signals(), self._thread_failures(), contextlib.ExitStack() as ending:
            try:
                parts = self._start(ending)
                while not self._stopping.is_set():
                    self._turn(parts)
                    self._wake.wait(TURN_S)
                    self._wake.clear()
            except Exception as error:  # noqa: BLE001 - the one place where anything at all is caught
                self._failure = self._failure or error
            self._notifier.send("STOPPING=1")
        self._notifier.close()
        if isinstance(self._failure, EdgeEmotionError):
            raise self._failure
        if self._failure is not None:
            log.error("ended by a fault of the program", exc_info=self._failure)
        return 1 if self._failure else 0

    def _start(self, ending: contextlib.ExitStack) -> Parts:
        hooks = Hooks(self._ready, self.stop, self._heard, self._pressed)
        parts = assemble(self.settings, self.faults, hooks, self._open_one, self._outputs)
        self._parts = parts
        # ended in the opposite order: devices first, the farewell to the broker and the spool last
        if parts.link is not None:
            parts.link.start()
            ending.callback(parts.link.close)
        for output in parts.outputs:
            ending.callback(output.close)
        if parts.connection is not None:
            parts.connection.start()
        if parts.history is not None:
            ending.enter_context(self._keeper(parts.history, parts.progress.stage("keeper", KEEPER_BUDGET_S)))
        if self.settings.metrics.port:
            from firmware_bridge.metrics import Exporter

            exporter = Exporter(
                self.settings.metrics.address, self.settings.metrics.port, parts.vitals.metrics
            )
            ending.callback(exporter.close)
        parts.engine.start()
        ending.callback(parts.engine.close)
        ending.callback(parts.senses.close)
        return parts

    @contextlib.contextmanager
    def _keeper(self, history: History, stage: Stage) -> Iterator[None]:
        """Keeps the spool up to date in a thread of its own: the only one that waits for the disk."""
        closing = threading.Event()

        def keep() -> None:
            machine.name_thread()
            while not closing.wait(POLL_S):
                history.poll(time.monotonic_ns())
                stage.mark()

        keeper = threading.Thread(target=keep, name="keeper", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            closing.set()
            keeper.join(10)

    # Called by the parts, in their threads.

    def _ready(self) -> None:
        self._settle_due_s = time.monotonic() + SETTLE_S
        self._notifier.send("READY=1", "STATUS=ready")
        self._control.announce()

    def _heard(self, topic: str, body: bytes, retained: bool) -> None:
        answer = self._control.heard(topic, body, retained)
        if answer is not None and self._parts.connection is not None:
            self._parts.connection.answer("resp/" + topic.rsplit("/", 1)[1], answer)

    def _pressed(self, verb: str) -> None:
        if verb == "toggle":
            verb = "resume" if self.faults.paused else "pause"
        self._control.ask(verb)

    # One turn of the supervision, in the main thread.

    def _turn(self, parts: Parts) -> None:
        now_s = time.monotonic()
        self._feed_watchdog(parts)
        if self.faults.state != "init" and not self.faults.paused:
            parts.senses.open()
        self._control.turn(parts)
        if now_s >= self._clock_due_s:
            self._clock_due_s = now_s + CLOCK_S
            parts.reporter.clock = machine.clock()
        for output in parts.outputs:
            output.poll(self.faults)
            if isinstance(output, Stdout) and output.broken and len(parts.outputs) == 1:
                self.stop()
        if self._settle_due_s is not None and now_s >= self._settle_due_s:
            self._settle_due_s = None
            machine.settle()
        self._watch_overload(parts, now_s)
        parts.reporter.status()
        parts.reporter.summary()
        parts.reporter.health(parts.vitals.health)

    def _feed_watchdog(self, parts: Parts) -> None:
        stuck = parts.progress.stuck()
        if parts.connection is not None:
            idle_ns = time.monotonic_ns() - parts.connection.progress_ns
            stuck += ["mqtt"] if idle_ns > BROKER_BUDGET_S * 1e9 else []
        if stuck:
            self.faults.hold("stuck", f"{', '.join(stuck)} over budget; the watchdog is not fed")
            return
        self.faults.clear("stuck")
        if self.faults.state == "init":
            self._notifier.send("EXTEND_TIMEOUT_USEC=20000000")
            return
        reasons = ", ".join(self.faults.held())
        self._notifier.send("WATCHDOG=1", f"STATUS={self.faults.state}" + (f": {reasons}" if reasons else ""))

    def _watch_overload(self, parts: Parts, now_s: float) -> None:
        # of pictures the newest win as a matter of course; lost sound is a fault
        dropped = parts.inbox.dropped["audio"]
        if dropped > self._dropped:
            self._overload_until_s = now_s + OVERLOAD_S
        self._dropped = dropped
        overloaded = now_s < self._overload_until_s
        self.faults.put(
            "overload", "the machine is too slow: the oldest sound is dropped" if overloaded else None
        )

    # What comes from outside the parts.

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # the owner of the main thread handles signals
            return

        def end(number: int, frame: Any) -> None:
            self.stop()

        def reload(number: int, frame: Any) -> None:
            self._control.ask("reload")

        handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: reload}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def _thread_failures(self) -> Iterator[None]:
        """A thread that ends by an exception ends the daemon: systemd starts it again."""

        def failed(arguments: threading.ExceptHookArgs) -> None:
            self._failure = self._failure or arguments.exc_value
            self.stop()

        before, threading.excepthook = threading.excepthook, failed
        try:
            yield
        finally:
            threading.excepthook = before


def _no_core_dumps() -> None:
    """A core dump would hold faces and voices."""
    os.umask(0o077)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
