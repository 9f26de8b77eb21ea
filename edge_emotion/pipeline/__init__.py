"""From time-stamped sound and pictures to readings: the only place where the stages meet.

Readings lie at whole multiples of the time between them. The reading at time t rests on what was captured before
t and on nothing later, so it does not matter in which pieces the input comes: input that is ahead of the next reading
waits until that has been polled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import get_args

from edge_emotion.config import Execution
from edge_emotion.errors import UsageError
from edge_emotion.fusion import confidence, fuse
from edge_emotion.model.bundle import Bundle
from edge_emotion.pipeline.calibration import Calibration
from edge_emotion.pipeline.early import EarlyFusion
from edge_emotion.pipeline.evidence import NOTHING, Evidence
from edge_emotion.pipeline.picture import Pictures
from edge_emotion.pipeline.sound import Sound
from edge_emotion.pipeline.spans import Spans
from edge_emotion.smoothing import Smoother
from edge_emotion.types import AudioBlock, Modality, QualityFlag, Reading, VideoFrame

AHEAD_NS = 10_000_000_000
"""Input may be this much ahead of the next reading; beyond, readings that nobody polled are skipped."""
_ORDER: tuple[QualityFlag, ...] = get_args(QualityFlag)


class EmotionPipeline:
    """Sound and pictures in by `push`, readings out by `poll`.

    Both modalities are optional and may come and go. The primary face and the voice are taken for one person; further
    faces get readings of their own, by video only, in `Reading.others`.

    Parameters
    ----------
    bundle
        From `edge_emotion.model.bundle.open_bundle`.
    rate_hz
        Readings a second, the bundle's by default.
    execution
        Where the models run.
    spans
        Tells where the time goes: detect, faces (with detection, tracking and crops), cnn, descriptors, voice encoder,
        voice activity, functionals, regress, fuse, smooth.
    expects_baseline
        Flag readings ``uncalibrated`` while no personal baseline is in use.

    Raises
    ------
    ProviderError
        What ``execution`` asks for is not there.
    UsageError
        The rate is not within 0.1 to 50 Hz; from `push`, sound at another rate than the bundle's.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        rate_hz: float | None = None,
        execution: Execution | None = None,
        spans: Spans | None = None,
        expects_baseline: bool = False,
    ) -> None:
        spans = spans or Spans()
        execution = execution or Execution()
        fusion = bundle.manifest.fusion
        self.rate_hz = fusion.rate_hz if rate_hz is None else rate_hz
        if not 0.1 <= self.rate_hz <= 50:
            raise UsageError(f"{self.rate_hz} readings a second: choose 0.1 to 50")
        self._fusion = fusion
        self._spans = spans
        self._sound = Sound(bundle, execution, spans)
        self._pictures = Pictures(bundle, execution, spans)
        self._early = EarlyFusion(bundle, execution) if fusion.early else None
        self._smoother = Smoother(fusion.smoothing)
        self.window_s: dict[Modality, float] = {
            "audio": self._sound.window_s,
            "video": self._pictures.window_s,
        }
        """Longest window of each modality; a window's centre lies half of it before the reading's time."""
        self.smoothing_latency_s = self._smoother.latency_s
        """What smoothing adds to the reaction."""
        self.calibration = Calibration(bundle.manifest.sha256, self._sound.shift, self._pictures.shift)
        """Learns and holds the personal baseline."""
        self._expects_baseline = expects_baseline
        self.reset()

    def reset(self) -> None:
        """As just constructed, but that a personal baseline stays in use."""
        self.calibration.cancel()
        self._sound.reset()
        self._pictures.reset()
        self._smoother.reset()
        self._blocks: deque[AudioBlock] = deque()
        self._frames: deque[VideoFrame] = deque()
        self._tick: int | None = None
        """Number of the next reading's time, from the first input on."""
        self._seq = 1
        self._track: str | None = None
        self._overrun = False

    @property
    def next_due_ns(self) -> int | None:
        """Time of the next reading; ``None`` before the first input."""
        return None if self._tick is None else self._time_of(self._tick)

    def push(self, item: AudioBlock | VideoFrame) -> None:
        """Take sound or a picture; each kind comes in order of time, and what is older than the last is dropped."""
        start_ns = item.start_ns if isinstance(item, AudioBlock) else item.time_ns
        if self._tick is None:
            self._tick = self._tick_after(start_ns)
        elif start_ns > self._time_of(self._tick) + AHEAD_NS:
            self._tick = self._tick_after(start_ns - AHEAD_NS)
            self._overrun = True
        if isinstance(item, AudioBlock):
            self._blocks.append(item)
        else:
            self._frames.append(item)
        self._digest(self._time_of(self._tick))

    def poll(self, now_ns: int) -> Reading | None:
        """The reading that is due at ``now_ns``, if one is; of several only the newest, the others are skipped."""
        if self._tick is None or now_ns < self._time_of(self._tick):
            return None
        self._tick = self._tick_after(now_ns)
        time_ns = self._time_of(self._tick - 1)
        self._digest(time_ns)
        reading = self._read(time_ns)
        self._seq += 1
        self._overrun = False
        self._digest(self._time_of(self._tick))
        return reading

    def _time_of(self, tick: int) -> int:
        return round(tick * 1e9 / self.rate_hz)

    def _tick_after(self, time_ns: int) -> int:
        """The first tick that is later than ``time_ns``."""
        tick = int(time_ns * self.rate_hz / 1e9) - 1
        while self._time_of(tick) <= time_ns:
            tick += 1
        return tick

    def _digest(self, until_ns: int) -> None:
        """Take in what was captured before ``until_ns``."""
        while self._blocks:
            rest = self._sound.take(self._blocks[0], until_ns)
            if rest is not None:
                self._blocks[0] = rest
                break
            self._blocks.popleft()
        while self._frames and self._frames[0].time_ns < until_ns:
            self._pictures.take(self._frames.popleft())

    def _read(self, now_ns: int) -> Reading:
        self.calibration.update(now_ns)
        heard = self._sound.compute(now_ns)
        own, faces = self._pictures.followed(now_ns)
        seen = {
            name: self._pictures.compute(face, now_ns, self._pictures.shift if name == own else None)
            for name, face in faces.items()
        }
        if own is not None and own != self._track:
            if self._track is not None:
                self._smoother.reset()  # another person
            self._track = own
        flags: set[QualityFlag] = {*heard.flags, *self._pictures.flags(now_ns)}
        if self._overrun:
            flags.add("overrun")
        if self._expects_baseline and self.calibration.baseline is None:
            flags.add("uncalibrated")
        others = tuple(
            self._make(now_ns, faces[name].smoother, NOTHING, evidence, {*evidence.flags, "multi_face"}, name)
            for name, evidence in seen.items()
            if name != own and evidence.estimate is not None
        )
        first = seen[own] if own is not None else NOTHING
        return replace(self._make(now_ns, self._smoother, heard, first, flags, own), others=others)

    def _make(
        self,
        now_ns: int,
        smoother: Smoother,
        heard: Evidence,
        seen: Evidence,
        flags: set[QualityFlag],
        track: str | None,
    ) -> Reading:
        """Fuse, smooth and say what the two modalities have."""
        with self._spans("fuse"):
            fused = fuse(heard.estimate, seen.estimate, self._fusion.error_correlation)
            if self._early is not None and fused is not None:
                fused = self._early.compute(heard, seen, fused)
        with self._spans("smooth"):
            value = smoother.update(now_ns, fused.value if fused else None)
        audio_share = sum(fused.audio_weight) / 2 if fused else 0.0
        used = [part for part in (heard, seen) if part.estimate is not None] or [heard, seen]
        newest_ns = [part.newest_ns for part in used if part.newest_ns is not None]
        return Reading(
            time_ns=now_ns,
            seq=self._seq,
            arousal=value[0] if value else None,
            valence=value[1] if value else None,
            sigma_arousal=fused.sigma[0] if fused else None,
            sigma_valence=fused.sigma[1] if fused else None,
            confidence=confidence(fused.sigma, self._fusion.confidence_half_width) if fused else None,
            audio=heard.report(audio_share),
            video=seen.report(1.0 - audio_share),
            quality=tuple(flag for flag in _ORDER if flag in flags),
            window_s=self.window_s,
            age_ns=max(now_ns - max(newest_ns, default=now_ns), 0),
            waited_ns=heard.waited_ns,
            track=track,
        )


def replay(pipeline: EmotionPipeline, items: Iterable[AudioBlock | VideoFrame]) -> Iterator[Reading]:
    """Push recorded input and yield each reading at its time, as fast as it goes.

    Items come in order of time; whether a block counts by its start or by its end makes no difference.
    """
    end_ns = longest_ns = 0
    for item in items:
        if isinstance(item, AudioBlock):
            longest_ns = max(longest_ns, item.end_ns - item.start_ns)
            end_ns = max(end_ns, item.end_ns)
            complete_ns = item.start_ns
        else:
            end_ns = max(end_ns, item.time_ns)
            complete_ns = item.time_ns - longest_ns  # a block around this frame may be still to come
        yield from _until(pipeline, complete_ns)
        pipeline.push(item)
    yield from _until(pipeline, end_ns)


def _until(pipeline: EmotionPipeline, time_ns: int) -> Iterator[Reading]:
    while (due_ns := pipeline.next_due_ns) is not None and due_ns <= time_ns:
        reading = pipeline.poll(due_ns)
        if reading is not None:
            yield reading
