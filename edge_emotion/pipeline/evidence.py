"""What one modality has to say at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_emotion.types import Estimate, ModalityReport, QualityFlag


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

    def report(self, share: float) -> ModalityReport:
        """For a reading in which it has this share."""
        used = self.estimate is not None
        return ModalityReport(used=used, weight=share if used else 0.0, facts=self.facts)


NOTHING = Evidence()
