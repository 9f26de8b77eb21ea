"""What may be heard beside a voice, made from generators alone: coloured noise, machines, music, other people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from edge_emotion.errors import InputError
from edge_emotion.types import F32

Noise = Literal["white", "pink", "brown", "babble", "music", "hum", "fan", "television"]
NOISES: tuple[Noise, ...] = get_args(Noise)
SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}
"""Powers of 1/f in the power spectrum."""
RATE_HZ = 16000
LOWEST_HZ = 20.0
TALKERS = 5
FloatArray = NDArray[np.float64]

_CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))
"""Semitones above the key: tonic, relative minor, subdominant, dominant."""


def noise_sources(
    noise: Noise, count: int, rng: np.random.Generator, talkers: Sequence[F32] = ()
) -> FloatArray:
    """What sounds beside the voice, each source apart, shape (sources, count); the sources have equal power 1.

    Babble is `TALKERS` people, a television one person and music at half the power; both take ``talkers``: utterances
    of other people. All else is one source.

    Raises
    ------
    InputError
        Speech is asked for and there are no ``talkers``.
    """
    if noise in ("babble", "television") and not talkers:
        raise InputError(f"{noise} needs utterances of other people: the data are of one speaker")
    if noise == "babble":
        return np.stack([_turn(talkers[int(rng.integers(len(talkers)))], count, rng) for _ in range(TALKERS)])
    if noise == "television":
        speech = _turn(talkers[int(rng.integers(len(talkers)))], count, rng)
        sound = speech + np.sqrt(0.5) * _unit(_music(count, rng))
    elif noise == "music":
        sound = _music(count, rng)
    elif noise == "hum":
        sound = _hum(count, rng)
    elif noise == "fan":
        sound = _fan(count, rng)
    else:
        sound = _coloured(SLOPES[noise], count, rng)
    return _unit(sound)[None]


def make_noise(noise: Noise, count: int, rng: np.random.Generator, talkers: Sequence[F32] = ()) -> FloatArray:
    """The sum of `noise_sources`, mean power 1, shape (count,)."""
    return _unit(noise_sources(noise, count, rng, talkers).sum(axis=0))


def _coloured(slope: float, count: int, rng: np.random.Generator) -> FloatArray:
    """White noise filtered in the frequency domain: power ~ 1/f^slope above 20 Hz."""
    spectrum = np.fft.rfft(rng.normal(size=count))
    frequency = np.maximum(np.fft.rfftfreq(count, 1 / RATE_HZ), LOWEST_HZ)
    return np.asarray(np.fft.irfft(spectrum * frequency ** (-slope / 2), count))


def _hum(count: int, rng: np.random.Generator) -> FloatArray:
    """The mains at 50 or 60 Hz with 30 harmonics; the even ones, of rectifiers, twice as strong."""
    mains_hz = float(rng.choice([50.0, 60.0]))
    order = np.arange(1, 31)
    amplitude = rng.uniform(0.3, 1.0, len(order)) * np.where(order % 2 == 0, 2.0, 1.0) / order
    common = RATE_HZ // 10  # whole periods of both
    phase = 2 * np.pi * mains_hz * order[:, None] * np.arange(common) / RATE_HZ
    return np.resize(amplitude @ np.sin(phase + rng.uniform(0, 2 * np.pi, (len(order), 1))), count)


def _fan(count: int, rng: np.random.Generator) -> FloatArray:
    """Rushing air, mostly below 1 kHz, and four harmonics of the blades' rate, 70 to 150 Hz, 6 dB weaker in all."""
    air = sosfilt(butter(1, rng.uniform(400, 1500), fs=RATE_HZ, output="sos"), _coloured(0.5, count, rng))
    order = np.arange(1, 5)[:, None]
    phase = 2 * np.pi * rng.uniform(70, 150) * order * np.arange(count) / RATE_HZ
    blades = np.sum(np.sin(phase + rng.uniform(0, 2 * np.pi, order.shape)) / order, axis=0)
    wobble = 1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 3.0) * np.arange(count) / RATE_HZ)
    return np.asarray((_unit(air) + 0.5 * _unit(blades)) * wobble)


def _music(count: int, rng: np.random.Generator) -> FloatArray:
    """Plucked chords with a bass and a beat of noise in one key, 80 to 140 beats a minute, from a random beat on."""
    beat = round(RATE_HZ * 60 / rng.uniform(80, 140))
    key_hz = 110 * 2 ** (rng.integers(12) / 12)
    time_s = np.arange(beat) / RATE_HZ
    first = int(rng.integers(16))
    sound = []
    for number in range(first, first + count // beat + 2):
        chord = _CHORDS[number // 4 % len(_CHORDS)]
        melody = chord[rng.integers(len(chord))] + 12 * int(rng.integers(1, 3))
        notes = [_pluck(key_hz * 2 ** (step / 12), time_s, 3.0) for step in (*chord, melody)]
        bass = 1.5 * _pluck(key_hz / 2 * 2 ** (chord[0] / 12), time_s, 5.0)
        drum = rng.normal(size=beat) * np.exp(-time_s / (0.15 if number % 2 else 0.03))
        sound.append(sum(notes, bass) + 0.4 * drum)
    joined = np.concatenate(sound)
    begin = int(rng.integers(len(joined) - count + 1))
    return joined[begin : begin + count]


def _pluck(pitch_hz: float, time_s: FloatArray, fall: float) -> FloatArray:
    """Six harmonics that die away, the higher the sooner: the powers of one complex decay."""
    tone = np.exp((2j * np.pi * pitch_hz - fall) * time_s)
    return np.asarray(sum((tone**h).imag / h for h in range(1, 7)))


def _turn(utterance: F32, count: int, rng: np.random.Generator) -> FloatArray:
    """``count`` samples of a repeated utterance from a random moment on, power 1."""
    rolled = np.roll(utterance.astype(np.float64), int(rng.integers(len(utterance))))
    return _unit(np.resize(rolled, count))


def _unit(sound: FloatArray) -> FloatArray:
    return np.asarray(sound / np.sqrt(np.mean(sound**2) + 1e-20))
