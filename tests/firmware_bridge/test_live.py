"""The daemon with a real pipeline on the tiny bundle: clips, a virtual microphone and a camera in, messages out."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import av
import bundles
import numpy as np
import pytest
import scenes
from broker import until
from fakes import make_reading
from rich.console import Console
from schemas import valid
from streams import MjpegCamera, VirtualMicrophone

from edge_emotion.capture.file import open_clip
from edge_emotion.model.bundle import open_bundle
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.types import AudioBlock
from firmware_bridge import config_file
from firmware_bridge.daemon import Daemon
from firmware_bridge.watch import Meters, meter


def write_lossless(path, seconds=4.0):
    """A clip whose decoded samples and pixels are exactly what is written: the search for leaks relies on it."""
    random = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=15)
        video.width, video.height, video.pix_fmt = 320, 256, "bgr0"
        audio = container.add_stream("flac", rate=16_000, layout="mono")
        for n in range(int(seconds * 15)):
            grain = random.integers(-6, 7, (256, 320, 3))  # no camera is without
            image = (scenes.picture([(80 + 2 * (n % 20), 64)], width=320, height=256) + grain).clip(0, 255)
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="bgr24").reformat(format="bgr0")
            frame.pts = n
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        sound = (32767 * scenes.voice(seconds)).clip(-32768, 32767).astype(np.int16)
        for begin in range(0, len(sound), 1024):
            block = av.AudioFrame.from_ndarray(sound[None, begin : begin + 1024], format="s16", layout="mono")
            block.sample_rate = 16_000
            block.pts = begin
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    return path


class Collector:
    """An output that keeps readings."""

    def __init__(self):
        self.readings, self.messages, self.faults = [], [], {}

    def reading(self, reading, body):
        self.readings.append((reading, json.loads(body)))

    def history(self, body, now_ns):
        pass

    def message(self, kind, body, *, retained):
        self.messages.append((kind, json.loads(body)))

    def state(self, state, reasons):
        pass

    def poll(self, faults):
        self.faults = faults.held()

    def close(self):
        pass


@contextlib.contextmanager
def running(**table):
    collector = Collector()
    daemon = Daemon(config_file.parse({"purpose": "demo", "rate_hz": 10} | table), outputs=[collector])
    result = []
    thread = threading.Thread(target=lambda: result.append(daemon.run()))
    thread.start()
    try:
        yield daemon, collector, thread
    finally:
        daemon.stop()
        thread.join(30)
        assert result == [0]


@pytest.fixture
def state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_clip_on_standard_output(tmp_path, tiny_bundle_path):
    """What anybody can try: no devices, no broker; and nothing of voice or face in any file or line."""
    clip = write_lossless(tmp_path / "clip.mkv")
    home = tmp_path / "home"
    home.mkdir()
    toml = home / "daemon.toml"
    toml.write_text(
        f'purpose = "demo"\noutput = "stdout"\nrate_hz = 10\nbundle = "{tiny_bundle_path}"\nlog_level = "debug"\n'
        f'[replay]\nfile = "{clip}"\n'
    )
    surroundings = os.environ | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "STATE_DIRECTORY": str(home / "state"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "firmware_bridge.cli", "run", "-c", str(toml)],
        env=surroundings, capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    readings = [valid("reading", line) for line in done.stdout.splitlines()]
    assert len(readings) >= 25  # more where the machine is loaded and the clip takes longer than its own time
    assert [reading["seq"] for reading in readings] == list(range(1, len(readings) + 1))
    assert any(reading["valid"] and reading["modalities"]["audio"]["used"] for reading in readings)
    assert any(reading["modalities"]["video"]["used"] for reading in readings)
    assert b"Traceback" not in done.stderr
    written = (
        done.stdout + done.stderr + b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    )
    assert leaks(clip, written) == []
    assert leaks(clip, written + next(iter_raw(clip))) != [], "the search itself must find something"


def iter_raw(clip):
    for item in open_clip(clip):
        if isinstance(item, AudioBlock) and np.abs(item.samples).max() > 0.1:
            yield item.samples.tobytes()


def leaks(clip, written):
    """Pieces of 64 bytes of sound (float and 16 bit) or picture that occur in ``written``."""
    found = []
    for item in open_clip(clip):
        if isinstance(item, AudioBlock):
            loud = np.abs(item.samples).max() > 0.1
            pieces = (
                [item.samples[:16].tobytes(), (item.samples[:32] * 32768).astype("<i2").tobytes()]
                if loud
                else []
            )
        else:
            row = item.image[item.image.shape[0] // 3]
            pieces = [row[60:82].tobytes()] if row[60:82].std() > 5 else []
        found += [piece for piece in pieces if piece in written]
    return found


def test_the_live_trace_is_the_trace_of_the_clip(tmp_path, tiny_bundle_path, state_folder):
    clip = write_lossless(tmp_path / "clip.mkv", seconds=8)
    table = {"bundle": str(tiny_bundle_path), "output": "stdout", "replay": {"file": str(clip)}}
    with running(**table) as (_, collector, thread):
        thread.join(120)
    live = [reading for reading, _ in collector.readings if reading.valid]
    pipeline = EmotionPipeline(open_bundle(tiny_bundle_path), rate_hz=50)
    calm = [reading for reading in replay(pipeline, open_clip(clip)) if reading.valid]
    assert len(live) > 50
    best = {}
    for dimension in ("arousal", "valence"):
        truth = np.array([[each.time_ns / 1e9, getattr(each, dimension)] for each in calm])
        seen = np.array([[each.time_ns / 1e9, getattr(each, dimension)] for each in live])
        # when the clip began on the monotonic clock is not told: the best agreement tells
        starts = np.arange(seen[0, 0] - 4, seen[0, 0], 0.01)
        errors = [np.interp(seen[:, 0] - start, *truth.T) - seen[:, 1] for start in starts]
        best[dimension] = min(float(np.sqrt(np.mean(error[5:] ** 2))) for error in errors)
    assert best["arousal"] < 0.05
    assert best["valence"] < 0.05


def test_calibration_is_learnt_stored_used_and_forgotten(broker, observe, daemon_process, tmp_path):
    parts = {"acoustic": bundles.acoustic_part(), "face": bundles.face_part()}
    neutral = {
        name: {"regressor": part["regressor"] | {"neutral": [0.0] * part["regressor"]["features"]}}
        for name, part in parts.items()
    }
    bundle = bundles.tiny_bundle(tmp_path / "bundle", **neutral)
    clip, stored = write_lossless(tmp_path / "clip.mkv", seconds=3), tmp_path / "baseline.json"
    daemon = daemon_process(
        f'purpose = "demo"\ndevice = "box"\nrate_hz = 10\nbundle = "{bundle}"\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n[replay]\nfile = "{clip}"\nloop = true\n'
        f'[calibration]\nenabled = true\nfile = "{stored}"\n'
    )
    command = (sys.executable, "-m", "firmware_bridge.cli", "run", "-c", daemon.settings)
    watcher = observe(broker.port)

    def newest():
        return json.loads(watcher.last("/reading") or b'{"valid":false,"quality":[]}')

    def answers():
        return [valid("response", body) for body in watcher.of("/resp/calibrate")]

    daemon.start(*command)
    until(lambda: newest()["valid"] and "uncalibrated" in newest()["quality"], 60)
    watcher.client.publish(
        "edge_emotion/box/cmd/calibrate", b'{"duration_s": 5, "store": true, "id": "c"}', qos=1
    )
    until(lambda: len(answers()) == 2, 60)
    assert [(each["ok"], each["id"]) for each in answers()] == [(True, "c"), (True, "c")]
    assert answers()[1]["result"] == {"state": "calibrated", "modalities": ["audio", "video"], "stored": True}
    until(lambda: "uncalibrated" not in newest()["quality"])
    daemon.end()
    daemon.start(*command)
    until(lambda: "using the personal baseline" in daemon.said(), 60)
    watcher.client.publish("edge_emotion/box/cmd/calibrate", b'{"reset": true}', qos=1)
    until(lambda: not stored.exists())


def test_a_damaged_bundle_is_refused_with_one_line(tmp_path, tiny_bundle_path, daemon_process):
    """The built-in bundle takes over where it can; where there is none, the end is one line and code 65."""
    damaged = tmp_path / "bundle"
    shutil.copytree(tiny_bundle_path, damaged)
    model = next(damaged.rglob("encoder.onnx"))
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    daemon = daemon_process(
        f'purpose = "demo"\noutput = "stdout"\nbundle = "{damaged}"\n[microphone]\ndevice = "none"\n'
    )
    (daemon.folder / "state").mkdir()
    (daemon.folder / "state/last-good-bundle").write_text(str(tiny_bundle_path))
    daemon.start(sys.executable, "-m", "firmware_bridge.cli", "run", "-c", daemon.settings)
    until(lambda: "bundle_rejected" in daemon.said(), 60)
    assert "encoder.onnx" in daemon.said()
    assert f"running on {tiny_bundle_path}" in daemon.said()
    assert daemon.end() == 0


def test_microphone_and_camera_to_broker(broker, observe, tmp_path, tiny_bundle_path, monkeypatch, capsys):
    """Real devices as far as there are any here; prints the transport age (captured to received)."""
    if missing := VirtualMicrophone.missing():
        pytest.skip(f"{', '.join(missing)} not installed")
    microphone = VirtualMicrophone(tmp_path).start()
    camera = MjpegCamera(fps=25, size=(320, 256))
    face = scenes.picture([(80, 64)], width=320, height=256).astype(int)
    camera.draw = lambda random, _: (face + random.integers(-4, 5, face.shape)).clip(0, 255).astype(np.uint8)
    folder = tmp_path / "state"
    toml = tmp_path / "daemon.toml"
    toml.write_text(
        f'purpose = "demo"\ndevice = "box"\nrate_hz = 20\nbundle = "{tiny_bundle_path}"\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n[microphone]\ndevice = "pulse"\n'
        f'[camera]\nsource = "{camera.url}"\nfps = 25\n'
    )
    environment = os.environ | {"PULSE_SERVER": microphone.address, "STATE_DIRECTORY": str(folder)}
    watcher = observe(broker.port)
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "firmware_bridge.cli", "run", "-c", str(toml)], env=environment, stderr=log
    )
    try:
        player = microphone.play(scenes.voice(120))

        def fused():
            newest = json.loads(watcher.last("/reading") or b"{}")
            return newest and all(newest["modalities"][name]["used"] for name in ("audio", "video"))

        until(fused, 60)
        seen = len(watcher.of("/reading"))
        until(lambda: len(watcher.of("/reading")) > seen + 60, 30)
        late_ms = []
        for topic, payload, _, at in watcher.heard[-60:]:
            if topic.endswith("/reading"):
                reading = valid("reading", payload)
                late_ms.append((at * 1e9 - reading["ts_mono_ns"]) / 1e6 + reading["age_ms"])
        with capsys.disabled():
            p50, p99 = np.percentile(late_ms, (50, 99))
            print(f"\ntransport age p50 {p50:.0f} ms, p99 {p99:.0f} ms of {len(late_ms)}", end=" ")
        assert p50 < 1000
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        player.kill()
    finally:
        process.kill()
        camera.close()
        microphone.stop()


def test_watch_and_profile_on_a_clip(tmp_path, tiny_bundle_path):
    clip = write_lossless(tmp_path / "clip.mkv", seconds=8)
    toml = tmp_path / "daemon.toml"
    toml.write_text(f'purpose = "demo"\nbundle = "{tiny_bundle_path}"\n[replay]\nfile = "{clip}"\n')
    environment = os.environ | {"STATE_DIRECTORY": str(tmp_path / "state"), "COLUMNS": "120"}

    def call(*words):
        command = [sys.executable, "-m", "firmware_bridge.cli", *words, "-c", str(toml)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    watched = call("watch", "--seconds", "30")
    assert watched.returncode == 0, watched.stderr
    profiled = call("profile", "--seconds", "3")
    assert profiled.returncode == 0, profiled.stderr
    for stage in ("descriptors", "cnn", "age of the newest input", "of one core"):
        assert stage in profiled.stdout
    assert "Traceback" not in watched.stderr + profiled.stderr


def test_meters_show_estimate_error_and_doubt():
    assert str(meter(0.0, 0.25)).startswith("···············─────●─────")
    assert str(meter(None, None)).endswith("—")
    assert "+1.00 ± 0.10" in str(meter(1.0, 0.1))
    meters = Meters()
    meters.reading(make_reading(quality=("low_light",)), b"")
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(meters._draw())
    meters.close()
    shown = console.export_text()
    assert "+0.31 ± 0.18" in shown
    assert "low_light" in shown
