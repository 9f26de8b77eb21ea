"""Where messages go: the broker, standard output, a microcontroller. Outputs never wait."""

from __future__ import annotations

import sys
from typing import Protocol

from edge_emotion.types import Reading
from firmware_bridge.faults import Faults, State
from firmware_bridge.frames import Type, pack_reading
from firmware_bridge.history import History
from firmware_bridge.mqtt import Connection
from firmware_bridge.serial_link import SerialLink, pack_status
from firmware_bridge.settings import Settings

BROKER_FAULTS = (
    "mqtt_unreachable",
    "mqtt_refused",
    "mqtt_tls",
    "mqtt_settings",
    "mqtt_silent",
    "mqtt_unresponsive",
    "mqtt_lost",
    "mqtt_duplicate_client",
    "mqtt_publish_refused",
    "mqtt_subscribe_refused",
)


class Output(Protocol):
    """A taker of messages."""

    def reading(self, reading: Reading, body: bytes) -> None:
        """A reading, and the same encoded; of further faces ``quality`` says multi_face."""
        ...

    def history(self, body: bytes, now_ns: int) -> None:
        """A reading that must arrive."""
        ...

    def message(self, kind: str, body: bytes, *, retained: bool) -> None:
        """Status, summary or health, encoded."""
        ...

    def state(self, state: State, reasons: int) -> None:
        """The state has changed."""
        ...

    def poll(self, faults: Faults) -> None:
        """Tell of faults; called some times a second."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...


class Broker:
    """Messages over MQTT, history through ring and spool."""

    def __init__(self, connection: Connection, history: History | None) -> None:
        self._connection = connection
        self._history = history

    def reading(self, reading: Reading, body: bytes) -> None:
        """On ``reading``; further faces each on a topic of their own."""
        further = "multi_face" in reading.quality and reading.track and not reading.audio.used
        self._connection.publish(f"track/{reading.track}/reading" if further else "reading", body)

    def history(self, body: bytes, now_ns: int) -> None:
        """Into the ring."""
        if self._history is not None:
            self._history.push(body, now_ns)
            self._connection.kick()

    def message(self, kind: str, body: bytes, *, retained: bool) -> None:
        """On the topic of its name."""
        if retained:
            self._connection.retain(kind, body)
        else:
            self._connection.publish(kind, body)

    def state(self, state: State, reasons: int) -> None:
        """Told by the status message."""

    def poll(self, faults: Faults) -> None:
        """The connection's and the spool's faults."""
        faults.one_of(BROKER_FAULTS, self._connection.fault, self._connection.detail)
        if self._history is not None:
            faults.put("spool_unavailable", self._history.fault)

    def close(self) -> None:
        """``offline``, then what is unacknowledged into the spool."""
        self._connection.close()
        if self._history is not None:
            self._history.close()


class Stdout:
    """Readings as JSON lines; a reader that closed its end is a fault, not a crash."""

    def __init__(self) -> None:
        self._broken = False

    def reading(self, reading: Reading, body: bytes) -> None:
        """One line."""
        try:
            sys.stdout.buffer.write(body + b"\n")
            sys.stdout.buffer.flush()
        except (BrokenPipeError, ValueError):
            self._broken = True

    def history(self, body: bytes, now_ns: int) -> None:
        """Every reading is on standard output already."""

    def message(self, kind: str, body: bytes, *, retained: bool) -> None:
        """Status and health are in the log."""

    def state(self, state: State, reasons: int) -> None:
        """Told by the log."""

    def poll(self, faults: Faults) -> None:
        """Whether somebody reads."""
        faults.put("stdout_closed", "nobody reads standard output any more" if self._broken else None)

    @property
    def broken(self) -> bool:
        """Whether nobody reads any more."""
        return self._broken

    def close(self) -> None:
        """Nothing to close."""


class Microcontroller:
    """Readings and state over the serial line."""

    def __init__(self, link: SerialLink) -> None:
        self._link = link

    def reading(self, reading: Reading, body: bytes) -> None:
        """The primary face's."""
        self._link.send(Type.READING, pack_reading(reading))

    def history(self, body: bytes, now_ns: int) -> None:
        """A microcontroller keeps none."""

    def message(self, kind: str, body: bytes, *, retained: bool) -> None:
        """Too long for the line."""

    def state(self, state: State, reasons: int) -> None:
        """As a STATUS frame."""
        self._link.send(Type.STATUS, pack_status(state, reasons))

    def poll(self, faults: Faults) -> None:
        """The link tells for itself."""

    def close(self) -> None:
        """The link is closed by who opened it."""


def topic_root(settings: Settings) -> str:
    """``<prefix>/<device>``."""
    return f"{settings.mqtt.prefix}/{settings.device}"
