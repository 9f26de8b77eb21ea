"""Sound from files of any kind, at its own rate, decoded piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from edge_emotion.capture.media import Track
from edge_emotion.closing import Closing
from edge_emotion.errors import InputError
from edge_emotion.types import F32, AudioBlock

_FULL_SCALE = {"u1": 128.0, "i2": 32767.0, "i4": 2147483647.0, "f4": 1.0, "f8": 1.0}
"""Of each sample type; 16 bits as the reference program has it."""
_BLOCK_S = 1.0
_SYNC_S = 0.04
"""Time stamps that stray this far from the count of samples are believed: sound is missing or doubled."""
_GAP_S = 60.0
"""Longer gaps are taken for faulty time stamps and not filled."""
_PLANES = 8
_CUT_S = 1.0  # sound that ends this much before its header says is cut off


class AudioFile(Closing):
    """The sound of a file, or a part of it, as mono blocks; iterate it once.

    What is damaged, missing or not finite becomes silence, so that the sample count keeps time; `warnings` tells of it.

    Parameters
    ----------
    path
        A sound or video file.
    start_s, duration_s
        The part to read, in the file's presentation time; to the end where no duration is given.
    channel
        The channel to read, counted from 0, instead of the mean of all.

    Raises
    ------
    InputError
        On opening: there is no such file, it is not a media file, there is no sound in it, or not that channel.
    """

    def __init__(
        self,
        path: Path | str,
        start_s: float = 0.0,
        duration_s: float | None = None,
        *,
        channel: int | None = None,
    ) -> None:
        self.path = Path(path)
        self._channel = channel
        self._start_s = start_s
        self._end_s = None if duration_s is None else start_s + duration_s
        self._track = Track(self.path, "audio", start_s)
        self._gaps: list[tuple[int, int]] = []
        self._jumps = self._not_finite = 0
        self._cut: list[str] = []
        self._frames = iter(self._track)
        self._first = next(self._frames, None)
        if self._first is None:
            self.close()
            raise InputError(
                f"{self.path}: there is no sound in it" + "".join(f" ({w})" for w in self.warnings)
            )
        self.sample_rate_hz: int = self._first[1].sample_rate
        if channel is not None and not 0 <= channel < (channels := self._first[1].layout.nb_channels):
            self.close()
            raise InputError(
                f"{self.path}: there is no channel {channel}: the sound has {channels}, counted from 0"
            )

    def close(self) -> None:
        """Let go of the file."""
        self._track.close()

    @property
    def warnings(self) -> list[str]:
        """What is amiss so far, one line each."""
        told = self._track.warnings + self._cut
        if self._gaps:
            total, first = sum(gap for gap, _ in self._gaps), self._gaps[0][1]
            seconds, start_s = total / self.sample_rate_hz, first / self.sample_rate_hz
            places = "1 place" if len(self._gaps) == 1 else f"{len(self._gaps)} places"
            told.append(f"sound: {seconds:.2f} s are missing in {places} from {start_s:.1f} s on")
        if self._jumps:
            told.append(f"sound: {self._jumps} jumps of its time stamps are ignored")
        if self._not_finite:
            told.append(f"sound: {self._not_finite} samples were not finite and count as silence")
        return told

    def __iter__(self) -> Iterator[F32]:
        """Mono blocks of about a second, ``float32 (n,)``, full scale [-1, 1]."""
        waiting: list[F32] = []
        for block in self.blocks():
            waiting.append(block.samples)
            if sum(map(len, waiting)) >= _BLOCK_S * self.sample_rate_hz:
                yield np.concatenate(waiting)
                waiting.clear()
        if waiting:
            yield np.concatenate(waiting)

    def blocks(self) -> Iterator[AudioBlock]:
        """The same as it is decoded, with presentation times; each block begins where the last one ended."""
        rate = self.sample_rate_hz
        start = round(self._start_s * rate)
        end = None if self._end_s is None else round(self._end_s * rate)
        for position, samples in self._contiguous():
            if end is not None and position >= end:
                return
            part = samples[max(0, start - position) : None if end is None else end - position]
            if len(part):
                yield AudioBlock(part, rate, max(start, position) * 1_000_000_000 // rate)
        declared_s = self._track.declared_end_s
        if declared_s is not None and self._track.end_s < declared_s - _CUT_S:
            self._cut.append(f"sound: cut off at {self._track.end_s:.1f} s of {declared_s:.1f} s")

    def _contiguous(self) -> Iterator[tuple[int, F32]]:
        """Samples and the place of their first, counted from time zero; gaps are filled, what is doubled is dropped."""
        rate = self.sample_rate_hz
        counted: int | None = None
        fault = 0
        for time_ns, frame in self._decoded():
            samples, bad = _finite(self._at_rate(frame))
            self._not_finite += bad
            stamped = time_ns * rate // 1_000_000_000 - fault
            if counted is None:
                counted = stamped
            gap = stamped - counted
            if gap > _GAP_S * rate or gap < -_GAP_S * rate:
                self._jumps += 1
                fault += gap
            elif gap > _SYNC_S * rate:
                self._gaps.append((gap, counted))
                for size in _pieces(gap, rate):
                    yield counted, np.zeros(size, np.float32)
                    counted += size
            elif gap < -_SYNC_S * rate:
                samples = samples[-gap:]
            if len(samples):
                yield counted, samples
                counted += len(samples)

    def _decoded(self) -> Iterator[tuple[int, Any]]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._frames

    def _at_rate(self, frame: Any) -> F32:
        """Mono samples; a stream that changes its rate half-way is brought to the first one, frame by frame."""
        samples = _mono(frame, self._channel)
        if frame.sample_rate == self.sample_rate_hz:
            return samples
        changed: F32 = soxr.resample(samples, frame.sample_rate, self.sample_rate_hz).astype(np.float32)
        return changed


def read_audio(
    path: Path | str, start_s: float = 0.0, duration_s: float | None = None, *, channel: int | None = None
) -> tuple[F32, int]:
    """Sound of a file, or a part of it, as mono ``float32 (n,)`` and its sample rate (Hz); raises `InputError`."""
    with AudioFile(path, start_s, duration_s, channel=channel) as sound:
        blocks = list(sound)
        return (np.concatenate(blocks) if blocks else np.zeros(0, np.float32)), sound.sample_rate_hz


def _mono(frame: Any, channel: int | None) -> F32:
    if frame.format.is_planar and frame.layout.nb_channels >= _PLANES:
        # From here on PyAV takes what follows the frame's eight pointers for further channels.
        frame = av.AudioResampler(format=frame.format.packed.name).resample(frame)[0]
    samples: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    kind = f"{samples.dtype.kind}{samples.dtype.itemsize}"
    offset = 128.0 if kind == "u1" else 0.0
    if channel is not None and channel < len(samples):  # a stream may change its channels half-way
        samples = samples[channel : channel + 1]
    mean = samples.mean(axis=0, dtype=np.float64) if len(samples) > 1 else samples[0]
    return ((mean - np.float32(offset)) / np.float32(_FULL_SCALE[kind])).astype(np.float32)


def _finite(samples: F32) -> tuple[F32, int]:
    """The samples with zeros for what is not finite, and how many that were."""
    good = np.isfinite(samples)
    bad = len(samples) - int(np.count_nonzero(good))
    return (np.where(good, samples, np.float32(0)), bad) if bad else (samples, 0)


def _pieces(count: int, size: int) -> Iterator[int]:
    for begin in range(0, count, size):
        yield min(size, count - begin)
