"""Under which conditions a device hears a voice: noise, rooms, microphones, wrong gain, codecs.

Clean training does not survive a room. Training copies are drawn at random (`draw_condition`); what a model is judged
under has names (`CONDITIONS`), and of some kinds training never sees anything. Each copy has a generator of its own,
seeded by the run's seed, the item and the copy, so that copies do not depend on the order in which they are made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import F32

from .codecs import CODECS, CodecName, code
from .noises import RATE_HZ, Noise, noise_sources
from .rooms import Room, reverberate

FloatArray = NDArray[np.float64]

TRAINING_NOISES: tuple[Noise, ...] = ("white", "pink", "brown", "babble", "music")
TRAINING_GAIN_DB = (-30.0, 12.0)


@dataclass(frozen=True, slots=True)
class Microphone:
    """A response: a band of -12 dB an octave below and -24 dB above, and one resonance half an octave wide."""

    low_hz: float
    high_hz: float
    peak_hz: float = 3000.0
    peak_db: float = 0.0

    def apply(self, sound: FloatArray) -> FloatArray:
        """Sound (n,) through the response; phases stay as they are."""
        frequency = np.maximum(np.fft.rfftfreq(len(sound), 1 / RATE_HZ), 1.0)
        response = (
            1 / np.sqrt(1 + (self.low_hz / frequency) ** 4) / np.sqrt(1 + (frequency / self.high_hz) ** 8)
        )
        octaves = np.log2(frequency / self.peak_hz)
        response *= 10 ** (self.peak_db / 20 * np.exp(-((octaves / 0.5) ** 2)))
        return np.asarray(np.fft.irfft(np.fft.rfft(sound) * response, len(sound)))


@dataclass(frozen=True, slots=True)
class Condition:
    """What happens to one copy, in this order; ``None`` leaves a step out.

    Attributes
    ----------
    room
        Where the voice sounds, and the noise with it, each of its sources at a place of its own.
    noise, snr_db
        Kind, and ratio of the utterance's mean power to the noise's.
    microphone
        Its response.
    gain_db
        Of all together; what then exceeds full scale is clipped, and what is left is rounded to 16 bits.
    codec
        What the sound has been written with.
    lead_s, tail_s
        Pause, with the noise in it, before and after the utterance.
    """

    room: Room | None = None
    noise: Noise | None = None
    snr_db: float = 20.0
    microphone: Microphone | None = None
    gain_db: float = 0.0
    codec: CodecName | None = None
    lead_s: float = 0.0
    tail_s: float = 0.0


CLEAN = Condition()


@dataclass(frozen=True, slots=True)
class Trial:
    """A condition to be judged under; ``held_out``: training sees nothing of its kind."""

    condition: Condition
    held_out: bool = False


TELEPHONE = Microphone(300.0, 3400.0)
HALL = Room((11.0, 8.0, 3.6), 3.0, 0.18)
BATHROOM = Room((2.2, 1.8, 2.4), 0.7, 0.06)
LIVING_ROOM = Room((5.0, 4.0, 2.6), 1.5, 0.3)

CONDITIONS: dict[str, Trial] = {
    "clean": Trial(CLEAN),
    "white_10_db": Trial(Condition(noise="white", snr_db=10.0)),
    "pink_10_db": Trial(Condition(noise="pink", snr_db=10.0)),
    "brown_10_db": Trial(Condition(noise="brown", snr_db=10.0)),
    "babble_10_db": Trial(Condition(noise="babble", snr_db=10.0)),
    "music_10_db": Trial(Condition(noise="music", snr_db=10.0)),
    "room": Trial(Condition(room=LIVING_ROOM)),
    "microphone": Trial(Condition(microphone=Microphone(150.0, 4500.0, 3000.0, 6.0))),
    "gain_-24_db": Trial(Condition(gain_db=-24.0)),
    "gain_8_db": Trial(Condition(gain_db=8.0)),
    "hum_10_db": Trial(Condition(noise="hum", snr_db=10.0), held_out=True),
    "fan_10_db": Trial(Condition(noise="fan", snr_db=10.0), held_out=True),
    "television_10_db": Trial(Condition(noise="television", snr_db=10.0), held_out=True),
    "hall": Trial(Condition(room=HALL), held_out=True),
    "bathroom": Trial(Condition(room=BATHROOM), held_out=True),
    "hall_voices_10_db": Trial(Condition(room=HALL, noise="babble", snr_db=10.0), held_out=True),
    "tin_microphone": Trial(Condition(microphone=Microphone(500.0, 7000.0, 1500.0, 12.0)), held_out=True),
    "telephone": Trial(Condition(microphone=TELEPHONE, codec="telephone"), held_out=True),
    "opus": Trial(Condition(codec="opus"), held_out=True),
    "aac": Trial(Condition(codec="aac"), held_out=True),
}
"""By the name in the report. 10 dB and so on are ratios of speech to noise."""

SNR_SERIES_DB = (-5.0, 0.0, 5.0, 10.0, 20.0)
DISTANCE_SERIES_M = (0.5, 1.0, 2.0, 4.0)
SERIES: dict[str, dict[float, Condition]] = {
    "snr_db": {snr: Condition(noise="pink", snr_db=snr) for snr in SNR_SERIES_DB},
    "distance_m": {
        distance: Condition(
            room=Room((6.0, 5.0, 2.6), distance, 0.3),
            noise="pink",
            snr_db=25 - 20 * float(np.log10(distance)),
        )
        for distance in DISTANCE_SERIES_M
    },
}
"""Pink noise of growing level; a voice that goes away in a room of 0.3 s with a steady noise, 25 dB below it at 1 m."""


def named() -> list[Condition]:
    """Those of `CONDITIONS`, in their order."""
    return [trial.condition for trial in CONDITIONS.values()]


def along_series() -> list[Condition]:
    """The points of `SERIES`, one series after the other."""
    return [condition for points in SERIES.values() for condition in points.values()]


def generator(seed: int, *names: object) -> np.random.Generator:
    """A generator that hangs on ``seed`` and ``names`` alone."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def draw_condition(rng: np.random.Generator, snr_db: float | None) -> Condition:
    """A random condition of training: noise at ``snr_db`` (``None``: none), every other time a room, four times
    in five a microphone, any gain of `TRAINING_GAIN_DB`.
    """
    return Condition(
        room=_draw_room(rng) if rng.random() < 0.5 else None,
        noise=None if snr_db is None else TRAINING_NOISES[rng.integers(len(TRAINING_NOISES))],
        snr_db=20.0 if snr_db is None else snr_db,
        microphone=_draw_microphone(rng) if rng.random() < 0.8 else None,
        gain_db=float(rng.uniform(*TRAINING_GAIN_DB)),
        lead_s=float(rng.uniform(0.0, 1.0)),
        tail_s=float(rng.uniform(0.0, 0.5)),
    )


def apply(samples: F32, condition: Condition, rng: np.random.Generator, talkers: Sequence[F32] = ()) -> F32:
    """One copy of ``samples`` (n,), 16 kHz, under ``condition``; as long as they and the pauses.

    ``talkers`` are utterances of other people, needed for babble and television.
    """
    power = float(np.mean(samples.astype(np.float64) ** 2))
    sound = np.pad(
        samples.astype(np.float64), (round(condition.lead_s * RATE_HZ), round(condition.tail_s * RATE_HZ))
    )
    noise = np.zeros((0, len(sound)))
    if condition.noise is not None and power > 0:
        noise = noise_sources(condition.noise, len(sound), rng, talkers)
        noise *= np.sqrt(power / len(noise) / 10 ** (condition.snr_db / 10))
    sources = [sound, *noise]
    if condition.room is not None:
        responses = condition.room.responses(len(noise), rng)
        sources = [reverberate(*pair) for pair in zip(sources, responses, strict=True)]
    heard = np.sum(sources, axis=0)
    if condition.microphone is not None:
        heard = condition.microphone.apply(heard)
    heard = np.rint(np.clip(heard * 10 ** (condition.gain_db / 20), -1.0, 1.0) * 32768) / 32768
    if condition.codec is not None:
        heard = code(heard, CODECS[condition.codec])
    return heard.astype(np.float32)


def _draw_room(rng: np.random.Generator) -> Room:
    """From a small furnished room to a large bare one: 0.05 to 1.4 s, 0.3 to 3 m away."""
    size = (float(rng.uniform(2.8, 9.0)), float(rng.uniform(2.4, 6.5)), float(rng.uniform(2.3, 3.2)))
    absorption = float(10 ** rng.uniform(np.log10(0.1), np.log10(0.6)))
    return Room(size, float(rng.uniform(0.3, 3.0)), absorption)


def _draw_microphone(rng: np.random.Generator) -> Microphone:
    """A band from 40 to 450 Hz up to 2.8 to 8 kHz, a resonance of up to 16 dB."""
    low_hz, high_hz, peak_hz = 10 ** rng.uniform(
        np.log10([40.0, 2800.0, 800.0]), np.log10([450.0, 8000.0, 5000.0])
    )
    return Microphone(float(low_hz), float(high_hz), float(peak_hz), float(rng.uniform(-6.0, 16.0)))
