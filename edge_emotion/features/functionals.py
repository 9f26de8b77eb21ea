"""From sound to 25 descriptors each 10 ms and to 88 functionals of the whole (specification, sections 6 to 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.features.lld import LowLevelStream, Mode, usable_rate
from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES
from edge_emotion.features.rows import Rows
from edge_emotion.features.signal import mono
from edge_emotion.kernels import descriptor_rows as rows
from edge_emotion.kernels.functionals import (
    PITCH_COLUMNS,
    SPECTRAL_COLUMNS,
    VOICED_COLUMNS,
    add_rows,
    functionals,
    new_scratch,
    new_sums,
)
from edge_emotion.types import F32

SHORTEST_S = 0.060
"""Sound below the length of one pitch frame is too short to be described."""
ROW_S = 0.020
"""Length of the sound that a row of descriptors stands for; rows start each 10 ms."""

_BLOCK_S = 5


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


def compute_descriptors(
    samples: NDArray[Any], sample_rate_hz: float, mode: Mode = "compat", *, channel: int | None = None
) -> LldTable:
    """The 25 descriptors, one row each 10 ms.

    Parameters
    ----------
    samples
        ``int16``, ``float32`` or ``float64``, shape (n,) or (n, channels), full scale [-1, 1]; channels are averaged,
        values that are not finite are taken as 0.
    sample_rate_hz
        A whole number from 8000 to 96000.
    mode
        ``compat`` matches the reference program, ``corrected`` the paper.
    channel
        The channel to describe, counted from 0, instead of the mean of all.

    Returns
    -------
    LldTable
        In ``compat`` one row more than 60 ms frames fit, as the reference has it; in ``corrected`` one a frame.

    Raises
    ------
    UsageError
        Sound of another type or shape, a rate, mode or channel that is not there.
    """
    table = TableRecording(sample_rate_hz, mode)
    for block in _blocks(samples, sample_rate_hz, channel):
        table.push(block)
    return table.finish()


def compute_functionals(
    samples: NDArray[Any], sample_rate_hz: float, mode: Mode = "compat", *, channel: int | None = None
) -> F32 | None:
    """The 88 functionals of a whole recording, in the order of ``FUNCTIONAL_NAMES``.

    Parameters and errors are those of `compute_descriptors`.

    Returns
    -------
    F32 or None
        ``float32 (88,)``, always finite: what rests on voiced frames is 0 where there are none. ``None`` where the
        sound is shorter than 60 ms.
    """
    recording = Recording(sample_rate_hz, mode)
    for block in _blocks(samples, sample_rate_hz, channel):
        recording.push(block)
    return recording.finish()


class Recording:
    """The 88 functionals of a recording that comes in blocks; memory grows by 8 bytes each 10 ms.

    Parameters and errors are those of `LowLevelStream`.
    """

    def __init__(self, sample_rate_hz: float, mode: Mode = "compat") -> None:
        self._stream = LowLevelStream(sample_rate_hz, mode=mode)
        self._loudness, self._f0 = Rows(), Rows()
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._stream.reset()
        self._loudness.reset()
        self._f0.reset()
        self._spectral, self._pitch = new_sums(SPECTRAL_COLUMNS), new_sums(PITCH_COLUMNS)

    @property
    def voiced(self) -> float | None:
        """Share of voiced frames among those whose pitch is decided; ``None`` where there is none."""
        f0 = self._f0.live
        return np.count_nonzero(f0) / len(f0) if len(f0) else None

    def push(self, samples: NDArray[Any]) -> None:
        """Take samples as `mono` does: any split of them gives the same bits."""
        stream = self._stream
        stream.push(mono(samples))
        # A row is certain once its right neighbour is there.
        short_end, long_end = stream.first_row + len(stream.short), stream.first_row + len(stream.long)
        self._take_spectral(short_end - 1)
        self._take_pitch(long_end - 1, long_end - 1, long_end - 1)
        stream.drop_before(min(self._loudness.end, self._f0.end) - 1)

    def finish(self) -> F32 | None:
        """End of input: the functionals ``float32 (88,)``, ``None`` below 60 ms. `reset` before the next `push`."""
        stream = self._stream
        stream.finish()
        frames = stream.frames
        if frames == 0:
            return None
        compat = stream.mode == "compat"
        decided = stream.released if compat else frames
        self._take_spectral(stream.first_row + len(stream.short))
        if decided > 0:
            self._take_pitch(decided, decided - 1, min(decided + 1, frames) - 1)
            f0 = self._f0.live
        else:
            self._take_pitch(frames, frames - 1, rows.OWN_FRAME)
            f0 = self._f0.live[:1]
        out = np.empty(len(FUNCTIONAL_NAMES), np.float32)
        loudness = self._loudness.live
        scratch = new_scratch(max(len(loudness), len(f0)))
        functionals(loudness, f0, self._spectral, self._pitch, not compat, scratch, out)
        return out

    def _take_spectral(self, end: int) -> None:
        stream, begin = self._stream, self._loudness.end
        if end > begin:
            smoothed = np.empty((end - begin, SPECTRAL_COLUMNS), np.float32)
            rows.spectral_rows(stream.short, begin - stream.first_row, smoothed)
            add_rows(smoothed, False, self._spectral)
            self._loudness.append(smoothed[:, 0])

    def _take_pitch(self, end: int, last: int, last_gated: int) -> None:
        stream, begin = self._stream, self._f0.end
        first = stream.first_row
        if end > begin:
            smoothed = np.empty((end - begin, PITCH_COLUMNS), np.float32)
            own = last_gated == rows.OWN_FRAME
            last_gated = rows.OWN_FRAME if own else last_gated - first
            f0 = self._f0.extend(end - begin)
            rows.pitch_rows(stream.short, stream.long, begin - first, last - first, last_gated, f0, smoothed)
            if own:  # nothing was decided before the end: what is unvoiced is one row
                smoothed[1:, VOICED_COLUMNS:] = 0.0
            add_rows(smoothed, True, self._pitch)


class TableRecording:
    """The 25 descriptors of a recording that comes in blocks.

    Parameters and errors are those of `LowLevelStream`.
    """

    def __init__(self, sample_rate_hz: float, mode: Mode = "compat") -> None:
        self._stream = LowLevelStream(sample_rate_hz, mode=mode)
        self._rows = Rows(len(LLD_NAMES))
        self._heard = 0

    def reset(self) -> None:
        """As just constructed."""
        self._stream.reset()
        self._rows.reset()
        self._heard = 0

    def push(self, samples: NDArray[Any]) -> None:
        """Take samples as `mono` does: any split of them gives the same bits."""
        samples = mono(samples)
        self._stream.push(samples)
        self._heard += len(samples)
        end = self._stream.first_row + len(self._stream.long)
        self._take(end - 1, end)
        self._stream.drop_before(self._rows.end - 1)

    def finish(self) -> LldTable:
        """End of input: the table with the reference's ending (section 6). `reset` before the next `push`."""
        stream = self._stream
        stream.finish()
        compat = stream.mode == "compat"
        if stream.frames:
            self._take(stream.frames + compat, stream.released if compat else stream.frames)
        duration_s = self._heard / stream.sample_rate_hz
        start_s = np.arange(self._rows.end, dtype=np.float64) * (stream.hop / stream.sample_rate_hz)
        end_s = np.minimum(start_s + ROW_S, duration_s)
        end_s[-1:] = duration_s
        return LldTable(self._rows.live, start_s, end_s)

    def _take(self, end: int, released: int) -> None:
        stream, begin = self._stream, self._rows.end
        first = stream.first_row
        if end > begin:
            out = self._rows.extend(end - begin)
            rows.lld_rows(stream.short, stream.long, begin - first, released - first, out)


def _blocks(samples: NDArray[Any], sample_rate_hz: float, channel: int | None) -> Iterator[F32]:
    """Any usual layout of sound as mono blocks of some seconds."""
    samples = np.atleast_1d(samples)
    length = _BLOCK_S * usable_rate(sample_rate_hz)
    for start in range(0, max(len(samples), 1), length):
        yield mono(samples[start : start + length], channel=channel)
