"""Copies of training speech as a device hears it: noise of four colours, other talkers, rooms, wrong gain.

Clean training does not survive a room: every copy is drawn from a generator of its own, seeded by the run's seed, the
item and the copy, so that copies do not depend on the order in which they are made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from edge_emotion.types import F32

Colour = Literal["white", "pink", "brown", "babble"]
COLOURS: tuple[Colour, ...] = ("white", "pink", "brown", "babble")
SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}
"""Powers of 1/f in the power spectrum."""
RATE_HZ = 16000
LOWEST_HZ = 20.0
TALKERS = 5
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Condition:
    """What happens to one copy; ``None`` leaves a step out.

    Attributes
    ----------
    noise, snr_db
        Colour, and ratio of the utterance's mean power to the noise's.
    reverberation_s
        Time in which the room's sound falls by 60 dB.
    gain_db
        Of speech and noise together; what then exceeds full scale is clipped.
    lead_s, tail_s
        Pause, with the noise in it, before and after the utterance.
    """

    noise: Colour | None = None
    snr_db: float = 20.0
    reverberation_s: float | None = None
    gain_db: float = 0.0
    lead_s: float = 0.0
    tail_s: float = 0.0


CLEAN = Condition()


def generator(seed: int, *names: object) -> np.random.Generator:
    """A generator that hangs on ``seed`` and ``names`` alone."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def draw_condition(rng: np.random.Generator, snr_db: float | None) -> Condition:
    """A random condition: noise of any colour at ``snr_db`` (``None``: none), every third in a room, gain -24 to +8
    dB.
    """
    room = float(rng.uniform(0.15, 0.8)) if rng.random() < 1 / 3 else None
    return Condition(
        noise=None if snr_db is None else COLOURS[rng.integers(len(COLOURS))],
        snr_db=20.0 if snr_db is None else snr_db,
        reverberation_s=room,
        gain_db=float(rng.uniform(-24.0, 8.0)),
        lead_s=float(rng.uniform(0.0, 1.0)),
        tail_s=float(rng.uniform(0.0, 0.5)),
    )


def apply(samples: F32, condition: Condition, rng: np.random.Generator, talkers: Sequence[F32] = ()) -> F32:
    """One copy of ``samples`` (n,), 16 kHz, under ``condition``; as long as they and the pauses.

    ``talkers`` are utterances of other people, needed for babble.
    """
    power = float(np.mean(samples.astype(np.float64) ** 2))
    pauses = (round(condition.lead_s * RATE_HZ), round(condition.tail_s * RATE_HZ))
    sound = np.pad(samples.astype(np.float64), pauses)
    if condition.reverberation_s is not None:
        sound = reverberate(sound, condition.reverberation_s, rng)
    if condition.noise is not None and power > 0:
        noise = make_noise(condition.noise, len(sound), rng, talkers)
        sound = sound + noise * np.sqrt(power / 10 ** (condition.snr_db / 10))
    return np.clip(sound * 10 ** (condition.gain_db / 20), -1.0, 1.0).astype(np.float32)


def make_noise(
    colour: Colour, count: int, rng: np.random.Generator, talkers: Sequence[F32] = ()
) -> FloatArray:
    """Noise of mean power 1, shape (count,).

    Coloured noise is white noise filtered in the frequency domain (power ~ 1/f^slope above 20 Hz); babble is the sum of
    five utterances of equal power, each from a random moment on.
    """
    if colour == "babble":
        if not talkers:
            raise ValueError("babble needs utterances of other talkers")
        noise = sum(
            (_turn(talkers[rng.integers(len(talkers))], count, rng) for _ in range(TALKERS)), np.zeros(count)
        )
    else:
        spectrum = np.fft.rfft(rng.normal(size=count))
        frequency = np.maximum(np.fft.rfftfreq(count, 1 / RATE_HZ), LOWEST_HZ)
        noise = np.fft.irfft(spectrum * frequency ** (-SLOPES[colour] / 2), count)
    return np.asarray(noise / np.sqrt(np.mean(noise**2) + 1e-20))


def reverberate(sound: FloatArray, reverberation_s: float, rng: np.random.Generator) -> FloatArray:
    """Sound in a synthetic room of equal power: the direct path and a tail of noise that falls by 60 dB in the given
    time.

    The tail begins 2 ms after the direct path and carries 0 to 10 dB less energy (Polack's statistical model).
    """
    count = int(reverberation_s * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    tail = rng.normal(size=count) * 10 ** (-3 * time_s / reverberation_s)
    tail[: int(0.002 * RATE_HZ)] = 0.0
    tail *= 10 ** (-rng.uniform(0.0, 10.0) / 20) / np.sqrt(np.sum(tail**2) + 1e-20)
    response = np.concatenate([[1.0], tail])
    wet = fftconvolve(sound, response)[: len(sound)]
    return np.asarray(wet * np.sqrt(np.mean(sound**2) / (np.mean(wet**2) + 1e-20)))


def _turn(utterance: F32, count: int, rng: np.random.Generator) -> FloatArray:
    """``count`` samples of a repeated utterance from a random moment on, power 1."""
    rolled = np.roll(utterance.astype(np.float64), int(rng.integers(len(utterance))))
    return np.asarray(np.resize(rolled, count) / np.sqrt(np.mean(rolled**2) + 1e-20))
