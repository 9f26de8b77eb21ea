"""Corpus pictures as a camera would show them, and what the run-time code sees in them: aligned crops and facts.

Each picture is set into a plain frame and shown under conditions (`face_conditions`). The device's own detector, crop
and measurement of quality look at it as they look at a face that they follow: first where it is expected, in the whole
picture if it is not there. The regressor's rows, the sigma model and `evaluate` all rest on these sightings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import cv2
import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from edge_emotion.config import CropSettings
from edge_emotion.features.crop import CANONICAL, align
from edge_emotion.features.faces import look_again
from edge_emotion.features.quality import measure
from edge_emotion.types import F32, U8, FaceBox, FaceDetector

from .face_conditions import CONDITIONS, TRAINED
from .face_occlusion import BOX_WIDTH, Place

FRAME_PX = 288
PICTURE_PX = 192
"""Side to which a corpus picture is scaled before it is set into a frame: a face near the camera."""
FACTS = ("face_px", "score", "blur", "yaw_deg", "brightness", "lower_detail")
"""The facts of a sighting that sigma may depend on, in the order of `Sightings.facts`; yaw without its sign."""
FITTED = 4
"""Conditions beside clean that the regressor is fitted on for each face, in turn: every trained condition is met,
and the rows stay few."""


def frame(picture: U8) -> U8:
    """A square picture, scaled to `PICTURE_PX`, in the middle of a plain frame of its mean colour."""
    enlarges = max(picture.shape[:2]) < PICTURE_PX
    size = (PICTURE_PX, PICTURE_PX)
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC if enlarges else cv2.INTER_AREA)
    border = (FRAME_PX - PICTURE_PX) // 2
    shade = [float(value) for value in np.atleast_1d(scaled.mean(axis=(0, 1)))]
    return cv2.copyMakeBorder(scaled, border, border, border, border, cv2.BORDER_CONSTANT, value=shade)


@dataclass(frozen=True)
class Sightings:
    """Faces as they were seen.

    Attributes
    ----------
    item, condition
        ``(n,)``: number of the picture, and of the condition in `CONDITIONS`.
    crops
        ``uint8 (n, size, size)``.
    facts
        ``(n, 6)``, in the order of `FACTS`.
    """

    item: NDArray[np.int64]
    condition: NDArray[np.int64]
    crops: U8
    facts: F32

    def __len__(self) -> int:
        """Sightings."""
        return len(self.item)

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether the detector saw the face; all of them, unless `look` was asked for those that it missed."""
        return self.facts[:, FACTS.index("score")] > 0

    def of(self, items: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows that show one of ``items``."""
        return np.flatnonzero(np.isin(self.item, items))

    def trained(self, items: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows to fit on: ``items`` clean, and each under `FITTED` of the other conditions of `TRAINED`, in turn."""
        rows = self.of(items)
        condition = self.condition[rows]
        turn = (self.item[rows] + condition) % (len(TRAINED) - 1)
        return rows[(condition == 0) | ((condition < len(TRAINED)) & (turn < FITTED))]

    def under(self, *names: str) -> NDArray[np.intp]:
        """Rows under any of the named conditions."""
        return np.flatnonzero(np.isin(self.condition, [list(CONDITIONS).index(name) for name in names]))

    def named_facts(self, rows: NDArray[np.intp]) -> dict[str, F32]:
        """Facts of ``rows`` by name, as `sigma.fit` takes them."""
        return {name: self.facts[rows, k] for k, name in enumerate(FACTS)}


class Sight(NamedTuple):
    """One picture under one condition, and the face as it was found in it, if it was."""

    condition: int
    picture: U8
    landmarks: F32
    """Where they are, as far as the clean picture showed; ``(5, 2)``."""
    face: FaceBox | None


def look(
    pictures: Sequence[U8],
    detector: FaceDetector,
    geometry: CropSettings = CANONICAL,
    conditions: Sequence[str] = ("clean",),
    seed: int = 0,
    on_picture: Callable[[], None] = lambda: None,
    *,
    missed: bool = False,
) -> Sightings:
    """Show every picture under every condition and crop its face.

    An unseen face gives no row; with ``missed`` it is cropped where it must be, with a score of 0. What is drawn at
    random depends on seed, picture and condition alone.
    """
    item, condition, crops, facts = [], [], [], []
    for number, picture in enumerate(pictures):
        for sight in _sights(frame(picture), detector, conditions, (seed, number)):
            face = sight.face or (_expected(sight.landmarks) if missed else None)
            if face:
                crops.append(align(sight.picture, face.landmarks, geometry))
                measured = measure(face, crops[-1])
                measured = measured._replace(yaw_deg=abs(measured.yaw_deg))
                facts.append([getattr(measured, fact) for fact in FACTS])
                item.append(number)
                condition.append(sight.condition)
        on_picture()
    return Sightings(
        np.array(item, np.int64),
        np.array(condition, np.int64),
        np.array(crops, np.uint8).reshape(-1, geometry.size, geometry.size),
        np.array(facts, np.float32).reshape(-1, len(FACTS)),
    )


def _sights(
    shown: U8, detector: FaceDetector, conditions: Sequence[str], seed: tuple[int, int]
) -> Iterator[Sight]:
    clean = _find(detector, shown, None)
    landmarks = clean.landmarks if clean else _typical()
    for name in conditions:
        rng, condition = default_rng([*seed, crc32(name.encode())]), CONDITIONS[name]
        spoiled = condition.show(shown, landmarks, rng)
        face = clean
        if spoiled.picture is not shown:
            face = _find(detector, spoiled.picture, spoiled.landmarks if clean else None)
        if face:
            reported = condition.report(face.landmarks, rng)
            face = FaceBox(face.x, face.y, face.width, face.height, reported, face.score)
        yield Sight(list(CONDITIONS).index(name), *spoiled, face)


def _find(detector: FaceDetector, picture: U8, landmarks: F32 | None) -> FaceBox | None:
    """The face near ``landmarks``, or else the surest one."""
    if landmarks is not None:
        followed = look_again(detector, picture, _expected(landmarks))
        if followed:
            return followed
    found = detector.compute(picture)
    return (look_again(detector, picture, found[0]) or found[0]) if found else None


def _expected(landmarks: F32) -> FaceBox:
    """The box that a detector would give a face with these landmarks."""
    place = Place.of(landmarks)
    side = BOX_WIDTH * place.eyes_px
    x, y = place.at((0, 0.4))[0] - side / 2
    return FaceBox(float(x), float(y), side, side, landmarks, 0.0)


def _typical() -> F32:
    """Landmarks of a typical face that fills the picture in its frame."""
    border = (FRAME_PX - PICTURE_PX) / 2
    return (np.array(CANONICAL.landmarks, np.float32) * PICTURE_PX / CANONICAL.size + border).astype(
        np.float32
    )
