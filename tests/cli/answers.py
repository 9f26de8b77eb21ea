"""What a command has written."""

from __future__ import annotations

import json
from pathlib import Path


def lines(path: Path) -> list[dict]:
    """The readings of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def one_line(text: str) -> bool:
    """Whether a fault is told as every fault is."""
    return text.startswith("edge-emotion: ") and text.count("\n") == 1 and "Traceback" not in text
