"""The small parts: faults, progress, indicator, senses, engine, notifications, machine, metrics."""

import logging
import socket
import threading
import time
import urllib.request

import numpy as np
import pytest
from broker import free_port, until
from fakes import FakePipeline

from edge_emotion.errors import BundleError
from edge_emotion.types import AudioBlock, VideoFrame
from firmware_bridge import machine
from firmware_bridge.config_file import parse
from firmware_bridge.engine import Engine, Loaded, open_best
from firmware_bridge.faults import Faults
from firmware_bridge.inbox import Inbox
from firmware_bridge.indicator import IndicatorError, Led
from firmware_bridge.metrics import Exporter
from firmware_bridge.progress import Progress
from firmware_bridge.senses import Senses
from firmware_bridge.systemd import Notifier, watchdog_s


def test_faults_add_up_to_a_state():
    faults = Faults()
    assert faults.state == "init"
    faults.start()
    assert faults.state == "ready"
    faults.hold("camera_lost", "gone")
    assert faults.state == "degraded"
    faults.pause(True)
    assert faults.state == "paused"
    faults.hold("no_indicator", "dark")
    assert faults.state == "error"
    faults.clear("no_indicator")
    faults.pause(False)
    faults.clear("camera_lost")
    assert faults.state == "ready"


def test_each_change_is_logged_once(caplog):
    faults = Faults()
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            faults.hold("camera_lost", "gone")
        for _ in range(5):
            faults.clear("camera_lost")
    assert [record.message for record in caplog.records] == ["camera_lost: gone", "camera_lost: over"]
    assert faults.version == 2


def test_one_of_a_family():
    faults = Faults()
    faults.one_of(("a", "b"), "a", "x")
    faults.one_of(("a", "b"), "b", "y")
    assert faults.held() == {"b": "y"}
    faults.one_of(("a", "b"), None)
    assert faults.held() == {}


def test_progress_names_who_is_stuck():
    progress = Progress()
    quick, slow = progress.stage("quick", 0.05), progress.stage("slow", 100)
    time.sleep(0.1)
    assert progress.stuck() == ["quick"]
    quick.mark()
    assert progress.stuck() == []
    progress.drop(slow)
    assert progress.stuck(slow.last_ns + 10**15) == ["quick"]


@pytest.fixture
def led(tmp_path):
    folder = tmp_path / "ACT"
    folder.mkdir()
    for name, value in (("max_brightness", "255"), ("brightness", "0"), ("trigger", "[mmc0] none")):
        (folder / name).write_text(value + "\n")
    return Led("ACT", tmp_path), folder


def test_led(led):
    led, folder = led
    led.switch(True)
    assert ((folder / "brightness").read_text(), (folder / "trigger").read_text()) == ("255", "none")
    led.switch(False)
    assert (folder / "brightness").read_text() == "0"


def test_a_missing_led_lists_the_others(led, tmp_path):
    with pytest.raises(IndicatorError, match="LEDs here: ACT"):
        Led("PWR", tmp_path).switch(True)


class Light:
    """An indicator that writes down what happens, and can be broken."""

    def __init__(self, events):
        self.events = events
        self.broken = False

    def switch(self, on):
        if self.broken:
            raise IndicatorError("broken")
        self.events.append("on" if on else "off")


def senses(events, light, **tables):
    settings = parse(
        {"purpose": "demo", "microphone": {"device": "off"}, "camera": {"source": "/dev/none"}} | tables
    )
    made = Senses(settings, Inbox(), faults := Faults(), Progress(), light, lambda: None)

    class Device:
        def start(self):
            events.append("open")

        def close(self):
            events.append("close")
            return True

    made._make = lambda: made._devices.append((Device(), made._progress.stage("camera", 1)))
    return made, faults


def test_the_light_is_on_before_devices_open_and_off_after_they_close():
    events = []
    made, _ = senses(events, Light(events))
    assert made.open()
    assert made.close()
    assert events == ["on", "open", "close", "off"]


def test_no_light_no_sensing_where_it_is_required():
    events = []
    light = Light(events)
    light.broken = True
    wanted = {"indicator": {"kind": "led", "led": "x", "required": True}}
    made, faults = senses(events, light, **wanted)
    assert not made.open()
    assert events == []
    assert faults.state == "error"
    light.broken = False
    assert made.open()
    assert events == ["on", "open"]
    assert "no_indicator" not in faults.held()


def test_a_broken_light_is_a_fault_where_it_is_not_required():
    events = []
    light = Light(events)
    light.broken = True
    made, faults = senses(events, light)
    assert made.open()
    assert events == ["open"]
    assert "indicator_failed" in faults.held()


def test_a_failed_bundle_falls_back_to_the_last_good_one(tmp_path):
    tried, memory = [], tmp_path / "last-good-bundle"

    def open_one(settings, bundle):
        tried.append(str(bundle))
        if bundle is not None and "bad" in str(bundle):
            raise BundleError(f"{bundle}: detector.onnx does not match its SHA-256")
        return Loaded(FakePipeline(), str(bundle), None)

    def run(bundle):
        tried.clear()
        faults = Faults()
        settings = parse({"purpose": "demo"} | ({"bundle": bundle} if bundle else {}))
        return open_best(settings, memory, faults, open_one).model_id, faults.held()

    assert run("bad")[0] == "None"
    assert run("good") == ("good", {})
    model, faults = run("bad")
    assert model == "good"
    assert "SHA-256" in faults["bundle_rejected"]
    memory.write_text("bad too")
    assert run("bad")[0] == "None"
    assert tried == ["bad", "bad too", "None"]


def engine(pipeline, inbox):
    readings, ready, progress = [], threading.Event(), Progress()
    made = Engine(
        lambda: Loaded(pipeline, "fake", None),
        inbox,
        progress.stage("inference", 10),
        on_ready=lambda loaded: ready.set(),
        on_reading=lambda reading, now_ns: readings.append(now_ns - reading.time_ns),
    )
    made.start()
    assert ready.wait(5)
    return made, readings


def test_the_engine_polls_when_a_reading_is_due():
    inbox = Inbox()
    made, late_ns = engine(FakePipeline(50), inbox)
    inbox.put_video(VideoFrame(np.zeros((4, 4), np.uint8), time.monotonic_ns()))
    until(lambda: len(late_ns) > 30)
    made.close()
    assert sorted(late_ns)[15] < 10_000_000


def test_reset_begins_anew():
    inbox, pipeline = Inbox(), FakePipeline(50)
    made, readings = engine(pipeline, inbox)
    inbox.put_audio(AudioBlock(np.zeros(320, np.float32), 16_000, time.monotonic_ns()))
    until(lambda: readings)
    made.reset()
    until(lambda: pipeline.resets == 1)
    seen = len(readings)
    time.sleep(0.2)
    assert len(readings) <= seen + 1
    made.close()


@pytest.mark.parametrize("abstract", [True, False])
def test_notifications_reach_the_manager(tmp_path, abstract):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = f"edge-{time.monotonic_ns()}" if abstract else str(tmp_path / "notify")
    manager.bind("\0" + path if abstract else path)
    manager.settimeout(5)
    notifier = Notifier("@" + path if abstract else path)
    notifier.send("READY=1", "STATUS=fine")
    assert manager.recv(100) == b"READY=1\nSTATUS=fine"
    manager.close()
    notifier.send("WATCHDOG=1")  # nobody listens any more: lost, not an error
    notifier.close()
    Notifier("").send("READY=1")


def test_the_watchdog_s_period(monkeypatch):
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert watchdog_s() is None
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    assert watchdog_s() == 20
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_s() is None


def test_machine_facts(tmp_path):
    assert machine.clock() in ("synced", "unsynced")
    assert machine.cpu_seconds() > 0
    assert 5 < machine.resident_mb() < 5000
    (tmp_path / "thermal_zone0").mkdir()
    (tmp_path / "thermal_zone0/temp").write_text("48312\n")
    assert machine.temperature_c(tmp_path) == 48.312
    assert machine.temperature_c(tmp_path / "none") is None
    (tmp_path / "throttled").write_text("50005\n")
    assert machine.throttled(tmp_path / "throttled") is True
    (tmp_path / "throttled").write_text("50000\n")
    assert machine.throttled(tmp_path / "throttled") is False
    assert machine.throttled(tmp_path / "none") is None


def test_code_that_only_the_start_needs_is_given_back():
    from llvmlite import binding

    def use():
        return str(binding.parse_assembly("define i32 @f() { ret i32 7 }"))

    use()
    before = machine.resident_mb()
    released = machine.release_code("libllvmlite")
    assert released > 0
    assert machine.resident_mb() <= before - released / 2
    assert "ret i32 7" in use(), "it is read again when it is needed again"


def test_metrics_are_served():
    pytest.importorskip("prometheus_client")
    port = free_port()
    exporter = Exporter(
        "127.0.0.1", port, lambda: {"items_total": {"audio": 3}, "connected": 1.0, "age": {"x": None}}
    )
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    exporter.close()
    assert 'edge_emotion_items_total{of="audio"} 3.0' in text
    assert "edge_emotion_connected 1.0" in text
