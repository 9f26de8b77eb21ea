"""What microphone, camera and replay have in common: a thread that opens, reads, closes, and opens again."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod

from firmware_bridge import machine
from firmware_bridge.backoff import Backoff
from firmware_bridge.faults import Faults
from firmware_bridge.progress import Stage

TURN_S = 0.5


class Worker(ABC):
    """A device in a thread of its own, opened again with backoff for as long as it is wanted.

    Parameters
    ----------
    faults
        Where it is told what is wrong with the device; cleared when it is closed.
    codes
        The faults that are this device's.
    stage
        Marked at each turn, also while the device is away.
    close_s
        How long a read may take to notice that the device is to be closed.
    """

    errors: tuple[type[Exception], ...] = (OSError,)
    """What a device that is away raises."""

    def __init__(self, faults: Faults, codes: tuple[str, ...], stage: Stage, close_s: float = 5.0) -> None:
        self._faults = faults
        self._codes = codes
        self._stage = stage
        self._close_s = close_s
        self._closing = threading.Event()
        self._backoff = Backoff(0.5, 15)
        self._thread = threading.Thread(target=self._run, name=stage.name, daemon=True)
        self.opened = 0

    def start(self) -> None:
        """Open the device, and keep it open."""
        self._thread.start()

    def close(self) -> bool:
        """Close the device; returns whether it is closed: a thread that hangs in a driver is not."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(self._close_s)
        return not self._thread.is_alive()

    @abstractmethod
    def _session(self) -> None:
        """Open, read until it ends or `_closing` is set, close."""

    @abstractmethod
    def _failed(self, error: Exception) -> tuple[str, str]:
        """Code and detail of the fault that ended a session."""

    def _run(self) -> None:
        machine.name_thread()
        while not self._closing.is_set():
            try:
                self._session()
            except self.errors as error:
                if not self._closing.is_set():
                    self._faults.one_of(self._codes, *self._failed(error))
            self._rest(self._backoff.next_s())
        for code in self._codes:
            self._faults.clear(code)

    def _rest(self, seconds: float = float("inf")) -> None:
        """Wait for so long, or to be closed."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._closing.wait(min(left, TURN_S)):
            self._stage.mark()
