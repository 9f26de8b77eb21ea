"""``edge-emotion-export``: train, evaluate, convert and pack the models on the workstation."""

from __future__ import annotations

from . import (  # noqa: F401  the commands register themselves
    bundle,
    convert,
    face,
    fusion,
    fusion_trial,
    reproduce,
    speech,
    speech_regressors,
    synthetic_pairs,
)
from .program import app, main

__all__ = ["app", "main"]
