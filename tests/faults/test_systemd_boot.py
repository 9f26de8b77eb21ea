"""The shipped unit, user and sandbox under a real systemd: this machine's root, read only, booted in a container."""

import sys
import time

import pytest
from broker import free_port, until
from containers import REPOSITORY, VISIBLE, booted
from daemons import SCRIPT, settings

from firmware_bridge.install import UNITS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

DROP_IN = f"""
[Service]
ExecStart=
ExecStart={sys.executable} {SCRIPT} /observed/daemon.toml
Environment=FAKE_STUCK_S=4 PYTHONPATH={REPOSITORY} PYTHONDONTWRITEBYTECODE=1
WatchdogSec=3
StandardOutput=append:/observed/log
StandardError=append:/observed/log
ReadWritePaths=/observed
{VISIBLE}
"""


def test_a_stuck_inference_is_restarted_by_systemd(tmp_path):
    (tmp_path / "observed").mkdir()
    (tmp_path / "observed/daemon.toml").write_text(settings(free_port()))
    files = {
        "/etc/systemd/system/edge-emotion.service": (UNITS / "edge-emotion.service")
        .read_text()
        .replace("@PROGRAM@", "/bin/true"),
        "/etc/systemd/system/edge-emotion.service.d/test.conf": DROP_IN,
        "/usr/lib/sysusers.d/edge-emotion.conf": (UNITS / "edge-emotion.sysusers").read_text(),
    }
    with booted(tmp_path, "edge-emotion.service", files) as container:
        said = container.said
        until(lambda: " begins" in said(), 60, "first start")
        until(lambda: "the watchdog is not fed" in said(), 40, "stuck inference is noticed")
        began = time.monotonic()
        until(lambda: "Fatal Python error: Aborted" in said(), 20, "systemd aborts")
        assert time.monotonic() - began < 30
        assert "in poll" in said()
        until(lambda: said().count(" begins") >= 2, 40, "systemd starts it again")
        until(
            lambda: "was killed: up to" in said(), 40, "the spool in the state folder tells of the run before"
        )
