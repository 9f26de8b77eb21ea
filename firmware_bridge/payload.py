"""Messages as JSON objects: pure functions of the reading and of who is speaking."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from edge_emotion.types import ModalityReport, Reading

Clock = Literal["synced", "unsynced"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who is speaking."""

    device: str
    boot: str
    model_id: str
    model_sha256: str | None


def encode(message: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON; NaN and infinity raise ``ValueError`` rather than leave the machine."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def timestamp(wall_ns: int) -> str:
    """RFC 3339 in UTC with milliseconds of nanoseconds since 1970."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


def _number(value: float | None, digits: int = 4) -> float | None:
    return round(float(value), digits) if value is not None and math.isfinite(value) else None


def _modality(report: ModalityReport, facts: Sequence[str]) -> dict[str, Any]:
    values = {fact: _number(report.facts.get(fact), 3) for fact in facts}
    return {"used": report.used, "weight": _number(report.weight) or 0.0, **values}


def reading(reading: Reading, origin: Origin, wall_ns: int | None, clock: Clock | None) -> dict[str, Any]:
    """A reading as ``edge_emotion.reading/1``.

    Parameters
    ----------
    wall_ns
        Wall time of ``reading.time_ns``, or None for files: then ``ts`` is null and ``media_time_s`` is given.
    clock
        Whether the wall clock is synchronised, or None for files.
    """
    valid = reading.valid
    message: dict[str, Any] = {
        "schema": "edge_emotion.reading/1",
        "device": origin.device,
        "boot": origin.boot,
        "seq": reading.seq,
        "ts": None if wall_ns is None else timestamp(wall_ns),
    }
    if wall_ns is None:
        message["media_time_s"] = round(reading.time_ns / 1e9, 6)
    else:
        message["ts_mono_ns"] = reading.time_ns
    sigma = {"arousal": _number(reading.sigma_arousal), "valence": _number(reading.sigma_valence)}
    return message | {
        "clock": clock,
        "window_s": {name: _number(value, 3) for name, value in reading.window_s.items()},
        "age_ms": round(reading.age_ns / 1e6, 1),
        "track": reading.track,
        "arousal": _number(reading.arousal),
        "valence": _number(reading.valence),
        "sigma": sigma if valid else None,
        "confidence": _number(reading.confidence),
        "valid": valid,
        "modalities": {
            "audio": _modality(reading.audio, ("voiced", "snr_db")),
            "video": _modality(reading.video, ("face_px", "score")),
        },
        "quality": list(reading.quality),
        "model": {"id": origin.model_id, "sha256": origin.model_sha256},
    }


def history(device: str, bodies: Sequence[bytes]) -> bytes:
    """Encoded readings, joined without decoding them, as ``edge_emotion.history/1``."""
    head = encode({"schema": "edge_emotion.history/1", "device": device, "historical": True})
    return head[:-1] + b',"readings":[' + b",".join(bodies) + b"]}"


def status(
    origin: Origin,
    state: str,
    reasons: Sequence[str],
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
        means = [_number(total / self._valid) if self._valid else None for total in self._sums]
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
