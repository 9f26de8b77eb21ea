"""The commands ``edge-emotion inspect`` and ``profile``: the model card, and where the time goes."""

from __future__ import annotations

import json
import pkgutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import tiny_bundle

from edge_emotion.cli import app, run


def test_inspect_is_a_model_card(tiny_bundle_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run.run(app, "edge-emotion", ["inspect", str(tiny_bundle_path)]) == 0
    card = capfd.readouterr().out
    manifest = json.loads((tiny_bundle_path / "manifest.json").read_text())
    for word in (
        manifest["sha256"],
        "CC0",
        "tiny_loso_ccc_arousal = 0.5",
        "seeded random numbers",
        "encoder.onnx",
    ):
        assert word in card
    assert run.run(app, "edge-emotion", ["inspect", str(tiny_bundle_path), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == manifest


def test_inspect_tells_of_a_voice_encoder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for listens, expected in ((False, "none"), (True, "voice.onnx, 512 features of 3 s (CC0)")):
        bundle = tiny_bundle(tmp_path / expected[:5], listens=listens)
        assert run.run(app, "edge-emotion", ["inspect", str(bundle)]) == 0
        card = capfd.readouterr().out
        assert f"voice encoder     {expected}" in card
        assert "descriptors       88, mode compat" in card


def test_profile_names_the_stages(
    analyze: Callable[..., int], scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.json"
    assert analyze(scene, "--trace", trace, command="profile") == 0
    printed = capfd.readouterr().out
    stages = {
        "faces",
        "detect",
        "cnn",
        "descriptors",
        "voice activity",
        "functionals",
        "regress",
        "fuse",
        "smooth",
    }
    for stage in stages:
        assert stage in printed
    events = json.loads(trace.read_text())["traceEvents"]
    assert {event["name"] for event in events} == stages
    assert all(event["ph"] == "X" and event["dur"] >= 0 and event["ts"] >= 0 for event in events)


@pytest.mark.parametrize(
    ("owner", "method", "stage"),
    [
        ("edge_emotion.model.encoder.FaceNetwork", "encode", "cnn"),
        ("edge_emotion.smoothing.Smoother", "update", "smooth"),
    ],
)
def test_a_planted_wait_is_seen_in_its_own_stage(
    analyze: Callable[..., int],
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: str,
    method: str,
    stage: str,
) -> None:
    wait_s = 0.03
    real = getattr(pkgutil.resolve_name(owner), method)

    def waits(*arguments: object) -> object:
        time.sleep(wait_s)
        return real(*arguments)

    monkeypatch.setattr(f"{owner}.{method}", waits)
    trace = tmp_path / "trace.json"
    assert analyze(scene, "--trace", trace, command="profile") == 0
    durations: dict[str, list[float]] = {}
    for event in json.loads(trace.read_text())["traceEvents"]:
        durations.setdefault(event["name"], []).append(event["dur"] / 1e6)
    assert min(durations.pop(stage)) >= wait_s
    assert all(statistics.median(others) < wait_s / 2 for others in durations.values())
