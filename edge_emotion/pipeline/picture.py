"""The pictures' part of a reading: frames in, at any moment an estimate for each face that is followed."""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np

from edge_emotion.config import Execution
from edge_emotion.features import quality
from edge_emotion.features.faces import FaceFrame, FaceStream, TrackedFace
from edge_emotion.features.quality import FaceFacts
from edge_emotion.fusion import SigmaModel, widen
from edge_emotion.kernels.filters import window_cover, window_mean
from edge_emotion.kernels.ring import append, new_ring
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.detector import YuNet
from edge_emotion.model.encoder import FaceNetwork
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.pipeline.calibration import Shift
from edge_emotion.pipeline.evidence import Evidence, estimate
from edge_emotion.pipeline.spans import Spans, TimedDetector
from edge_emotion.smoothing import Smoother
from edge_emotion.types import DIMENSIONS, F32, QualityFlag, VideoFrame

FACTS = ("face_px", "score", "blur", "yaw_deg", "brightness", "lower_detail", "feature_norm")
"""Facts of a face, their means over the window: of `FaceFacts`, ``yaw_deg`` without its sign, and the last one of
`edge_emotion.model.encoder.FaceEncoding`."""


class Face:
    """One followed face: the features and facts of the frames that it was seen in."""

    def __init__(self, width: int, capacity: int, smoother: Smoother) -> None:
        self.ring = new_ring(capacity, width + len(FACTS))
        self.seen_ns = 0
        self.facts: FaceFacts | None = None
        """Of the newest frame."""
        self.smoother = smoother
        """For its readings while another face is the primary one."""
        self._row = np.zeros(width + len(FACTS))

    def push(self, time_ns: int, features: F32, feature_norm: float, face: TrackedFace) -> None:
        """Add one frame."""
        facts = self.facts = face.facts
        self._row[: len(features)] = features
        self._row[len(features) :] = (
            facts.face_px,
            facts.score,
            facts.blur,
            abs(facts.yaw_deg),
            facts.brightness,
            facts.lower_detail,
            feature_norm,
        )
        append(self.ring, time_ns, self._row)
        self.seen_ns = time_ns


class Pictures:
    """Pictures, the faces in them, and their estimates.

    A frame without pixels or not newer than the last is dropped, one that follows too soon (``max_rate_hz``) is passed
    over. A face that is lost counts for ``hold_s``; then its window is forgotten.
    """

    def __init__(self, bundle: Bundle, execution: Execution, spans: Spans) -> None:
        part, fusion = bundle.manifest.face, bundle.manifest.fusion
        self.window_s = part.window_s.longest
        self._part = part
        self._smoothing = fusion.smoothing
        self._minimum_ns = round(fusion.minimum_signal_s * 1e9)
        self._added_sigma = fusion.added_sigma.video
        self._short_fill_exponent = fusion.short_fill_exponent
        self._limits = fusion.quality
        self._hold_ns = round(part.hold_s * 1e9)
        # Time stamps are rarely even: what comes a little early is still in time.
        self._pause_ns = round(0.9e9 / part.max_rate_hz)
        self._windows_ns = tuple(round(part.window_s[d] * 1e9) for d in DIMENSIONS)
        self._spans = spans
        # Of the whole process; left alone, OpenCV takes every core for pictures that one has done sooner.
        cv2.setNumThreads(execution.threads)
        self._stream = FaceStream(
            TimedDetector(
                YuNet(open_backend(bundle.file("face", part.detector), execution), part.detector.settings),
                spans,
            ),
            part.crop,
            limits=fusion.quality,
            hold_s=part.hold_s,
            max_faces=part.detector.settings.max_faces,
        )
        engine = execution.for_encoder
        self._network = FaceNetwork(
            open_backend(bundle.file("face", part.encoder, engine.variant), engine),
            part.encoder.normalisation,
            part.encoder.features,
        )
        self._regressor = AffectRegressor(open_backend(bundle.file("face", part.regressor), execution))
        self._sigma = SigmaModel(part.sigma)
        self.shift = Shift("video", part.regressor.neutral)
        """Of the calibrated person, who is the primary face."""
        width = part.encoder.features
        self._mean, self._deviation = np.zeros(width + len(FACTS)), np.zeros(width + len(FACTS))
        self._pooled = np.zeros((len(DIMENSIONS), part.regressor.features), np.float32)
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._stream.reset()
        self._faces: dict[str, Face] = {}
        self._newest: FaceFrame | None = None

    def take(self, frame: VideoFrame) -> None:
        """Look at one frame."""
        early = self._newest is not None and frame.time_ns - self._newest.time_ns < self._pause_ns
        if early or frame.image.size == 0:
            return
        with self._spans("faces"):
            seen = self._stream.update(frame)
        if seen.faces:
            crops = np.stack([face.crop for face in seen.faces])
            with self._spans("cnn"):
                said = self._network.encode(crops)
            for face, row, norm in zip(seen.faces, said.features, said.feature_norm, strict=True):
                self._known(face.id).push(seen.time_ns, row, norm, face)
        self._newest = seen

    def _known(self, face_id: str) -> Face:
        if face_id not in self._faces:
            capacity = ceil(self.window_s * self._part.max_rate_hz / 0.9) + 1
            self._faces[face_id] = Face(self._part.encoder.features, capacity, Smoother(self._smoothing))
        return self._faces[face_id]

    def followed(self, now_ns: int) -> tuple[str | None, dict[str, Face]]:
        """Return the primary face's id, if it still counts, and all faces that do; forget the others."""
        self._faces = {
            face_id: face for face_id, face in self._faces.items() if now_ns - face.seen_ns <= self._hold_ns
        }
        primary = self._newest.primary_id if self._newest else None
        return primary if primary in self._faces else None, self._faces

    def flags(self, now_ns: int) -> tuple[QualityFlag, ...]:
        """Of the newest frame, ``no_face`` and ``stale_video`` among them."""
        if self._newest is None:
            return ("no_face",)
        if now_ns - self._newest.time_ns > self._limits.stale_s * 1e9:
            return ("stale_video",)
        return self._newest.flags

    def compute(self, face: Face, now_ns: int, shift: Shift | None = None) -> Evidence:
        """What a face says: means over its window, shifted to a personal baseline, regressed."""
        width = self._part.encoder.features
        longest_ns = max(self._windows_ns)
        now_ns -= 1  # windows are [now - length, now): what is captured now belongs to the next reading
        for row, window_ns in zip(self._pooled, self._windows_ns, strict=True):
            window_mean(face.ring, now_ns - window_ns, now_ns, self._mean, self._deviation)
            row[:width] = self._mean[:width]
            row[width:] = self._deviation[: len(row) - width]
        window_mean(face.ring, now_ns - longest_ns, now_ns, self._mean, self._deviation)
        facts: dict[str, float | None] = dict(zip(FACTS, self._mean[width:].tolist(), strict=True))
        covered_ns = window_cover(face.ring, now_ns - longest_ns, now_ns + 1, self._hold_ns)
        fill = min(covered_ns / longest_ns, 1.0)
        facts["fill"] = fill
        flags = quality.flags([face.facts], self._limits) if face.facts else ()
        if covered_ns < self._minimum_ns:
            return Evidence(None, facts, flags, face.seen_ns)
        rows = self._pooled if shift is None else shift.compute(self._pooled)
        with self._spans("regress"):
            predictions = self._regressor.compute(rows)
        sigma = widen(self._sigma.compute(facts), self._added_sigma, fill, self._short_fill_exponent)
        return Evidence(estimate(predictions, sigma), facts, flags, face.seen_ns, features=rows.copy())
