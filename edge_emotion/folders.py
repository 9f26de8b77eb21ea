"""Where the programs may write: the folders that systemd hands over, or the user's own."""

from __future__ import annotations

import os
from pathlib import Path


def state() -> Path:
    """For what must outlive a restart: ``$STATE_DIRECTORY``, or ``~/.local/state/edge-emotion``."""
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "edge-emotion"
