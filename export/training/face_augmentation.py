"""What training does to a face crop: changes that keep the expression, and the ways in which a room spoils a picture.

Crops are ``uint8 (48, 48)``; every draw comes from the generator that is handed in, so a seed fixes the whole run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from edge_emotion.types import F32, U8


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Strength of each change; rotation in degrees, shift as share of the side, ``*_share`` as share of the faces."""

    rotation: float = 15.0
    zoom: float = 0.15
    shift: float = 0.08
    light: float = 0.4
    erase_share: float = 0.3
    spoil_share: float = 0.3


def augment(crops: U8, settings: Augmentation, rng: Generator) -> U8:
    """Flip, move, light, spoil and cover each face at random; shape and type are kept."""
    return np.stack([_augment(crop, settings, rng) for crop in crops])


def _augment(crop: U8, settings: Augmentation, rng: Generator) -> U8:
    crop = _light(_move(crop, settings, rng), settings.light, rng)
    if rng.random() < settings.spoil_share:
        crop = spoil(crop, rng)
    if rng.random() < settings.erase_share:
        crop = _erase(crop, rng)
    return crop


def spoil(crop: U8, rng: Generator) -> U8:
    """Apply one of `SPOILERS`, drawn at random, with a random strength."""
    return list(SPOILERS.values())[rng.integers(len(SPOILERS))](crop, rng)


def _move(crop: U8, settings: Augmentation, rng: Generator) -> U8:
    side = len(crop)
    angle, zoom_x, zoom_y, shift_x, shift_y = rng.uniform(-1, 1, 5) * (
        np.radians(settings.rotation),
        settings.zoom,
        settings.zoom,
        settings.shift * side,
        settings.shift * side,
    )
    flip = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn * (flip * np.exp(zoom_x), np.exp(zoom_y))
    centre = (side - 1) / 2
    offset = centre + np.array([shift_x, shift_y]) - linear @ np.full(2, centre)
    matrix = np.column_stack([linear, offset])
    return cv2.warpAffine(crop, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _light(crop: U8, strength: float, rng: Generator) -> U8:
    """Random gamma and gain."""
    gamma = np.exp(strength * rng.standard_normal())
    gain = 1 + strength * (rng.random() - 0.5)
    table = 255 * gain * (np.arange(256) / 255) ** gamma
    return cv2.LUT(crop, np.clip(table, 0, 255).astype(np.uint8))


def _erase(crop: U8, rng: Generator) -> U8:
    """Cover a rectangle of a twentieth to a third of the face by noise (random erasing, Zhong et al. 2020)."""
    side = len(crop)
    height, width = (side * rng.uniform(0.2, 0.55, 2)).astype(int)
    top, left = rng.integers(side - height), rng.integers(side - width)
    crop = crop.copy()
    crop[top : top + height, left : left + width] = rng.integers(0, 256, (height, width), np.uint8)
    return crop


def blur(crop: U8, rng: Generator, low: float = 0.5, high: float = 1.6) -> U8:
    """Gaussian blur with a sigma of ``low`` to ``high`` pixels."""
    return cv2.GaussianBlur(crop, (0, 0), rng.uniform(low, high))


def lower_resolution(crop: U8, rng: Generator, low: int = 12, high: int = 32) -> U8:
    """Shrink to ``low`` to ``high`` pixels and enlarge again: a face far away."""
    side = int(rng.integers(low, high + 1))
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, crop.shape[::-1], interpolation=cv2.INTER_LINEAR)


def darken(crop: U8, rng: Generator, low: float = 0.05, high: float = 0.4) -> U8:
    """Scale light to a share of ``low`` to ``high``, with the noise and the 8-bit steps of a camera in the dark."""
    gain = low * (high / low) ** rng.random()
    return _noisy(crop * np.float32(gain), 5 * rng.random(), rng)


def add_noise(crop: U8, rng: Generator, high: float = 30.0) -> U8:
    """Gaussian noise with a deviation of up to ``high`` grey levels."""
    return _noisy(crop, high * rng.random(), rng)


def _noisy(crop: U8 | F32, deviation: float, rng: Generator) -> U8:
    noise = rng.standard_normal(crop.shape, np.float32) * np.float32(deviation)
    return np.clip(np.rint(crop + noise), 0, 255).astype(np.uint8)


SPOILERS: dict[str, Callable[[U8, Generator], U8]] = {
    "blur": blur,
    "low resolution": lower_resolution,
    "dark": darken,
    "noise": add_noise,
}
"""The ways of spoiling a crop, by name."""
