"""From sound to 25 descriptors each 10 ms and to 88 functionals of the whole (specification, sections 6 to 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.features.lld import LowLevelStream, Mode
from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES
from edge_emotion.features.signal import mono
from edge_emotion.kernels import descriptor_rows as rows
from edge_emotion.kernels.functionals import PITCH_COLUMNS, SPECTRAL_COLUMNS, VOICED_COLUMNS, functionals
from edge_emotion.types import F32

SHORTEST_S = 0.060
"""Sound below the length of one pitch frame is too short to be described."""
ROW_S = 0.020
"""Length of the sound that a row of descriptors stands for; rows start each 10 ms."""


@dataclass(frozen=True, slots=True)
class LldTable:
    """The 25 low-level descriptors of a stretch of sound.

    Attributes
    ----------
    values
        ``float32 (rows, 25)``, columns as in `names`; no rows where the sound is shorter than 60 ms. Descriptors of
        the voice are 0 in unvoiced frames, formant amplitudes -201 there (``compat``).
    start_s, end_s
        ``float64 (rows,)``: the sound that each row stands for, from the first sample on.
    """

    values: F32
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    names: tuple[str, ...] = LLD_NAMES

    @property
    def too_short(self) -> bool:
        """Whether there was too little sound for a single row."""
        return len(self.values) == 0


def compute_descriptors(samples: NDArray[Any], sample_rate_hz: int, mode: Mode = "compat") -> LldTable:
    """The 25 descriptors, one row each 10 ms.

    Parameters
    ----------
    samples
        ``int16``, ``float32`` or ``float64``, shape (n,) or (n, channels), full scale [-1, 1]; channels are averaged,
        values that are not finite are taken as 0.
    sample_rate_hz
        Any rate from 8 kHz on.
    mode
        ``compat`` matches the reference program, ``corrected`` the paper.

    Returns
    -------
    LldTable
        In ``compat`` one row more than 60 ms frames fit, as the reference has it; in ``corrected`` one a frame.
    """
    return descriptor_table(_analysed(samples, sample_rate_hz, mode), len(samples) / sample_rate_hz)


def compute_functionals(samples: NDArray[Any], sample_rate_hz: int, mode: Mode = "compat") -> F32 | None:
    """The 88 functionals of a whole recording, in the order of ``FUNCTIONAL_NAMES``.

    Parameters are those of `compute_descriptors`.

    Returns
    -------
    F32 or None
        ``float32 (88,)``, always finite: what rests on voiced frames is 0 where there are none. ``None`` where the
        sound is shorter than 60 ms.
    """
    return whole_functionals(_analysed(samples, sample_rate_hz, mode))


def descriptor_table(stream: LowLevelStream, duration_s: float) -> LldTable:
    """The table of a stream that has been finished, after ``duration_s`` of sound."""
    frames = len(stream.long)
    compat = stream.mode == "compat"
    values = np.zeros((frames + compat if frames else 0, len(LLD_NAMES)), np.float32)
    rows.lld_rows(stream.short, stream.long, stream.released if compat else frames, values)
    start_s = np.arange(len(values)) * (stream.hop / stream.sample_rate_hz)
    end_s = np.minimum(start_s + ROW_S, duration_s)
    end_s[-1:] = duration_s
    return LldTable(values, start_s, end_s)


def whole_functionals(stream: LowLevelStream) -> F32 | None:
    """The functionals of a stream that has been finished, with the reference's ending (section 6)."""
    short, long = stream.short, stream.long
    frames = len(long)
    if frames == 0:
        return None
    spectral = np.empty((len(short), SPECTRAL_COLUMNS), np.float32)
    rows.spectral_rows(short, 0, spectral)
    compat = stream.mode == "compat"
    decided = stream.released if compat else frames
    count = decided or frames
    f0 = np.empty(count, np.float32)
    pitch = np.empty((count, PITCH_COLUMNS), np.float32)
    last_gated = min(count + 1, frames) - 1 if decided else rows.OWN_FRAME
    rows.pitch_rows(short, long, 0, count - 1, last_gated, f0, pitch)
    if not decided:
        f0 = f0[:1]
        pitch[1:, VOICED_COLUMNS:] = 0.0
    out = np.empty(len(FUNCTIONAL_NAMES), np.float32)
    functionals(spectral, f0, pitch, not compat, out)
    return out


def _analysed(samples: NDArray[Any], sample_rate_hz: int, mode: Mode) -> LowLevelStream:
    stream = LowLevelStream(sample_rate_hz, mode=mode)
    stream.push(mono(samples))
    stream.finish()
    return stream
