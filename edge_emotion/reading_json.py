"""A reading as JSON, schema ``edge_emotion.reading/1``: the same object from a clip and from a device."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edge_emotion.types import ModalityReport, Reading

SCHEMA = "edge_emotion.reading/1"
Clock = Literal["synced", "unsynced"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who is speaking."""

    device: str
    boot: str
    """Names one run of a device, or the content of a clip, so that the same clip gives the same bytes."""
    model_id: str
    model_sha256: str | None


def encode(message: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON; NaN and infinity raise ``ValueError`` rather than leave the machine."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def reading_message(
    reading: Reading, origin: Origin, *, ts: str | None = None, clock: Clock | None = None
) -> dict[str, Any]:
    """One reading, without its `Reading.others`.

    Parameters
    ----------
    reading
        What to say.
    origin
        Who says it.
    ts
        Wall time of ``reading.time_ns``, RFC 3339 in UTC; ``None`` for files: then ``media_time_s`` is given.
    clock
        Whether the wall clock is synchronised; ``None`` for files.
    """
    time = (
        {"media_time_s": round(reading.time_ns / 1e9, 6)} if ts is None else {"ts_mono_ns": reading.time_ns}
    )
    sigma = {"arousal": _number(reading.sigma_arousal), "valence": _number(reading.sigma_valence)}
    return {
        "schema": SCHEMA,
        "device": origin.device,
        "boot": origin.boot,
        "seq": reading.seq,
        "ts": ts,
        **time,
        "clock": clock,
        "window_s": {name: _number(value, 3) for name, value in reading.window_s.items()},
        "age_ms": round(reading.age_ns / 1e6, 1),
        "track": reading.track,
        "arousal": _number(reading.arousal),
        "valence": _number(reading.valence),
        "sigma": sigma if reading.valid else None,
        "confidence": _number(reading.confidence),
        "valid": reading.valid,
        "modalities": {
            "audio": _modality(reading.audio, ("voiced", "snr_db")),
            "video": _modality(reading.video, ("face_px", "score")),
        },
        "quality": list(reading.quality),
        "model": {"id": origin.model_id, "sha256": origin.model_sha256},
    }


def _modality(report: ModalityReport, facts: Sequence[str]) -> dict[str, Any]:
    values = {fact: _number(report.facts.get(fact), 3) for fact in facts}
    return {"used": report.used, "weight": _number(report.weight) or 0.0, **values}


def _number(value: float | None, digits: int = 4) -> float | None:
    return round(float(value), digits) if value is not None and math.isfinite(value) else None
