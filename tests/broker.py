"""A real mosquitto on a free loopback port, and an observer that writes down all it hears."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE = 3
MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, timeout_s=10.0, said="condition"):
    """Wait until ``condition()`` is true and return its value; a loaded machine gets three times as long."""
    timeout_s *= PATIENCE
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, f"{said} not met within {timeout_s} s"
        time.sleep(0.01)
    return value


class Broker:
    def __init__(self, folder, *lines, port=None):
        self.folder = folder
        self.port = port or free_port()
        self.lines = lines
        self.process = None
        self.starts = 0

    def start(self):
        config = self.folder / "mosquitto.conf"
        lines = self.lines or (f"listener {self.port} 127.0.0.1", "allow_anonymous true")
        store = (
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            "user root" if os.getuid() == 0 else "",
            "log_type all",
            "set_tcp_nodelay true",
        )
        config.write_text("\n".join(line.format(port=self.port) for line in (*lines, *store)) + "\n")
        self.log = (self.folder / "mosquitto.log").open("ab")
        self.process = subprocess.Popen([MOSQUITTO, "-c", config], stdout=self.log, stderr=subprocess.STDOUT)
        self.starts += 1
        until(self._listens, said="broker listens")
        return self

    def _listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def said(self):
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self, how=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait()
        self.log.close()


class Observer:
    """Subscribes to everything and keeps ``(topic, payload, retained, time)``."""

    def __init__(self, port, topic="#"):
        self.heard = []
        self.ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = lambda _c, _u, message: self.heard.append(
            (message.topic, message.payload, message.retain, time.monotonic())
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10)

    def of(self, ending):
        return [payload for topic, payload, *_ in list(self.heard) if topic.endswith(ending)]

    def last(self, ending):
        return self.of(ending)[-1] if self.of(ending) else None

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def make_broker(tmp_path_factory):
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    brokers = []

    def make(*lines, port=None):
        brokers.append(Broker(tmp_path_factory.mktemp("broker"), *lines, port=port))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.kill()


@pytest.fixture
def broker(make_broker):
    return make_broker().start()


@pytest.fixture
def observe():
    observers = []

    def begin(port, topic="#"):
        observers.append(Observer(port, topic))
        return observers[-1]

    yield begin
    for observer in observers:
        observer.close()


class SlowLine:
    """A way to the broker that lets everything through at first, then one byte a second towards it."""

    def __init__(self, port):
        self.slow = False
        self.port_behind = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                far = socket.create_connection(("127.0.0.1", self.port_behind))
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source, target, towards_broker):
        with contextlib.suppress(OSError):
            while data := source.recv(1 if self.slow and towards_broker else 4096):
                target.sendall(data)
                if self.slow and towards_broker:
                    time.sleep(1)
        for line in (source, target):
            line.close()

    def close(self):
        self.listener.close()
