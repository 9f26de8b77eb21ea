"""Live pictures in a grabber thread: the newest frame wins, opened again whenever it falls silent or freezes.

V4L2 by stable path, all else through `stream`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from edge_emotion.types import U8, VideoFrame
from firmware_bridge.config_file import redact
from firmware_bridge.faults import Faults
from firmware_bridge.progress import Stage
from firmware_bridge.settings import Camera as CameraSettings
from firmware_bridge.worker import Worker

FAULTS = ("camera_lost", "camera_frozen")
DESYNC_S = 0.25
"""A delay that is not in the settings is told from here on."""

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


class Pictures(Protocol):
    """An opened camera."""

    @property
    def told_delay_s(self) -> float | None:
        """How long pictures take to come here, by the camera's own clock; None where it does not tell."""
        ...

    def grab(self) -> int | None:
        """Take the next picture; its time on the monotonic clock, or None where there is none just now."""
        ...

    def retrieve(self) -> U8 | None:
        """The grabbed picture, BGR; None where it is damaged."""
        ...

    def close(self) -> None:
        """Let go of the camera."""
        ...


def open_camera(settings: CameraSettings) -> Pictures:
    """The camera of the settings, opened; ``OSError`` with the reason where it cannot be."""
    if kind(settings.source) == "v4l2":
        return V4l2(settings)
    from firmware_bridge.stream import Stream

    if kind(settings.source) == "file" and not Path(settings.source).is_file():
        raise OSError(f"{settings.source} is not there")
    return Stream(settings)


class V4l2:
    """A camera on this machine, through OpenCV; the driver stamps each picture on the monotonic clock."""

    told_delay_s: float | None = None

    def __init__(self, settings: CameraSettings) -> None:
        source = settings.source
        path = f"/dev/video{source}" if source.isdigit() else source
        if not Path(path).exists():
            raise OSError(f"{path} is not there; see `edge-emotion-daemon devices`")
        if not os.access(path, os.R_OK | os.W_OK):
            raise OSError(f"{path} may not be opened; add the user to the group video")
        self._capture: Any = cv2.VideoCapture(os.path.realpath(path), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self._capture.release()
            raise OSError(f"{path} cannot be opened; is it in use, or not a camera?")
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, settings.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
        ):
            if value:
                self._capture.set(key, value)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)

    def grab(self) -> int | None:
        """Wait for the next picture."""
        if not self._capture.grab():
            return None
        now_ns = time.monotonic_ns()
        stamped_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamped_ns if 0 <= now_ns - stamped_ns < 1_000_000_000 else now_ns

    def retrieve(self) -> U8 | None:
        """Decode it."""
        ok, image = self._capture.retrieve()
        return image if ok else None

    def close(self) -> None:
        """Let go of it."""
        self._capture.release()


class Camera(Worker):
    """Delivers frames with the time of capture from a thread of its own.

    Parameters
    ----------
    deliver
        Takes each frame; must not wait.
    faults
        Where a lost or frozen camera is told, and one whose own clock says that its pictures come late.
    stage
        Marked at each turn, also while the device is away; opening a network camera takes up to about 10 s.
    """

    errors = (OSError, cv2.error)

    def __init__(
        self, settings: CameraSettings, deliver: Callable[[VideoFrame], None], faults: Faults, stage: Stage
    ) -> None:
        super().__init__(faults, (*FAULTS, "camera_desync"), stage, close_s=8)
        self._settings = settings
        self._deliver = deliver
        # kept over reopening: a camera that comes back with the very same picture is still frozen
        self._still = Still(settings.frozen_s)

    def _session(self) -> None:
        pictures = open_camera(self._settings)
        self.opened += 1
        try:
            self._read(pictures)
        except EOFError:
            self._faults.hold("camera_lost", f"{self._settings.source}: the end of the file is reached")
            self._rest()
        finally:
            pictures.close()

    def _read(self, pictures: Pictures) -> None:
        period_ns = 1e9 / self._settings.fps
        due_ns = 0.0
        last_s = time.monotonic()
        while not self._closing.is_set():
            self._stage.mark()
            time_ns = pictures.grab()
            if time_ns is None:
                if time.monotonic() - last_s > self._settings.stale_s:
                    raise OSError("it brings no pictures any more")
                self._closing.wait(0.02)
                continue
            last_s = time.monotonic()
            if time_ns > last_s * 1e9:
                self._closing.wait(time_ns / 1e9 - last_s)  # a file
            if time_ns < due_ns - period_ns / 10:
                continue
            due_ns = max(due_ns + period_ns, time_ns - period_ns)
            image = pictures.retrieve()
            if image is not None:
                self._look(image, time_ns - int(self._settings.delay_ms * 1e6))
                self._compare_clocks(pictures.told_delay_s)

    def _look(self, image: U8, time_ns: int) -> None:
        if self._still.push(image, time_ns):
            raise FrozenError(f"the picture has not changed in one bit for {self._settings.frozen_s:g} s")
        if not self._still.suspicious:
            self._backoff.reset()
            self._faults.one_of(FAULTS, None)
        self._deliver(VideoFrame(image, time_ns))

    def _compare_clocks(self, told_s: float | None) -> None:
        unknown_s = 0.0 if told_s is None else told_s - self._settings.delay_ms / 1e3
        if abs(unknown_s) > DESYNC_S and self._settings.clock == "arrival":
            said = f"by the camera's own clock pictures arrive {told_s:.1f} s after they were taken"
            remedy = 'set camera.delay_ms, or camera.clock = "sender" where both clocks are synchronised'
            self._faults.hold("camera_desync", f"{said}: {remedy}")
        else:
            self._faults.clear("camera_desync")

    def _failed(self, error: Exception) -> tuple[str, str]:
        return ("camera_frozen" if isinstance(error, FrozenError) else "camera_lost"), redact(str(error))


class FrozenError(OSError):
    """The camera delivers the same picture again and again."""


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
