"""The daemon as a process, with everything real but the models."""

import itertools
import json
import re
import signal
import sys
import threading
import time

from broker import PATIENCE, free_port, until
from daemons import NotifySocket, account, settings
from microcontroller import board, listen
from schemas import valid

from firmware_bridge.history import AT_RISK_S


def ask(watcher, verb, arguments=b"{}", timeout=5):
    before = len(watcher.of(f"/resp/{verb}"))
    watcher.client.publish(f"edge_emotion/box/cmd/{verb}", arguments, qos=1)
    until(lambda: len(watcher.of(f"/resp/{verb}")) > before, timeout)
    return valid("response", watcher.last(f"/resp/{verb}"))


def state(watcher):
    return json.loads(watcher.last("/status") or b'{"state":null,"reasons":[]}')


def test_every_message_matches_its_schema(broker, observe, daemon_process):
    watcher = observe(broker.port)
    daemon = daemon_process(
        settings(broker.port, _top="health_s = 1\nsummary_hz = 1\n") + f"[metrics]\nport = {free_port()}\n"
    ).start()
    until(
        lambda: (
            len(watcher.of("/reading")) > 40 and watcher.last("/summary") and len(watcher.of("/health")) > 2
        ),
        20,
    )
    seqs = [valid("reading", body)["seq"] for body in watcher.of("/reading")]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    history = [reading for body in watcher.of("/history") for reading in valid("history", body)["readings"]]
    assert [reading["seq"] for reading in history] == list(range(1, len(history) + 1))
    assert history[seqs[0] - 1] == json.loads(watcher.of("/reading")[0])
    assert valid("summary", watcher.last("/summary"))["n_valid"] > 5
    health = valid("health", watcher.last("/health"))
    assert 5 < health["rate_hz"]["readings"] < 22
    assert 10 < health["rss_mb"] < 400
    status = valid("status", watcher.last("/status"))
    assert status["state"] == "degraded"
    assert status["reasons"] == ["camera_lost"]
    announced = json.loads(watcher.last("homeassistant/device/box/config"))
    assert announced["components"]["arousal"]["expire_after"] >= 15
    for component in announced["components"].values():
        assert component["unique_id"].startswith("box_")
    assert daemon.end() == 0
    until(lambda: watcher.last("/availability") == b"offline")


def test_status_is_told_once_per_change(broker, observe, daemon_process):
    watcher = observe(broker.port)
    daemon_process(settings(broker.port)).start()
    until(lambda: state(watcher)["reasons"] == ["camera_lost"], 20)
    time.sleep(2)
    # A watcher that had to reconnect is handed the retained status once more; that is the broker's doing.
    live = [body for topic, body, retained, _ in watcher.heard if topic.endswith("/status") and not retained]
    told = [(each["state"], tuple(each["reasons"])) for each in map(json.loads, live)]
    assert all(a != b for a, b in itertools.pairwise(told))


def test_commands_pause_resume_reload_identify(broker, observe, daemon_process):
    watcher = observe(broker.port)
    daemon = daemon_process(settings(broker.port)).start()
    until(lambda: len(watcher.of("/reading")) > 5, 20)
    assert ask(watcher, "pause", b'{"id":"x1"}')["id"] == "x1"
    until(lambda: state(watcher)["state"] == "paused")
    assert ask(watcher, "resume")["ok"]
    until(lambda: state(watcher)["state"] == "degraded")
    assert ask(watcher, "identify")["result"]["device"] == "box"
    daemon.settings.write_text(
        daemon.settings.read_text().replace('"debug"', '"info"').replace('"demo"', '"other"')
    )
    result = ask(watcher, "reload")["result"]
    assert result == {"applied": ["log_level"], "needs_restart": ["purpose"]}
    daemon.settings.write_text("purpose = 3")
    refused = ask(watcher, "reload")
    assert not refused["ok"]
    assert "purpose" in refused["error"]


def test_bad_commands_get_an_error_and_change_nothing(broker, observe, daemon_process):
    watcher = observe(broker.port)
    daemon = daemon_process(settings(broker.port)).start()
    until(lambda: len(watcher.of("/reading")) > 5, 20)
    for body in (b"[", b"\xff\xfe", b"[1]", b'{"x":1}', b"{}" + b" " * 2000, b'{"id":7}', b"[" * 1000):
        assert not ask(watcher, "pause", body)["ok"]
    watcher.client.publish("edge_emotion/box/cmd/pause", b"{}", qos=1, retain=True)
    watcher.client.publish("edge_emotion/box/cmd/rm", b"{}", qos=1)
    time.sleep(0.3)
    assert state(watcher)["state"] != "init"
    # the retained command is obeyed once, as it was sent; a reconnecting daemon must not obey it again
    assert ask(watcher, "resume")["ok"]
    broker.kill()
    broker.start()
    until(lambda: "refused: retained commands are not obeyed" in daemon.said(), 20)
    until(lambda: state(watcher)["state"] == "degraded", 10)
    time.sleep(0.5)
    assert state(watcher)["state"] == "degraded"
    assert daemon.process.poll() is None


def test_discovery_is_sent_again_when_home_assistant_comes_back(broker, observe, daemon_process):
    watcher = observe(broker.port)
    daemon_process(settings(broker.port)).start()
    topic = "homeassistant/device/box/config"
    until(lambda: watcher.last(topic), 20)
    before = len(watcher.of(topic))
    began = time.monotonic()
    watcher.client.publish("homeassistant/status", b"online")
    until(lambda: len(watcher.of(topic)) > before, 10)
    assert 1.9 < time.monotonic() - began < 6


def test_sighup_reloads_safe_keys(broker, observe, daemon_process):
    watcher = observe(broker.port)
    daemon = daemon_process(settings(broker.port)).start()
    until(lambda: len(watcher.of("/reading")) > 5, 20)
    daemon.settings.write_text(daemon.settings.read_text() + "\n[metrics]\nport = 9\n")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: "'needs_restart': ['metrics.port']" in daemon.said())


def test_broker_kills_and_a_sigkill_lose_nothing_but_the_last_seconds(make_broker, daemon_process):
    """The short form of the test of 100 kills in tests/faults."""
    broker = make_broker().start()
    daemon = daemon_process(settings(broker.port)).start()
    until(lambda: daemon.acknowledged(), 20)
    for _ in range(3):
        time.sleep(0.5)
        broker.kill()
        time.sleep(0.4)
        broker.start()
        time.sleep(0.3)
    daemon.end(signal.SIGKILL)
    daemon.start()
    until(lambda: len(daemon.acknowledged()) == 2, 20)
    assert "was killed: up to" in daemon.said()
    broker.kill()
    time.sleep(1)
    assert daemon.end() == 0
    (_, clean) = list(daemon.acknowledged())
    missing = account(daemon, at_risk=AT_RISK_S * 20 + 2)
    assert missing[clean] == []
    assert daemon.spooled()[clean], "the last second was spooled at the end"
    broker.start()
    daemon.start()
    until(lambda: daemon.spooled() == {}, 20)
    assert account(daemon, at_risk=AT_RISK_S * 20 + 2)[clean] == []


def test_ready_and_watchdog_follow_the_inference(broker, daemon_process):
    manager = NotifySocket()
    daemon = daemon_process(
        settings(broker.port), NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000", FAKE_STUCK_S="3"
    ).start()
    until(lambda: manager.heard("READY=1"), 20)
    until(lambda: len(manager.heard("WATCHDOG=1")) > 3)
    until(lambda: "inference over budget; the watchdog is not fed" in daemon.said(), 20)
    fed = len(manager.heard("WATCHDOG=1"))
    time.sleep(1)
    assert len(manager.heard("WATCHDOG=1")) == fed
    # what systemd does then: SIGABRT; every thread tells where it stands
    assert daemon.end(signal.SIGABRT) == -signal.SIGABRT
    assert re.search(r"Fatal Python error: Aborted.*in poll", daemon.said(), re.DOTALL)


def test_lost_devices_and_brokers_keep_the_watchdog_fed(daemon_process):
    manager = NotifySocket()
    daemon_process(settings(free_port()), NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000").start()
    until(lambda: manager.heard("READY=1"), 20)
    until(lambda: any("camera_lost, mqtt_unreachable" in word for word in manager.heard("STATUS=degraded")))
    before = len(manager.heard("WATCHDOG=1"))
    time.sleep(2)
    assert len(manager.heard("WATCHDOG=1")) > before + 4


def test_sigterm_ends_within_seconds_although_the_broker_is_frozen(make_broker, daemon_process):
    broker = make_broker().start()
    daemon = daemon_process(settings(broker.port)).start()
    until(lambda: daemon.acknowledged(), 20)
    broker.freeze()
    time.sleep(1)
    began = time.monotonic()
    assert daemon.end() == 0
    assert time.monotonic() - began < 8 * PATIENCE
    assert account(daemon, at_risk=0)


def test_wrong_settings_end_with_2_and_one_line(daemon_process):
    daemon = daemon_process('purpose = "workplace"\n')
    daemon.start(sys.executable, "-m", "firmware_bridge.cli", "run", "--config", str(daemon.settings))
    assert daemon.process.wait(30) == 2
    assert len(daemon.said().strip().splitlines()) == 1
    assert "2024/1689" in daemon.said()


def test_a_fault_of_the_program_ends_with_1_and_a_traceback(broker, daemon_process):
    daemon = daemon_process(settings(broker.port), FAKE_RATE="nonsense").start()
    assert daemon.process.wait(30) == 1


def test_an_indicator_on_the_microcontroller_is_required(daemon_process, reference, line):
    """No acknowledged light, no sensing; with the board there, light and readings come."""
    ours, port = line
    toml = settings(free_port(), serial=f'port = "{port}"', indicator='kind = "serial"\nrequired = true')
    daemon = daemon_process('output = "serial"\n' + toml).start()
    until(lambda: "no_indicator" in daemon.said(), 30)
    assert "camera_lost" not in daemon.said(), "no device is opened in the dark"
    with board(ours, reference) as process:
        lines = []
        threading.Thread(target=listen, args=(process.stdout, lines), daemon=True).start()
        until(lambda: "no_indicator: over" in daemon.said(), 30)
        until(lambda: "camera_lost" in daemon.said(), 30)
        until(lambda: sum(each.startswith("reading ") for each in lines) > 10)
        until(lambda: any(each.split()[:2] == ["frame", "5"] and each.split()[-1] == "01" for each in lines))
        assert daemon.end() == 0
        until(lambda: [each for each in lines if each.startswith("frame 5 ")][-1].split()[-1] == "00")
        process.kill()
