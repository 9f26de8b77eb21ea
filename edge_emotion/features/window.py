"""The 88 functionals over the last seconds of endless sound, again and again (specification, section 9)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import UsageError
from edge_emotion.features.functionals import ROW_S, SHORTEST_S, Recording
from edge_emotion.features.lld import MOST_WAITED, LowLevelStream, Mode, usable_rate
from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES
from edge_emotion.features.rows import Rows
from edge_emotion.features.signal import mono
from edge_emotion.kernels import descriptor_rows as rows
from edge_emotion.kernels.functionals import (
    FRAME_S,
    PITCH_COLUMNS,
    SPECTRAL_COLUMNS,
    add_rows,
    functionals,
    new_scratch,
    new_sums,
)
from edge_emotion.types import F32

_SMOOTHING_S = FRAME_S
_PITCH_FRAME_S = 0.060
_PITCH_LOOK_AHEAD_S = _PITCH_FRAME_S - ROW_S + _SMOOTHING_S

LOOK_AHEAD_S: dict[str, tuple[float, float]] = {
    name: (_SMOOTHING_S, _SMOOTHING_S)
    if name.endswith("_sma3")
    else (_PITCH_LOOK_AHEAD_S, _PITCH_LOOK_AHEAD_S + MOST_WAITED * FRAME_S)
    for name in LLD_NAMES
}
"""Least and most sound (s) after a row's own 20 ms that a descriptor waits for; split by voicing all wait like F0."""


@dataclass(frozen=True, slots=True)
class WindowFunctionals:
    """What the last seconds were like.

    Attributes
    ----------
    end_s
        End of the windows: sound heard since the start.
    values
        ``float32 (windows, 88)``, columns as in ``FUNCTIONAL_NAMES``, rows in the order of the lengths asked for.
    fill
        Share of each window that has been heard, 0 to 1.
    voiced
        Share of voiced frames among those whose pitch is decided, each window; ``None`` where there is none.
    waited_s
        Sound after the newest row bound to pitch: what the slowest descriptor waited for.
    """

    end_s: float
    values: F32
    fill: tuple[float, ...]
    voiced: tuple[float | None, ...]
    waited_s: float


class _Source(Protocol):
    """Where the functionals of the last samples come from."""

    heard: int

    @property
    def faults(self) -> int: ...

    def push(self, samples: F32) -> None: ...

    def describe(self, length: int, out: F32) -> float | None:
        """Fill ``out`` for the last ``length`` samples; returns the share of voiced frames."""
        ...

    def waited_s(self) -> float: ...


class DescriptorWindow:
    """Functionals of one or more windows that end now, each ``hop_s`` seconds.

    Descriptors are computed once; their rows slide through the windows. A window holds the rows that start in it and
    are certain: those bound to pitch are some frames behind the others (`LOOK_AHEAD_S`), and the last result says how
    many. Any split of the input gives the same bits; memory does not grow.

    Parameters
    ----------
    sample_rate_hz
        A whole number from 8000 to 96000.
    window_s
        Lengths of the windows, at least 60 ms.
    hop_s
        Time from result to result.
    mode
        ``compat`` or ``corrected``.
    restart
        Analyse each window as a recording of its own, as the AVEC challenges did: pitch tracking and voice quality
        start anew at its edge. Costs window / hop times as much.

    Raises
    ------
    UsageError
        No window, one below 60 ms, a hop below one sample, a rate or mode that is not supported.
    """

    def __init__(
        self,
        sample_rate_hz: float,
        window_s: Sequence[float] = (3.0,),
        hop_s: float = 0.04,
        *,
        mode: Mode = "compat",
        restart: bool = False,
    ) -> None:
        sample_rate_hz = usable_rate(sample_rate_hz)
        if not window_s or not all(SHORTEST_S <= length < math.inf for length in window_s):
            raise UsageError(f"windows of {list(window_s)} s: each needs at least {SHORTEST_S} s and an end")
        if not 1.0 <= hop_s * sample_rate_hz < math.inf:
            raise UsageError(f"a hop of {hop_s} s: it needs at least one sample and an end")
        self.sample_rate_hz = sample_rate_hz
        self.window_s = tuple(window_s)
        self.hop_s = hop_s
        self._lengths = [round(length * sample_rate_hz) for length in window_s]
        self._shortest = round(SHORTEST_S * sample_rate_hz)
        self._stream = LowLevelStream(sample_rate_hz, mode=mode)
        self._restart = restart
        self.reset()

    @property
    def faults(self) -> int:
        """Samples that were not finite and taken as silence."""
        return self._source.faults

    def reset(self) -> None:
        """As just constructed."""
        self._stream.reset()
        kind = _Restarted if self._restart else _Sliding
        self._source: _Source = kind(self._stream, max(self._lengths))
        self._hops = 0

    def push(self, samples: NDArray[Any]) -> list[WindowFunctionals]:
        """Take samples as `mono` does; one result for each hop that they complete, once 60 ms have been heard."""
        samples = mono(samples)
        results: list[WindowFunctionals] = []
        begin = 0
        while True:
            due = round((self._hops + 1) * self.hop_s * self.sample_rate_hz)
            end = begin + due - self._source.heard
            self._source.push(samples[begin:end])
            if end > len(samples):
                return results
            begin = end
            self._hops += 1
            if (result := self.compute()) is not None:
                results.append(result)

    def compute(self) -> WindowFunctionals | None:
        """The windows that end with the last sample pushed; ``None`` before 60 ms."""
        heard = self._source.heard
        if heard < self._shortest:
            return None
        values = np.empty((len(self._lengths), len(FUNCTIONAL_NAMES)), np.float32)
        voiced: list[float | None] = []
        for i, length in enumerate(self._lengths):
            twin = self._lengths.index(length)
            if twin < i:
                values[i] = values[twin]
                voiced.append(voiced[twin])
            else:
                voiced.append(self._source.describe(length, values[i]))
        return WindowFunctionals(
            end_s=heard / self.sample_rate_hz,
            values=values,
            fill=tuple(min(heard / length, 1.0) for length in self._lengths),
            voiced=tuple(voiced),
            waited_s=self._source.waited_s(),
        )


class _Sliding:
    """Rows computed once, in buffers that forget what no window reaches."""

    def __init__(self, stream: LowLevelStream, longest: int) -> None:
        self._stream = stream
        self._longest = longest
        self._corrected = stream.mode == "corrected"
        self._spectral = Rows(SPECTRAL_COLUMNS)
        self._f0 = Rows()
        self._pitch = Rows(PITCH_COLUMNS)
        self._scratch = new_scratch(longest // stream.hop + 2)  # the last frames' rows and one at either edge
        self.heard = 0

    @property
    def faults(self) -> int:
        return self._stream.faults

    def push(self, samples: F32) -> None:
        stream = self._stream
        stream.push(samples)
        self.heard += len(samples)
        short, long, first = stream.short, stream.long, stream.first_row
        # A row is certain once its right neighbour is there.
        if (count := first + len(short) - 1 - self._spectral.end) > 0:
            rows.spectral_rows(short, self._spectral.end - first, self._spectral.extend(count))
        if (count := first + len(long) - 1 - self._f0.end) > 0:
            begin, last = self._f0.end - first, len(long) - 1
            rows.pitch_rows(short, long, begin, last, last, self._f0.extend(count), self._pitch.extend(count))
        stream.drop_before(min(self._f0.end, self._spectral.end) - 1)
        oldest = self._first_row(self._longest)
        for buffer in (self._spectral, self._f0, self._pitch):
            buffer.drop_before(oldest)

    def describe(self, length: int, out: F32) -> float | None:
        first = self._first_row(length)
        spectral = self._spectral.between(min(first, self._spectral.end), self._spectral.end)
        decided = min(first, self._f0.end)
        f0 = self._f0.between(decided, self._f0.end)
        spectral_sums, pitch_sums = new_sums(SPECTRAL_COLUMNS), new_sums(PITCH_COLUMNS)
        add_rows(spectral, False, spectral_sums)
        add_rows(self._pitch.between(decided, self._pitch.end), True, pitch_sums)
        functionals(spectral[:, 0].copy(), f0, spectral_sums, pitch_sums, self._corrected, self._scratch, out)
        return np.count_nonzero(f0) / len(f0) if len(f0) else None

    def waited_s(self) -> float:
        newest = max(self._f0.end - 1, 0) * self._stream.hop / self._stream.sample_rate_hz + ROW_S
        return self.heard / self._stream.sample_rate_hz - newest

    def _first_row(self, length: int) -> int:
        return max(-((length - self.heard) // self._stream.hop), 0)


class _Restarted:
    """The samples themselves, analysed anew for each window."""

    def __init__(self, stream: LowLevelStream, longest: int) -> None:
        self._recording = Recording(stream.sample_rate_hz, stream.mode)
        self._longest = longest
        self._samples = Rows()
        self._faults = 0
        self.heard = 0

    @property
    def faults(self) -> int:
        return self._faults

    def push(self, samples: F32) -> None:
        self._samples.append(samples)
        self.heard += len(samples)
        self._faults += len(samples) - int(np.count_nonzero(np.isfinite(samples)))
        self._samples.drop_before(self.heard - self._longest)

    def describe(self, length: int, out: F32) -> float | None:
        recording = self._recording
        recording.reset()
        recording.push(self._samples.between(max(self.heard - length, 0), self.heard))
        values = recording.finish()
        assert values is not None  # a window holds 60 ms
        out[:] = values
        return recording.voiced

    def waited_s(self) -> float:
        return 0.0
