"""Packing from the command line: whole bundles, single parts, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from bundles import tiny_bundle
from edge_emotion_export.cli import app

from edge_emotion.cli import run
from edge_emotion.model.bundle import open_bundle


def pack(*arguments: object) -> int:
    return run.run(app, "edge-emotion-export", ["bundle", *map(str, arguments)])


@pytest.fixture
def bundle(tiny_bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle_path, tmp_path / "copy"))


def test_a_bundle_is_packed_named_and_given_the_default_fusion(
    bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(bundle / "fusion")
    (bundle / "manifest.json").unlink()
    assert pack(bundle, "--id", "kitchen-2") == 0
    opened = open_bundle(bundle).manifest
    assert opened.id == "kitchen-2"
    assert opened.fusion.smoothing.arousal.median_s == 0.6
    assert f"kitchen-2  sha256 {opened.sha256[:16]}" in capfd.readouterr().out
    assert pack(bundle) == 0
    assert open_bundle(bundle).manifest == opened


def test_parts_of_another_bundle_are_put_in(bundle: Path, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path / "other", face={"hold_s": 0.5}, fusion={"rate_hz": 10.0})
    assert pack(bundle, "--part", other / "face", "--part", other / "fusion") == 0
    opened = open_bundle(bundle).manifest
    assert opened.face.hold_s == 0.5
    assert opened.fusion.rate_hz == 10.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: shutil.rmtree(b / "face"), "part is missing"),
        (lambda b: (b / "acoustic" / "regressor.onnx").unlink(), "acoustic/regressor.onnx"),
        (lambda b: (b / "face" / "part.json").write_text("{]"), "not JSON"),
        (lambda b: (b / "face" / "part.json").write_text(json.dumps({"part": "face", "colour": 1})), "face"),
    ],
)
def test_what_does_not_fit_is_one_line_and_65(
    bundle: Path, change, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    change(bundle)
    assert pack(bundle) == 65
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert message in printed
