"""The command as a user meets it: readings, pictures, and one line for everything that is wrong with a file."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import pkgutil
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from bundles import encoder_graph, tiny_bundle
from clips import SOUND, write_clip
from scenes import RATE, film, voice

from edge_emotion.cli import app, run
from edge_emotion.config import EncoderEngine
from edge_emotion.model.bundle import open_bundle
from edge_emotion.model.choice import remember
from edge_emotion.model.manifest import canonical_digest


def write_scene(path: Path, duration_s: float = 3.0, rate: int = RATE, options: dict | None = None) -> Path:
    """A clip of the tiny detector's face with the generated voice."""
    sound = np.interp(
        np.arange(round(duration_s * rate)) / rate,
        np.arange(round(duration_s * RATE)) / RATE,
        voice(duration_s),
    )
    codec = {"mpg": "mpeg1video"}.get(path.suffix[1:], "mpeg4")
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt, video.bit_rate = 160, 128, "yuv420p", 4_000_000
        audio = container.add_stream(SOUND[path.suffix[1:]], rate=rate, layout="mono")
        for i, shot in enumerate(film(duration_s)):
            frame = av.VideoFrame.from_ndarray(shot.image, format="bgr24")
            frame.time_base, frame.pts = Fraction(1, 25), i
            container.mux(video.encode(frame))
            part = sound[i * rate // 25 : (i + 1) * rate // 25].astype(np.float32)[None]
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout="mono")
            block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), i * rate // 25
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("clips") / "scene.mp4")


@pytest.fixture
def analyze(tiny_bundle_path: Path) -> Callable[..., int]:
    def call(*arguments: object, bundle: Path = tiny_bundle_path, command: str = "analyze") -> int:
        return run.run(app, "edge-emotion", [command, *map(str, arguments), "--bundle", str(bundle)])

    return call


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def one_line(text: str) -> bool:
    return text.startswith("edge-emotion: ") and text.count("\n") == 1 and "Traceback" not in text


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
