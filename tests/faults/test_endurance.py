"""The long injections: ``pytest -m faults tests/faults``. Short forms of each are in tests/firmware_bridge."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from broker import until
from daemons import account, settings

from firmware_bridge.history import AT_RISK_S

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]
RATE = 20


def resident_mb(daemon):
    pages = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_a_hundred_broker_kills_and_ten_sigkills(make_broker, daemon_process, capsys):
    """Each seq is acknowledged or in the spool; only a SIGKILL may cost the last seconds of its run."""
    chance = random.Random(1)
    broker = make_broker().start()
    daemon = daemon_process(settings(broker.port, rate=RATE)).start()
    until(lambda: daemon.acknowledged(), 60)
    kills_of_daemon = set(chance.sample(range(5, 95), 10))
    memory = []
    for kill in range(100):
        time.sleep(chance.uniform(0.05, 1.5))
        if kill in kills_of_daemon:
            boot = list(daemon.produced())[-1]
            until(lambda: boot in daemon.acknowledged(), 60)  # noqa: B023
        broker.kill()
        if kill in kills_of_daemon:
            time.sleep(chance.uniform(0.0, 2.0))
            daemon.end(signal.SIGKILL)
            daemon.start()
        time.sleep(chance.uniform(0.05, 1.5))
        broker.start()
        if kill % 10 == 9:
            memory.append(resident_mb(daemon))
    until(lambda: daemon.spooled() == {}, 120)
    assert daemon.end() == 0
    missing = account(daemon, at_risk=AT_RISK_S * RATE + 2)
    acknowledged = daemon.acknowledged()
    total = sum(map(len, acknowledged.values()))
    produced = sum(daemon.produced().values())
    distinct = sum(len(set(seqs)) for seqs in acknowledged.values())
    lost = sum(map(len, missing.values()))
    clean = list(acknowledged)[-1]
    with capsys.disabled():
        print(
            f"\n{len(acknowledged)} runs, {produced} readings made, {distinct} acknowledged, "
            f"{total - distinct} sent again, "
            f"{lost} lost to 10 SIGKILLs, resident {min(memory):.1f} to {max(memory):.1f} MiB"
        )
    assert missing[clean] == []
    assert len(acknowledged) == 11
    assert daemon.said().count("was killed: up to") == 10


def test_memory_is_flat_over_reconnections(make_broker, daemon_process, capsys):
    broker = make_broker().start()
    daemon = daemon_process(settings(broker.port, rate=RATE)).start()
    until(lambda: daemon.acknowledged(), 60)

    seen = []
    for _ in range(60):
        broker.kill()
        time.sleep(0.5)
        broker.start()
        time.sleep(0.7)
        seen.append(resident_mb(daemon))
    with capsys.disabled():
        print(f"\nresident after 10, 30, 60 reconnections: {seen[9]:.2f}, {seen[29]:.2f}, {seen[-1]:.2f} MiB")
    assert seen[-1] - seen[9] < 2.0


def test_at_most_one_attempt_to_connect_is_under_way(daemon_process):
    """A listener that never answers counts how many connections are open at the same time."""
    listener = socket.create_server(("127.0.0.1", 0))
    daemon_process(settings(listener.getsockname()[1], rate=RATE)).start()
    listener.settimeout(40)
    opened = []
    for _ in range(3):
        line, _ = listener.accept()
        for earlier in opened:
            earlier.settimeout(5)
            assert earlier.recv(4096) is not None
            while earlier.recv(4096):
                pass  # ends when the daemon has closed it: before the next attempt was made
        opened = [line]
    assert opened


def test_a_frozen_broker_for_a_minute(make_broker, daemon_process, observe):
    broker = make_broker().start()
    daemon = daemon_process(settings(broker.port, rate=RATE)).start()
    until(lambda: daemon.acknowledged(), 60)
    broker.freeze()
    time.sleep(60)
    assert daemon.process.poll() is None
    assert sum(map(len, daemon.spooled().values())) > 30 * RATE
    broker.thaw()
    until(lambda: daemon.spooled() == {}, 120)
    assert daemon.end() == 0
    assert list(account(daemon, at_risk=0).values()) == [[]]


def test_a_small_disk_fills_up_and_is_freed(make_broker, daemon_process, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        broker = make_broker()
        toml = settings(broker.port, rate=RATE, history=f'rate_hz = {RATE}\nfile = "{disk}/spool.sqlite"')
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(700_000))
        daemon = daemon_process(toml).start()
        until(lambda: "spool_unavailable" in daemon.said(), 120)
        ballast.unlink()
        until(lambda: "spool_unavailable: over" in daemon.said(), 60)
        broker.start()
        until(lambda: daemon.acknowledged(), 60)
        time.sleep(10)
        assert daemon.end() == 0
        (seqs,) = daemon.acknowledged().values()
        assert sorted(set(seqs)) == list(range(1, max(seqs) + 1))
    finally:
        subprocess.run(["umount", disk], check=True)
