"""Installed, upgraded and uninstalled on a booted machine: the real daemon on a clip, in its sandbox, with a broker."""

import sys
from pathlib import Path

import pytest
import scenes
from broker import MOSQUITTO, until
from clips import write_clip
from containers import VISIBLE, booted

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SETTINGS = """
# kept by an upgrade
purpose = "demo"
device = "box"
rate_hz = 10
[replay]
file = "/observed/clip.mkv"
loop = true
[mqtt]
host = "127.0.0.1"
port = 18830
backoff_s = [0.2, 1]
[history]
rate_hz = 10
"""

UNIT = """
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/bash /observed/steps.sh
StandardOutput=append:/observed/log
StandardError=append:/observed/log
"""

STEPS = """
set -u
program={program}
spool() {{ "$program" spool stat | grep -o '[0-9]* readings'; }}
retained() {{ mosquitto_sub -p 18830 -t '#' --retained-only -W 2 -F '%t %l' | sort; }}
broker() {{ {mosquitto} -p 18830 >/dev/null 2>&1 & broker=$!; sleep 1; }}
stat_of() {{ stat -c '%U:%G %a' "$1"; }}
export STATE_DIRECTORY=/var/lib/edge-emotion

echo "== install"; "$program" install; echo "rc $?"
echo "settings $(stat_of /etc/edge-emotion/daemon.toml)"
cat /observed/daemon.toml > /etc/edge-emotion/daemon.toml
echo "== start"; broker; systemctl enable --now edge-emotion 2>/dev/null; echo "rc $?"
systemctl show edge-emotion -p ActiveState,User,StatusText,NRestarts
mosquitto_sub -p 18830 -t edge_emotion/box/reading -C 5 -W 60 >/dev/null; echo "readings rc $?"
sleep 6; retained
echo "== broker away"; kill $broker; wait $broker; sleep 9; systemctl stop edge-emotion; echo "spool $(spool)"
echo "== upgrade"; "$program" install; echo "rc $?"
cmp /observed/daemon.toml /etc/edge-emotion/daemon.toml && echo "settings are kept"
echo "spool $(spool)"
broker; systemctl start edge-emotion; echo "rc $?"; sleep 8; systemctl stop edge-emotion; echo "spool $(spool)"
echo "== uninstall"; systemctl start edge-emotion; sleep 3; "$program" uninstall; echo "rc $?"
systemctl is-active edge-emotion; ls /etc/systemd/system/edge-emotion.service /usr/lib/sysusers.d/edge-emotion.conf 2>&1
echo "retained: [$(retained)]"; ls -d /etc/edge-emotion/daemon.toml /var/lib/edge-emotion/spool.sqlite
echo "== end"
"""


def test_install_upgrade_and_uninstall_on_a_booted_machine(tmp_path, capsys):
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    observed = tmp_path / "observed"
    observed.mkdir()
    write_clip(observed / "clip.mkv", shades=range(0, 200, 2), sound=scenes.voice(4.0), rate=16_000)
    (observed / "daemon.toml").write_text(SETTINGS)
    program = Path(sys.prefix) / "bin/edge-emotion-daemon"
    (observed / "steps.sh").write_text(STEPS.format(program=program, mosquitto=MOSQUITTO))
    files = {
        "/etc/systemd/system/steps.service": UNIT,
        "/etc/systemd/system/edge-emotion.service.d/test.conf": f"[Service]{VISIBLE}BindReadOnlyPaths=/observed\n",
    }
    with booted(tmp_path, "steps.service", files) as container:
        until(lambda: "== end" in container.said(), 200, "all steps are done")
        said = container.said()
    with capsys.disabled():
        print(said)
    part = {each.split("\n", 1)[0]: each for each in said.split("== ")}
    assert "written  /etc/systemd/system/edge-emotion.service" in part["install"]
    assert "failed" not in part["install"] + part["upgrade"]
    assert "settings root:edge-emotion 640" in part["install"]
    assert "ActiveState=active" in part["start"]
    assert "StatusText=ready" in part["start"]
    assert "NRestarts=0" in part["start"]
    assert "readings rc 0" in part["start"]
    for topic in (
        "edge_emotion/box/availability",
        "edge_emotion/box/status",
        "homeassistant/device/box/config",
    ):
        assert topic in part["start"]
    waiting = rows(part["broker away"])[0]
    assert waiting > 50
    assert "kept     /etc/edge-emotion/daemon.toml" in part["upgrade"]
    assert "settings are kept" in part["upgrade"]
    assert rows(part["upgrade"]) == [waiting, 0], (
        "the spool is kept by the upgrade, and sent when the broker is back"
    )
    assert "removed  the announcement to Home Assistant and the retained messages" in part["uninstall"]
    assert "inactive" in part["uninstall"]
    assert part["uninstall"].count("No such file") == 2
    assert "retained: []" in part["uninstall"]
    assert part["uninstall"].count("/var/lib/edge-emotion/spool.sqlite") == 1
    assert [line for line in said.splitlines() if line.startswith("rc")] == ["rc 0"] * 5


def rows(text):
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith("spool")]
