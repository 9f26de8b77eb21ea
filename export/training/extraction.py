"""From media to shards, recording by recording, through the run-time code: nothing here computes a feature of its own.

A shard's name carries the content's hash, the models' hashes and the settings; what is there is not made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import Execution
from edge_emotion.errors import InputError
from edge_emotion.features.faces import FaceStream
from edge_emotion.features.names import FUNCTIONAL_NAMES, QUALITY_COLUMNS
from edge_emotion.features.signal_quality import AudioFacts, SignalQuality
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.model.detector import YuNet
from edge_emotion.model.encoder import FaceNetwork
from edge_emotion.model.manifest import Normalisation
from edge_emotion.model.voice_activity import SileroVoiceActivity
from edge_emotion.types import DIMENSIONS, F32, U8, Dimension, VideoFrame

from ..corpora.records import F64, Recording
from ..corpora.speech import RATE_HZ, read_sound
from . import shards
from .gold import gold_of
from .shards import Columns

SOUND_FACTS = (*AudioFacts._fields, *QUALITY_COLUMNS)
FACE_FACTS = ("face_px", "score", "blur", "yaw_deg", "brightness")
FACTS_WINDOW_S = 4.0
MINIMUM_S = 1.0
"""A row counts from this much sound on."""

_CPU = Execution(provider="cpu")
_BATCH = 16
"""Crops encoded at once: more leave the cache, and take twice the time from 256 on."""


@dataclass(frozen=True, slots=True)
class SoundJob:
    """Functionals over each window, every hop, and the facts that sigma may depend on."""

    audio: Path
    bundle: Path | None
    windows_s: tuple[float, ...]
    hop_s: float
    keep: Path

    def run(self) -> Path:
        """The shard: ``window_L`` float32 (n, 88) for each length, ``known``, and the facts (NaN where unknown)."""
        bundle = open_bundle(self.bundle)
        voice = bundle.file("acoustic", bundle.manifest.acoustic.voice_activity)
        made_of = (shards.content_hash(self.audio), shards.content_hash(voice), bundle.manifest.acoustic.mode)
        name = shards.key("sound", made_of, self.windows_s, self.hop_s, SOUND_FACTS)
        return shards.made(self.keep / f"sound-{name}.parquet", lambda: self._extract(bundle))

    def _extract(self, bundle: Bundle) -> Columns:
        part = bundle.manifest.acoustic
        samples = read_sound(self.audio)
        described = DescriptorWindow(RATE_HZ, self.windows_s, self.hop_s, mode=part.mode)
        quality = SignalQuality(
            SileroVoiceActivity(
                open_backend(bundle.file("acoustic", part.voice_activity), _CPU),
                step_samples=part.voice_activity.step_samples,
                context_samples=part.voice_activity.context_samples,
            ),
            sample_rate_hz=RATE_HZ,
            step_samples=part.voice_activity.step_samples,
            window_s=FACTS_WINDOW_S,
            threshold=part.voice_activity.settings.threshold,
        )
        count = int(len(samples) / RATE_HZ / self.hop_s) + 1
        values = np.zeros((len(self.windows_s), count, len(FUNCTIONAL_NAMES)), np.float32)
        facts = np.full((count, len(AudioFacts._fields)), np.nan, np.float32)
        known = np.zeros(count, np.bool_)
        heard = 0
        for row in range(1, count):
            end = round(row * self.hop_s * RATE_HZ)
            piece = samples[heard:end]
            heard = end
            quality.push(piece)
            for result in described.push(piece):
                values[:, row] = result.values
                known[row] = result.end_s >= MINIMUM_S
            facts[row] = [np.nan if fact is None else fact for fact in quality.compute()]
        told = np.where(known[:, None], values[0][:, list(QUALITY_COLUMNS.values())], np.float32(np.nan))
        facts = np.hstack([facts, told])
        windows = {f"window_{length:g}": values[k] for k, length in enumerate(self.windows_s)}
        return windows | {"known": known} | dict(zip(SOUND_FACTS, facts.T, strict=True))


@dataclass(frozen=True, slots=True)
class FacesJob:
    """Find, follow and cut out the main face of each frame, once; encoders come and go."""

    video: Path
    frame_times_s: tuple[float, ...] | None
    bundle: Path | None
    hop_s: float
    keep: Path

    def run(self) -> Path:
        """The shard, a row each hop: ``crop`` uint8 (n, size * size), ``present``, ``frame`` (equal where the row shows
        the same picture), facts (NaN without a face).
        """
        bundle = open_bundle(self.bundle)
        part = bundle.manifest.face
        made_of = (
            shards.content_hash(self.video),
            shards.content_hash(bundle.file("face", part.detector)),
            part.detector.settings.model_dump(),
            part.crop.model_dump(),
            part.max_rate_hz,
        )
        name = shards.key("faces", made_of, self.frame_times_s, self.hop_s)
        return shards.made(self.keep / f"faces-{name}.parquet", lambda: self._extract(bundle))

    def _extract(self, bundle: Bundle) -> Columns:
        part = bundle.manifest.face
        detector = YuNet(open_backend(bundle.file("face", part.detector), _CPU), part.detector.settings)
        stream = FaceStream(
            detector, part.crop, hold_s=part.hold_s, max_faces=part.detector.settings.max_faces
        )
        crops: list[NDArray[np.uint8] | None] = []
        facts: list[tuple[float, ...]] = []
        times: list[float] = []
        for time_s, image in frames(self.video, self.frame_times_s, 0.9 / part.max_rate_hz):
            face = stream.update(VideoFrame(image, round(time_s * 1e9))).primary
            times.append(time_s)
            crops.append(None if face is None else face.crop.ravel())
            missing = (float("nan"),) * len(FACE_FACTS)
            facts.append(missing if face is None else tuple(getattr(face.facts, name) for name in FACE_FACTS))
        if not times:
            raise InputError(f"{self.video}: holds no pictures")
        at = nearest(np.array(times), self.hop_s)
        size = part.crop.size**2
        empty = np.zeros(size, np.uint8)
        shown = [crops[k] if k >= 0 else None for k in at]
        known = np.array([crop is not None for crop in shown])
        table = np.array(facts, np.float32)[np.maximum(at, 0)]
        table[~known] = np.nan
        return {
            "crop": np.stack([empty if crop is None else crop for crop in shown]),
            "present": known,
            "frame": at.astype(np.int32),
            **dict(zip(FACE_FACTS, table.T, strict=True)),
        }


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """Features of crops by one encoder."""

    faces: Path
    encoder: Path
    normalisation: tuple[float, float]
    feature_count: int
    keep: Path

    def run(self) -> Path:
        """The shard: ``features`` float32 (n, d), zeros where there is no face, and ``present``."""
        name = shards.key("encoded", self.faces.name, shards.content_hash(self.encoder), self.normalisation)
        return shards.made(self.keep / f"encoded-{name}.parquet", self._encode)

    def _encode(self) -> Columns:
        mean, scale = self.normalisation
        network = FaceNetwork(
            open_backend(self.encoder, _CPU), Normalisation(mean=mean, scale=scale), self.feature_count
        )
        columns = shards.read(self.faces, ["crop", "present", "frame"])
        shown = np.flatnonzero(columns["present"])
        _, first, same = np.unique(columns["frame"][shown], return_index=True, return_inverse=True)
        pictures = [shown[first[at : at + _BATCH]] for at in range(0, len(first), _BATCH)]
        encoded = [network.compute(square(columns["crop"][rows])) for rows in pictures]
        features = np.zeros((len(columns["present"]), self.feature_count), np.float32)
        if encoded:
            features[shown] = np.concatenate(encoded)[same]
        return {"features": features, "present": columns["present"]}


def square(crops: U8) -> U8:
    """Crops of a shard ``(n, size * size)`` as pictures ``(n, size, size)``."""
    size = round(crops.shape[1] ** 0.5)
    return crops.reshape(-1, size, size)


def frames(path: Path, times_s: tuple[float, ...] | None, pause_s: float = 0.0) -> Iterator[tuple[float, U8]]:
    """Time and BGR picture of each frame; published times take the place of the file's own, as far as they go.

    A frame that follows sooner than ``pause_s`` is passed over, as on the device.
    """
    last_s = -float("inf")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: holds no pictures")
            for index, frame in enumerate(container.decode(video=0)):
                own = float(frame.time) if frame.time is not None else index / 25
                time_s = times_s[index] if times_s is not None and index < len(times_s) else own
                if time_s - last_s >= pause_s:
                    last_s = time_s
                    yield time_s, np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be read as video ({error})") from None


def nearest(times_s: F64, hop_s: float) -> NDArray[np.intp]:
    """For each moment 0, hop, 2 hop ... the newest frame up to half a hop later; -1 where none is younger than 1 s."""
    moments = np.arange(int(times_s[-1] / hop_s) + 1) * hop_s
    at = np.searchsorted(times_s, moments + hop_s / 2, side="right") - 1
    too_old = moments - times_s[np.maximum(at, 0)] > 1.0
    return np.where((at < 0) | too_old, -1, at)


def write_labels(recording: Recording, hop_s: float, keep: Path) -> Path | None:
    """The shard with the gold standard of both dimensions, one row each hop; ``None`` where nobody rated."""
    if any(dimension not in recording.traces for dimension in DIMENSIONS):
        return None
    gold = {d: (recording.traces[d].time_s, gold_of(recording.traces[d])) for d in DIMENSIONS}
    digest = hashlib.sha256(b"".join(part.tobytes() for pair in gold.values() for part in pair)).hexdigest()
    path = keep / f"labels-{shards.key('labels', digest, hop_s)}.parquet"
    return shards.made(path, lambda: _labels(gold, hop_s))


def _labels(gold: dict[Dimension, tuple[F64, F64]], hop_s: float) -> Columns:
    last = min(time_s[-1] for time_s, _ in gold.values())
    moments = np.arange(int(round(last / hop_s, 6)) + 1) * hop_s
    return {d: np.interp(moments, time_s, values) for d, (time_s, values) in gold.items()}


def face_rows(path: Path) -> tuple[U8, NDArray[np.bool_], F32]:
    """Crops, which rows have one, and the facts, of a shard of faces."""
    columns = shards.read(path)
    facts = np.stack([columns[name] for name in FACE_FACTS], axis=1)
    return square(columns["crop"]), columns["present"], facts
