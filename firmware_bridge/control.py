"""What people and Home Assistant ask of a running daemon: heard in any thread, done in the main one, answered."""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from edge_emotion.errors import EdgeEmotionError
from edge_emotion.pipeline.calibration import Baseline
from edge_emotion.reading_json import encode
from firmware_bridge import calibration, config_file, homeassistant
from firmware_bridge.calibration import Learner
from firmware_bridge.commands import Command, CommandError, parse, response
from firmware_bridge.engine import Loaded
from firmware_bridge.indicator import IndicatorError
from firmware_bridge.messages import VERBS, Calibrate
from firmware_bridge.parts import Parts
from firmware_bridge.settings import Settings

log = logging.getLogger(__name__)

WAITING = 16
ENGINE_S = 3.0
T = TypeVar("T")
IDENTIFY_S = 3.0
REDISCOVER_S = (2.0, 5.0)


class Control:
    """Commands by MQTT, signal or button.

    Parameters
    ----------
    wake
        Makes the main thread come round at once.
    """

    def __init__(self, settings: Settings, config_path: Path | None, wake: Callable[[], None]) -> None:
        self._settings = settings
        self._config_path = config_path
        self._wake = wake
        self._waiting: queue.Queue[tuple[str, bytes, bool]] = queue.Queue(WAITING)
        self._announce_s: float | None = None
        self._identify_until_s = 0.0
        self._learning: tuple[Command, Baseline | None] | None = None
        self._verbs: dict[str, Callable[[Parts, Command], dict[str, Any]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "reload": self._reload,
            "identify": self._identify,
            "calibrate": self._calibrate,
        }

    # From any thread.

    def heard(self, topic: str, body: bytes, retained: bool) -> bytes | None:
        """A message from the broker; returns an answer where it cannot even wait."""
        if topic == f"{self._settings.mqtt.discovery_prefix}/status":
            if body == b"online":
                # not at once: every device of the house does the same
                self._announce_s = time.monotonic() + random.uniform(*REDISCOVER_S)
            return None
        if self._settings.mqtt.commands and not self.ask(topic.rsplit("/", 1)[1], body, retained):
            return encode(response(topic.rsplit("/", 1)[1], None, error="busy; try again"))
        return None

    def ask(self, verb: str, body: bytes = b"", retained: bool = False) -> bool:
        """Queue a command; False where too many wait."""
        try:
            self._waiting.put_nowait((verb, body, retained))
        except queue.Full:
            return False
        self._wake()
        return True

    def announce(self) -> None:
        """Announce the device to Home Assistant in the next turn."""
        self._announce_s = 0.0
        self._wake()

    # In the main thread.

    def turn(self, parts: Parts) -> None:
        """Do what waits."""
        while not self._waiting.empty():
            self._obey(parts, *self._waiting.get_nowait())
        if self._announce_s is not None and time.monotonic() >= self._announce_s:
            self._announce_s = None
            self._send_announcement(parts)
        self._watch_learning(parts)
        self._blink(parts)

    def _obey(self, parts: Parts, verb: str, body: bytes, retained: bool) -> None:
        try:
            command = parse(verb, body, retained=retained)
        except CommandError as error:
            refusal = error
            self._tell(parts, verb, None, lambda: _refuse(refusal))
        else:
            self._tell(parts, verb, command.id, lambda: self._verbs[command.verb](parts, command))

    def _tell(self, parts: Parts, verb: str, mark: str | None, work: Callable[[], dict[str, Any]]) -> None:
        """Do ``work`` and answer with its result, or with why it was refused."""
        error = result = None
        try:
            result = work()
            log.info("command %s: %s", verb, result)
        except EdgeEmotionError as fault:
            error = str(fault)
            log.warning("command %.32r refused: %s", verb, error)
        if parts.connection is not None and verb in VERBS:
            body = encode(response(verb, mark, error=error, result=result))
            parts.connection.answer(f"resp/{verb}", body)

    def _pause(self, parts: Parts, command: Command) -> dict[str, Any]:
        parts.faults.pause(True)
        closed = parts.senses.close()
        parts.engine.reset()
        if not closed:
            raise CommandError(parts.faults.held().get("device_stuck", "a device does not close"))
        return {"state": "paused"}

    def _resume(self, parts: Parts, command: Command) -> dict[str, Any]:
        parts.faults.pause(False)
        return {"state": parts.faults.state}

    def _reload(self, parts: Parts, command: Command) -> dict[str, Any]:
        if self._config_path is None:
            raise CommandError("there is no settings file to read again")
        new = config_file.load(self._config_path)
        taken, waiting = config_file.changes(self._settings, new)
        self._settings = parts.reporter.settings = config_file.take_safe(self._settings, new)
        logging.getLogger().setLevel(self._settings.log_level.upper())
        self.announce()
        return {"applied": taken, "needs_restart": waiting}

    def _identify(self, parts: Parts, command: Command) -> dict[str, Any]:
        self._identify_until_s = time.monotonic() + IDENTIFY_S
        return {"device": self._settings.device, "indicator": self._settings.indicator.kind}

    def _calibrate(self, parts: Parts, command: Command) -> dict[str, Any]:
        """Answered twice: when learning begins, and when it has ended."""
        wanted, settings = command.arguments, self._settings.calibration
        assert isinstance(wanted, Calibrate)
        if not settings.enabled:
            raise CommandError("calibration.enabled is false")
        if wanted.reset:
            return self._ask_engine(
                parts, lambda learner: calibration.reset(learner, settings.file, parts.faults)
            )
        duration_s = wanted.duration_s or settings.duration_s
        before = self._ask_engine(parts, lambda learner: learner.baseline)
        result = self._ask_engine(
            parts, lambda learner: calibration.start(learner, duration_s, settings.file, store=wanted.store)
        )
        self._learning = (command, before)
        return result

    def _ask_engine(self, parts: Parts, work: Callable[[Learner], T]) -> T:
        def with_learner(loaded: Loaded) -> T:
            if loaded.learner is None:
                raise CommandError("this pipeline cannot be calibrated")
            return work(loaded.learner)

        try:
            return parts.engine.call(with_learner).result(ENGINE_S)
        except TimeoutError:
            raise CommandError("the inference does not answer") from None

    def _watch_learning(self, parts: Parts) -> None:
        if self._learning is None:
            return
        command, before = self._learning
        if self._ask_engine(parts, lambda learner: learner.learning):
            return
        self._learning = None
        wanted, settings = command.arguments, self._settings.calibration
        assert isinstance(wanted, Calibrate)
        self._tell(
            parts,
            command.verb,
            command.id,
            lambda: self._ask_engine(
                parts,
                lambda learner: calibration.finish(
                    learner, before, settings.file, parts.faults, store=wanted.store
                ),
            ),
        )

    def _blink(self, parts: Parts) -> None:
        if not self._identify_until_s:
            return
        now_s = time.monotonic()
        over = now_s >= self._identify_until_s
        with contextlib.suppress(IndicatorError):
            parts.indicator.switch(parts.senses.is_open if over else int(now_s * 2.5) % 2 == 0)
        if over:
            self._identify_until_s = 0.0

    def _send_announcement(self, parts: Parts) -> None:
        if parts.connection is None:
            return
        announcement = homeassistant.discovery(self._settings, parts.reporter.origin.model_id)
        # an empty retained message takes the announcement back
        body = encode(announcement) if self._settings.mqtt.discovery else b""
        parts.connection.retain(homeassistant.topic(self._settings), body, absolute=True)


def _refuse(error: CommandError) -> NoReturn:
    raise error
