"""One subject a file; each has ``run(options) -> Result`` and says in its docstring what it measures."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

WITH_ENCODER = ("face", "growth", "pipeline", "sweep")
"""Subjects that run the face encoder in the format of the backend asked for."""

SHORT = ("acoustic", "face", "kernels", "mqtt", "pipeline", "regressor", "smoothing")
"""Subjects of seconds, which may be measured in several passes."""


def names() -> list[str]:
    """List the subjects by their files."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> ModuleType:
    """Import the subject ``name``.

    Raises
    ------
    ModuleNotFoundError
        One of its packages is not installed, as on a board without the workstation's.
    """
    return importlib.import_module(f"{__name__}.{name}")


def missing(fault: ModuleNotFoundError) -> str:
    """What to say of a subject whose package is not there."""
    return f"{fault.name} is not installed: pip install -e '.[device,export]'"


def summaries() -> Iterator[tuple[str, str]]:
    """Name and first line of each subject."""
    for name in names():
        try:
            yield name, (load(name).__doc__ or "").strip().splitlines()[0]
        except ModuleNotFoundError as fault:
            yield name, missing(fault)
