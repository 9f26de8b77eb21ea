"""Which faults hold just now, and what state they add up to. Degraded is a state, not a crash."""

from __future__ import annotations

import logging
import threading
from typing import Literal

log = logging.getLogger(__name__)

State = Literal["init", "ready", "degraded", "paused", "error"]

FATAL = frozenset({"no_indicator", "inference_failed", "no_bundle"})
"""Faults under which nothing is estimated; all others degrade."""


class Faults:
    """A board of named faults; each change is logged once. Used from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}
        self._started = False
        self._paused = False
        self.version = 0
        """Counts changes, so that a reader notices them cheaply."""

    def hold(self, code: str, detail: str) -> None:
        """The fault ``code`` holds."""
        with self._lock:
            if self._held.get(code) == detail:
                return
            new = code not in self._held
            self._held[code] = detail
            self.version += new
        (log.warning if new else log.info)("%s: %s", code, detail)

    def clear(self, code: str) -> None:
        """The fault ``code`` does not hold (any more)."""
        with self._lock:
            if self._held.pop(code, None) is None:
                return
            self.version += 1
        log.info("%s: over", code)

    def put(self, code: str, detail: str | None) -> None:
        """`hold` with a detail, `clear` with None."""
        if detail is None:
            self.clear(code)
        else:
            self.hold(code, detail)

    def one_of(self, family: tuple[str, ...], code: str | None, detail: str = "") -> None:
        """At most one fault of a family holds: ``code``, or none."""
        for other in family:
            if other != code:
                self.clear(other)
        if code is not None:
            self.hold(code, detail)

    def start(self) -> None:
        """The first inference is done."""
        with self._lock:
            self.version += not self._started
            self._started = True

    def pause(self, paused: bool) -> None:
        """Devices are closed on request, or open again."""
        with self._lock:
            self.version += paused != self._paused
            self._paused = paused

    @property
    def paused(self) -> bool:
        """Whether devices are closed on request."""
        return self._paused

    def held(self) -> dict[str, str]:
        """The faults that hold, with their details, in alphabetical order."""
        with self._lock:
            return dict(sorted(self._held.items()))

    @property
    def state(self) -> State:
        """What it all adds up to."""
        with self._lock:
            if self._held.keys() & FATAL:
                return "error"
            if self._paused:
                return "paused"
            if not self._started:
                return "init"
            return "degraded" if self._held else "ready"
