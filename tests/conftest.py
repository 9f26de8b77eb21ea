"""Fixtures that many rooms share; this folder is on the path, so that tests import ``bundles`` and the naive twins."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete tiny bundle (`bundles.tiny_bundle`); read only."""
    from bundles import tiny_bundle

    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
