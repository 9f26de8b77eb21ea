"""Rooms by image sources: what a wall gives back of a voice, over size, distance and absorption."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyroomacoustics
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from .noises import RATE_HZ

FloatArray = NDArray[np.float64]

HIGHEST_ORDER = 25
"""Reflections that are followed; in a hard, small room the tail ends a little early."""
MARGIN_M = 0.3
"""Nothing stands nearer to a wall."""
HEIGHTS_M = (1.0, 1.7)
_PLACES = 200


@dataclass(frozen=True, slots=True)
class Room:
    """A shoe box with a microphone in it.

    Attributes
    ----------
    size_m
        Length, width, height.
    distance_m
        From the voice to the microphone, less where the room is too small for it; other sources stand anywhere.
    absorption
        Share of the energy that a wall keeps, 0 to 1, alike at all frequencies.
    """

    size_m: tuple[float, float, float]
    distance_m: float
    absorption: float

    @property
    def reverberation_s(self) -> float:
        """Time in which the sound falls by 60 dB, after Sabine."""
        length, width, height = self.size_m
        surface = 2 * (length * width + length * height + width * height)
        return 0.161 * length * width * height / (surface * self.absorption)

    def responses(self, others: int, rng: np.random.Generator) -> list[FloatArray]:
        """Impulse responses from the voice and from ``others`` more sources at random places (Allen & Berkley 1979)."""
        room = pyroomacoustics.ShoeBox(
            self.size_m,
            fs=RATE_HZ,
            materials=pyroomacoustics.Material(self.absorption),
            max_order=HIGHEST_ORDER,
        )
        places = self._places(rng, _PLACES)
        microphone = places[0]
        voice = places[np.argmin(np.abs(np.linalg.norm(places - microphone, axis=1) - self.distance_m))]
        for place in (voice, *places[1 : 1 + others]):
            room.add_source(place)
        room.add_microphone(microphone)
        room.compute_rir()
        return [np.asarray(response, np.float64) for response in room.rir[0]]

    def _places(self, rng: np.random.Generator, count: int) -> FloatArray:
        length, width, _ = self.size_m
        low = (MARGIN_M, MARGIN_M, HEIGHTS_M[0])
        return rng.uniform(low, (length - MARGIN_M, width - MARGIN_M, HEIGHTS_M[1]), (count, 3))


def reverberate(sound: FloatArray, response: FloatArray) -> FloatArray:
    """Sound (n,) through a room, of equal power; the direct path's delay is taken out."""
    begin = int(np.argmax(np.abs(response)))
    wet = fftconvolve(sound, response)[begin : begin + len(sound)]
    return np.asarray(wet * np.sqrt(np.mean(sound**2) / (np.mean(wet**2) + 1e-20)))
