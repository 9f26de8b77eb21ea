"""The link to a microcontroller: readings and the indicator out, buttons in, a heartbeat both ways.

The microcontroller fails closed: when the heartbeat has been silent for 3 s it switches the indicator off and takes the
last reading as void.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import serial

from firmware_bridge import frames
from firmware_bridge.backoff import Backoff
from firmware_bridge.faults import Faults
from firmware_bridge.frames import Decoder, Frame, Type
from firmware_bridge.indicator import IndicatorError
from firmware_bridge.progress import Stage
from firmware_bridge.settings import Serial as SerialSettings

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
SILENCE_S = 3.0
ACK_S = 1.0
VERBS = {1: "pause", 2: "resume", 3: "identify"}
STATES = ("init", "ready", "degraded", "paused", "error")


class SerialLink:
    """Owns the serial line in a thread of its own; what is sent waits in a short queue that drops the oldest.

    Parameters
    ----------
    on_command
        Called with ``pause``, ``resume``, ``identify`` or ``toggle`` (a button), in the link's thread.
    """

    def __init__(
        self, settings: SerialSettings, faults: Faults, stage: Stage, on_command: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._faults = faults
        self._stage = stage
        self._on_command = on_command
        self._queue: deque[Frame] = deque(maxlen=32)
        self._sequence = 0
        self._acknowledged: dict[int, bool] = {}
        self._answered = threading.Condition()
        self._lit = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serial", daemon=True)
        self.errors = 0

    def start(self) -> None:
        """Open the line, and keep it open."""
        self._thread.start()

    def close(self) -> None:
        """Send what waits, and close the line."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def send(self, kind: Type, payload: bytes) -> int:
        """Queue a frame; returns its sequence number."""
        self._sequence = (self._sequence + 1) & 0xFF
        self._queue.append(Frame(kind, payload, self._sequence))
        return self._sequence

    def switch(self, on: bool) -> None:
        """Switch the microcontroller's indicator and wait for its acknowledgement (`Indicator`)."""
        self._lit = on
        with self._answered:
            seq = self.send(Type.INDICATOR, bytes([on]))
            self._acknowledged.pop(seq, None)
            if not self._answered.wait_for(lambda: seq in self._acknowledged, ACK_S):
                raise IndicatorError(
                    f"serial {self._settings.port}: no acknowledgement; is the microcontroller running?"
                )
            if not self._acknowledged[seq]:
                raise IndicatorError(
                    f"serial {self._settings.port}: the microcontroller refuses to switch its light"
                )

    def _run(self) -> None:
        backoff = Backoff(0.5, 15)
        while not self._closing.is_set():
            try:
                with serial.Serial(
                    self._settings.port, self._settings.baud, timeout=0.02, write_timeout=1
                ) as line:
                    self._talk(line, backoff)
            except (OSError, serial.SerialException) as error:
                self._faults.hold("serial_lost", f"{self._settings.port}: {error}")
            wait_until = time.monotonic() + backoff.next_s()
            while time.monotonic() < wait_until and not self._closing.wait(0.25):
                self._stage.mark()

    def _talk(self, line: Any, backoff: Backoff) -> None:
        decoder = Decoder()
        heard_s = time.monotonic()
        beat_s = 0.0
        self.send(Type.HELLO, bytes([frames.VERSION, 0]) + b"edge_emotion")
        self.send(Type.INDICATOR, bytes([self._lit]))
        while not self._closing.is_set() or self._queue:
            self._stage.mark()
            now = time.monotonic()
            if now >= beat_s:
                self.send(Type.HEARTBEAT, struct.pack("<I", int(now) & 0xFFFFFFFF))
                beat_s = now + HEARTBEAT_S
            while self._queue:
                line.write(frames.encode(self._queue.popleft()))
            for frame in decoder.push(line.read(256)):
                heard_s = time.monotonic()
                self._take(frame)
            self.errors = decoder.errors
            silent = time.monotonic() - heard_s > SILENCE_S
            self._faults.put(
                "serial_lost", f"{self._settings.port}: nothing heard for {SILENCE_S:g} s" if silent else None
            )
            if not silent:
                backoff.reset()

    def _take(self, frame: Frame) -> None:
        if frame.type in (Type.ACK, Type.NACK) and frame.payload:
            with self._answered:
                self._acknowledged[frame.payload[0]] = frame.type == Type.ACK
                self._answered.notify_all()
        elif frame.type == Type.BUTTON and len(frame.payload) == 2:
            if frame.payload[1]:
                self._on_command("toggle")
            self.send(Type.ACK, bytes([frame.seq]))
        elif frame.type == Type.CMD:
            verb = VERBS.get(frame.payload[0]) if len(frame.payload) == 1 else None
            self.send(Type.ACK if verb else Type.NACK, bytes([frame.seq]))
            if verb:
                self._on_command(verb)
        elif frame.type not in (Type.HELLO, Type.HEARTBEAT):
            log.debug("serial: unexpected frame of type %d", frame.type)
            self.send(Type.NACK, bytes([frame.seq]))


def pack_status(state: str, reasons: int) -> bytes:
    """Payload of STATUS: number of the state in `STATES`, number of reasons."""
    return bytes([STATES.index(state), min(reasons, 255)])
