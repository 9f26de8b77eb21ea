"""Synthetic pairs: RECOLA- and AVEC-shaped recordings made of acted speech and still faces.

A speaker's utterances are chained along a slow path through arousal and valence; the utterances' ratings, smoothed, are
the truth. Every 40 ms shows a face whose own arousal and valence lie near the truth. Six artificial raters follow the
truth with a known delay, jitter, gain, bias and noise. Sound and picture are independent given the truth, so such pairs
prove a pipeline (delay, gold standard, fusion, post-processing); they say nothing of accuracy on people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import UsageError
from edge_emotion.types import DIMENSIONS, F32, U8, Dimension

from .faces import FaceCorpus
from .records import F64, Partition, Recording
from .speech import RATE_HZ, read_sound

Variant = Literal["plain", "audio_noise", "video_noise", "shared_errors"]
VARIANTS: tuple[Variant, ...] = ("plain", "audio_noise", "video_noise", "shared_errors")

FRAME_S = 0.04
PICTURE_PX = 240
FACE_PX = 144
RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
_NEAREST = 12
_PAUSE_S = (0.1, 0.4)
_PATH_S = 12.0
"""Over such a time the path through arousal and valence turns: the raters of real recordings see slow change too."""


@dataclass(frozen=True, slots=True)
class PairSettings:
    """What is planted in the pairs; all times in seconds."""

    train: int = 9
    dev: int = 9
    duration_s: float = 300.0
    delay_s: dict[Dimension, float] = field(default_factory=lambda: {"arousal": 2.8, "valence": 3.6})
    jitter_s: float = 0.15
    """Standard deviation of a rater's own delay about ``delay_s``."""
    rating_noise: float = 0.08
    missing: float = 0.06
    """Share of the frames that show no face."""
    face_error: float = 0.8
    """How far the faces stray from the truth, slowly and on their own, in standard deviations of the truth: without it
    the mean of a hundred faces in a window would know more than any camera does."""
    variant: Variant = "plain"
    """``audio_noise``, ``video_noise``: that modality follows a path of its own; ``shared_errors``: raters follow the
    truth plus a path that neither sound nor picture shows, so that both err alike."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SyntheticPair:
    """One recording before it is written.

    Attributes
    ----------
    sound
        ``float32 (n,)`` at 16 kHz.
    faces
        Index into the face corpus for each video frame, -1 where there is none.
    truth
        Expressed arousal and valence for each frame, ``float64 (frames, 2)``.
    ratings
        By dimension ``float64 (frames + 1, 6)``, two decimals, every 0.04 s from 0.
    """

    number: int
    partition: Partition
    actor: str
    sound: F32
    faces: NDArray[np.intp]
    truth: F64
    ratings: dict[Dimension, F64]


def make_pairs(
    speech: Sequence[Recording], faces: FaceCorpus, settings: PairSettings
) -> Iterator[SyntheticPair]:
    """Recordings one after the other; actors and faces of ``train`` and ``dev`` have nothing in common.

    An actor speaks in several recordings of a partition where there are more recordings than actors.
    """
    rng = np.random.default_rng(settings.seed)
    actors = [str(name) for name in rng.permutation(sorted({recording.speaker for recording in speech}))]
    if len(actors) < 2 or faces.affect is None or len(faces) < 2 * _NEAREST:
        raise UsageError(
            "synthetic pairs need speech of two speakers or more, and faces with arousal and valence"
        )
    affect = faces.affect.astype(np.float64)
    shown = rng.permutation(len(faces))
    halves: dict[Partition, tuple[list[str], NDArray[np.intp]]] = {
        "train": (actors[::2], shown[::2]),
        "dev": (actors[1::2], shown[1::2]),
    }
    scale = _scale(np.array([[r.rating(d) for d in DIMENSIONS] for r in speech]))
    face_scale = _scale(affect)
    for partition, (names, gallery) in halves.items():
        for number in range(1, (settings.train if partition == "train" else settings.dev) + 1):
            actor = names[(number - 1) % len(names)]
            own = [recording for recording in speech if recording.speaker == actor]
            place = np.random.default_rng([settings.seed, partition == "dev", number])
            yield _pair(number, partition, actor, own, (gallery, affect, face_scale), scale, settings, place)


def picture(faces: FaceCorpus, index: int) -> U8:
    """The frame ``uint8 (240, 240, 3)`` BGR that shows a face of the corpus, or only the wall (-1)."""
    frame = np.full((PICTURE_PX, PICTURE_PX, 3), 110, np.uint8)
    if index >= 0:
        edge = (PICTURE_PX - FACE_PX) // 2
        face = cv2.resize(faces.images[index], (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
        frame[edge : edge + FACE_PX, edge : edge + FACE_PX] = face if face.ndim == 3 else face[..., None]
    return frame


_Gallery = tuple[NDArray[np.intp], F64, tuple[F64, F64]]


def _pair(
    number: int,
    partition: Partition,
    actor: str,
    own: Sequence[Recording],
    gallery: _Gallery,
    scale: tuple[F64, F64],
    settings: PairSettings,
    rng: np.random.Generator,
) -> SyntheticPair:
    frames = round(settings.duration_s / FRAME_S)
    sound, truth = _chain(own, frames, scale, rng)
    if settings.variant == "audio_noise":
        sound, _ = _chain(own, frames, scale, rng)
    followed = _chain(own, frames, scale, rng)[1] if settings.variant == "video_noise" else truth
    rated = truth
    if settings.variant == "shared_errors":
        rated = np.clip(truth + 0.7 * scale[1] * _path(frames, rng), -1.0, 1.0)
    return SyntheticPair(
        number=number,
        partition=partition,
        actor=actor,
        sound=sound,
        faces=_faces(
            followed + settings.face_error * scale[1] * _path(frames, rng),
            gallery,
            scale,
            settings.missing,
            rng,
        ),
        truth=truth,
        ratings={
            dimension: _ratings(rated[:, k], settings.delay_s[dimension], settings, rng)
            for k, dimension in enumerate(DIMENSIONS)
        },
    )


def _scale(values: F64) -> tuple[F64, F64]:
    return values.mean(axis=0), values.std(axis=0)


def _path(frames: int, rng: np.random.Generator) -> F64:
    """Two slow random walks of unit variance, ``(frames, 2)``."""
    width = round(_PATH_S / FRAME_S)
    kernel = np.hanning(width)
    noise = rng.normal(size=(frames + width, 2))
    walks = np.stack([np.convolve(noise[:, k], kernel, mode="same") for k in range(2)], axis=1)[width // 2 :][
        :frames
    ]
    path: F64 = walks / np.sqrt(np.sum(kernel**2))
    return path


def _chain(
    own: Sequence[Recording], frames: int, scale: tuple[F64, F64], rng: np.random.Generator
) -> tuple[F32, F64]:
    """Utterances along a path, and their ratings as a smooth trace: ``float32 (n,)`` and ``float64 (frames, 2)``."""
    rated = np.array([[recording.rating(d) for d in DIMENSIONS] for recording in own])
    where = (rated - scale[0]) / scale[1]
    path = _path(frames, rng)
    total = round(frames * FRAME_S * RATE_HZ)
    sound, trace = np.zeros(total, np.float32), np.zeros((frames, 2))
    at, recent = 0, [-1]
    while at < total:
        frame = min(frames - 1, int(at / RATE_HZ / FRAME_S))
        distance = np.sum((where - path[frame]) ** 2, axis=1) + rng.uniform(0, 0.3, len(own))
        distance[[k for k in recent if k >= 0]] = np.inf
        chosen = int(np.argmin(distance))
        recent = [*recent, chosen][-min(5, len(own) - 1) :]
        piece = _sound(own[chosen])
        pause = round(rng.uniform(*_PAUSE_S) * RATE_HZ)
        end = min(total, at + len(piece))
        sound[at:end] = piece[: end - at]
        trace[frame:] = rated[chosen]
        at = end + pause
    return sound, _smoothed(trace, round(1.2 / FRAME_S))


def _sound(recording: Recording) -> F32:
    if recording.audio is None:
        raise UsageError(f"{recording.name}: no sound; synthetic pairs are made of utterances")
    return read_sound(recording.audio)


def _smoothed(trace: F64, width: int) -> F64:
    kernel = np.hanning(width + 2)
    padded = np.pad(trace, ((width, width), (0, 0)), mode="edge")
    smooth = [np.convolve(padded[:, k], kernel / kernel.sum(), mode="same")[width:-width] for k in range(2)]
    return np.stack(smooth, axis=1)


def _faces(
    truth: F64, gallery: _Gallery, scale: tuple[F64, F64], missing: float, rng: np.random.Generator
) -> NDArray[np.intp]:
    """One of the nearest faces for each frame, in units of either corpus's own spread; -1 in the gaps."""
    members, affect, (mean, spread) = gallery
    where = (affect[members] - mean) / spread
    wanted = (truth - scale[0]) / scale[1]
    chosen = np.empty(len(truth), np.intp)
    for start in range(0, len(truth), 500):
        part = wanted[start : start + 500]
        distance = np.sum((part[:, None] - where[None]) ** 2, axis=2)
        nearest = np.argpartition(distance, _NEAREST, axis=1)[:, :_NEAREST]
        drawn = rng.integers(0, _NEAREST, len(part))
        chosen[start : start + 500] = members[nearest[np.arange(len(part)), drawn]]
    gap_s = (0.4, 3.0)
    lost = 0
    while lost < missing * len(truth):
        length = round(rng.uniform(*gap_s) / FRAME_S)
        begin = int(rng.integers(0, max(1, len(truth) - length)))
        lost += int(np.sum(chosen[begin : begin + length] >= 0))
        chosen[begin : begin + length] = -1
    return chosen


def _ratings(truth: F64, delay_s: float, settings: PairSettings, rng: np.random.Generator) -> F64:
    own = rng.normal(0, settings.jitter_s, len(RATERS))
    own -= own.mean()
    frames = len(truth)
    time = np.arange(frames + 1) * FRAME_S
    columns = []
    for extra in own:
        followed = np.interp(time - delay_s - extra, np.arange(frames) * FRAME_S, truth)
        wander = _path(frames + 1, rng)[:, 0] * settings.rating_noise
        columns.append(rng.uniform(0.8, 1.2) * followed + rng.normal(0, 0.05) + wander)
    return np.round(np.clip(np.stack(columns, axis=1), -1.0, 1.0), 2)
