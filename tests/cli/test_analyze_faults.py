"""What ``edge-emotion analyze`` says of bad and poor input: one line and an exit code, or a warning and a flag."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from answers import lines, one_line
from clips import write_clip, write_scene
from scenes import RATE, voice

from edge_emotion.cli import app, run
from edge_emotion.model.manifest import canonical_digest


def srt(path: Path) -> Path:
    path.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n\n")
    return path


def cut_before_index(path: Path) -> Path:
    write_scene(path, 1.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def text(path: Path) -> Path:
    path.write_text("this is not a film\n" * 100)
    return path


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("missing.mp4", lambda path: path),
        ("empty.mp4", lambda path: path.touch() or path),
        ("text.mp4", text),
        ("cut.mp4", cut_before_index),
        ("neither.srt", srt),
        ("nothing.png", lambda path: path.write_bytes(b"x") and path),
        ("folder.mp4", lambda path: path.mkdir() or path),
    ],
)
def test_what_cannot_be_read_is_one_line_and_65(
    analyze: Callable[..., int],
    name: str,
    make: Callable[[Path], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = make(tmp_path / name)
    out = tmp_path / "out.jsonl"
    assert analyze(path, "--out", out) == 65
    printed = capfd.readouterr().err
    assert one_line(printed)
    assert name in printed
    assert not out.exists()


@pytest.mark.parametrize("command", ["analyze", "inspect", "profile"])
@pytest.mark.parametrize("fault", ["byte", "outside", "link", "schema", "missing"])
def test_a_bad_bundle_is_one_line_and_65(
    command: str,
    fault: str,
    scene: Path,
    tiny_bundle_path: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle_path, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    if fault == "byte":
        file = bundle / "face" / "encoder.onnx"
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    elif fault == "outside":
        manifest["face"]["encoder"]["file"] = "../../outside.onnx"
    elif fault == "link":
        file = bundle / "face" / "encoder.onnx"
        file.rename(tmp_path / "outside.onnx")
        file.symlink_to(tmp_path / "outside.onnx")
    elif fault == "schema":
        manifest["schema"] = "edge_emotion.bundle/9"
    else:
        shutil.rmtree(bundle / "acoustic")
    manifest["sha256"] = canonical_digest(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    arguments = (
        ["inspect", str(bundle)] if command == "inspect" else [command, str(scene), "--bundle", str(bundle)]
    )
    assert run.run(app, "edge-emotion", arguments) == 65
    printed = capfd.readouterr()
    assert one_line(printed.err)
    assert printed.out == ""


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


@pytest.mark.parametrize(("name", "options"), [("frag.mp4", FRAGMENTED), ("cut.mpg", {}), ("cut.mkv", {})])
def test_a_cut_clip_is_read_as_far_as_it_goes(
    analyze: Callable[..., int], name: str, options: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_scene(tmp_path / name, 6.0, options=options, rate=48_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    out = tmp_path / "out.jsonl"
    assert analyze(path, "--out", out) == 0
    assert len(lines(out)) >= 8
    assert any(reading["valid"] for reading in lines(out))
    assert "Traceback" not in capfd.readouterr().err


def float_wav(path: Path, sound: np.ndarray) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound[None], np.float32), format="flt", layout="mono"
        )
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def not_finite() -> np.ndarray:
    sound = voice(3.0)
    sound[RATE : RATE + 800] = np.nan
    return sound


@pytest.mark.parametrize(
    ("name", "make", "flags", "warning", "valid"),
    [
        (
            "silent.mp4",
            lambda path: write_clip(path, shades=[120] * 75),
            ["no_face", "no_speech"],
            "no sound",
            False,
        ),
        ("sound.wav", lambda path: float_wav(path, voice(3.0)), ["no_face"], "no moving picture", True),
        (
            "noface.mov",
            lambda path: write_clip(path, shades=[120] * 75, sound=voice(3.0), rate=RATE),
            ["no_face"],
            "no face was found",
            True,
        ),
        ("low.mov", lambda path: write_scene(path, rate=8000), [], "8000 Hz", True),
        ("high.mkv", lambda path: write_scene(path, rate=96_000), [], "96000 Hz", True),
        ("nan.wav", lambda path: float_wav(path, not_finite()), ["no_face"], "not finite", True),
    ],
)
def test_what_is_lacking_is_a_warning_and_a_flag(
    analyze: Callable[..., int],
    name: str,
    make: Callable[[Path], Path],
    flags: list[str],
    warning: str,
    valid: bool,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.jsonl"
    assert analyze(make(tmp_path / name), "--out", out) == 0
    printed = capfd.readouterr().err
    assert warning in printed
    assert ("warning:" in printed) == bool(warning)
    last = lines(out)[-1]
    assert last["quality"] == flags
    assert last["valid"] is valid


def test_a_clip_too_short_for_a_reading_is_said_to_be(
    analyze: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, plot = tmp_path / "out.jsonl", tmp_path / "out.png"
    assert analyze(float_wav(tmp_path / "blip.wav", voice(0.1)), "--out", out, "--plot", plot) == 0
    assert out.read_bytes() == b""
    assert plot.stat().st_size > 1000
    assert "too short" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--out", "file/x.jsonl"),
        ("--plot", "file/x.png"),
        ("--out", "nowhere/x.csv"),
        ("--out", "x.txt"),
        ("--plot", "x.gif"),
        ("--out", "folder.csv"),
        ("--out", "locked/x.csv"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    analyze: Callable[..., int],
    scene: Path,
    option: str,
    name: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "locked").mkdir(mode=0o500)
    if "locked" in name and os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert analyze(scene, option, tmp_path / name) == 2
    assert one_line(capfd.readouterr().err)
