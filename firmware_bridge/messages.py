"""What the daemon says, described once: schemas, the reference page and the tests are all made from here.

Within `/1` of a schema changes only add keys, so consumers must tolerate unknown ones. Estimates are unitless in
[-1, 1], other keys carry their unit; missing is `null`, never NaN and never 0. Times are RFC 3339, UTC, with
milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge_emotion.types import QualityFlag

Affect = Annotated[float, Field(ge=-1, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Timestamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Clock = Literal["synced", "unsynced"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)


class Sigma(_Message):
    """Standard error of each estimate."""

    arousal: Annotated[float, Field(gt=0)]
    valence: Annotated[float, Field(gt=0)]


class AudioReport(_Message):
    """What the sound contributed."""

    used: bool
    weight: Share = Field(description="Share in the fused estimate; the weights of used modalities sum to 1.")
    voiced: Share | None = Field(description="Share of the window with speech.")
    snr_db: float | None = Field(description="Estimated signal-to-noise ratio.")


class VideoReport(_Message):
    """What the picture contributed."""

    used: bool
    weight: Share = Field(description="Share in the fused estimate; the weights of used modalities sum to 1.")
    face_px: float | None = Field(description="Size of the face in pixels of the camera's picture.")
    score: Share | None = Field(description="Score of the face detector.")


class Modalities(_Message):
    """One report for each modality."""

    audio: AudioReport
    video: VideoReport


class Windows(_Message):
    """Seconds of input that the estimate rests on."""

    audio: float | None = None
    video: float | None = None


class Model(_Message):
    """The bundle that made the estimate."""

    id: str
    sha256: str | None = Field(description="Hash of the bundle's manifest.")


class Reading(_Message):
    """One estimate of expressed arousal and valence, with its confidence and its reasons for doubt."""

    schema_: Literal["edge_emotion.reading/1"] = Field(alias="schema")
    device: str
    boot: str = Field(
        description="Changes with every start of the daemon; for files, the content hash of the input."
    )
    seq: Count = Field(description="Counts from 1 within a boot; (device, boot, seq) identifies a reading.")
    ts: Timestamp | None = Field(description="When the reading was made; null for files.")
    ts_mono_ns: int | None = Field(default=None, description="The same instant on the monotonic clock.")
    media_time_s: float | None = Field(default=None, description="Files only: position in the clip.")
    clock: Clock | None = Field(description="Whether the wall clock was synchronised; null for files.")
    window_s: Windows
    age_ms: float | None = Field(description="Age of the newest input behind the estimate.")
    track: str | None = Field(description="Short stable id of the face that the reading is about.")
    arousal: Affect | None = Field(description="Estimated expressed arousal; null when not valid.")
    valence: Affect | None = Field(description="Estimated expressed valence; null when not valid.")
    sigma: Sigma | None
    confidence: Share | None = Field(
        description="Probability that the error is at most 0.25, mean of the two dimensions; null when not valid."
    )
    valid: bool
    modalities: Modalities
    quality: list[QualityFlag] = Field(description="Reasons for doubt, from a closed vocabulary.")
    model: Model
    historical: Literal[True] | None = Field(default=None, description="Present in history only.")


class History(_Message):
    """Readings that must arrive, oldest first, at least once; de-duplicate on (device, boot, seq)."""

    schema_: Literal["edge_emotion.history/1"] = Field(alias="schema")
    device: str
    historical: Literal[True]
    readings: list[Reading] = Field(min_length=1)


class Status(_Message):
    """The state of the daemon, sent once per change."""

    schema_: Literal["edge_emotion.status/1"] = Field(alias="schema")
    device: str
    boot: str
    ts: Timestamp
    clock: Clock
    state: Literal["init", "ready", "degraded", "paused", "error"]
    reasons: list[str] = Field(description="Why the state is not `ready`, from the table of faults.")
    details: dict[str, str] = Field(description="One line for humans about each reason.")
    version: str
    model: Model | None
    previous_run: dict[str, Any] | None = Field(
        default=None, description="How the run before this one ended, and how much history it may have lost."
    )


class Mean(_Message):
    """Means over the valid readings of a window."""

    arousal: Affect | None
    valence: Affect | None
    confidence: Share | None


class Summary(_Message):
    """Means since the last summary."""

    schema_: Literal["edge_emotion.summary/1"] = Field(alias="schema")
    device: str
    boot: str
    ts: Timestamp
    window_s: float
    n: Count
    n_valid: Count
    mean: Mean


class Health(_Message):
    """How the machine and the daemon are doing. Counters count from the start of the daemon."""

    schema_: Literal["edge_emotion.health/1"] = Field(alias="schema")
    device: str
    boot: str
    ts: Timestamp
    uptime_s: float
    rate_hz: dict[str, float] = Field(
        description="Readings, sound blocks and pictures per second, since the last."
    )
    age_ms: dict[str, float | None] = Field(description="Age of the newest data of each source.")
    dropped: dict[str, Count] = Field(description="Items dropped by each full queue, oldest first.")
    cpu_percent: float = Field(description="Of one core, since the last message.")
    rss_mb: float
    temperature_c: float | None
    throttled: bool | None = Field(
        description="Whether the board lowers its clock; null where it does not say."
    )
    spool: dict[str, int] = Field(description="rows, bytes, dropped.")
    broker: dict[str, int] = Field(
        description="connects, failures, refused messages, unacknowledged messages."
    )


class Calibrate(BaseModel):
    """Learn a personal baseline, or forget it."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    id: Annotated[str, Field(max_length=64)] | None = None
    duration_s: Annotated[float, Field(ge=5, le=600)] | None = None
    store: bool = False
    reset: bool = False


class Plain(BaseModel):
    """A command without arguments."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    id: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Comes back in the response."
    )


class Response(_Message):
    """The answer to a command."""

    schema_: Literal["edge_emotion.response/1"] = Field(alias="schema")
    verb: str
    id: str | None
    ok: bool
    error: str | None
    result: dict[str, Any] | None = None


VERBS: dict[str, type[BaseModel]] = {
    "pause": Plain,
    "resume": Plain,
    "calibrate": Calibrate,
    "reload": Plain,
    "identify": Plain,
}
"""Every command with the model of its arguments."""

COMMAND_LIMIT_BYTES = 1024
"""Longer commands are refused unread."""
