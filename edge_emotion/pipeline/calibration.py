"""A personal baseline: where a person's neutral lies among the features, and how to move it to the training's neutral.

Voices and faces differ more between people than with what one person expresses. After a minute of neutral speech and
expression, the difference of the person's mean features from a typical neutral item of the training set is taken off
all later features (our choice: the centring of speaker normalisation, with a baseline that is causal and storable).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edge_emotion.config import Finite, Settings
from edge_emotion.errors import UsageError
from edge_emotion.types import DIMENSIONS, F32, Modality

LEAST_ROWS = 5
"""Readings that a modality must have had while the baseline was learnt."""

Rows = tuple[tuple[Finite, ...], tuple[Finite, ...]]


class Baseline(Settings):
    """Mean features of one person's neutral, for each modality a row for each dimension's window."""

    bundle: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the bundle whose features these are: others do not compare."""
    audio: Rows | None = None
    video: Rows | None = None


class Shift:
    """One modality's part: learn a person's mean features, take their difference from ``neutral`` off later ones.

    Features beyond ``neutral``, those of a voice encoder, are neither learnt nor moved: a person's mean of them is a
    voice print, and a baseline may be stored.
    """

    def __init__(self, modality: Modality, neutral: tuple[float, ...]) -> None:
        self.possible = bool(neutral)
        """Whether the bundle says where its neutral lies."""
        self._modality = modality
        self._neutral = np.array(neutral, np.float64)
        self._sum: NDArray[np.float64] = np.zeros((len(DIMENSIONS), len(neutral)))
        self._count = 0
        self._learning = False
        self._shift: F32 | None = None

    @property
    def in_use(self) -> bool:
        """Whether a baseline is applied."""
        return self._shift is not None

    def start(self) -> None:
        """Learn from here on, from nothing."""
        self._sum[:] = 0.0
        self._count = 0
        self._learning = self.possible

    def stop(self) -> Rows | None:
        """End learning: the mean features, or ``None`` where there were too few."""
        learnt, self._learning = self._learning and self._count >= LEAST_ROWS, False
        if not learnt:
            return None
        arousal, valence = (tuple(row) for row in (self._sum / self._count).tolist())
        return arousal, valence

    def use(self, rows: Rows | None) -> None:
        """Apply a baseline from now on; ``None`` for none."""
        if rows is None:
            self._shift = None
            return
        if not self.possible or {len(row) for row in rows} != {self._sum.shape[1]}:
            raise UsageError(f"the {self._modality} baseline does not fit this bundle: calibrate again")
        self._shift = (np.array(rows) - self._neutral).astype(np.float32)

    def compute(self, rows: F32) -> F32:
        """The features ``float32 (2, width)`` as the regressor shall see them; learns from them while it does."""
        width = len(self._neutral)
        if self._learning:
            self._sum += rows[:, :width]
            self._count += 1
        if self._shift is None:
            return rows
        moved = rows.copy()
        moved[:, :width] -= self._shift
        return moved


class Calibration:
    """Learns a person's baseline on demand, and holds the one in use."""

    def __init__(self, bundle_sha256: str, audio: Shift, video: Shift) -> None:
        self._bundle_sha256 = bundle_sha256
        self._audio, self._video = audio, video
        self._baseline: Baseline | None = None
        self._duration_ns: int | None = None
        self._end_ns: int | None = None

    @property
    def baseline(self) -> Baseline | None:
        """The baseline in use; set it to use a stored one, or to ``None`` to forget it.

        Setting raises `UsageError` where the baseline is of another bundle.
        """
        return self._baseline

    @baseline.setter
    def baseline(self, baseline: Baseline | None) -> None:
        if baseline is not None and baseline.bundle != self._bundle_sha256:
            raise UsageError("the baseline was learnt with another bundle: calibrate again")
        self._audio.use(baseline.audio if baseline else None)
        self._video.use(baseline.video if baseline else None)
        self._baseline = baseline

    @property
    def learning(self) -> bool:
        """Whether a baseline is being learnt."""
        return self._duration_ns is not None

    def start(self, duration_s: float) -> None:
        """Learn over the readings of the next ``duration_s``, in which the person is neutral; then use what was learnt.

        A modality that was hardly there gets no baseline; where neither was, nothing changes.

        Raises
        ------
        UsageError
            The bundle does not say where its neutral lies.
        """
        if not (self._audio.possible or self._video.possible):
            raise UsageError(
                "this bundle cannot be calibrated: its regressors were packed without their neutral"
            )
        self._audio.start()
        self._video.start()
        self._duration_ns, self._end_ns = round(duration_s * 1e9), None

    def cancel(self) -> None:
        """End learning; the baseline in use stays."""
        self._audio.stop()
        self._video.stop()
        self._duration_ns = self._end_ns = None

    def update(self, now_ns: int) -> None:
        """Before each reading: the first one begins the time of learning, the first one after it ends it."""
        if self._duration_ns is None:
            return
        if self._end_ns is None:
            self._end_ns = now_ns + self._duration_ns
        elif now_ns >= self._end_ns:
            audio, video = self._audio.stop(), self._video.stop()
            self._duration_ns = self._end_ns = None
            if audio is not None or video is not None:
                self.baseline = Baseline(bundle=self._bundle_sha256, audio=audio, video=video)
