"""The personal baseline of a running daemon: learnt on command, kept in memory unless told to store it.

Everything here runs in the engine's thread (`Engine.call`), where the pipeline lives.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Protocol

from edge_emotion.config import parse
from edge_emotion.errors import EdgeEmotionError
from edge_emotion.pipeline.calibration import Baseline
from firmware_bridge.commands import CommandError
from firmware_bridge.faults import Faults

log = logging.getLogger(__name__)


class Learner(Protocol):
    """What is needed of `edge_emotion.pipeline.calibration.Calibration`."""

    baseline: Baseline | None

    @property
    def learning(self) -> bool:
        """Whether a baseline is being learnt."""
        ...

    def start(self, duration_s: float) -> None:
        """Learn for so long."""
        ...

    def cancel(self) -> None:
        """End learning."""
        ...


def load(learner: Learner, path: Path | None, faults: Faults) -> None:
    """Use the stored baseline, if there is one; one that does not fit is a fault, not an end."""
    if path is None or not path.exists():
        return
    try:
        learner.baseline = parse(Baseline, json.loads(path.read_text()), str(path))
    except (OSError, ValueError, EdgeEmotionError) as error:
        faults.hold("baseline_rejected", f"{error}; calibrate again")
    else:
        log.info("using the personal baseline in %s", path)


def start(learner: Learner, duration_s: float, path: Path | None, *, store: bool) -> dict[str, Any]:
    """Begin to learn; refused where that is under way, or nothing to store into is set."""
    if learner.learning:
        raise CommandError("calibration is under way; wait for its end")
    if store and path is None:
        raise CommandError("store needs calibration.file in the settings")
    learner.start(duration_s)
    return {"state": "learning", "duration_s": duration_s}


def reset(learner: Learner, path: Path | None, faults: Faults) -> dict[str, Any]:
    """Forget the baseline, the stored one too."""
    learner.cancel()
    learner.baseline = None
    if path is not None:
        path.unlink(missing_ok=True)
    faults.clear("baseline_rejected")
    return {"state": "forgotten"}


def finish(
    learner: Learner, before: Baseline | None, path: Path | None, faults: Faults, *, store: bool
) -> dict[str, Any]:
    """What came of it; stores it where that was asked for."""
    learnt = learner.baseline
    if learnt is None or learnt is before:
        raise CommandError("too little was heard and seen of a person; calibrate again")
    faults.clear("baseline_rejected")
    modalities = [name for name in ("audio", "video") if getattr(learnt, name) is not None]
    if store and path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(learnt.model_dump_json())
        except OSError as error:
            raise CommandError(f"in use, but not stored: {path}: {error.strerror}") from None
    return {"state": "calibrated", "modalities": modalities, "stored": store}
