"""The owner of the connection against a real mosquitto."""

import json
import logging
import subprocess
import threading
import time
import tracemalloc

import paho.mqtt.client as paho
import pytest
from broker import SlowLine, free_port, until
from paho.mqtt.enums import CallbackAPIVersion

from firmware_bridge.backoff import Backoff
from firmware_bridge.history import History
from firmware_bridge.mqtt import Connection
from firmware_bridge.mqtt_client import client_id
from firmware_bridge.settings import Mqtt
from firmware_bridge.spool import Spool


@pytest.fixture
def connect(tmp_path):
    made = []

    def make(port, *, name="spool", instance="main", on_message=None, **settings):
        settings = {"host": "127.0.0.1", "port": port, "backoff_s": (0.05, 0.3), "keepalive_s": 2} | settings
        history = History(
            lambda: Spool(
                tmp_path / f"{name}.sqlite", max_bytes=10**8, max_age_s=1e9, uptime_s=time.monotonic
            )
        )
        connection = Connection(
            Mqtt(**settings),
            instance,
            "edge_emotion/box",
            history,
            on_message=on_message or (lambda *_: None),
        )
        connection.start()
        made.append((connection, history))
        return connection, history

    yield make
    for connection, history in made:
        connection.close()
        history.close()


def reading(n):
    return json.dumps({"seq": n}).encode()


def seqs(observer):
    return [each["seq"] for body in observer.of("/history") for each in json.loads(body)["readings"]]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_says_online_and_offline_and_keeps_retained(broker, observe, connect, protocol):
    connection, _ = connect(broker.port, protocol=protocol)
    connection.retain("status", b'{"state":"ready"}')
    until(lambda: connection.connected)
    watcher = observe(broker.port)
    until(lambda: watcher.last("/status") == b'{"state":"ready"}')
    assert watcher.last("/availability") == b"online"
    connection.publish("reading", b"1")
    until(lambda: watcher.last("/reading") == b"1")
    connection.close()
    until(lambda: watcher.last("/availability") == b"offline")
    late = observe(broker.port)
    until(lambda: late.last("/availability") == b"offline", said="offline is retained")
    assert late.last("/reading") is None


def test_the_last_will_speaks_for_a_dead_process(broker, observe, connect):
    connection, _ = connect(broker.port)
    until(lambda: connection.connected)
    watcher = observe(broker.port)
    # a second client with the same id takes the connection over without a farewell
    thief = paho.Client(CallbackAPIVersion.VERSION2, client_id("main"))
    thief.connect("127.0.0.1", broker.port)
    thief.loop_start()
    until(lambda: b"offline" in watcher.of("/availability"))
    thief.disconnect()
    thief.loop_stop()


def test_a_message_does_not_wait_for_the_one_before(broker, observe, connect):
    connection, _ = connect(broker.port)
    until(lambda: connection.connected)
    watcher = observe(broker.port, "edge_emotion/box/reading")
    sent = []
    for n in range(200):
        sent.append(time.monotonic())
        connection.publish("reading", b"%d" % n)
        time.sleep(0.003)
    until(lambda: len(watcher.heard) == 200)
    late = sorted(heard[3] - at for heard, at in zip(watcher.heard, sent, strict=True))
    assert (
        late[100] < 0.03
    )  # Nagle's rule with a delayed acknowledgement is 0.04; the benchmark holds the budget


def test_publish_never_waits(make_broker, connect):
    broker = make_broker().start()
    connection, _ = connect(broker.port)
    until(lambda: connection.connected)
    broker.freeze()
    longest = 0.0
    for _ in range(3000):
        began = time.perf_counter()
        connection.publish("reading", bytes(700))
        longest = max(longest, time.perf_counter() - began)
    assert longest < 1.0  # the broker is frozen for good; a busy machine may hold this process for a while
    assert connection.counts.dropped["live"] > 1000
    assert len(connection._outbox.live) <= 64


def test_history_outlives_broker_kills(make_broker, connect, tmp_path):
    acknowledged = []
    broker = make_broker().start()
    connection, history = connect(broker.port)
    original = history.acknowledge
    history.acknowledge = lambda batch: (
        acknowledged.extend(int(json.loads(b)["seq"]) for b in batch.bodies),
        original(batch),
    )
    count, stop = 0, threading.Event()

    def keep():
        while not stop.wait(0.02):
            history.poll(time.monotonic_ns())

    keeper = threading.Thread(target=keep)
    keeper.start()
    for _ in range(5):
        for _ in range(40):
            count += 1
            history.push(reading(count), time.monotonic_ns())
            connection.kick()
            time.sleep(0.005)
        broker.kill()
        for _ in range(20):
            count += 1
            history.push(reading(count), time.monotonic_ns())
            time.sleep(0.005)
        broker.start()
    until(lambda: history.waiting == 0, 20)
    stop.set()
    keeper.join()
    assert set(acknowledged) == set(range(1, count + 1))
    first = list(dict.fromkeys(acknowledged))
    assert first == sorted(first), "history is in order but for what is sent again"


def test_broker_absent_at_the_start(make_broker, observe, connect):
    broker = make_broker()
    connection, history = connect(broker.port)
    for n in range(1, 6):
        history.push(reading(n), time.monotonic_ns())
    until(lambda: connection.fault == "mqtt_unreachable")
    assert connection.counts.failures >= 1
    broker.start()
    watcher = observe(broker.port)
    until(lambda: seqs(watcher) == [1, 2, 3, 4, 5])
    assert connection.fault is None


def test_login_refused_is_told_and_not_believed(make_broker, connect, tmp_path):
    (tmp_path / "users").write_text("")
    broker = make_broker(
        "listener {port} 127.0.0.1", "allow_anonymous false", f"password_file {tmp_path}/users"
    ).start()
    (tmp_path / "word").write_text("wrong")
    for protocol in ("3.1.1", "5"):
        connection, history = connect(
            broker.port,
            username="u",
            password_file=str(tmp_path / "word"),
            tls=False,
            protocol=protocol,
            name=protocol,
        )
        history.push(reading(1), 0)
        until(lambda: connection.fault == "mqtt_refused")  # noqa: B023
        assert "password_file" in connection.detail
        assert connection.counts.connects == 0
        assert history.waiting == 1


def test_a_frozen_broker_is_noticed(make_broker, connect):
    broker = make_broker().start()
    connection, history = connect(broker.port, keepalive_s=4)
    until(lambda: connection.connected)
    broker.freeze()
    history.push(reading(1), time.monotonic_ns())
    connection.kick()
    until(lambda: connection.fault in ("mqtt_unresponsive", "mqtt_lost", "mqtt_silent"), 15)
    assert history.waiting == 1
    broker.thaw()
    until(lambda: connection.fault is None and history.waiting == 0, 15)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_two_clients_with_one_id_are_told(broker, connect, protocol, caplog):
    one, _ = connect(broker.port, protocol=protocol, name="one")
    two, _ = connect(broker.port, protocol=protocol, name="two")
    assert one.client_id == two.client_id
    until(lambda: "mqtt_duplicate_client" in (one.fault, two.fault), 20)
    assert "instance" in (one.detail + two.detail)


def test_commands_reach_the_callback(broker, observe, connect):
    got = []
    connection, _ = connect(broker.port, on_message=lambda *message: got.append(message))
    until(lambda: connection.connected)
    watcher = observe(broker.port)
    time.sleep(0.1)
    watcher.client.publish("edge_emotion/box/cmd/pause", b"{}", qos=1)
    until(lambda: got == [("edge_emotion/box/cmd/pause", b"{}", False)])
    connection.answer("resp/pause", b"done")
    until(lambda: watcher.last("/resp/pause") == b"done")


def test_a_callback_that_fails_is_counted_and_survived(broker, observe, connect, caplog):
    def broken(*_):
        raise RuntimeError("boom")

    connection, _ = connect(broker.port, on_message=broken)
    until(lambda: connection.connected)
    watcher = observe(broker.port)
    with caplog.at_level(logging.CRITICAL):
        watcher.client.publish("edge_emotion/box/cmd/x", b"1", qos=1)
        until(lambda: connection.counts.callback_errors == 1)
    connection.publish("reading", b"alive")
    until(lambda: watcher.last("/reading") == b"alive")


def make_certificates(folder):
    """An authority, a server and a client certificate, and a server certificate that has expired."""

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=ca",
    )
    for name, days in (("server", "30"), ("client", "30"), ("expired", "-1")):
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", days, "-out", f"{name}.pem", "-extfile", "ext",
        )  # fmt: skip


def tls_lines(folder, server):
    return (
        "listener {port} 127.0.0.1", "allow_anonymous true", f"cafile {folder}/ca.pem",
        f"certfile {folder}/{server}.pem", f"keyfile {folder}/{server}.key", "require_certificate true",
    )  # fmt: skip


def test_mutual_tls_and_an_expired_certificate(make_broker, connect, tmp_path):
    make_certificates(tmp_path)
    keys = {
        "ca_file": tmp_path / "ca.pem",
        "certificate_file": tmp_path / "client.pem",
        "key_file": tmp_path / "client.key",
    }
    good = make_broker(*tls_lines(tmp_path, "server")).start()
    connection, history = connect(good.port, **keys)
    history.push(reading(1), 0)
    until(lambda: connection.connected and history.waiting == 0)
    bad = make_broker(*tls_lines(tmp_path, "expired")).start()
    refused, _ = connect(bad.port, name="expired", **keys)
    until(lambda: refused.fault == "mqtt_tls")
    assert "expired" in refused.detail
    plain, _ = connect(good.port, name="plain", tls=True)
    until(lambda: plain.fault == "mqtt_tls")


def test_memory_stays_flat_while_the_broker_is_away(connect):
    connection, _ = connect(free_port(), backoff_s=(0.01, 0.02))
    until(lambda: connection.counts.failures > 20)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    seen = connection.counts.failures
    until(lambda: connection.counts.failures > seen + 150, 20)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 200_000


def test_backoff_lies_within_its_bounds_and_differs():
    backoff = Backoff(1, 120, seed=1)
    waits = [backoff.next_s() for _ in range(100)]
    assert all(1 <= wait <= 120 for wait in waits)
    assert waits[0] <= 3
    assert max(waits) > 60
    assert len({round(wait, 6) for wait in waits if wait < 120}) > 30
    backoff.reset()
    assert backoff.next_s() <= 3


def test_the_client_id_is_stable_short_and_per_instance():
    assert client_id("main") == client_id("main")
    assert client_id("main") != client_id("other")
    assert len(client_id("main").encode()) == 23


def test_a_slow_broker_is_a_fault_and_memory_stays_bounded(broker, connect):
    line = SlowLine(broker.port)
    connection, history = connect(line.port, keepalive_s=60)
    until(lambda: connection.connected)
    line.slow = True
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    history.push(reading(1), time.monotonic_ns())
    # more than the kernel's buffers hold
    for _ in range(20_000):
        connection.publish("reading", bytes(700))
    connection.kick()
    until(lambda: connection.fault == "mqtt_unresponsive", 15)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert connection.counts.dropped["live"] > 1000
    assert grown < 300_000
    assert history.waiting == 1
    line.close()
