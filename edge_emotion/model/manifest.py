"""What a bundle says of itself: one fragment for each part (``part.json``), joined in ``manifest.json``.

The fragments are written by training and conversion and state every fact of their models; `Manifest` joins them and
adds the SHA-256 of each file. File names are relative to the part's folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from edge_emotion.config import (
    CropSettings,
    DetectorSettings,
    Finite,
    Mode,
    PerDimension,
    QualityThresholds,
    Seconds,
    Settings,
    SigmaParameters,
    SmoothingSettings,
    SpeakerBaselineSettings,
    VoiceSettings,
    WindowLengths,
)

SCHEMA: Literal["edge_emotion.bundle/1"] = "edge_emotion.bundle/1"
PARTS = ("acoustic", "face", "fusion")
PartName = Literal["acoustic", "face", "fusion"]


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise ValueError(f"{name!r} leaves the bundle's folder")
    return name


RelativePath = Annotated[str, AfterValidator(_inside)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DataSource(Settings):
    """A set that a model was trained on."""

    name: str
    licence: str
    """As honest as it can be said: "CC0", "labels MIT; pixels of unclear rights", ..."""
    items: int
    languages: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Items by the language that is spoken, where it is known."""
    items_sha256: Digest
    """SHA-256 over the sorted lines ``sha256  name`` of the items that were used (``sha256sum``'s format)."""


class Training(Settings):
    """How a part came to be, enough to repeat it."""

    data: tuple[DataSource, ...]
    command: str
    seed: int | None = None
    metrics: dict[str, Finite] = Field(default_factory=dict)
    """Flat names that say set, protocol, measure and dimension: ``emotale_loso_ccc_arousal``."""
    notes: str = ""
    items_file: RelativePath | None = None
    """Sorted prefixes of the items' hashes: by them evaluation leaves out what was trained on."""


class Normalisation(Settings):
    """``(pixel - mean) / scale`` on grey levels 0 to 255."""

    mean: Finite
    scale: Annotated[float, Field(gt=0)]


Shape = tuple[int | str, ...]
"""Lengths of a tensor's axes; those that vary have a name."""


class Model(Settings):
    """One network or regressor. Files ending in ``.tflite`` run on LiteRT, all others on onnxruntime."""

    file: RelativePath
    inputs: dict[str, Shape] = Field(default_factory=dict)
    """Shapes of the tensors by name, read from ONNX files when a bundle is packed; so are ``outputs``."""
    outputs: dict[str, Shape] = Field(default_factory=dict)
    variants: dict[str, RelativePath] = Field(default_factory=dict)
    """The same model in other formats, by name: ``int8``, ``tflite-int8``."""


class VoiceActivityModel(Model):
    """Silero VAD's interface: fixed steps with carried context and state."""

    step_samples: Annotated[int, Field(ge=1)] = 512
    context_samples: Annotated[int, Field(ge=0)] = 64
    settings: VoiceSettings = VoiceSettings()
    licence: str


VOICE_ENCODER_UNITS = 256
VOICE_ENCODER_NAMES: tuple[str, ...] = tuple(
    f"voiceEncoder_{what}_{unit:03}" for what in ("mean", "stddev") for unit in range(VOICE_ENCODER_UNITS)
)
"""What the voice encoder says of a window; in a regressor's input they come after the descriptors."""


class VoiceEncoderModel(Model):
    """A recurrent network over 40 mel bands at 16 kHz.

    Inputs ``mel`` (1, frames, 40), ``hidden`` and ``cell`` (2, 1, 256); outputs ``frames`` (1, frames, 256),
    ``next_hidden`` and ``next_cell``.
    """

    window_s: Seconds = 3.0
    """Of the mean and the deviation of its frames."""
    licence: str


class RegressorModel(Model):
    """Input ``features`` float32 (n, d), raw: the standardiser is folded in; output ``prediction`` (n, 2)."""

    features: Annotated[int, Field(ge=1)]
    neutral: tuple[Finite, ...] = ()
    """Features of a typical neutral item, where calibration moves a person's own; empty: not to be calibrated.

    As many as there are features; a voice encoder's are left out, for a person's own would be a voice print.
    """

    def check_neutral(self, calibrated: int) -> None:
        """Raise ``ValueError`` where there is a neutral, and not of the first ``calibrated`` features."""
        if self.neutral and len(self.neutral) != calibrated:
            raise ValueError(f"{len(self.neutral)} neutral features where {calibrated} are calibrated")


class DetectorModel(Model):
    """YuNet, its DequantizeLinear initialisers folded to float."""

    settings: DetectorSettings = DetectorSettings()
    colour: Literal["bgr"] = "bgr"
    """Order of the input's planes, values 0 to 255 as they are."""
    licence: str


class EncoderModel(Model):
    """Input ``crops`` (n, 1, size, size); outputs ``features`` (n, d), ``votes`` (n, 8), ``affect`` (n, 2)."""

    features: Annotated[int, Field(ge=1)]
    normalisation: Normalisation
    colour: Literal["grey"] = "grey"


class AcousticPart(Settings):
    """Sound to arousal and valence."""

    part: Literal["acoustic"] = "acoustic"
    sample_rate_hz: Annotated[int, Field(ge=8000, le=96_000)] = 16_000
    mode: Mode = "compat"
    feature_names: tuple[str, ...]
    """In the order of the regressor's input."""
    window_s: WindowLengths
    hop_s: Seconds
    """Between the windows that the regressor was trained on; the device computes one for each reading."""
    voice_activity: VoiceActivityModel
    voice_encoder: VoiceEncoderModel | None = None
    """Listens beside the descriptors; without one, they are all that the regressor gets."""
    speaker_baseline: SpeakerBaselineSettings | None = None
    """Takes a speaker's running level and pitch off the descriptors; ``None``: off."""
    regressor: RegressorModel
    sigma: SigmaParameters
    training: Training

    @model_validator(mode="after")
    def _widths_agree(self) -> AcousticPart:
        if len(self.feature_names) != self.regressor.features:
            raise ValueError(
                f"{len(self.feature_names)} feature names for a regressor of {self.regressor.features}"
            )
        self.regressor.check_neutral(len(self.descriptor_names))
        return self

    @model_validator(mode="after")
    def _voice_encoder_fits(self) -> AcousticPart:
        if any(name in self.descriptor_names for name in VOICE_ENCODER_NAMES):
            raise ValueError(
                "features of a voice encoder stand last, all of them, and only where there is one"
            )
        if self.voice_encoder is None:
            return self
        if self.feature_names[len(self.descriptor_names) :] != VOICE_ENCODER_NAMES:
            raise ValueError(f"with a voice encoder the last {len(VOICE_ENCODER_NAMES)} features are its own")
        if self.sample_rate_hz != 16_000:
            raise ValueError(f"the voice encoder takes sound at 16000 Hz, not at {self.sample_rate_hz}")
        if self.voice_encoder.window_s > self.window_s.longest:
            raise ValueError("the voice encoder's window is longer than the part's")
        return self

    @property
    def descriptor_names(self) -> tuple[str, ...]:
        """The feature names without those of the voice encoder."""
        own = 0 if self.voice_encoder is None else len(VOICE_ENCODER_NAMES)
        return self.feature_names[: len(self.feature_names) - own]


class FacePart(Settings):
    """Pictures to arousal and valence."""

    part: Literal["face"] = "face"
    detector: DetectorModel
    crop: CropSettings
    encoder: EncoderModel
    pooling: Literal["mean", "mean_deviation"] = "mean"
    """Over the frames of the window: their mean, or mean and population standard deviation side by side."""
    window_s: WindowLengths
    max_rate_hz: Annotated[float, Field(gt=0, le=60)] = 30.0
    """Frames that come faster are passed over."""
    hold_s: Seconds = 1.0
    """A lost face counts for this long."""
    regressor: RegressorModel
    sigma: SigmaParameters
    training: Training

    @model_validator(mode="after")
    def _widths_agree(self) -> FacePart:
        pooled = self.encoder.features * (1 if self.pooling == "mean" else 2)
        if pooled != self.regressor.features:
            raise ValueError(f"{pooled} pooled features for a regressor of {self.regressor.features}")
        if self.hold_s > min(self.window_s.arousal, self.window_s.valence):
            raise ValueError("a face cannot be held for longer than its window")
        self.regressor.check_neutral(self.regressor.features)
        return self


class AddedSigma(Settings):
    """Error that a modality's own sigma model does not know of, because its training data did not show it."""

    audio: PerDimension = PerDimension(arousal=0.0, valence=0.0)
    video: PerDimension = PerDimension(arousal=0.0, valence=0.0)


class EarlyModel(Model):
    """One regressor on both modalities' features; input ``features`` float32 (n, d), the sound's first, raw.

    Output ``prediction`` (n, 2). Where a modality is missing the parts' own regressors speak.
    """

    features: Annotated[int, Field(ge=2)]
    sigma: SigmaParameters
    """On the facts of both, named ``audio.snr_db``, ``video.blur`` and so on."""


class FusionPart(Settings):
    """How the two become one reading."""

    part: Literal["fusion"] = "fusion"
    kind: Literal["late", "early"] = "late"
    """Late: each modality's estimate weighed by its sigma. Early: while both are there, one regressor on both."""
    early: EarlyModel | None = None
    error_correlation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Between the errors of sound and picture: widens the fused sigma, leaves the weights alone."""
    added_sigma: AddedSigma = AddedSigma()
    """Added to each modality's sigma in quadrature."""
    short_fill_exponent: Annotated[float, Field(ge=0, le=2)] = 0.25
    """Until a window is full, sigma grows by ``fill ** -exponent`` on top of its model (our choice)."""
    confidence_half_width: Annotated[float, Field(gt=0, le=2)] = 0.25
    minimum_signal_s: Seconds = 1.0
    """A modality counts from this much input on."""
    rate_hz: Annotated[float, Field(gt=0, le=50)] = 5.0
    smoothing: SmoothingSettings = SmoothingSettings()
    quality: QualityThresholds = QualityThresholds()
    training: Training | None = None

    @model_validator(mode="after")
    def _early_or_late(self) -> FusionPart:
        if (self.kind == "early") != (self.early is not None):
            raise ValueError("a regressor for early fusion belongs to kind early, and to no other")
        return self


AnyPart = AcousticPart | FacePart | FusionPart
PART_MODELS: dict[PartName, type[AcousticPart] | type[FacePart] | type[FusionPart]] = {
    "acoustic": AcousticPart,
    "face": FacePart,
    "fusion": FusionPart,
}


class FileEntry(Settings):
    """A file as it must be."""

    sha256: Digest
    bytes: Annotated[int, Field(ge=0)]


class Manifest(Settings):
    """A whole bundle: its files, checked before anything is loaded, and its parts."""

    schema_: Literal["edge_emotion.bundle/1"] = Field(SCHEMA, alias="schema")
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Digest
    """Of this manifest in canonical form without this key: the bundle's identity."""
    files: dict[RelativePath, FileEntry]
    """Every file of the bundle but ``manifest.json``, by its path from the bundle's folder."""
    acoustic: AcousticPart
    face: FacePart
    fusion: FusionPart

    @model_validator(mode="after")
    def _complete(self) -> Manifest:
        for name in (f"{part}/{file}" for part in PARTS for file in referenced(getattr(self, part))):
            if name not in self.files:
                raise ValueError(f"{name} is referred to and not listed in files")
        both = self.acoustic.regressor.features + self.face.regressor.features
        if self.fusion.early is not None and self.fusion.early.features != both:
            raise ValueError(
                f"early fusion takes {self.fusion.early.features} features, the parts have {both}"
            )
        return self


def referenced(part: AnyPart) -> Iterator[str]:
    """Files that a part refers to, relative to its folder."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Model):
            yield value.file
            yield from value.variants.values()
        if isinstance(value, Training) and value.items_file:
            yield value.items_file


def canonical_digest(data: dict[str, Any]) -> str:
    """SHA-256 of a manifest's JSON, keys sorted, no blanks, without its own ``sha256``."""
    rest = {key: value for key, value in data.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
