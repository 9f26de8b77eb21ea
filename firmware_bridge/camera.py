"""Live pictures: OpenCV in a grabber thread, the newest frame wins, opened again whenever it falls silent or freezes.

V4L2 by stable path, RTSP over TCP and MJPEG over HTTP through FFmpeg, video files in real time.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import cv2
import numpy as np

from edge_emotion.types import U8, VideoFrame
from firmware_bridge.backoff import Backoff
from firmware_bridge.config_file import read_secret, redact
from firmware_bridge.faults import Faults
from firmware_bridge.progress import Stage
from firmware_bridge.settings import Camera as CameraSettings

log = logging.getLogger(__name__)

FAULTS = ("camera_lost", "camera_frozen")
OPEN_MS = 5000

Kind = Literal["v4l2", "network", "file"]


def kind(source: str) -> Kind:
    """What sort of source a setting names."""
    if "://" in source:
        return "network"
    return "v4l2" if source.startswith("/dev/") or source.isdigit() else "file"


def stable_names(folder: Path = Path("/dev/v4l/by-id")) -> list[str]:
    """Paths of V4L2 cameras that do not change with the order of plugging in."""
    # index0 is the picture; the other nodes of a camera carry metadata
    return sorted(str(path) for path in folder.glob("*-video-index0"))


def open_capture(settings: CameraSettings) -> Any:
    """An opened ``cv2.VideoCapture``; ``OSError`` with the reason where it cannot be opened."""
    source = settings.source
    sort = kind(source)
    if sort == "v4l2":
        path = f"/dev/video{source}" if source.isdigit() else source
        if not Path(path).exists():
            raise OSError(f"{path} is not there; see `edge-emotion-daemon devices`")
        if not os.access(path, os.R_OK | os.W_OK):
            raise OSError(f"{path} may not be opened; add the user to the group video")
        capture = cv2.VideoCapture(os.path.realpath(path), cv2.CAP_V4L2)
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, settings.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
        ):
            if value:
                capture.set(key, value)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)
    elif sort == "network":
        # read by OpenCV when it opens; TCP because lost packets smear pictures, and no probing beyond what is needed
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = (
            "rtsp_transport;tcp|fflags;nobuffer|analyzeduration;500000"
        )
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, OPEN_MS]
        capture = cv2.VideoCapture(_with_login(settings), cv2.CAP_FFMPEG, timeouts)
    else:
        if not Path(source).is_file():
            raise OSError(f"{source} is not there")
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture.release()
        raise OSError(f"{redact(source)} cannot be opened; is it in use, or not a video source?")
    return capture


def _with_login(settings: CameraSettings) -> str:
    if not settings.username:
        return settings.source
    password = ":" + quote(read_secret(settings.password_file), safe="") if settings.password_file else ""
    parts = urlsplit(settings.source)
    return parts._replace(netloc=f"{quote(settings.username, safe='')}{password}@{parts.netloc}").geturl()


class Camera:
    """Delivers frames with the time of capture from a thread of its own.

    Parameters
    ----------
    deliver
        Takes each frame; must not wait.
    faults
        Where a lost or frozen camera is told.
    stage
        Marked at each turn, also while the device is away; opening a network camera takes up to about 10 s.
    """

    def __init__(
        self, settings: CameraSettings, deliver: Callable[[VideoFrame], None], faults: Faults, stage: Stage
    ) -> None:
        self._settings = settings
        self._deliver = deliver
        self._faults = faults
        self._stage = stage
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        # kept over reopening: a camera that comes back with the very same picture is still frozen
        self._still = Still(settings.frozen_s)
        self.opened = 0

    def start(self) -> None:
        """Open the device, and keep it open."""
        self._thread.start()

    def close(self) -> bool:
        """Close the device; returns whether it is closed: a thread that hangs in a driver is not."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(8)
        return not self._thread.is_alive()

    def _run(self) -> None:
        backoff = Backoff(0.5, 15)
        while not self._closing.is_set():
            try:
                self._watch(backoff)
            except (OSError, cv2.error) as error:
                if not self._closing.is_set():
                    self._faults.one_of(FAULTS, *_reason(error))
            wait_until = time.monotonic() + backoff.next_s()
            while time.monotonic() < wait_until and not self._closing.wait(0.5):
                self._stage.mark()
        for code in FAULTS:
            self._faults.clear(code)

    def _watch(self, backoff: Backoff) -> None:
        capture = open_capture(self._settings)
        self.opened += 1
        try:
            self._read(capture, backoff)
        finally:
            capture.release()

    def _read(self, capture: Any, backoff: Backoff) -> None:
        replay = _Pace(capture) if kind(self._settings.source) == "file" else None
        period_ns = 1e9 / self._settings.fps
        due_ns = 0.0
        last_ns = time.monotonic_ns()
        while not self._closing.is_set():
            self._stage.mark()
            if not capture.grab():
                if replay:
                    self._end_of_file()
                    return
                if time.monotonic_ns() - last_ns > self._settings.stale_s * 1e9:
                    raise OSError("it brings no pictures any more")
                self._closing.wait(0.02)
                continue
            last_ns = time.monotonic_ns()
            time_ns = replay.wait(self._closing) if replay else self._captured_ns(capture, last_ns)
            if time_ns < due_ns - period_ns / 10:
                continue
            ok, image = capture.retrieve()
            if not ok or image is None:
                continue
            due_ns = max(due_ns + period_ns, time_ns - period_ns)
            if self._still.push(image, time_ns):
                raise FrozenError(f"the picture has not changed in one bit for {self._settings.frozen_s:g} s")
            if not self._still.suspicious:
                backoff.reset()
                self._faults.one_of(FAULTS, None)
            self._deliver(VideoFrame(image, time_ns))

    def _captured_ns(self, capture: Any, now_ns: int) -> int:
        # the V4L2 driver stamps each buffer on the monotonic clock; other sources only tell when a frame arrived
        if kind(self._settings.source) == "v4l2":
            stamped_ns = int(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            if 0 <= now_ns - stamped_ns < 1_000_000_000:
                now_ns = stamped_ns
        return now_ns - int(self._settings.delay_ms * 1e6)

    def _end_of_file(self) -> None:
        self._faults.hold("camera_lost", f"{self._settings.source}: the end of the file is reached")
        while not self._closing.wait(0.5):
            self._stage.mark()


class FrozenError(OSError):
    """The camera delivers the same picture again and again."""


def _reason(error: Exception) -> tuple[str, str]:
    return ("camera_frozen" if isinstance(error, FrozenError) else "camera_lost"), redact(str(error))


class _Pace:
    """Plays a file in real time."""

    def __init__(self, capture: Any) -> None:
        self._capture = capture
        self._start_ns = time.monotonic_ns()

    def wait(self, closing: threading.Event) -> int:
        """Wait until the grabbed frame is due; returns that time."""
        due_ns = self._start_ns + int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        closing.wait(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
        return due_ns


class Still:
    """Tells when pictures have been identical, to the last bit of every fourth pixel, for too long."""

    def __init__(self, frozen_s: float) -> None:
        self._frozen_s = frozen_s
        self._last: U8 | None = None
        self._since_ns = 0
        self.suspicious = False
        """Whether the newest picture equals the one before."""

    def push(self, image: U8, time_ns: int) -> bool:
        """Take one picture; returns whether the camera is frozen."""
        sample = image[::4, ::4]
        self.suspicious = self._last is not None and np.array_equal(sample, self._last)
        if not self.suspicious:
            self._last = sample.copy()
            self._since_ns = time_ns
        return time_ns - self._since_ns >= self._frozen_s * 1e9
