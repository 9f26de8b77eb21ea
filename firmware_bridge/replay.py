"""A clip in place of microphone and camera: its sound and pictures at the pace at which devices deliver them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from edge_emotion.capture.file import open_clip
from edge_emotion.errors import EdgeEmotionError
from edge_emotion.types import AudioBlock, VideoFrame
from firmware_bridge.faults import Faults
from firmware_bridge.progress import Stage
from firmware_bridge.settings import Replay as ReplaySettings
from firmware_bridge.worker import Worker


class Replay(Worker):
    """Plays a clip in a thread of its own; media time is moved to the moment of the start.

    Parameters
    ----------
    on_end
        Called when the clip is over, or cannot be read.
    """

    def __init__(
        self,
        settings: ReplaySettings,
        put_audio: Callable[[AudioBlock], None],
        put_video: Callable[[VideoFrame], None],
        faults: Faults,
        stage: Stage,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(faults, (), stage)
        self._settings = settings
        self._put_audio = put_audio
        self._put_video = put_video
        self._on_end = on_end

    def _session(self) -> None:
        try:
            self._play()
            while self._settings.loop and not self._closing.is_set():
                self._play()
        except EdgeEmotionError as error:
            self._faults.hold("replay_failed", str(error))
        if not self._closing.is_set():
            self._on_end()
        self._rest()

    def _failed(self, error: Exception) -> tuple[str, str]:
        return "replay_failed", str(error)

    def _play(self) -> None:
        with open_clip(self._settings.file) as clip:
            start_ns = time.monotonic_ns()
            for item in clip:
                if self._closing.is_set():
                    return
                self._stage.mark()
                due_ns = start_ns + (item.end_ns if isinstance(item, AudioBlock) else item.time_ns)
                wait_s = (due_ns - time.monotonic_ns()) / 1e9
                if wait_s > 0 and self._closing.wait(wait_s):
                    return
                if isinstance(item, AudioBlock):
                    self._put_audio(replace(item, start_ns=start_ns + item.start_ns))
                else:
                    self._put_video(replace(item, time_ns=start_ns + item.time_ns))
