"""The one owner of the connection to the broker.

Ticks hand over messages and never wait: live readings, answers and retained messages into an `Outbox`, history into
`History`. One thread connects, sends and receives.
Every connection is a fresh client object, so that nothing hides in a library's queues: what was not acknowledged is
still ours when the connection is gone.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edge_emotion.errors import ConfigError
from firmware_bridge import machine, payload
from firmware_bridge.backoff import Backoff
from firmware_bridge.history import Batch, History
from firmware_bridge.mqtt_client import client_id, explain, new_client
from firmware_bridge.outbox import Outbox
from firmware_bridge.settings import Mqtt

log = logging.getLogger(__name__)

UNSENT_LIMIT = 8
CONNACK_S = 10.0
UNANSWERED_S = 5.0
STEADY_S = 10.0
FAREWELL_S = 2.0

_DUPLICATE = (
    "connections are taken over again and again: another program uses the client id {client_id}; "
    "give one of them another `instance`"
)


@dataclass(slots=True)
class Counts:
    """What happened on the way to the broker since the start."""

    dropped: dict[str, int]
    """Of the `Outbox`."""
    connects: int = 0
    failures: int = 0
    refused: int = 0
    callback_errors: int = 0


class Connection:
    """Keeps a connection to the broker and sends what it is handed.

    Parameters
    ----------
    settings
        The broker.
    instance
        Part of the client id.
    root
        ``<prefix>/<device>``.
    history
        Source of the QoS 1 history.
    in_flight
        Messages of history under way at the same time.
    on_message
        Called with topic, payload and retain flag of each message received, in the thread of the connection.
    """

    def __init__(
        self,
        settings: Mqtt,
        instance: str,
        root: str,
        history: History,
        in_flight: int = 4,
        on_message: Callable[[str, bytes, bool], None] = lambda topic, body, retained: None,
    ) -> None:
        self.client_id = client_id(instance)
        self._outbox = Outbox()
        self.counts = Counts(self._outbox.dropped)
        self.fault: str | None = None
        """Reason code for the status; None while the broker answers, and before the first attempt has ended."""
        self.detail = ""
        self.progress_ns = time.monotonic_ns()
        """When the thread last came round; it waits for the network at most about 30 s."""
        self._settings = settings
        self._root = root
        self._history = history
        self._in_flight = in_flight
        self._on_message = on_message
        self._closing = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._retract = False
        self._takeovers = 0
        self._accepted = False
        self._accepted_ns = 0
        self._over = False
        self._unsent: deque[paho.MQTTMessageInfo] = deque()
        self._under_way: dict[int, tuple[Batch | None, int]] = {}

    # What the rest of the daemon calls; nothing here waits.

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._accepted

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def publish(self, topic: str, body: bytes) -> None:
        """Send at QoS 0 if the broker is there; the oldest of a full queue is dropped and counted."""
        if not self._accepted:
            return
        self._outbox.add_live(f"{self._root}/{topic}", body)
        self._notify()

    def answer(self, topic: str, body: bytes) -> None:
        """Send at QoS 1; the oldest of a full queue is dropped and counted."""
        self._outbox.add_answer(f"{self._root}/{topic}", body)
        self._notify()

    def retain(self, topic: str, body: bytes, *, absolute: bool = False) -> None:
        """Keep the broker's retained message of ``topic`` at ``body``, now and after each reconnection."""
        self._outbox.retain(topic if absolute else f"{self._root}/{topic}", body)
        self._notify()

    def resend(self, topic: str) -> None:
        """Send the retained message of an absolute topic once more."""
        self._outbox.resend(topic)
        self._notify()

    def kick(self) -> None:
        """There is new history."""
        self._notify()

    def close(self, *, retract: bool = False) -> None:
        """Say ``offline``, end the connection and the thread; waits at most a few seconds.

        With ``retract`` the retained messages of this device are emptied instead.
        """
        self._retract = retract
        self._closing.set()
        self._notify()
        if self._thread.is_alive():
            self._thread.join(FAREWELL_S + 3)
        if not self._thread.is_alive() and self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _notify(self) -> None:
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    # The thread of the connection.

    def _run(self) -> None:
        machine.name_thread()
        backoff = Backoff(*self._settings.backoff_s)
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                accepted = self._session()
            except ConfigError as error:
                accepted = False
                self._failed("mqtt_settings", str(error))
            if accepted and time.monotonic() - began > STEADY_S:
                backoff.reset()
            wait_until = time.monotonic() + backoff.next_s()
            while not self._closing.is_set() and (rest := wait_until - time.monotonic()) > 0:
                self.progress_ns = time.monotonic_ns()
                self._closing.wait(min(rest, 1.0))

    def _failed(self, fault: str, detail: str) -> None:
        self.counts.failures += 1
        if (fault, detail) != (self.fault, self.detail):
            log.debug("broker %s:%d: %s", self._settings.host, self._settings.resolved_port, detail)
        self.fault, self.detail = fault, detail

    def _session(self) -> bool:
        """One connection from the attempt to its end; returns whether the broker accepted it."""
        settings = self._settings
        self._over = False
        client = self._client()
        try:
            client.connect(settings.host, settings.resolved_port, settings.keepalive_s)
        except (OSError, ValueError) as error:
            self._takeovers = 0
            self._failed(*explain(error))
            return False
        line = client.socket()
        if isinstance(line, socket.socket):
            # otherwise a reading waits for the acknowledgement of the one before, some 40 ms
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted = False
        try:
            accepted = self._serve(client)
        finally:
            self._accepted = False
            self._under_way.clear()
            self._unsent.clear()
            self._outbox.live.clear()
            self._outbox.resend_all()
            if accepted:
                self._history.connection_lost()
        return accepted

    def _client(self) -> paho.Client:
        client = new_client(self._settings, self.client_id, will_topic=f"{self._root}/availability")
        client.on_connect = self._caught(self._connected)
        client.on_disconnect = self._caught(self._disconnected)
        client.on_publish = self._caught(self._published)
        client.on_subscribe = self._caught(self._subscribed)
        client.on_message = self._caught(self._received)
        return client

    def _caught(self, callback: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception:
                self.counts.callback_errors += 1
                log.exception("a callback of the connection failed")

        return guarded

    def _serve(self, client: paho.Client) -> bool:
        began = time.monotonic()
        farewell: float | None = None
        misc_due = 0.0
        while True:
            now = time.monotonic()
            self.progress_ns = time.monotonic_ns()
            sock = client.socket()
            if sock is None or self._over:
                return self._accepted
            if not self._accepted and now - began > CONNACK_S:
                self._failed("mqtt_silent", f"accepts connections but has not answered for {CONNACK_S:g} s")
                return False
            if self._closing.is_set():
                if farewell is None:
                    farewell = now + FAREWELL_S
                    self._say_goodbye()
                if not self._accepted or now > farewell or not self._busy(client):
                    client.disconnect()
                    return self._accepted
            self._wait(client, sock)
            if now >= misc_due:
                client.loop_misc()
                misc_due = now + 0.5
                self._watch_answers()
            if self._accepted:
                self._pump(client)

    def _say_goodbye(self) -> None:
        for topic in ("status", "summary") if self._retract else ():
            self._outbox.retain(f"{self._root}/{topic}", b"")
        self._outbox.retain(f"{self._root}/availability", b"" if self._retract else b"offline")

    def _busy(self, client: paho.Client) -> bool:
        return bool(self._outbox or self._under_way or client.want_write())

    def _wait(self, client: paho.Client, sock: Any) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        decrypted = sock.pending() if isinstance(sock, ssl.SSLSocket) else 0
        ready = dict(poll.poll(0 if decrypted else 250))
        if self._wake in ready:
            os.eventfd_read(self._wake)
        events = ready.get(sock.fileno(), 0)
        if events & select.POLLOUT:
            client.loop_write()
        if decrypted or events & ~select.POLLOUT:
            client.loop_read()

    def _pump(self, client: paho.Client) -> None:
        """Hand the library what it can send now: retained, live, answers, history."""
        while self._unsent and self._unsent[0].is_published():
            self._unsent.popleft()
        outbox = self._outbox
        while len(self._under_way) < 32 and (kept := outbox.take_retained()):
            self._send(client, *kept, retain=True)
        while outbox.live and len(self._unsent) < UNSENT_LIMIT:
            topic, body = outbox.live.popleft()
            self._unsent.append(client.publish(topic, body, qos=0))
        while outbox.answers and len(self._under_way) < 32:
            self._send(client, *outbox.answers.popleft())
        flying = sum(batch is not None for batch, _ in self._under_way.values())
        while flying < self._in_flight and not self._closing.is_set() and (batch := self._history.take()):
            device = self._root.rsplit("/", 1)[1]
            self._send(client, f"{self._root}/history", payload.history(device, batch.bodies), batch=batch)
            flying += 1

    def _send(
        self,
        client: paho.Client,
        topic: str,
        body: bytes,
        *,
        retain: bool = False,
        batch: Batch | None = None,
    ) -> None:
        info = client.publish(topic, body, qos=1, retain=retain)
        if info.rc in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
            self._under_way[info.mid] = (batch, time.monotonic_ns())

    def _watch_answers(self) -> None:
        oldest = min((sent for _, sent in self._under_way.values()), default=None)
        late = oldest is not None and time.monotonic_ns() - oldest > UNANSWERED_S * 1e9
        stuck = len(self._outbox.live) > UNSENT_LIMIT
        if self._accepted and (late or stuck) and self.fault is None:
            self._failed("mqtt_unresponsive", "does not acknowledge; readings go to the spool")
        elif self._accepted and not (late or stuck) and self.fault == "mqtt_unresponsive":
            log.info("broker answers again")
            self.fault, self.detail = None, ""

    # Callbacks of the library, in the thread of the connection.

    def _connected(
        self, client: paho.Client, userdata: Any, flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        if code.is_failure:
            self._takeovers = 0
            self._failed(
                "mqtt_refused", f"refuses us: {code}; check username, password_file and the broker's ACL"
            )
            self._over = True
            return
        self._accepted = True
        self.counts.connects += 1
        if self._takeovers < 3:
            log.info("connected to broker %s:%d", self._settings.host, self._settings.resolved_port)
            self.fault, self.detail = None, ""
        self._accepted_ns = time.monotonic_ns()
        availability = f"{self._root}/availability"
        self._outbox.retain(availability, b"online")
        self._outbox.resend_all(availability)
        if self._settings.commands:
            client.subscribe(f"{self._root}/cmd/+", qos=1)
        if self._settings.discovery:
            client.subscribe(f"{self._settings.discovery_prefix}/status", qos=0)

    def _disconnected(
        self, client: paho.Client, userdata: Any, flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        self._over = True
        if self._closing.is_set() or not self._accepted:
            return
        brief = time.monotonic_ns() - self._accepted_ns < UNANSWERED_S * 1e9
        self._takeovers = self._takeovers + 1 if brief else 0
        if str(code) == "Session taken over":
            self._takeovers = max(self._takeovers, 3)
        if self._takeovers >= 3:
            self._failed("mqtt_duplicate_client", _DUPLICATE.format(client_id=self.client_id))
        else:
            self._failed("mqtt_lost", f"connection lost ({code})")

    def _published(
        self, client: paho.Client, userdata: Any, mid: int, code: ReasonCode, properties: Any
    ) -> None:
        batch, _ = self._under_way.pop(mid, (None, 0))
        if code.is_failure:
            self.counts.refused += 1
            self._failed("mqtt_publish_refused", f"refuses a message: {code}; check the broker's ACL")
        elif batch is not None:
            self._history.acknowledge(batch)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("history acknowledged: %s", b",".join(batch.bodies).decode())

    def _subscribed(
        self, client: paho.Client, userdata: Any, mid: int, codes: list[ReasonCode], properties: Any
    ) -> None:
        if any(code.is_failure for code in codes):
            self._failed(
                "mqtt_subscribe_refused", "refuses our subscription to commands; check the broker's ACL"
            )

    def _received(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        self._on_message(message.topic, bytes(message.payload), message.retain)
