"""``edge-emotion``: clips in, readings, descriptors and pictures out."""

from __future__ import annotations

from edge_emotion.cli import (  # noqa: F401  the commands register themselves
    analyze,
    bundle,
    descriptors,
    inspect,
    profile,
    warm_up,
)
from edge_emotion.cli.program import app, main

__all__ = ["app", "main"]
