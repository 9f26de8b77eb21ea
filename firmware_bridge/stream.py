"""Pictures of network cameras and video files through PyAV: RTSP over TCP, MJPEG over HTTP, files in real time."""

from __future__ import annotations

import struct
import time
from typing import Any
from urllib.parse import quote, urlsplit

import av
import cv2
import numpy as np

from edge_emotion.types import U8
from firmware_bridge.config_file import read_secret, redact
from firmware_bridge.settings import Camera as CameraSettings
from firmware_bridge.stream_clock import PLAUSIBLE_S, SenderClock, StreamClock

OPEN_S = 5.0
_OPTIONS = {
    # lost packets smear pictures, so TCP; and no probing beyond what is needed
    "rtsp": {"rtsp_transport": "tcp", "fflags": "nobuffer", "analyzeduration": "500000"},
    "http": {"fflags": "nobuffer", "analyzeduration": "500000"},
    "file": {},
}  # fmt: skip


class Stream:
    """An opened stream; pictures that are not wanted are not converted, and of MJPEG not even decoded.

    Raises
    ------
    OSError
        It cannot be opened; from `grab`: it brings nothing for ``stale_s``, or has ended.
    EOFError
        From `grab`: the end of a file.
    """

    def __init__(self, settings: CameraSettings) -> None:
        source = settings.source
        scheme = source.partition("://")[0].removesuffix("s") if "://" in source else "file"
        try:
            self._container: Any = av.open(
                source if scheme == "file" else _with_login(settings),
                options=_OPTIONS.get(scheme, _OPTIONS["http"]),
                timeout=None if scheme == "file" else (OPEN_S, settings.stale_s),
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise OSError(f"{redact(source)} cannot be opened: {_reason(error)}") from None
        if not self._container.streams.video:
            self._container.close()
            raise OSError(f"{redact(source)} is not a video source")
        stream = self._container.streams.video[0]
        stream.codec_context.thread_type = "NONE"  # threads of the decoder hold pictures back
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.low_delay
        self._packets = self._container.demux(stream)
        self._jpeg = stream.codec_context.name == "mjpeg"
        self._is_file = scheme == "file"
        self._is_rtsp = scheme == "rtsp"
        self._use_sender = settings.clock == "sender"
        self._clock = StreamClock()
        self._sender = SenderClock()
        self._start_ns = time.monotonic_ns()
        self._newest: Any = None

    def close(self) -> None:
        """Let go of the camera."""
        self._container.close()

    @property
    def told_delay_s(self) -> float | None:
        """How long pictures take to come here, by the camera's own clock; None where it does not tell."""
        return self._sender.delay_s

    def grab(self) -> int | None:
        """Wait for the next picture; its time of capture, or None where there was none in what came."""
        try:
            packet = next(self._packets)
        except (av.FFmpegError, StopIteration) as error:
            raise OSError(_reason(error)) from None
        arrival_ns = time.monotonic_ns()
        if packet.size == 0:
            raise EOFError if self._is_file else OSError("it has ended")
        try:
            self._newest = packet if self._jpeg else next(reversed(packet.decode()), None)
        except av.FFmpegError:
            self._newest = None  # damaged, or begun in the middle
        return None if self._newest is None else self._captured_ns(packet, arrival_ns)

    def retrieve(self) -> U8 | None:
        """The grabbed picture, BGR; None where it is damaged."""
        if self._jpeg:
            coded = np.frombuffer(self._newest, np.uint8)
            return cv2.imdecode(coded, cv2.IMREAD_COLOR)
        image: U8 = self._newest.to_ndarray(format="bgr24")
        return image

    def _captured_ns(self, packet: Any, arrival_ns: int) -> int:
        shown = self._newest
        if shown.pts is None or not (self._is_file or self._is_rtsp):
            return arrival_ns  # MJPEG has no times, and those made up for it are of no use
        presentation_ns = int(shown.pts * shown.time_base * 1_000_000_000)
        if self._is_file:
            return self._start_ns + presentation_ns
        delay_s = self._sender_delay_s(packet)
        if self._use_sender and delay_s is not None and -0.05 <= delay_s <= PLAUSIBLE_S:
            return arrival_ns - round(delay_s * 1e9)
        return self._clock.time_ns(presentation_ns, arrival_ns)

    def _sender_delay_s(self, packet: Any) -> float | None:
        """From the reference time that RTCP sender reports give to a packet."""
        has = getattr(packet, "has_sidedata", None)  # not in the oldest releases of PyAV
        if has is None or not has("prft"):
            return None
        now_s = time.time()
        sent_s: float = struct.unpack_from("=q", bytes(packet.get_sidedata("prft")))[0] / 1e6
        self._sender.push(sent_s, now_s)
        return now_s - sent_s


def _with_login(settings: CameraSettings) -> str:
    if not settings.username:
        return settings.source
    password = ":" + quote(read_secret(settings.password_file), safe="") if settings.password_file else ""
    parts = urlsplit(settings.source)
    return parts._replace(netloc=f"{quote(settings.username, safe='')}{password}@{parts.netloc}").geturl()


def _reason(error: Exception) -> str:
    if isinstance(error, StopIteration | EOFError):
        return "it has ended"
    if isinstance(error, TimeoutError | av.ExitError):
        return "it brings no pictures"
    return redact(getattr(error, "strerror", None) or str(error) or type(error).__name__)
