"""Publishing over MQTT: what `publish` costs the tick, and how long a reading takes over loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import broker
from benchmarks.harness import YARDSTICK, Options, Result, interleave, yardstick
from benchmarks.priority import preferred
from firmware_bridge.history import History
from firmware_bridge.mqtt import Connection
from firmware_bridge.settings import Mqtt
from firmware_bridge.spool import Spool

BODY = {"schema": "edge_emotion.reading/1", "arousal": 0.31, "valence": -0.12, "filling": "x" * 600}
PERIOD_S = 0.02


def run(options: Options) -> Result:
    """CPU time of one `publish`, and wall time from it to a subscriber over a broker."""
    result = Result("mqtt")
    if broker.PROGRAM is None:
        result.not_measured["mosquitto"] = "it is not installed (apt-get install mosquitto)"
        return result
    with broker.broker() as (port, _), _connection(port) as connection:
        body = json.dumps(BODY).encode()
        timings = interleave(
            {YARDSTICK: yardstick, "publish": lambda: connection.publish("x", body)}, options.rounds
        )
        result.add_timings(timings)
    count = max(options.rounds, 20)
    # a session of its own, which can be put before the others
    command = [sys.executable, "-m", "benchmarks.subjects.mqtt", str(count)]
    done = subprocess.run(command, capture_output=True, start_new_session=True, check=True)
    first, late_ms = json.loads(done.stdout)
    result.add("arrived", len(late_ms), "", f"of {count}")
    for name, share in (("p50", 50), ("p99", 99)):
        how = "others wait" if first else "beside whatever else runs"
        value = float(np.percentile(late_ms, share))
        result.add(f"publish to subscriber, {name}", value, "ms", f"wall, loopback, QoS 0, {how}")
    return result


def _time_messages(count: int) -> tuple[bool, list[float]]:
    """Milliseconds of each message that arrived, and whether other work had to wait."""
    with (
        broker.broker() as (port, pid),
        preferred(pid) as first,
        _connection(port) as connection,
        _subscriber(port) as heard,
    ):
        for sequence in range(count):
            message = BODY | {"n": sequence, "t": time.perf_counter_ns()}
            connection.publish("timed", json.dumps(message).encode())
            time.sleep(PERIOD_S)
        time.sleep(0.5)
    return first, [(arrived - json.loads(message)["t"]) / 1e6 for message, arrived in heard]


@contextmanager
def _connection(port: int) -> Iterator[Connection]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spool.sqlite"
        history = History(lambda: Spool(file, max_bytes=10**7, max_age_s=1e6, uptime_s=time.monotonic))
        connection = Connection(Mqtt(host="127.0.0.1", port=port), "benchmark", "benchmark/box", history)
        with closing(history), closing(connection):
            connection.start()
            broker.wait(lambda: connection.connected)
            yield connection


@contextmanager
def _subscriber(port: int) -> Iterator[list[tuple[bytes, int]]]:
    heard: list[tuple[bytes, int]] = []
    ready: list[bool] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_subscribe = lambda *_: ready.append(True)
    client.on_message = lambda _c, _u, message: heard.append((bytes(message.payload), time.perf_counter_ns()))
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("benchmark/box/timed")
    broker.wait(lambda: bool(ready))
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


if __name__ == "__main__":
    print(json.dumps(_time_messages(int(sys.argv[1]))))
