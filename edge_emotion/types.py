"""What moves through the pipeline: frozen records, and the protocols by which its stages meet.

Times are integer nanoseconds on one monotonic clock (for files: media time). Images are ``uint8``; arrays handed
over in a record belong to the receiver and are not written to afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

Dimension = Literal["arousal", "valence"]
DIMENSIONS: tuple[Dimension, Dimension] = ("arousal", "valence")

Modality = Literal["audio", "video"]
MODALITIES: tuple[Modality, Modality] = ("audio", "video")

QualityFlag = Literal[
    "no_face",
    "multi_face",
    "low_light",
    "blur",
    "off_axis",
    "no_speech",
    "clipped",
    "low_snr",
    "overrun",
    "stale_video",
    "stale_audio",
    "clock_unsynced",
    "uncalibrated",
]
"""The closed vocabulary of reasons for doubt (schema ``edge_emotion.reading/1``)."""


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """Mono sound.

    Attributes
    ----------
    samples
        ``float32``, shape ``(n,)``, full scale is [-1, 1]; any ``n`` including 0. Values that are not finite are
        taken as silence and counted as clipped.
    sample_rate_hz
        The rate of ``samples``; the pipeline accepts only its bundle's rate (16 kHz): capture resamples.
    start_ns
        Time of the first sample.
    """

    samples: F32
    sample_rate_hz: int
    start_ns: int

    @property
    def end_ns(self) -> int:
        """Time just after the last sample."""
        return self.start_ns + len(self.samples) * 1_000_000_000 // self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One picture.

    Attributes
    ----------
    image
        ``uint8``: ``(h, w, 3)`` BGR, ``(h, w, 4)`` BGRA or ``(h, w)`` grey.
    time_ns
        When it was captured (files: its presentation time).
    """

    image: U8
    time_ns: int


class FaceBox(NamedTuple):
    """A detected face in pixels of the frame it was found in."""

    x: float
    y: float
    width: float
    height: float
    landmarks: F32
    """Shape (5, 2): the person's right eye, left eye, nose tip, right and left corner of the mouth (x, y)."""
    score: float
    """Detection score, 0 to 1."""


class FaceDetector(Protocol):
    """Finds faces in a picture."""

    def compute(self, image: U8) -> list[FaceBox]:
        """Faces of one BGR, BGRA or grey picture, best score first; empty when there is none."""
        ...


class FaceEncoder(Protocol):
    """Turns aligned crops into features."""

    feature_count: int

    def compute(self, crops: U8) -> F32:
        """Features of crops ``uint8 (n, size, size)`` as ``float32 (n, feature_count)``."""
        ...


class VoiceActivity(Protocol):
    """Tells speech from everything else, block by block."""

    def push(self, samples: F32) -> F32:
        """Speech probabilities (0 to 1), one a step that ``samples`` completed; any split gives the same."""
        ...

    def reset(self) -> None:
        """As just constructed."""
        ...


class Regressor(Protocol):
    """Maps a feature vector to arousal and valence."""

    def compute(self, features: F32) -> F32:
        """``float32 (n, features)`` to ``float32 (n, 2)``: arousal, valence, not clipped."""
        ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """One modality's word on arousal and valence (order of `DIMENSIONS`), before fusion."""

    value: tuple[float, float]
    sigma: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ModalityReport:
    """What a reading says of one modality."""

    used: bool
    weight: float
    """Share in the fused estimate, mean of the two dimensions; the weights of used modalities sum to 1."""
    facts: Mapping[str, float | None] = field(default_factory=dict)
    """Audio: ``voiced`` (0 to 1), ``snr_db``. Video: ``face_px``, ``score``. ``None`` where unknown."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One estimate of expressed arousal and valence with its reasons for doubt.

    The schema of its JSON form is ``edge_emotion.reading/1``.

    ``arousal``, ``valence``, both sigmas and ``confidence`` are ``None`` exactly when ``valid`` is false.
    """

    time_ns: int
    seq: int
    arousal: float | None
    valence: float | None
    sigma_arousal: float | None
    sigma_valence: float | None
    confidence: float | None
    """Mean over the dimensions of P(|error| <= 0.25) under a normal error of width sigma."""
    audio: ModalityReport
    video: ModalityReport
    quality: tuple[QualityFlag, ...]
    window_s: Mapping[Modality, float]
    age_ns: int
    """``time_ns`` less the capture time of the newest input that the estimate rests on."""
    waited_ns: int
    """The look-ahead that the slowest descriptor in the estimate waited for."""
    track: str | None
    """Short stable id of the face that the reading is about."""
    others: tuple[Reading, ...] = ()
    """Readings of further faces in the same picture: video only, flagged ``multi_face``."""

    @property
    def valid(self) -> bool:
        """Whether there is an estimate at all."""
        return self.arousal is not None
