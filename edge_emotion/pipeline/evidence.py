"""What one modality has to say at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from edge_emotion.types import F32, Estimate, ModalityReport, QualityFlag


@dataclass(frozen=True, slots=True)
class Evidence:
    """An estimate or none, and the facts; as constructed it says nothing."""

    estimate: Estimate | None = None
    facts: Mapping[str, float | None] = field(default_factory=dict)
    flags: tuple[QualityFlag, ...] = ()
    newest_ns: int | None = None
    """Capture time of the newest input behind it."""
    waited_ns: int = 0
    """Look-ahead that its slowest descriptor waited for."""
    features: F32 | None = field(default=None, repr=False)
    """What the regressor was given, ``float32 (2, d)``, a row for each dimension's window: for early fusion alone.

    They describe a person, and nothing outside the pipeline gets to see them.
    """

    def report(self, share: float) -> ModalityReport:
        """For a reading in which it has this share."""
        used = self.estimate is not None
        return ModalityReport(used=used, weight=share if used else 0.0, facts=self.facts)


NOTHING = Evidence()


def estimate(predictions: F32, sigma: tuple[float, float]) -> Estimate | None:
    """Arousal of the first row and valence of the second, within [-1, 1]; ``None`` for what is not finite.

    Each dimension has a window of its own, and the regressor is asked once for each.
    """
    arousal, valence = float(predictions[0, 0]), float(predictions[1, 1])
    if not (isfinite(arousal) and isfinite(valence)):
        return None
    return Estimate((min(1.0, max(-1.0, arousal)), min(1.0, max(-1.0, valence))), sigma)
