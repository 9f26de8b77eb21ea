"""Nothing that a program writes, sends or says holds features of the voice encoder: a voice print stays in memory."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from broker import MOSQUITTO, broker, free_port, make_broker, observe, until
from bundles import tiny_bundle
from clips import write_clip
from scenes import RATE, voice
from voice_prints import found_in, overheard

from edge_emotion.cli import app, run
from edge_emotion.model.regressor import AffectRegressor
from firmware_bridge import config_file
from firmware_bridge.daemon import Daemon

__all__ = ["broker", "make_broker", "observe"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that listens and can be calibrated."""
    regressor = {"file": "regressor.onnx", "features": 600, "neutral": [0.0] * 88}
    folder = tmp_path_factory.mktemp("bundle") / "listening"
    return tiny_bundle(folder, acoustic={"regressor": regressor}, listens=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "voice.wav", sound=voice(4.0), rate=RATE)


@pytest.mark.parametrize(
    "form",
    [
        lambda said: said.tobytes(),
        lambda said: said.astype(np.float64).tobytes(),
        lambda said: said.tobytes().hex().encode(),
        lambda said: json.dumps({"features": said.tolist()}).encode(),
        lambda said: repr(said).encode(),
        lambda said: "\n".join(f"feature {k}: {value:+.4f}" for k, value in enumerate(said)).encode(),
        lambda said: b"voiceEncoder_mean_007",
    ],
)
def test_the_search_itself_finds(form) -> None:
    said = np.random.default_rng(0).normal(0, 0.3, 512).astype(np.float32)
    assert found_in(b"some text 0.5 0.25 " + form(said), [said]) != []
    other = np.random.default_rng(1).normal(0, 0.3, 512).astype(np.float32)
    if b"voiceEncoder" not in form(said):
        assert found_in(form(other), [said]) == []


def test_nothing_of_a_voice_leaves_the_command_line(
    bundle: Path,
    clip: Path,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "edge_emotion")
    with overheard() as features:
        for arguments in (
            ["analyze", clip],
            ["analyze", clip, "--out", tmp_path / "readings.csv", "--plot", tmp_path / "plot.svg"],
            ["profile", clip, "--trace", tmp_path / "trace.json"],
        ):
            assert run.run(app, "edge-emotion", [*map(str, arguments), "--bundle", str(bundle)]) == 0
    assert len(features) > 20
    said = capfdbinary.readouterr()
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(files) == {"readings.csv", "plot.svg", "trace.json"}
    assert b"voice encoder" in files["trace.json"]
    assert found_in(b"\n".join([said.out, said.err, caplog.text.encode(), *files.values()]), features) == []


class Running:
    """A daemon in this process, so that what its encoder says can be overheard; everything else is real."""

    def __init__(self, folder: Path, bundle: Path, clip: Path, port: int) -> None:
        self.metrics = free_port()
        table = {
            "purpose": "demo",
            "device": "box",
            "rate_hz": 10,
            "log_level": "debug",
            "bundle": str(bundle),
            "replay": {"file": str(clip), "loop": True},
            "mqtt": {"host": "127.0.0.1", "port": port, "backoff_s": [0.05, 0.3], "keepalive_s": 4},
            "history": {"rate_hz": 10},
            "calibration": {"enabled": True, "file": str(folder / "baseline.json")},
            "metrics": {"port": self.metrics},
        }
        self.daemon = Daemon(config_file.parse(table))
        self.thread = threading.Thread(target=self.daemon.run)

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.stop()
        self.thread.join(60)
        assert not self.thread.is_alive()

    def scrape(self) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as answer:
            return answer.read()


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto not installed")
def test_nothing_of_a_voice_leaves_the_daemon(
    broker,
    observe,
    bundle: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Messages of every topic, log, metrics, a stored baseline, and the spool while there is no broker."""
    state = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    caplog.set_level(logging.DEBUG)
    watcher = observe(broker.port)
    with overheard() as features, Running(tmp_path, bundle, clip, broker.port) as running:

        def newest() -> dict:
            return json.loads(watcher.last("/reading") or b'{"valid":false}')

        until(lambda: newest()["valid"] and newest()["modalities"]["audio"]["used"], 60)
        command = b'{"duration_s": 5, "store": true}'
        watcher.client.publish("edge_emotion/box/cmd/calibrate", command, qos=1)
        until(lambda: (tmp_path / "baseline.json").exists(), 60)
        metrics = running.scrape()
        broker.kill()
        heard = len(features)
        until(lambda: len(features) > heard + 20, 60)

        def on_disk() -> bytes:
            return b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())

        until(lambda: b"arousal" in on_disk(), 60)  # the history goes to disk every few seconds
        stored = on_disk()
    sent = b"\n".join(body for _, body, *_ in watcher.heard)
    baseline = (tmp_path / "baseline.json").read_bytes()
    assert b'"seq"' in sent
    assert b"readings" in metrics
    assert len(json.loads(baseline)["audio"][0]) == 88
    written = b"\n".join([sent, metrics, baseline, stored, caplog.text.encode()])
    assert found_in(written, features) == []
    assert found_in(written + features[-1].tobytes(), features) == ["bytes of float32"]


def test_a_fault_in_the_regressor_does_not_tell_its_input(
    bundle: Path,
    clip: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Neither the interpreter's own complaint nor the traceback in the log."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    compute = AffectRegressor.compute

    def too_narrow(self: AffectRegressor, rows: np.ndarray) -> np.ndarray:
        return compute(self, rows[:, 1:])

    table = {"purpose": "demo", "bundle": str(bundle), "output": "stdout", "replay": {"file": str(clip)}}
    with overheard() as features, contextlib.ExitStack() as patches:
        daemon = Daemon(config_file.parse(table | {"log_level": "debug"}))
        patches.enter_context(pytest.MonkeyPatch.context()).setattr(AffectRegressor, "compute", too_narrow)
        thread = threading.Thread(target=daemon.run)
        thread.start()
        thread.join(120)
        daemon.stop()
        thread.join(60)
    assert features
    assert "Traceback" in caplog.text
    assert "599" in caplog.text
    assert found_in(caplog.text.encode(), features) == []
