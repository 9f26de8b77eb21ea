"""Readings on disk while the broker is away: a bounded first-in first-out queue in one SQLite file.

Write-ahead log, ``synchronous=FULL`` and one commit for each batch: with NORMAL a power cut rolls back to the last
checkpoint, and a commit for each row multiplies the writes. Deleted rows are overwritten (``secure_delete``).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_emotion.closing import Closing
from edge_emotion.errors import EdgeEmotionError

log = logging.getLogger(__name__)

_ROW_OVERHEAD_BYTES = 32

_SCHEMA = """
CREATE TABLE IF NOT EXISTS reading (id INTEGER PRIMARY KEY, at_s REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS run (boot TEXT NOT NULL, clean INTEGER NOT NULL);
"""


class SpoolError(EdgeEmotionError):
    """The spool cannot be read or written just now: a full disk, a folder that may not be written."""


class Run(NamedTuple):
    """A run of the daemon as the spool remembers it."""

    boot: str
    clean: bool
    """Whether it ended in order, with everything handed over or spooled."""


class Spool(Closing):
    """The queue. One thread writes; `read` has its own connection, so that another thread never waits for a commit.

    Parameters
    ----------
    path
        The file; created with its folder. A file that is no sound database is set aside as ``<name>.corrupt``.
    max_bytes
        Readings beyond this are dropped, oldest first, and counted in ``dropped``.
    max_age_s
        Readings that waited longer are dropped and counted. Age is the time that daemons ran on this spool, so that a
        step of the wall clock drops nothing.
    uptime_s
        Monotonic seconds, any origin.

    Raises
    ------
    SpoolError
        When the file cannot be opened.
    """

    def __init__(
        self, path: Path, *, max_bytes: int, max_age_s: float, uptime_s: Callable[[], float]
    ) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self.dropped = 0
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open_sound()
            self._reader = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
            rows, size, last, age = self._writer.execute(
                "SELECT count(*), coalesce(sum(length(body)), 0), coalesce(max(id), 0), coalesce(max(at_s), 0)"
                " FROM reading"
            ).fetchone()
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"spool {path}: {error}; make its folder writable or set history.file") from None
        self.rows: int = rows
        self.bytes: int = size + rows * _ROW_OVERHEAD_BYTES
        self.last_id: int = last
        started_s = uptime_s()
        self._age_s: Callable[[], float] = lambda: age + uptime_s() - started_s

    def _open_sound(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.OperationalError:
            raise  # a full disk or missing rights say nothing about the content
        except sqlite3.DatabaseError as error:
            self.set_aside = self.path.with_name(self.path.name + ".corrupt")
            log.warning("spool %s is damaged (%s): set aside as %s", self.path, error, self.set_aside.name)
            self.path.replace(self.set_aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            return self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=5)
        try:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute("PRAGMA journal_size_limit=1000000")
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file."""
        for connection in (self._reader, self._writer):
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def store(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """Write ``(id, body)`` rows, ids above all before, in one commit; drop the oldest where the bounds are passed.

        Raises
        ------
        SpoolError
            When the disk refuses; nothing was written then.
        """
        age_s = self._age_s()
        added = sum(len(body) + _ROW_OVERHEAD_BYTES for _, body in rows)

        def work() -> tuple[int, int]:
            self._writer.executemany(
                "INSERT OR REPLACE INTO reading VALUES (?, ?, ?)",
                ((row_id, age_s, body) for row_id, body in rows),
            )
            return self._drop(self.bytes + added, age_s - self._max_age_s)

        dropped, freed = self._commit(work)
        self.rows += len(rows) - dropped
        self.bytes += added - freed
        self.dropped += dropped
        self.last_id = max(self.last_id, rows[-1][0]) if rows else self.last_id

    def _drop(self, size: int, before_s: float) -> tuple[int, int]:
        doomed: list[int] = []
        freed = 0
        for row_id, at_s, length in self._writer.execute(
            "SELECT id, at_s, length(body) FROM reading ORDER BY id"
        ):
            if size - freed <= self._max_bytes and at_s >= before_s:
                break
            doomed.append(row_id)
            freed += length + _ROW_OVERHEAD_BYTES
        self._writer.executemany("DELETE FROM reading WHERE id = ?", ((row_id,) for row_id in doomed))
        return len(doomed), freed

    def read(self, after_id: int, rows: int, max_bytes: int = 200_000) -> list[tuple[int, bytes]]:
        """Up to ``rows`` of the oldest ``(id, body)`` above ``after_id``, at least one if there is any, in order."""
        found: list[tuple[int, bytes]] = []
        size = 0
        try:
            cursor = self._reader.execute(
                "SELECT id, body FROM reading WHERE id > ? ORDER BY id LIMIT ?", (after_id, rows)
            )
            for row_id, body in cursor:
                size += len(body)
                if found and size > max_bytes:
                    break
                found.append((row_id, body))
            cursor.close()
        except sqlite3.Error as error:
            raise SpoolError(f"spool {self.path}: {error}") from None
        return found

    def remove(self, ids: Iterable[int]) -> None:
        """Forget readings that arrived; ids that are not there are passed over."""
        doomed = list(ids)

        def work() -> tuple[int, int]:
            count = freed = 0
            for row_id in doomed:
                for (length,) in self._writer.execute(
                    "DELETE FROM reading WHERE id = ? RETURNING length(body)", (row_id,)
                ):
                    count += 1
                    freed += length + _ROW_OVERHEAD_BYTES
            return count, freed

        count, freed = self._commit(work)
        self.rows -= count
        self.bytes -= freed
        if self.rows == 0:
            self._commit(lambda: (len(self._writer.execute("PRAGMA incremental_vacuum").fetchall()), 0))

    def purge(self) -> int:
        """Forget everything; returns how many readings that were."""
        count = self.rows
        self._commit(lambda: (self._writer.execute("DELETE FROM reading").rowcount, 0))
        self.rows = self.bytes = 0
        with contextlib.suppress(sqlite3.Error):
            self._writer.execute("VACUUM")
        return count

    def begin_run(self, boot: str) -> Run | None:
        """Note that a daemon runs; returns the run before, if any."""
        found = self._writer.execute("SELECT boot, clean FROM run").fetchone()

        def work() -> tuple[int, int]:
            self._writer.execute("DELETE FROM run")
            self._writer.execute("INSERT INTO run VALUES (?, 0)", (boot,))
            return 0, 0

        self._commit(work)
        return Run(found[0], bool(found[1])) if found else None

    def end_run(self) -> None:
        """Note that the daemon ended in order."""
        self._commit(lambda: (self._writer.execute("UPDATE run SET clean = 1").rowcount, 0))

    def _commit(self, work: Callable[[], tuple[int, int]]) -> tuple[int, int]:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            result = work()
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise SpoolError(f"spool {self.path}: {error}") from None
        return result
