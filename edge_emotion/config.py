"""Settings of the algorithm, stored in the bundle so that training and device agree.

Every model here is frozen and refuses unknown keys; `parse` turns what pydantic finds into one line with the
dotted path.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_emotion.errors import ConfigError, EdgeEmotionError

Seconds = Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Dimension = Literal["arousal", "valence"]  # as in types, which settings do not know
Mode = Literal["compat", "corrected"]
Provider = Literal["auto", "cpu", "cuda", "tensorrt"]
Interpreter = Literal["auto", "ai-edge-litert", "tflite-runtime"]


class Settings(BaseModel):
    """Base of every settings table: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], data: Any, source: str, error: type[EdgeEmotionError] = ConfigError) -> M:
    """Validate ``data``, or raise ``error`` with one line: source, dotted path, what is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "(top level)"
        what = (
            "unknown key"
            if first["type"] == "extra_forbidden"
            else first["msg"].removeprefix("Value error, ")
        )
        more = invalid.error_count() - 1
        raise error(f"{source}: {path}: {what}" + (f" (and {more} more)" if more else "")) from None


class Engine(Settings):
    """What runs a model, and how."""

    provider: Provider = "auto"
    """``auto`` is CUDA where onnxruntime has it, else the CPU; anything else that is absent is refused."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Of one model."""
    spinning: bool = False
    """Idle threads of onnxruntime keep a core busy for a while, so that the next call finds them awake."""
    interpreter: Interpreter = "auto"
    """Of TFLite files; ``auto`` is the first that is installed, ai-edge-litert before tflite-runtime."""


class EncoderEngine(Engine):
    """The same for the face encoder, which may come in several formats."""

    variant: str | None = None
    """Its name in the manifest's ``variants``; the main file where there is none."""

    def __str__(self) -> str:
        """In words, such as ``int8, 2 threads, spinning``."""
        words = [self.variant or "main file", f"{self.threads} thread{'s' * (self.threads > 1)}"]
        words += [self.interpreter] * (self.interpreter != "auto")
        words += [self.provider] * (self.provider not in ("auto", "cpu"))
        return ", ".join(words + ["spinning"] * self.spinning)


class Execution(Engine):
    """How models are run on a machine; not part of a bundle."""

    encoder: EncoderEngine | None = None
    """Of the face encoder alone, as `edge_emotion.model.choice` found it best; like all others where not given."""

    @property
    def for_encoder(self) -> EncoderEngine:
        """What runs the face encoder."""
        return self.encoder or EncoderEngine.model_validate(self.model_dump(exclude={"encoder"}))


class PerDimension(Settings):
    """One number for each of the two dimensions."""

    arousal: Finite
    valence: Finite

    def __getitem__(self, dimension: Dimension) -> float:
        """Value of one dimension."""
        return self.arousal if dimension == "arousal" else self.valence


class WindowLengths(Settings):
    """Seconds of input that each dimension's estimate looks back on."""

    arousal: Seconds
    valence: Seconds

    def __getitem__(self, dimension: Dimension) -> float:
        """Length of one dimension's window."""
        return self.arousal if dimension == "arousal" else self.valence

    @property
    def longest(self) -> float:
        """The longer of the two."""
        return max(self.arousal, self.valence)


Point = tuple[Finite, Finite]


class CropSettings(Settings):
    """Where the five landmarks of an aligned face lie in its crop, in pixels of the crop."""

    size: Annotated[int, Field(ge=16, le=512)] = 48
    landmarks: tuple[Point, Point, Point, Point, Point]
    """The person's right eye, left eye, nose tip, right and left corner of the mouth, as (x, y)."""

    def scaled(self, size: int) -> CropSettings:
        """Return the same view in ``size`` x ``size`` pixels."""
        moved = [(x * size / self.size, y * size / self.size) for x, y in self.landmarks]
        return CropSettings.model_validate({"size": size, "landmarks": moved})


class DetectorSettings(Settings):
    """How faces are looked for."""

    long_side_px: Annotated[int, Field(ge=64, le=1920)] = 320
    """Pictures are scaled down until their longer side is this; small faces need more."""
    score_threshold: Share = 0.6
    nms_threshold: Share = 0.3
    max_faces: Annotated[int, Field(ge=1, le=32)] = 4


class VoiceSettings(Settings):
    """What counts as speech."""

    threshold: Share = 0.5
    """A step is voiced from this speech probability on."""
    minimum_share: Share = 0.1
    """Below this voiced share of the window there is no speech and the sound is not used."""


class SpeakerBaselineSettings(Settings):
    """A running mean of the speaker's level and pitch (see `edge_emotion.features.speaker_baseline`)."""

    reference: Annotated[tuple[Finite, ...], Field(min_length=9, max_length=9)]
    """Mean of the moved functionals in the training speech."""
    largest: Annotated[tuple[Annotated[Finite, Field(ge=0)], ...], Field(min_length=9, max_length=9)]
    """Most that each may be moved by."""
    time_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 60.0
    """Time constant of the mean."""


class QualityThresholds(Settings):
    """From where on a fact becomes a flag of the reading (our choices)."""

    low_light: Finite = 50.0
    """Mean grey level of the face, 0 to 255."""
    blur: Finite = 0.5
    """Blur of the aligned face, 0 sharp to 1; one in a hundred FER+ faces is above 0.5."""
    off_axis_deg: Finite = 35.0
    clipped: Share = 0.001
    """Share of samples at full scale."""
    low_snr_db: Finite = 10.0
    stale_s: Seconds = 0.5
    """Sound or pictures that stop coming are stale after this time; stale sound is not used."""


class SmoothingChain(Settings):
    """Causal post-processing of one dimension; every step may be neutral."""

    median_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    """Causal median over this time, 0 for none."""
    mean_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    """Causal running mean over this time, 0 for none."""
    centre: Finite = 0.0
    """The value that scaling leaves where it is."""
    scale: Annotated[float, Field(gt=0, le=10)] = 1.0
    offset: Finite = 0.0
    """Added after scaling."""

    @property
    def latency_s(self) -> float:
        """Delay that the chain adds to a slow change: half of each window."""
        return (self.median_s + self.mean_s) / 2


class SmoothingSettings(Settings):
    """The one post-processing chain."""

    arousal: SmoothingChain = SmoothingChain()
    valence: SmoothingChain = SmoothingChain()
    restart_after_s: Seconds = 1.0
    """Without a value for longer than this the chain begins anew."""

    def __getitem__(self, dimension: Dimension) -> SmoothingChain:
        """Chain of one dimension."""
        return self.arousal if dimension == "arousal" else self.valence


class Term(Settings):
    """One quality fact's share in the logarithm of sigma: linear between knots, flat beyond them."""

    fact: str
    knots: Annotated[tuple[Finite, ...], Field(min_length=1)]
    arousal: tuple[Finite, ...]
    valence: tuple[Finite, ...]
    missing: PerDimension
    """What it contributes where the fact is unknown."""

    @model_validator(mode="after")
    def _ordered(self) -> Term:
        if any(b <= a for a, b in pairwise(self.knots)):
            raise ValueError(f"knots of {self.fact} must rise")
        for name, values in (("arousal", self.arousal), ("valence", self.valence)):
            if len(values) != len(self.knots):
                raise ValueError(f"{self.fact}.{name} needs one value for each of {len(self.knots)} knots")
            steps = [b - a for a, b in pairwise(values)]
            if min(steps, default=0.0) < 0 < max(steps, default=0.0):
                raise ValueError(f"{self.fact}.{name} must be monotone")
        return self


class SigmaParameters(Settings):
    """log(sigma) = intercept + the sum of the terms, for each dimension."""

    intercept: PerDimension
    terms: tuple[Term, ...] = ()
