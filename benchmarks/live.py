"""The daemon as a process between a camera, a microphone and a broker, watched from outside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import broker
from benchmarks.priority import preferred
from benchmarks.sound_server import SoundServer

SETTINGS = """
purpose = "demo"
device = "box"
rate_hz = {rate_hz}
[mqtt]
host = "127.0.0.1"
port = {port}
[microphone]
device = "pulse"
[camera]
source = "{camera}"
fps = {fps}
"""


def missing() -> list[str]:
    """Programs that a live run needs and this machine does not have."""
    return SoundServer.missing() + ([] if broker.PROGRAM else ["mosquitto"])


@dataclass(slots=True)
class Usage:
    """Processor seconds by thread name, resident MiB, and when."""

    cpu_s: dict[str, float]
    resident_mib: float
    at_s: float


@dataclass(slots=True)
class Live:
    """A running daemon."""

    pid: int
    ready_s: float
    """Wall time from the start of the process to READY."""
    ready_cpu_s: float
    preferred: bool
    """Whether other work on the machine had to wait."""
    player: subprocess.Popen[str]
    readings: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Arrival on the monotonic clock in nanoseconds, and the message."""

    def play(self) -> int:
        """Have the clip begin at a full second from now on; returns the monotonic nanoseconds of its beginning."""
        start_ns = (time.monotonic_ns() // 1_000_000_000 + 2) * 1_000_000_000
        assert self.player.stdin is not None
        self.player.stdin.write(f"{start_ns}\n")
        self.player.stdin.flush()
        return start_ns

    def usage(self) -> Usage:
        """What it has used so far."""
        threads: dict[str, float] = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(OSError):  # a thread that has just ended
                name = (task / "comm").read_text().strip()
                seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
                threads[name] = threads.get(name, 0.0) + seconds
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return Usage(threads, pages * os.sysconf("SC_PAGE_SIZE") / 2**20, time.monotonic())


@contextmanager
def running(clip: Path, *, rate_hz: float, fps: float) -> Iterator[Live]:
    """The daemon on the built-in bundle, ready, with a clip that waits to be played."""
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        sound = SoundServer(folder).start()
        ending.callback(sound.stop)
        port, broker_pid = ending.enter_context(broker.broker())
        environment = os.environ | {"PULSE_SERVER": sound.address, "STATE_DIRECTORY": str(folder / "state")}
        player = _spawn(
            ending, [sys.executable, "-m", "benchmarks.player", str(clip)], environment, pipes=True
        )
        assert player.stdout is not None
        camera = player.stdout.readline().strip()
        settings = folder / "daemon.toml"
        settings.write_text(SETTINGS.format(rate_hz=rate_hz, port=port, camera=camera, fps=fps))
        readings = ending.enter_context(_subscriber(port))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(str(folder / "notify"))
            notified.settimeout(120)
            environment["NOTIFY_SOCKET"] = str(folder / "notify")
            command = [sys.executable, "-m", "firmware_bridge.cli", "run", "--config", str(settings)]
            begin = time.monotonic()
            daemon = _spawn(ending, command, environment)
            before_others = ending.enter_context(preferred(daemon.pid, broker_pid, player.pid, sound.pid))
            while b"READY=1" not in notified.recv(4096):
                pass
            live = Live(daemon.pid, time.monotonic() - begin, 0.0, before_others, player, readings)
        live.ready_cpu_s = sum(live.usage().cpu_s.values())
        yield live


def _spawn(
    ending: ExitStack, command: list[str], environment: dict[str, str], *, pipes: bool = False
) -> subprocess.Popen[str]:
    ends = subprocess.PIPE if pipes else subprocess.DEVNULL
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=ends,
        stdout=ends,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )

    def end() -> None:
        process.terminate()
        process.wait(20)

    ending.callback(end)
    return process


@contextmanager
def _subscriber(port: int) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    heard: list[tuple[int, dict[str, Any]]] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _u, message: heard.append(
        (time.monotonic_ns(), json.loads(message.payload))
    )
    client.on_connect = lambda client, *_: client.subscribe("edge_emotion/box/reading")
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()
