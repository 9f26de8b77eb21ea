"""The sound's part of a reading: blocks in, at any moment an estimate or the reason why there is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_emotion.config import Execution
from edge_emotion.errors import UsageError
from edge_emotion.features.names import QUALITY_COLUMNS
from edge_emotion.features.signal import silence_faults
from edge_emotion.features.signal_quality import SignalQuality
from edge_emotion.features.speaker_baseline import SpeakerBaseline
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.fusion import SigmaModel, widen
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.model.voice_activity import SileroVoiceActivity
from edge_emotion.model.voice_encoder import VoiceEncoder
from edge_emotion.pipeline.calibration import Shift
from edge_emotion.pipeline.evidence import Evidence, estimate
from edge_emotion.pipeline.spans import Spans
from edge_emotion.types import F32, AudioBlock, QualityFlag

JITTER_NS = 5_000_000
"""Blocks whose time stamps meet within this follow each other without a gap."""
BRIDGE_NS = 100_000_000
"""A gap up to this is filled with silence, a longer one begins anew."""
_NEVER_S = 1e9  # the window is asked for results, it is not to offer them


class Sound:
    """Sound, its descriptors, its quality and its estimate.

    Blocks come in order of time. What overlaps sound that was heard before is dropped; gaps are treated as `BRIDGE_NS`
    says. Samples that are not finite are silence to the descriptors and count as clipped.
    """

    def __init__(self, bundle: Bundle, execution: Execution, spans: Spans) -> None:
        part, fusion = bundle.manifest.acoustic, bundle.manifest.fusion
        self.window_s = part.window_s.longest
        self._rate_hz = part.sample_rate_hz
        self._minimum_share = part.voice_activity.settings.minimum_share
        self._minimum_ns = round(fusion.minimum_signal_s * 1e9)
        self._limits = fusion.quality
        self._added_sigma = fusion.added_sigma.audio
        self._short_fill_exponent = fusion.short_fill_exponent
        self._spans = spans
        self._descriptors = DescriptorWindow(
            self._rate_hz, (part.window_s.arousal, part.window_s.valence), _NEVER_S, mode=part.mode
        )
        self._described = len(part.descriptor_names)
        self._voice_encoder = (
            VoiceEncoder(
                open_backend(bundle.file("acoustic", part.voice_encoder), execution),
                window_s=part.voice_encoder.window_s,
            )
            if part.voice_encoder is not None
            else None
        )
        voice_activity = part.voice_activity
        self._quality = SignalQuality(
            SileroVoiceActivity(
                open_backend(bundle.file("acoustic", voice_activity), execution),
                step_samples=voice_activity.step_samples,
                context_samples=voice_activity.context_samples,
            ),
            sample_rate_hz=self._rate_hz,
            step_samples=voice_activity.step_samples,
            window_s=self.window_s,
            threshold=voice_activity.settings.threshold,
        )
        self._regressor = AffectRegressor(open_backend(bundle.file("acoustic", part.regressor), execution))
        self._sigma = SigmaModel(part.sigma)
        self.shift = Shift("audio", part.regressor.neutral)
        self._speaker = (
            SpeakerBaseline(part.speaker_baseline, part.descriptor_names) if part.speaker_baseline else None
        )
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._restart()
        self._end_ns: int | None = None
        self._regressed_ns: int | None = None
        if self._speaker is not None:
            self._speaker.reset()

    def _restart(self) -> None:
        self._descriptors.reset()
        if self._voice_encoder is not None:
            self._voice_encoder.reset()
        self._quality.reset()
        self._heard = 0

    def take(self, block: AudioBlock, until_ns: int) -> AudioBlock | None:
        """Listen to the samples before ``until_ns``; the rest of the block comes back, if there is any."""
        if block.sample_rate_hz != self._rate_hz:
            raise UsageError(
                f"sound at {block.sample_rate_hz} Hz: this bundle takes {self._rate_hz} Hz, resample it before"
            )
        count = min(self._samples_in(until_ns - block.start_ns), len(block.samples))
        if count > 0:
            self._listen(block.samples[:count], block.start_ns)
        if count >= len(block.samples):
            return None
        count = max(count, 0)
        start_ns = block.start_ns + count * 1_000_000_000 // self._rate_hz
        return AudioBlock(block.samples[count:], self._rate_hz, start_ns)

    def _samples_in(self, span_ns: int) -> int:
        """Samples that begin within a span of time, the first at its start."""
        return -(-span_ns * self._rate_hz // 1_000_000_000)

    def _listen(self, samples: F32, start_ns: int) -> None:
        end_ns = start_ns + len(samples) * 1_000_000_000 // self._rate_hz
        gap_ns = 0 if self._end_ns is None else start_ns - self._end_ns
        if gap_ns < -JITTER_NS:
            samples = samples[self._samples_in(-gap_ns) :]
            if len(samples) == 0:
                return
        elif gap_ns > BRIDGE_NS:
            self._restart()
        elif gap_ns > JITTER_NS:
            self._hear(np.zeros(self._samples_in(gap_ns), np.float32))
        self._hear(samples)
        self._end_ns = end_ns

    def _hear(self, samples: F32) -> None:
        clean, _ = silence_faults(samples)
        with self._spans("descriptors"):
            self._descriptors.push(clean)
        if self._voice_encoder is not None:
            with self._spans("voice encoder"):
                self._voice_encoder.push(clean)
        with self._spans("voice activity"):
            self._quality.push(samples)
        self._heard += len(samples)

    def compute(self, now_ns: int) -> Evidence:
        """What the sound before ``now_ns`` says; everything before it has been taken."""
        if self._end_ns is None:
            return Evidence(flags=("no_speech",))
        if now_ns - self._end_ns > self._limits.stale_s * 1e9:
            return Evidence(flags=("stale_audio",), newest_ns=self._end_ns)
        facts = self._quality.compute()._asdict()
        flags = self._flags(facts)
        silent = Evidence(None, facts, flags, self._end_ns)
        heard_ns = self._heard * 1_000_000_000 // self._rate_hz
        if "no_speech" in flags or heard_ns < self._minimum_ns:
            return silent
        with self._spans("functionals"):
            window = self._descriptors.compute()
        if window is None:
            return silent
        facts |= {name: float(window.values[0, column]) for name, column in QUALITY_COLUMNS.items()}
        features = self._features(window.values)
        with self._spans("regress"):
            rows = self._moved(features, now_ns)
            predictions = self._regressor.compute(rows)
        sigma = widen(self._sigma.compute(facts), self._added_sigma, facts["fill"], self._short_fill_exponent)
        waited_ns = round(window.waited_s * 1e9)
        return Evidence(estimate(predictions, sigma), facts, flags, self._end_ns, waited_ns, rows)

    def _moved(self, features: F32, now_ns: int) -> F32:
        """Without what is the person's own: by the personal baseline, else by the running one, if there is any."""
        rows = self.shift.compute(features)
        if self._speaker is not None and not self.shift.in_use:
            passed_ns = 0 if self._regressed_ns is None else now_ns - self._regressed_ns
            rows = self._speaker.compute(rows, passed_ns / 1e9)
        self._regressed_ns = now_ns
        return rows

    def _features(self, descriptors: F32) -> F32:
        """Rows of the regressor's input, in the order of the part's ``feature_names``."""
        if self._voice_encoder is None:
            return descriptors
        with self._spans("voice encoder"):
            said = self._voice_encoder.compute()
        if said is None:
            said = np.zeros(self._voice_encoder.feature_count, np.float32)
        described = descriptors[:, : self._described]
        return np.hstack([described, np.broadcast_to(said, (len(described), len(said)))])

    def _flags(self, facts: dict[str, Any]) -> tuple[QualityFlag, ...]:
        flags: list[QualityFlag] = []
        if facts["voiced"] < self._minimum_share:
            flags.append("no_speech")
        if facts["clipped"] > self._limits.clipped:
            flags.append("clipped")
        if facts["snr_db"] is not None and facts["snr_db"] < self._limits.low_snr_db:
            flags.append("low_snr")
        return tuple(flags)
