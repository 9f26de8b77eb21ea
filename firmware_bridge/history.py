"""History: readings that must arrive. In memory while the broker answers, on disk when it does not.

A reading stays in the ring until the broker acknowledged it. What is unacknowledged after `DUE_S`, when the connection
is lost, or at the end, goes to the spool. Delivery is at least once and in order; consumers de-duplicate on
(device, boot, seq). A killed process loses what was in the ring: at most `AT_RISK_S` of readings.

Three threads meet here: the ticks (`push`), the owner of the connection (`take`, `acknowledge`, `connection_lost`) and
the keeper (`poll`), the only one that waits for the disk's commits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.spool import Spool, SpoolError

log = logging.getLogger(__name__)

DUE_S = 5.0
POLL_S = 0.5
AT_RISK_S = DUE_S + POLL_S
RETRY_S = 10.0


@dataclass(slots=True)
class _Row:
    born_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings for one message: ids of this module's counting, and encoded readings, in order."""

    ids: list[int]
    bodies: list[bytes]
    counting: int = 0
    """Which counting the ids belong to: it begins anew when a spool is found late."""


class History:
    """The ring and the spool as one queue.

    Parameters
    ----------
    open_spool
        Opens the spool; raises `SpoolError` where it cannot, and is tried again later. None: there is only the ring.
    ring_bytes
        Bound of the ring; matters only while the spool cannot be written. Drop-oldest, counted in ``dropped``.
    """

    def __init__(self, open_spool: Callable[[], Spool] | None, *, ring_bytes: int = 4_000_000) -> None:
        self._open_spool = open_spool
        self._ring_limit = ring_bytes
        self._lock = threading.Lock()
        self._ring: dict[int, _Row] = {}
        self._ring_size = 0
        self._ring_dropped = 0
        self._cursor = 0  # the last id handed out on this connection
        self._stored = 0  # ids up to here are in the spool unless acknowledged
        self._arrived: list[int] = []  # acknowledged, still to be removed from the spool
        self._flush = False
        self._retry_ns = 0
        self.fault: str | None = None
        """Why the spool cannot be used just now, or None."""
        self.spool: Spool | None = None
        try:
            self.spool = open_spool() if open_spool else None
        except SpoolError as error:
            self._broken(str(error), 0)
        self._stored = self.spool.last_id if self.spool else 0
        self._last_id = self._stored
        self._counting = 0

    @property
    def dropped(self) -> int:
        """Readings lost to a bound so far."""
        return self._ring_dropped + (self.spool.dropped if self.spool else 0)

    @property
    def waiting(self) -> int:
        """Readings that are not acknowledged."""
        with self._lock:
            return len(self._ring) + (self.spool.rows if self.spool else 0)

    def push(self, body: bytes, now_ns: int) -> None:
        """Add one encoded reading; never waits for the disk or the network."""
        with self._lock:
            self._last_id += 1
            self._ring[self._last_id] = _Row(now_ns, body)
            self._ring_size += len(body)
            while self._ring_size > self._ring_limit:
                self._forget(next(iter(self._ring)))
                self._ring_dropped += 1

    def _forget(self, row_id: int) -> bool:
        row = self._ring.pop(row_id, None)
        self._ring_size -= len(row.body) if row else 0
        return row is not None

    def take(self, rows: int = 100) -> Batch | None:
        """The next readings to send on this connection, oldest first; None when all are under way."""
        with self._lock:
            after, stored = self._cursor, self._stored
        if after < stored and self.spool:
            try:
                found = self.spool.read(after, rows)
            except SpoolError as error:
                log.debug("%s", error)
                return None
            with self._lock:
                # what was read may lie beyond `stored` by now; what was not found was acknowledged or dropped
                self._cursor = max(found[-1][0] if found else stored, self._cursor)
            if found:
                return self._batch(found)
        with self._lock:
            fresh = [(row_id, row.body) for row_id, row in self._ring.items() if row_id > self._cursor][:rows]
            if not fresh:
                return None
            self._cursor = fresh[-1][0]
            return self._batch(fresh)

    def _batch(self, rows: list[tuple[int, bytes]]) -> Batch:
        return Batch([row_id for row_id, _ in rows], [body for _, body in rows], self._counting)

    def acknowledge(self, batch: Batch) -> None:
        """The broker has taken ``batch``."""
        with self._lock:
            for row_id in batch.ids if batch.counting == self._counting else ():
                self._forget(row_id)
                if row_id <= self._stored:
                    self._arrived.append(row_id)

    def connection_lost(self) -> None:
        """Everything unacknowledged goes to the spool at the next `poll`, and is sent again from the oldest."""
        with self._lock:
            self._cursor = 0
            self._flush = bool(self._ring)

    def poll(self, now_ns: int) -> None:
        """Bring the disk up to date if something is due; called every `POLL_S` by the keeper."""
        if self.spool is None:
            if self._open_spool and now_ns >= self._retry_ns:
                self._reopen(self._open_spool, now_ns)
            return
        with self._lock:
            arrived, self._arrived = self._arrived, []
            oldest = next(iter(self._ring.values()), None)
            due = oldest is not None and now_ns - oldest.born_ns >= DUE_S * 1e9
            due = due and now_ns >= self._retry_ns
            rows = [(row_id, row.body) for row_id, row in self._ring.items()] if due or self._flush else []
            self._flush = False
        try:
            if arrived:
                self.spool.remove(arrived)
            if rows:
                self.spool.store(rows)
        except SpoolError as error:
            with self._lock:
                self._arrived = arrived + self._arrived
            self._broken(str(error), now_ns)
            return
        if rows:
            self._stored_now([row_id for row_id, _ in rows])
        if (rows or arrived) and self.fault:
            log.info("the spool can be written again")
            self.fault = None

    def _stored_now(self, ids: list[int]) -> None:
        with self._lock:
            for row_id in ids:
                if not self._forget(row_id):
                    self._arrived.append(row_id)  # acknowledged, or dropped, while the disk was busy
            self._stored = ids[-1]

    def _reopen(self, open_spool: Callable[[], Spool], now_ns: int) -> None:
        try:
            spool = open_spool()
        except SpoolError as error:
            self._broken(str(error), now_ns)
            return
        with self._lock:
            # ids must lie above everything that the spool knows
            shift = spool.last_id
            self._ring = {row_id + shift: row for row_id, row in self._ring.items()}
            self._last_id += shift
            self._counting += 1
            self._stored, self._cursor = spool.last_id, 0
            self.spool, self.fault = spool, None

    def _broken(self, why: str, now_ns: int) -> None:
        if self.fault is None:
            log.warning("%s; readings are kept in memory", why)
        self.fault = why
        self._retry_ns = now_ns + int(RETRY_S * 1e9)

    def close(self) -> None:
        """Put everything unacknowledged into the spool and close it."""
        if self.spool is None:
            return
        with self._lock:
            self._flush = bool(self._ring)
            self._retry_ns = 0
        self.poll(0)
        self.poll(0)  # what was acknowledged while the first one wrote
        try:
            if self.fault is None:
                self.spool.end_run()
        except SpoolError as error:
            log.warning("%s", error)
        self.spool.close()
