"""The command ``edge-emotion analyze`` as a user meets it: readings, tables and pictures."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from answers import lines, one_line
from bundles import encoder_graph, tiny_bundle

from edge_emotion.config import EncoderEngine
from edge_emotion.model.bundle import open_bundle
from edge_emotion.model.choice import remember


def test_readings_follow_the_schema_and_are_the_same_bytes_each_time(
    analyze: Callable[..., int], scene: Path, tmp_path: Path
) -> None:
    messages = pytest.importorskip("firmware_bridge.messages")
    out, again = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert analyze(scene, "--out", out) == 0
    renamed = shutil.copy(scene, tmp_path / "another name.mp4")
    assert analyze(renamed, "--out", again) == 0
    assert out.read_bytes() == again.read_bytes()
    readings = lines(out)
    assert [reading["media_time_s"] for reading in readings] == [round(0.2 * i, 1) for i in range(1, 16)]
    for reading in readings:
        messages.Reading.model_validate(reading, strict=True)
        assert reading["schema"] == "edge_emotion.reading/1"
        assert reading["ts"] is None
        assert reading["boot"] == hashlib.sha256(scene.read_bytes()).hexdigest()[:16]
        assert (reading["arousal"] is None) == (not reading["valid"])
    assert readings[-1]["valid"]
    assert readings[-1]["modalities"]["audio"]["used"]
    assert readings[-1]["modalities"]["video"]["used"]


def test_standard_output_is_the_default_and_only_holds_readings(
    analyze: Callable[..., int], scene: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert analyze(scene, "--rate-hz", 2) == 0
    printed = capfd.readouterr()
    assert [json.loads(line)["seq"] for line in printed.out.splitlines()] == [1, 2, 3, 4, 5, 6]
    assert "estimated expressed" in printed.err


def test_a_part_of_the_clip_keeps_its_media_time(
    analyze: Callable[..., int], scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "part.jsonl"
    assert analyze(scene, "--out", out, "--start", 1.0, "--duration", 1.5) == 0
    times = [reading["media_time_s"] for reading in lines(out)]
    assert times == pytest.approx([1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4], abs=1e-6)


def test_csv_and_picture(analyze: Callable[..., int], scene: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    import cv2

    table, plot, out = tmp_path / "a.csv", tmp_path / "a.png", tmp_path / "a.jsonl"
    assert analyze(scene, "--out", table, "--plot", plot) == 0
    assert analyze(scene, "--out", out) == 0
    rows = list(csv.DictReader(table.open()))
    assert rows[0]["arousal"] == ""
    for row, reading in zip(rows, lines(out), strict=True):
        assert row["arousal"] == ("" if reading["arousal"] is None else str(reading["arousal"]))
        assert row["quality"].split() == reading["quality"]
    image = cv2.imread(str(plot))
    assert image.shape[1] == 1950
    colours = {tuple(colour) for colour in image.reshape(-1, 3)[::7]}
    assert (0x0C, 0x41, 0xC2) in colours  # the line of arousal, BGR
    assert (0x6E, 0x76, 0x0F) in colours
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".part")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rate-hz", "0"],
        ["--rate-hz", "1000"],
        ["--rate-hz", "nan"],
        ["--start", "100"],
        ["--start", "inf"],
        ["--duration", "0"],
        ["--duration", "inf"],
        ["--provider", "cuda"],
    ],
)
def test_usage_faults_are_2(
    analyze: Callable[..., int], scene: Path, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert analyze(scene, *arguments) == 2
    assert one_line(capfd.readouterr().err)


def test_the_device_loads_none_of_the_workstations_packages(scene: Path, tiny_bundle_path: Path) -> None:
    program = (
        "import sys; from edge_emotion.cli import app, run;"
        f"code = run.run(app, 'x', ['analyze', {str(scene)!r}, '--bundle', {str(tiny_bundle_path)!r}]);"
        "names = ('torch', 'sklearn', 'onnx', 'skl2onnx', 'edge_emotion_export', 'matplotlib');"
        "sys.exit(str([n for n in names if n in sys.modules]) if code == 0 else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_a_reader_that_leaves_early_is_no_fault(scene: Path, tiny_bundle_path: Path) -> None:
    program = "from edge_emotion.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        program,
        "analyze",
        str(scene),
        "--rate-hz",
        "50",
        "--bundle",
        str(tiny_bundle_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_what_was_chosen_on_this_machine_is_used_and_said(
    analyze: Callable[..., int],
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    bundle = tiny_bundle(tmp_path / "bundle", encoders={"other.onnx": encoder_graph(gain=-1.0)})
    packed, chosen, aside = (tmp_path / f"{name}.jsonl" for name in ("packed", "chosen", "aside"))
    assert analyze(scene, "--out", packed, bundle=bundle) == 0
    assert "as chosen" not in capsys.readouterr().err
    remember(open_bundle(bundle), EncoderEngine(variant="other", provider="cpu"), 20.0, "because")
    assert analyze(scene, "--out", chosen, bundle=bundle) == 0
    assert "face encoder as chosen on this machine: other, 1 thread" in capsys.readouterr().err
    assert analyze(scene, "--out", aside, "--as-packed", bundle=bundle) == 0
    assert packed.read_bytes() == aside.read_bytes() != chosen.read_bytes()
