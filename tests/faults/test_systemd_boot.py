"""The shipped unit, user and sandbox under a real systemd: this machine's root, read only, booted in a container."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from broker import free_port, until
from daemons import SCRIPT, settings

from firmware_bridge.install import UNITS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

BOOT = """
mount --make-rprivate /
mount --bind / {root}
exec systemd-nspawn -q -D {root} --volatile=overlay --boot --register=no --keep-unit --private-network {binds} \
    systemd.wants=edge-emotion.service systemd.mask=systemd-timesyncd.service
"""

DROP_IN = """
[Service]
ExecStart=
ExecStart={python} {script} /observed/daemon.toml
Environment=FAKE_STUCK_S=4 PYTHONPATH={repository} PYTHONDONTWRITEBYTECODE=1
WatchdogSec=3
StandardOutput=append:/observed/log
StandardError=append:/observed/log
ReadWritePaths=/observed
# the interpreter may live in a home folder here
ProtectHome=tmpfs
BindReadOnlyPaths={prefix} {repository} {venv}
"""


@pytest.fixture
def booted(tmp_path):
    if os.geteuid() != 0 or not shutil.which("systemd-nspawn") or not Path("/lib/systemd/systemd").exists():
        pytest.skip("needs root, systemd-nspawn (systemd-container) and systemd on this machine")
    root, observed, files = (tmp_path / name for name in ("root", "observed", "files"))
    for folder in (root, observed, files):
        folder.mkdir()
    for folder in (observed, *observed.parents):
        if folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(0o755)
    observed.chmod(0o777)
    (observed / "daemon.toml").write_text(settings(free_port()))
    unit = (UNITS / "edge-emotion.service").read_text().replace("@PROGRAM@", "/bin/true")
    (files / "edge-emotion.service").write_text(unit)
    repository = Path(__file__).parents[2]
    places = {"prefix": sys.base_prefix, "repository": repository, "venv": sys.prefix}
    (files / "test.conf").write_text(DROP_IN.format(python=sys.executable, script=SCRIPT, **places))
    binds = {
        files / "edge-emotion.service": "/etc/systemd/system/edge-emotion.service",
        files / "test.conf": "/etc/systemd/system/edge-emotion.service.d/test.conf",
        UNITS / "edge-emotion.sysusers": "/usr/lib/sysusers.d/edge-emotion.conf",
    }
    words = " ".join(f"--bind-ro={source}:{target}" for source, target in binds.items())
    script = BOOT.format(root=root, binds=f"{words} --bind={observed}:/observed")
    console = (tmp_path / "console").open("wb")
    process = subprocess.Popen(
        ["unshare", "--mount", "bash", "-c", script],
        stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    yield process, observed, tmp_path / "console"
    # killing systemd-nspawn alone would leave the container running: end its first process
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    process.wait(30)


def test_a_stuck_inference_is_restarted_by_systemd(booted):
    process, observed, console = booted
    log = observed / "log"

    def said():
        assert process.poll() is None, console.read_text(errors="replace")[-2000:]
        return log.read_text(errors="replace") if log.exists() else ""

    until(lambda: " begins" in said(), 60, "first start")
    until(lambda: "the watchdog is not fed" in said(), 40, "stuck inference is noticed")
    began = time.monotonic()
    until(lambda: "Fatal Python error: Aborted" in said(), 20, "systemd aborts")
    assert time.monotonic() - began < 30
    assert "in poll" in said()
    until(lambda: said().count(" begins") >= 2, 40, "systemd starts it again")
    until(lambda: "was killed: up to" in said(), 40, "the spool in the state folder tells of the run before")
