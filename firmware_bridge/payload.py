"""What the daemon says beside readings, as JSON objects: pure functions of who is speaking and what is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from edge_emotion.reading_json import Clock, Origin, encode
from edge_emotion.types import Reading


def timestamp(wall_ns: int) -> str:
    """RFC 3339 in UTC with milliseconds of nanoseconds since 1970."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


def history(device: str, bodies: Sequence[bytes]) -> bytes:
    """Encoded readings, joined without decoding them, as ``edge_emotion.history/1``."""
    head = encode({"schema": "edge_emotion.history/1", "device": device, "historical": True})
    return head[:-1] + b',"readings":[' + b",".join(bodies) + b"]}"


def status(
    origin: Origin,
    state: str,
    reasons: Mapping[str, str],
    version: str,
    wall_ns: int,
    clock: Clock,
    previous_run: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The daemon's state as ``edge_emotion.status/1``."""
    message: dict[str, Any] = {
        "schema": "edge_emotion.status/1",
        "device": origin.device,
        "boot": origin.boot,
        "ts": timestamp(wall_ns),
        "clock": clock,
        "state": state,
        "reasons": list(reasons),
        "details": dict(reasons),
        "version": version,
        "model": {"id": origin.model_id, "sha256": origin.model_sha256} if origin.model_id else None,
    }
    if previous_run is not None:
        message["previous_run"] = dict(previous_run)
    return message


class SummaryWindow:
    """Means of the readings since the last `take`."""

    def __init__(self) -> None:
        self._count = 0
        self._sums = [0.0, 0.0, 0.0]
        self._valid = 0
        self._start_ns: int | None = None

    def push(self, reading: Reading) -> None:
        """Count one reading; a reading that is not valid counts in ``n`` only."""
        self._start_ns = reading.time_ns if self._start_ns is None else self._start_ns
        self._count += 1
        if reading.arousal is None or reading.valence is None or reading.confidence is None:
            return
        self._valid += 1
        for place, value in enumerate((reading.arousal, reading.valence, reading.confidence)):
            self._sums[place] += value

    def take(self, origin: Origin, now_ns: int, wall_ns: int) -> dict[str, Any]:
        """The summary since the last one as ``edge_emotion.summary/1``; means are null without a valid reading."""
        means = [round(total / self._valid, 4) if self._valid else None for total in self._sums]
        start_ns = now_ns if self._start_ns is None else self._start_ns
        message = {
            "schema": "edge_emotion.summary/1",
            "device": origin.device,
            "boot": origin.boot,
            "ts": timestamp(wall_ns),
            "window_s": round((now_ns - start_ns) / 1e9, 3),
            "n": self._count,
            "n_valid": self._valid,
            "mean": dict(zip(("arousal", "valence", "confidence"), means, strict=True)),
        }
        self.__init__()  # type: ignore[misc]
        self._start_ns = now_ns
        return message
