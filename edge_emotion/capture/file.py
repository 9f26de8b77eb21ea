"""Replay of a media file, as a camera and a microphone would have delivered it."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter

from edge_emotion.capture.audio import AudioFile
from edge_emotion.capture.media import Track
from edge_emotion.capture.resample import Resampler
from edge_emotion.closing import Closing
from edge_emotion.errors import InputError, UsageError
from edge_emotion.types import F32, U8, AudioBlock, VideoFrame

BLOCK_S = 0.02
"""Length of the sound blocks."""
_USUAL_HZ = 48_000  # faster sound costs time and tells nothing more
_CUT_S = 0.5  # a clip that ends this much before its header says is cut off


def open_clip(
    path: Path | str,
    start_s: float | None = None,
    duration_s: float | None = None,
    sample_rate_hz: int = 16000,
) -> ClipSource:
    """Open a media file of any kind, or a part of it.

    Parameters
    ----------
    path
        A local file with sound, picture or both.
    start_s, duration_s
        The part to replay, in presentation time; from the beginning, to the end where not given.
    sample_rate_hz
        Rate of the sound blocks.

    Raises
    ------
    InputError
        The file is missing, empty, not a media file, or has neither sound nor picture; while iterating: nothing of
        it can be decoded.
    UsageError
        The part asked for is empty, or the file ends before it.
    """
    return ClipSource(Path(path), start_s or 0.0, duration_s, sample_rate_hz)


class ClipSource(Closing):
    """Sound blocks and pictures of a file in the order in which a live source delivers them; iterate it once.

    Sound is the mean of all channels, in blocks of 20 ms (the last may be shorter) that follow each other without
    gaps. A block is delivered at its end, a picture at its presentation time; times are media time. Memory does not
    grow with the file.

    Attributes
    ----------
    has_audio, has_video
        Whether the file has sound and moving pictures that can be decoded.
    duration_s
        Length of the whole file as its header has it; ``None`` where it is not known.
    """

    def __init__(self, path: Path, start_s: float, duration_s: float | None, sample_rate_hz: int) -> None:
        if not 0 <= start_s < math.inf or (duration_s is not None and not 0 < duration_s < math.inf):
            raise UsageError(f"{path}: a part of the clip begins at 0 s or later and lasts longer than 0 s")
        self.path = path
        self.sample_rate_hz = sample_rate_hz
        self._notes: list[str] = []
        self._start_ns = round(start_s * 1e9)
        self._end_ns = None if duration_s is None else round((start_s + duration_s) * 1e9)
        self._audio: AudioFile | None = None
        self._video = Track(path, "video", start_s)
        file_end_s = self._video.file_end_s
        if file_end_s is not None and 0 < file_end_s <= start_s:
            self.close()
            raise UsageError(f"{path}: it ends at {file_end_s:.1f} s, before the part asked for")
        try:
            self._audio = AudioFile(path, start_s, duration_s)
        except InputError:
            if not self._video.present:
                self.close()
                raise InputError(f"{path}: neither sound nor picture in it") from None
            self._notes.append("there is no sound in it")
        if self._audio is not None and self._audio.sample_rate_hz < sample_rate_hz:
            self._notes.append(
                f"sound: at {self._audio.sample_rate_hz} Hz it lacks the upper part of the voice"
            )
        elif self._audio is not None and self._audio.sample_rate_hz > _USUAL_HZ:
            self._notes.append(
                f"sound: {self._audio.sample_rate_hz} Hz are brought down to {sample_rate_hz} Hz"
            )
        if not self._video.present:
            self._notes.append("there is no moving picture in it")
        self.has_audio = self._audio is not None
        self.has_video = self._video.present
        self.duration_s = self._video.duration_s

    def close(self) -> None:
        """Let go of the file."""
        self._video.close()
        if self._audio is not None:
            self._audio.close()

    @property
    def warnings(self) -> list[str]:
        """What is amiss in the file as far as it was read, one line each."""
        return self._notes + self._video.warnings + (self._audio.warnings if self._audio else [])

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file: what readings of the same clip have in common."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def __iter__(self) -> Iterator[AudioBlock | VideoFrame]:
        """The items, in the order of their delivery."""
        end_ns: int | None = None
        for item in self._merged():
            end_ns = _delivered_ns(item)
            yield item
        if end_ns is None:
            if self._start_ns == 0:
                raise InputError(f"{self.path}: nothing of it can be decoded")
            return
        declared_s = self._video.file_end_s
        end_s = max(end_ns / 1e9, self._video.end_s)
        if self._end_ns is None and declared_s is not None and end_s < declared_s - _CUT_S:
            self._notes.append(f"cut off at {end_s:.1f} s of {declared_s:.1f} s")

    def _merged(self) -> Iterator[AudioBlock | VideoFrame]:
        sources: list[Iterator[AudioBlock | VideoFrame]] = [self._sound(), self._pictures()]
        return heapq.merge(*sources, key=_delivered_ns)

    def _sound(self) -> Iterator[AudioBlock]:
        if self._audio is None:
            return
        blocks = self._audio.blocks()
        first = next(blocks, None)
        if first is None:
            return
        rate = self.sample_rate_hz
        position = 0
        for samples in _rebuilt(chain([first], blocks), Resampler(first.sample_rate_hz, rate)):
            yield AudioBlock(samples, rate, first.start_ns + position * 1_000_000_000 // rate)
            position += len(samples)

    def _pictures(self) -> Iterator[VideoFrame]:
        reformatter = VideoReformatter()
        last_ns = -1
        for time_ns, frame in self._video:
            if self._end_ns is not None and time_ns >= self._end_ns:
                return
            if time_ns >= self._start_ns and time_ns > last_ns:
                last_ns = time_ns
                yield VideoFrame(_upright(frame, reformatter), time_ns)
        if self._video.present and last_ns < 0 and self._start_ns == 0:
            self._notes.append("picture: nothing of it can be decoded")


def _rebuilt(blocks: Iterable[AudioBlock], resampler: Resampler) -> Iterator[F32]:
    """The sound at the resampler's rate, in pieces of `BLOCK_S`, the last of which may be shorter."""
    size = round(BLOCK_S * resampler.output_hz)
    rest = np.zeros(0, np.float32)
    for ready in chain((resampler.push(block.samples) for block in blocks), _late(resampler)):
        rest = np.concatenate([rest, ready])
        whole = len(rest) - len(rest) % size
        yield from (rest[begin : begin + size] for begin in range(0, whole, size))
        rest = rest[whole:]
    if len(rest):
        yield rest


def _late(resampler: Resampler) -> Iterator[F32]:
    yield resampler.finish()


def _upright(frame: Any, reformatter: VideoReformatter) -> U8:
    """BGR as it is meant to be seen: telephones store the turn of the picture beside it."""
    image = np.asarray(reformatter.reformat(frame, format="bgr24", threads=1).to_ndarray(), np.uint8)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _delivered_ns(item: AudioBlock | VideoFrame) -> int:
    return item.end_ns if isinstance(item, AudioBlock) else item.time_ns
