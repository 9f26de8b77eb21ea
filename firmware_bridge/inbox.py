"""Where capture leaves sound and pictures for the inference: bounded, the oldest is dropped and counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from edge_emotion.types import AudioBlock, VideoFrame

AUDIO_S = 2.0
VIDEO_FRAMES = 4
JOIN_NS = 5_000_000
"""Corrections of the sound's clock are no gaps."""


class Inbox:
    """Two short queues with one bell. Sound may wait for 2 s; of pictures the newest win."""

    def __init__(self, audio_s: float = AUDIO_S, video_frames: int = VIDEO_FRAMES) -> None:
        self._audio: deque[AudioBlock] = deque()
        self._audio_ns = round(audio_s * 1e9)
        self._video: deque[VideoFrame] = deque(maxlen=video_frames)
        self._many = max(video_frames - 1, 1)
        self._bell = threading.Event()
        self._crowded = threading.Event()
        self._lock = threading.Lock()
        self.dropped = {"audio": 0, "video": 0}
        self.received = {"audio": 0, "video": 0}
        self.newest_ns: dict[str, int | None] = {"audio": None, "video": None}

    def put_audio(self, block: AudioBlock) -> None:
        """Add sound; the oldest blocks are dropped where the queue is full."""
        with self._lock:
            self._audio.append(block)
            while block.end_ns - self._audio[0].start_ns > self._audio_ns and len(self._audio) > 1:
                self._audio.popleft()
                self.dropped["audio"] += 1
            self.received["audio"] += 1
            self.newest_ns["audio"] = block.end_ns
        self._bell.set()

    def put_video(self, frame: VideoFrame) -> None:
        """Add a picture; the oldest one is dropped where the queue is full."""
        with self._lock:
            self.dropped["video"] += len(self._video) == self._video.maxlen
            self._video.append(frame)
            self.received["video"] += 1
            self.newest_ns["video"] = frame.time_ns
            if len(self._video) >= self._many:
                self._crowded.set()
        self._bell.set()

    def take(self, timeout_s: float) -> list[AudioBlock | VideoFrame]:
        """Everything that is there, in order of capture, sound in one piece; waits at most ``timeout_s`` for it."""
        self._bell.wait(timeout_s)
        with self._lock:
            self._bell.clear()
            self._crowded.clear()
            items: list[AudioBlock | VideoFrame] = [*_joined(self._audio), *self._video]
            self._audio.clear()
            self._video.clear()
        return sorted(items, key=_time_ns)

    def gather(self, timeout_s: float) -> list[AudioBlock | VideoFrame]:
        """As `take`, but after all of ``timeout_s``, or when the queue of pictures is nearly full."""
        self._crowded.wait(timeout_s)
        return self.take(0.0)

    def depth(self) -> dict[str, int]:
        """How many items wait."""
        return {"audio": len(self._audio), "video": len(self._video)}

    def clear(self) -> None:
        """Forget everything that waits, uncounted."""
        with self._lock:
            self._audio.clear()
            self._video.clear()
            self.newest_ns = {"audio": None, "video": None}
            self._bell.clear()
            self._crowded.clear()


def _joined(blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
    """Blocks that follow each other as one: what works on sound costs little more for a long block than for a short."""
    run: list[AudioBlock] = []
    for block in blocks:
        if run and abs(block.start_ns - run[-1].end_ns) > JOIN_NS:
            yield _one(run)
            run = []
        run.append(block)
    if run:
        yield _one(run)


def _one(run: list[AudioBlock]) -> AudioBlock:
    samples = np.concatenate([block.samples for block in run])
    return AudioBlock(samples, run[0].sample_rate_hz, run[0].start_ns)


def _time_ns(item: AudioBlock | VideoFrame) -> int:
    return item.end_ns if isinstance(item, AudioBlock) else item.time_ns
