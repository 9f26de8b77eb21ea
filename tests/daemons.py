"""Daemons as processes with their settings, their log, and what the broker acknowledged to them."""

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from broker import until

SCRIPT = Path(__file__).parent / "firmware_bridge/fake_daemon.py"


class NotifySocket:
    """The service manager's end of sd_notify."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0edge-emotion-test-{os.getpid()}-{id(self)}")
        self.socket.setblocking(False)
        self.address = "@" + self.socket.getsockname()[1:].decode()
        self.words = []

    def heard(self, word):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.words += self.socket.recv(4096).decode().splitlines()
        return [each for each in self.words if each.startswith(word)]


class DaemonProcess:
    def __init__(self, folder, toml, **environment):
        self.folder = folder
        self.settings = folder / "daemon.toml"
        self.settings.write_text(toml)
        self.environment = os.environ | {"STATE_DIRECTORY": str(folder / "state")} | environment
        self.environment["PRODUCED"] = str(folder)
        self.pids = []
        self.process = None
        self.log = folder / "log"
        self.log.touch()

    def start(self, *command):
        command = command or (sys.executable, SCRIPT, self.settings)
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=self.log.open("ab")
        )
        self.pids.append(self.process.pid)
        return self

    def produced(self):
        """``{boot: n}``: how many readings each run made, by the pipeline's own count."""
        boots = re.findall(r"run (\w+) begins", self.said())
        counts = [self.folder / str(pid) for pid in self.pids]
        return {
            boot: int(count.read_text() or 0) if count.exists() else 0
            for boot, count in zip(boots, counts, strict=True)
        }

    def said(self):
        return self.log.read_text(errors="replace")

    def end(self, how=signal.SIGTERM, timeout=20):
        self.process.send_signal(how)
        return self.process.wait(timeout)

    def acknowledged(self):
        """``{boot: {seq, ...}}`` of what the broker acknowledged, by the daemon's own log."""
        found = {}
        for line in re.findall(r"history acknowledged: (.*)", self.said()):
            for reading in json.loads(f"[{line}]"):
                found.setdefault(reading["boot"], []).append(reading["seq"])
        return found

    def spooled(self):
        """``{boot: [seq, ...]}`` of what waits in the spool."""
        found = {}
        path = self.folder / "state/spool.sqlite"
        if path.exists():
            with contextlib.closing(sqlite3.connect(path)) as database:
                for (body,) in database.execute("SELECT body FROM reading ORDER BY id"):
                    reading = json.loads(body)
                    found.setdefault(reading["boot"], []).append(reading["seq"])
        return found


@pytest.fixture
def daemon_process(tmp_path_factory):
    made = []

    def make(toml, **environment):
        made.append(DaemonProcess(tmp_path_factory.mktemp("daemon"), toml, **environment))
        return made[-1]

    yield make
    for daemon in made:
        if daemon.process and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


def settings(port, rate=20, **tables):
    """Settings of a daemon without devices: a camera that is not there."""
    lines = ['purpose = "demo"', 'device = "box"', f"rate_hz = {rate}", 'log_level = "debug"']
    tables = {
        "microphone": 'device = "off"',
        "camera": 'source = "/dev/v4l/by-id/none"',
        "mqtt": f'host = "127.0.0.1"\nport = {port}\nbackoff_s = [0.05, 0.3]\nkeepalive_s = 4',
        "history": f"rate_hz = {rate}",
    } | tables
    for name, body in tables.items():
        lines += [f"[{name}]", body] if not name.startswith("_") else []
    return tables.get("_top", "") + "\n".join(lines) + "\n"


def account(daemon, at_risk):
    """Each reading of each run is acknowledged or in the spool; returns ``{boot: [missing seq, ...]}``.

    At most ``at_risk`` may be missing, and only at the end of a run; a gap anywhere else fails.
    """
    acknowledged, spooled = daemon.acknowledged(), daemon.spooled()
    missing = {}
    for boot, produced in daemon.produced().items():
        kept = set(acknowledged.get(boot, [])) | set(spooled.get(boot, []))
        gaps = sorted(set(range(1, produced + 1)) - kept)
        missing[boot] = gaps
        assert gaps == list(range(produced - len(gaps) + 1, produced + 1)), f"{boot}: {gaps} of {produced}"
        assert len(gaps) <= at_risk, f"{boot}: {len(gaps)} of {produced}"
    return missing


__all__ = ["DaemonProcess", "NotifySocket", "account", "daemon_process", "settings", "until"]
