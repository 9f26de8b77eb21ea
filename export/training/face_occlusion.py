"""Where a face is in a picture, and what people hold or wear before it: shapes drawn by the landmarks.

Lengths are in eye distances, so that a shape means the same at any resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edge_emotion.types import F32, U8

BOX_WIDTH = 2.15
"""Width of the detector's box in eye distances: the median over the faces at hand."""


class Place(NamedTuple):
    """Where a face is: the middle between its eyes, and one eye distance to its right in the picture and down."""

    middle: F32
    right: F32
    down: F32

    @classmethod
    def of(cls, landmarks: F32) -> Place:
        """From five landmarks ``(5, 2)`` in the order of `edge_emotion.types.FaceBox`."""
        right = (landmarks[1] - landmarks[0]).astype(np.float32)
        return cls((landmarks[0] + landmarks[1]).astype(np.float32) / 2, right, right[::-1] * (-1, 1))

    @property
    def eyes_px(self) -> float:
        """Eye distance in pixels."""
        return max(float(np.hypot(*self.right)), 1.0)

    def coordinates(self, pixels: F32) -> tuple[F32, F32]:
        """Pixels ``(..., 2)`` in eye distances, right and down: the inverse of `at`."""
        off = np.asarray((pixels - self.middle) / self.eyes_px**2, np.float32)
        return off @ self.right, off @ self.down

    def at(self, *points: Sequence[float] | F32) -> F32:
        """Pixels ``(n, 2)`` of points in eye distances (right, down) from the middle between the eyes."""
        grid = np.asarray(points, np.float32)
        return np.asarray(self.middle + grid @ np.stack([self.right, self.down]), np.float32)


def hand(picture: U8, place: Place, size: float, rng: Generator) -> U8:
    """A palm with four fingers, of the face's own colour, over mouth, chin, cheek or brow."""
    spots = ((0.0, 1.2), (0.0, 1.7), (-0.9, 0.7), (0.9, 0.7), (-0.7, -0.4), (0.7, -0.4))
    x, y = np.array(spots[rng.integers(len(spots))]) + rng.uniform(-0.15, 0.15, 2)
    heading = np.arctan2(0.5 - y, -x) + rng.uniform(-0.8, 0.8)
    skin = np.median(_around(picture, place.at((0, 0.4))[0], 0.3 * place.eyes_px), axis=0)
    colour = skin * rng.uniform(0.8, 1.15)
    dark = drawn(picture, outline(place.at((x, y)), place, 0.6 * size, 0.55 * size))
    light = dark.copy()
    for finger in np.linspace(-0.45, 0.45, 4):
        root = np.array([x, y]) + 0.4 * size * np.array([np.cos(heading + finger), np.sin(heading + finger)])
        tip = root + size * np.array([np.cos(heading + finger / 2), np.sin(heading + finger / 2)])
        for mask, width in ((dark, 0.26), (light, 0.2)):
            line(mask, place.at(tuple(root), tuple(tip)), width * size * place.eyes_px)
    return painted(painted(picture, dark, 0.6 * colour), light, colour)


def mask(picture: U8, place: Place, top: float, rng: Generator) -> U8:
    """A face mask from the chin up to the nose, blue, white or black, with folds and straps."""
    colours = ((205.0, 185.0, 150.0), (235.0, 235.0, 235.0), (35.0, 35.0, 35.0))
    colour = np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.8, 1.05)
    edge = [
        (-1.05, top + 0.2),
        (0, top),
        (1.05, top + 0.2),
        (0.95, 1.25),
        (0.5, 1.85),
        (-0.5, 1.85),
        (-0.95, 1.25),
    ]
    out = painted(picture, drawn(picture, place.at(*edge)), colour)
    folds = drawn(picture, None)
    for height in (0.9, 1.2, 1.5):
        line(folds, place.at((-0.8, height), (0, height + 0.1), (0.8, height)), 0.03 * place.eyes_px)
    for side in (-1, 1):
        line(folds, place.at((1.05 * side, top + 0.25), (1.4 * side, 0.2)), 0.04 * place.eyes_px)
    return painted(out, folds, 0.7 * colour)


def glasses(picture: U8, place: Place, tint: float, rng: Generator) -> U8:
    """Frames round the eyes, with lenses that take a share of the light, and a glint."""
    rim, lens, glint = (drawn(picture, None) for _ in range(3))
    width, height = rng.uniform(0.33, 0.42), rng.uniform(0.24, 0.36)
    thick = rng.uniform(0.04, 0.1) * place.eyes_px
    for side in (-1, 1):
        shape = outline(place.at((0.52 * side, 0.03)), place, width, height)
        lens = np.maximum(lens, drawn(picture, shape))
        line(rim, np.concatenate([shape, shape[:1]]), thick)
        line(rim, place.at(((0.52 + width) * side, -0.05), (1.25 * side, -0.1)), thick)
        line(glint, place.at((0.45 * side, -0.12), (0.52 * side + 0.1, 0.1)), 0.05 * place.eyes_px)
    line(rim, place.at((width - 0.52, 0.0), (0.52 - width, 0.0)), thick)
    out = painted(picture, tint * lens, np.full(3, 15.0))
    out = painted(out, rng.uniform(0, 0.7) * glint, np.full(3, 245.0))
    return painted(out, rim, np.full(3, rng.uniform(10, 90)))


def microphone(picture: U8, place: Place, radius: float, rng: Generator) -> U8:
    """A dark ball of foam before mouth or chin, on a stick from below."""
    x, y = rng.uniform(-0.35, 0.35), rng.uniform(1.0, 1.45)
    stick = drawn(picture, None)
    line(stick, place.at((x, y), (x + rng.uniform(-0.8, 0.8), 3.5)), 0.35 * radius * place.eyes_px)
    ball = drawn(picture, outline(place.at((x, y)), place, radius, 1.15 * radius))
    foam = np.full(3, rng.uniform(20, 70))
    return painted(painted(picture, stick, 1.6 * foam), ball, foam)


def outline(centre: F32, place: Place, across: float, along: float) -> F32:
    """Points of an ellipse with half axes in eye distances."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = np.stack([across * np.cos(angle), along * np.sin(angle)], 1).astype(np.float32)
    return np.asarray(centre + points @ np.stack([place.right, place.down]), np.float32)


def drawn(picture: U8, polygon: F32 | None) -> F32:
    """A mask ``(h, w)`` from 0 to 1 with the polygon filled, if there is one."""
    mask = np.zeros(picture.shape[:2], np.float32)
    if polygon is not None:
        cv2.fillPoly(mask, [np.rint(16 * polygon).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    return mask


def line(mask: F32, points: F32, width_px: float) -> None:
    """Draw a line through ``points`` into the mask."""
    fixed = np.rint(16 * points).astype(np.int32)
    cv2.polylines(mask, [fixed], False, 1.0, max(1, round(width_px)), cv2.LINE_8, 4)


def painted(picture: U8, mask: F32, colour: NDArray[np.float64]) -> U8:
    """``colour`` (BGR, or its mean on a grey picture) where the mask, its edge softened, says so."""
    soft = cv2.GaussianBlur(mask, (0, 0), 0.7)
    if picture.ndim == 2:
        mixed = picture * (1 - soft) + soft * np.mean(colour)
    else:
        mixed = picture * (1 - soft[..., None]) + soft[..., None] * colour
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _around(picture: U8, point: F32, reach: float) -> NDArray[np.uint8]:
    """Colours ``(n, channels)`` of a square round a point, or of the whole picture where that lies outside."""
    x, y = np.rint(point).astype(int)
    side = max(1, int(reach))
    part = picture[max(0, y - side) : max(0, y + side), max(0, x - side) : max(0, x + side)]
    part = part if part.size else picture
    return part.reshape(-1, 1 if picture.ndim == 2 else picture.shape[2])
