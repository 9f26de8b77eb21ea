from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from clips import write_scene

from edge_emotion.cli import app, run


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of a face and a voice; read only."""
    return write_scene(tmp_path_factory.mktemp("clips") / "scene.mp4")


@pytest.fixture
def analyze(tiny_bundle_path: Path) -> Callable[..., int]:
    """A command on the tiny bundle, which gives its exit code."""

    def call(*arguments: object, bundle: Path = tiny_bundle_path, command: str = "analyze") -> int:
        return run.run(app, "edge-emotion", [command, *map(str, arguments), "--bundle", str(bundle)])

    return call
