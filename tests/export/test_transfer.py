"""The doubt that is missing: from errors of known size on faces of known votes."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from edge_emotion_export.conversion.bundle import set_added_sigma
from edge_emotion_export.training import transfer as subject
from edge_emotion_export.training.face_data import FaceViews

from edge_emotion.model.bundle import open_bundle
from edge_emotion.model.regressor import AffectRegressor


def test_errors_of_known_size_are_found(tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every face is voted neutral, the regressor says neutral plus normal noise of 0.5 and 0.1."""
    random = np.random.default_rng(0)
    n = 4000
    crops = random.integers(0, 256, (n, 48, 48), np.uint8)
    found = np.arange(n) < n - 100
    votes = np.tile([10, 0, 0, 0, 0, 0, 0, 0, 0, 0], (n, 1)).astype(np.float32)
    rated = SimpleNamespace(
        views=None,
        affect=np.tile([0.1, -0.2], (8, 1)).astype(np.float32),
        expression=np.arange(8),
    )
    data = SimpleNamespace(valid=FaceViews(crops, crops, found), valid_votes=votes)
    monkeypatch.setattr(subject, "vote_data", lambda _: data)
    monkeypatch.setattr(subject, "affect_data", lambda _: rated)
    monkeypatch.setattr(
        AffectRegressor,
        "compute",
        lambda _, rows: random.normal((0.1, -0.2), (0.5, 0.1), (len(rows), 2)).astype(np.float32),
    )
    measured = subject.measure(open_bundle(tiny_bundle_path), Path())
    assert measured.faces == n - 100
    assert measured.sigma_found == pytest.approx((0.5, 0.1), rel=0.05)
    assert measured.bias == pytest.approx((0.0, 0.0), abs=0.03)
    # The tiny bundle's sigma: intercepts -1.6 and -1.2, 0.3 for the missing fill.
    assert measured.sigma_said == pytest.approx((np.exp(-1.3), np.exp(-0.9)), rel=1e-6)
    assert measured.added == (pytest.approx(np.sqrt(0.25 - np.exp(-2.6)), rel=0.06), 0.0)


def test_what_was_found_goes_into_the_fusion_part_and_widens_sigma(
    tiny_bundle_path: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle_path, tmp_path / "copy"))
    opened = set_added_sigma(bundle, (0.3, 0.0), {"ferplus_pseudo_bias_arousal": 0.1})
    added = opened.manifest.fusion.added_sigma
    assert (added.video.arousal, added.video.valence, added.audio.arousal) == (0.3, 0.0, 0.0)
    assert opened.manifest.fusion.training is not None
    assert opened.manifest.fusion.training.metrics == {"ferplus_pseudo_bias_arousal": 0.1}
