"""One stream of a media file, decoded frame by frame with true presentation times (PyAV).

Decoding goes on after damage, which is counted and told in ``warnings``. Each track opens the file for itself, so
that a file whose sound and picture are badly interleaved costs no memory. One thread, local files only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import av
from av.container import InputContainer
from av.stream import Discard, Disposition

from edge_emotion.closing import Closing
from edge_emotion.errors import InputError

Kind = Literal["audio", "video"]
NAMES: dict[Kind, str] = {"audio": "sound", "video": "picture"}

SEEK_MARGIN_S = 2.0
"""Seeking aims this much too early: codecs need a run-up, and some formats seek roughly."""
_TIMELINES = ("mov,mp4", "matroska", "avi", "wav", "flac", "ogg")
"""Formats with a timeline from zero: they seek by true time stamps and say truly how long they are. In others time
counts from the first frame, and what comes before the part asked for is decoded and dropped."""


class Track(Closing):
    """The best stream of one kind in a file; iterate it once.

    Parameters
    ----------
    path
        A media file.
    kind
        ``audio`` or ``video``. Still pictures beside the sound (cover art) do not count as video.
    start_s
        Frames that end before this time may be left out.

    Raises
    ------
    InputError
        There is no such file, or it is not a media file.
    """

    def __init__(self, path: Path, kind: Kind, start_s: float = 0.0) -> None:
        self.kind = kind
        self._notes: list[str] = []
        self._damaged = 0
        self._container = open_media(path)
        self._stream: Any = self._choose()
        # In other formats the clock starts anywhere, or where the encoder's padding ends.
        self._timeline = self._container.format.name.startswith(_TIMELINES)
        self._origin_us = 0 if self._timeline else max(self._container.start_time or 0, 0)
        self._start_s = start_s
        self._end_ns = 0
        if self._stream is not None:
            self._stream.codec_context.thread_type = "NONE"
            self._stream.codec_context.thread_count = 1
            for other in self._container.streams:
                other.discard = Discard.default if other is self._stream else Discard.all

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    @property
    def warnings(self) -> list[str]:
        """What is amiss so far, one line each."""
        if not self._damaged:
            return self._notes
        places = "1 place" if self._damaged == 1 else f"{self._damaged} places"
        return [*self._notes, f"{NAMES[self.kind]}: damaged in {places}"]

    @property
    def present(self) -> bool:
        """Whether there is a stream of this kind that can be decoded."""
        return self._stream is not None

    @property
    def duration_s(self) -> float | None:
        """Length of the whole file as its header has it, or as a guess where it does not say."""
        return None if self._container.duration is None else self._container.duration / 1e6

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Presentation time in nanoseconds and PyAV frame, in the order of presentation."""
        if self._stream is None:
            return
        if self._start_s > SEEK_MARGIN_S and self._timeline:
            # A file without an index is decoded from its beginning.
            with suppress(av.FFmpegError):
                self._container.seek(int((self._start_s - SEEK_MARGIN_S) * 1e6))
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._damaged += 1
                continue
            self._damaged += packet.is_corrupt
            for frame in frames:
                self._damaged += frame.is_corrupt
                time_ns = self._time_ns(frame)
                self._end_ns = time_ns + self._length_ns(frame)
                yield time_ns, frame

    @property
    def end_s(self) -> float:
        """End of the last frame so far."""
        return self._end_ns / 1e9

    @property
    def declared_end_s(self) -> float | None:
        """End of the stream as the header has it; ``None`` where it does not say, or only guesses."""
        stream = self._stream
        if stream is None or stream.duration is None or not self._timeline:
            return None
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)

    @property
    def file_end_s(self) -> float | None:
        """The same of the whole file."""
        if self._container.duration is None or not self._timeline:
            return None
        return (self._container.duration + (self._container.start_time or 0) - self._origin_us) / 1e6

    def _choose(self) -> Any:
        streams = [s for s in self._container.streams if s.type == self.kind]
        moving = [
            s
            for s in streams
            if not s.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)
        ]
        if len(moving) < len(streams):
            self._notes.append("picture: still cover art is ignored")
        usable = [s for s in moving if s.codec_context is not None]
        if moving and not usable:
            self._notes.append(f"{NAMES[self.kind]}: its codec is not known here")
        best = self._container.streams.best(self.kind)
        return best if best in usable else next(iter(usable), None)

    def _packets(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (
                av.FFmpegError,
                OSError,
                IndexError,
            ) as fault:  # IndexError: a stream that the header did not name
                self._notes.append(
                    f"{NAMES[self.kind]}: reading stopped at {self._end_ns / 1e9:.1f} s ({reason(fault)})"
                )
                return
            if packet is None:
                return
            yield packet

    def _time_ns(self, frame: Any) -> int:
        if frame.pts is None:
            return self._end_ns
        base = frame.time_base
        return int(frame.pts * base.numerator * 1_000_000_000 // base.denominator) - self._origin_us * 1000

    def _length_ns(self, frame: Any) -> int:
        if self.kind == "audio":
            return frame.samples * 1_000_000_000 // frame.sample_rate
        rate = self._stream.average_rate
        return 0 if not rate else int(1_000_000_000 / rate)


def open_media(path: Path) -> InputContainer:
    """Open a local media file, or raise `InputError` in one line."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: not a file")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
        # Some formats name further files or addresses; nothing but local files is followed.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except av.InvalidDataError:
        raise InputError(f"{path}: not a media file, or cut off before its index") from None
    except (av.FFmpegError, OSError) as fault:
        raise InputError(f"{path}: cannot be read ({reason(fault)})") from None


def reason(fault: Exception) -> str:
    """Why PyAV or the system refused, in a few words."""
    return (
        "an unexpected stream"
        if isinstance(fault, IndexError)
        else getattr(fault, "strerror", None) or str(fault)
    )
