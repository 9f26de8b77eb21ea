"""Corpus pictures as a camera would show them, and what the run-time code sees in them: aligned crops and facts.

Each picture is set into a plain frame, once as it is and once for each way of spoiling it, and goes through the
device's own detector, crop and measurement of quality. The regressor's rows, the sigma model and `evaluate` all rest on
these sightings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from edge_emotion.config import CropSettings
from edge_emotion.features.crop import CANONICAL, align
from edge_emotion.features.quality import measure
from edge_emotion.types import F32, U8, FaceDetector

FRAME_PX = 288
PICTURE_PX = 192
"""Side to which a corpus picture is scaled before it is set into a frame: a face near the camera."""
FACTS = ("face_px", "score", "blur", "brightness")
"""The facts of a sighting that sigma may depend on, in the order of `Sightings.facts`."""


def frame(picture: U8, side: int = PICTURE_PX) -> U8:
    """A square picture, scaled to ``side`` pixels, in the middle of a plain frame of its mean colour."""
    enlarges = side > max(picture.shape[:2])
    scaled = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC if enlarges else cv2.INTER_AREA)
    border = (FRAME_PX - side) // 2
    shade = [float(value) for value in np.atleast_1d(scaled.mean(axis=(0, 1)))]
    return cv2.copyMakeBorder(scaled, border, border, border, border, cv2.BORDER_CONSTANT, value=shade)


def _near(picture: U8, rng: Generator) -> U8:
    return frame(picture)


def _far(picture: U8, rng: Generator) -> U8:
    """From a face as wide as 20 pixels to one of 80."""
    return frame(picture, int(np.exp(rng.uniform(np.log(26), np.log(104)))))


def _blurred(picture: U8, rng: Generator) -> U8:
    """By a sigma of 0.7 to 3 per cent of the picture's side, as out of focus."""
    return cv2.GaussianBlur(frame(picture), (0, 0), PICTURE_PX * rng.uniform(0.007, 0.03))


def _dark(picture: U8, rng: Generator) -> U8:
    """4 to 40 per cent of the light, with a sensor's noise."""
    gain, deviation = np.exp(rng.uniform(np.log(0.04), np.log(0.4))), rng.uniform(1, 5)
    return _in_the_dark(picture, rng, gain, deviation)


def _in_the_dark(picture: U8, rng: Generator, gain: float, deviation: float) -> U8:
    shown = frame(picture)
    noise = rng.standard_normal(shown.shape, np.float32) * np.float32(deviation)
    return np.clip(np.rint(shown * np.float32(gain) + noise), 0, 255).astype(np.uint8)


def _faint(picture: U8, rng: Generator) -> U8:
    """5 to 20 per cent of the light with strong noise: worse than anything trained on."""
    return _in_the_dark(picture, rng, np.exp(rng.uniform(np.log(0.05), np.log(0.2))), rng.uniform(5, 10))


def _smeared(picture: U8, rng: Generator) -> U8:
    """Blurred by a sigma of 3 to 6 per cent of the side: worse than anything trained on."""
    return cv2.GaussianBlur(frame(picture), (0, 0), PICTURE_PX * rng.uniform(0.03, 0.06))


CONDITIONS: dict[str, Callable[[U8, Generator], U8]] = {
    "clean": _near,
    "far": _far,
    "blurred": _blurred,
    "dark": _dark,
    "smeared": _smeared,
    "faint": _faint,
}
"""How a picture is shown, by name; `Sightings.condition` counts in this order."""
TRAINED = ("clean", "far", "blurred", "dark")
"""The conditions that the regressor is fitted on; all are judged, and sigma learns from all."""


@dataclass(frozen=True)
class Sightings:
    """Faces that were found.

    Attributes
    ----------
    item, condition
        ``(n,)``: number of the picture, and of the condition in `CONDITIONS`.
    crops
        ``uint8 (n, 48, 48)``.
    facts
        ``(n, 4)``, in the order of `FACTS`.
    """

    item: NDArray[np.int64]
    condition: NDArray[np.int64]
    crops: U8
    facts: F32

    def __len__(self) -> int:
        """Sightings."""
        return len(self.item)

    def of(self, items: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows that show one of ``items``."""
        return np.flatnonzero(np.isin(self.item, items))

    def trained(self, items: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows that show one of ``items`` under a condition of `TRAINED`."""
        rows = self.of(items)
        return rows[self.condition[rows] < len(TRAINED)]

    def named_facts(self, rows: NDArray[np.intp]) -> dict[str, F32]:
        """Facts of ``rows`` by name, as `sigma.fit` takes them."""
        return {name: self.facts[rows, k] for k, name in enumerate(FACTS)}


def look(
    pictures: Sequence[U8],
    detector: FaceDetector,
    geometry: CropSettings = CANONICAL,
    conditions: Sequence[str] = ("clean",),
    seed: int = 0,
    on_picture: Callable[[], None] = lambda: None,
) -> Sightings:
    """Show every picture under every condition and crop the surest face; an unseen face gives no row."""
    item, condition, crops, facts = [], [], [], []
    numbers = {name: number for number, name in enumerate(CONDITIONS)}
    for number, picture in enumerate(pictures):
        rng = default_rng([seed, number])
        for name in conditions:
            shown = CONDITIONS[name](picture, rng)
            found = detector.compute(shown)
            if found:
                crops.append(align(shown, found[0].landmarks, geometry))
                measured = measure(found[0], crops[-1])
                facts.append([getattr(measured, fact) for fact in FACTS])
                item.append(number)
                condition.append(numbers[name])
        on_picture()
    return Sightings(
        np.array(item, np.int64),
        np.array(condition, np.int64),
        np.array(crops, np.uint8).reshape(-1, geometry.size, geometry.size),
        np.array(facts, np.float32).reshape(-1, len(FACTS)),
    )
