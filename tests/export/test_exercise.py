"""A model that loads and does something else than its manifest says is found when the bundle is packed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from bundles import detector_graph, encoder_graph, regressor_graph
from edge_emotion_export.conversion.bundle import assemble
from edge_emotion_export.conversion.exercise import exercise

from edge_emotion.errors import BundleError
from edge_emotion.model.bundle import open_bundle


def test_a_good_bundle_passes(tiny_bundle_path: Path) -> None:
    exercise(open_bundle(tiny_bundle_path))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("acoustic/regressor.onnx", regressor_graph(87, seed=1)),
        ("acoustic/vad.onnx", encoder_graph()),
        ("face/detector.onnx", regressor_graph(3, seed=1)),
        ("face/encoder.onnx", detector_graph()),
        ("face/regressor.onnx", regressor_graph(17, seed=1)),
        ("face/regressor.onnx", b"nothing"),
    ],
)
def test_a_model_that_does_something_else_is_named(
    file: str, content: bytes, tiny_bundle_path: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle_path, tmp_path / "copy"))
    (bundle / file).write_bytes(content)
    with pytest.raises(BundleError, match=file) as caught:
        exercise(assemble(bundle))
    assert "\n" not in str(caught.value)


def test_outputs_that_are_not_finite_are_found(
    tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edge_emotion.model.regressor.AffectRegressor.compute", lambda *_: np.full((3, 2), np.nan, np.float32)
    )
    with pytest.raises(BundleError, match="not finite"):
        exercise(open_bundle(tiny_bundle_path))
