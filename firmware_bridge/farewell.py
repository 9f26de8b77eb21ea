"""What is done with the broker and the spool while no daemon runs: send the rest, or be forgotten."""

from __future__ import annotations

import time

from edge_emotion import folders
from firmware_bridge import homeassistant
from firmware_bridge.history import History
from firmware_bridge.mqtt import Connection
from firmware_bridge.outputs import topic_root
from firmware_bridge.settings import Settings
from firmware_bridge.spool import Spool


def open_spool(settings: Settings) -> Spool:
    """The spool of these settings."""
    path = settings.history.file or folders.state() / "spool.sqlite"
    return Spool(
        path,
        max_bytes=settings.history.max_bytes,
        max_age_s=settings.history.max_age_h * 3600,
        uptime_s=time.monotonic,
    )


def drain(settings: Settings, seconds: float) -> int:
    """Send what waits for at most ``seconds``; returns how many readings are left."""
    history = History(lambda: open_spool(settings))
    connection = Connection(
        settings.mqtt, settings.instance, topic_root(settings), history, settings.history.in_flight
    )
    connection.start()
    until = time.monotonic() + seconds
    while history.waiting and time.monotonic() < until:
        time.sleep(0.1)
        history.poll(time.monotonic_ns())
    connection.close()
    history.poll(time.monotonic_ns())
    left = history.waiting
    history.close()
    return left


def forget(settings: Settings, seconds: float = 5.0) -> None:
    """Empty the retained messages of this device and its announcement to Home Assistant.

    Raises
    ------
    OSError
        When the broker does not answer in time.
    """
    connection = Connection(settings.mqtt, settings.instance, topic_root(settings), History(None))
    connection.retain(homeassistant.topic(settings), b"", absolute=True)
    connection.start()
    until = time.monotonic() + seconds
    while not connection.connected and time.monotonic() < until:
        time.sleep(0.05)
    connected, fault = connection.connected, connection.detail
    connection.close(retract=True)
    if not connected:
        raise OSError(fault or "the broker does not answer")
