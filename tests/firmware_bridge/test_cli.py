"""The command line: what it prints, and how it ends."""

import json

import pytest
from broker import free_port

from edge_emotion.cli import run as ending
from firmware_bridge.cli import app
from firmware_bridge.spool import Spool


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))

    def run(*words, toml='purpose = "demo"\n'):
        path = tmp_path / "daemon.toml"
        path.write_text(toml)
        words = [str(path) if word == "TOML" else str(word) for word in words]
        code = ending.run(app, "edge-emotion-daemon", words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_check_config(call):
    assert call("check-config", "--config", "TOML")[0] == 0
    code, _, said = call("check-config", "-c", "TOML", toml='purpose = "demo"\n[mqtt]\nhostt = "x"\n')
    assert code == 2
    assert "mqtt.hostt: unknown key" in said
    assert "Traceback" not in said
    code, _, said = call(
        "check-config", "-c", "TOML", toml='purpose="demo"\n[mqtt]\nusername="u"\npassword_file="/none/x"\n'
    )
    assert (code, "/none/x" in said) == (2, True)


def test_config_show_is_redacted_json(call):
    code, out, _ = call(
        "config", "show", "-c", "TOML", toml='purpose="demo"\n[camera]\nsource="rtsp://anna:word@cam/live"\n'
    )
    shown = json.loads(out)
    assert code == 0
    assert shown["camera"]["source"] == "rtsp://***@cam/live"
    assert shown["mqtt"]["port"] == 1883


def test_print_schema_and_unit(call):
    assert json.loads(call("print-schema")[1])["asyncapi"] == "2.6.0"
    assert json.loads(call("print-schema", "reading")[1])["$id"] == "edge_emotion.reading/1"
    assert call("print-schema", "nonsense")[0] == 2
    assert "ExecStart=" in call("print-unit")[1]
    assert "WantedBy=default.target" in call("print-unit", "--user")[1]


def test_install_under_a_root(call, tmp_path):
    code, out, _ = call("install", "--root", tmp_path / "tree")
    assert code == 0
    assert (tmp_path / "tree/etc/systemd/system/edge-emotion.service").exists()
    assert "next" in out
    code, out, _ = call(
        "uninstall",
        "-c",
        "TOML",
        "--root",
        tmp_path / "tree",
        toml=f'purpose="demo"\n[mqtt]\nport={free_port()}\n',
    )
    assert code == 0
    assert "skipped" in out


def test_devices_lists_without_failing(call):
    assert call("devices")[0] == 0


def test_doctor_names_the_stage_that_fails(call):
    off = 'purpose = "demo"\n[microphone]\ndevice = "off"\n[camera]\nsource = "/dev/v4l/by-id/none"\n'
    code, out, _ = call("doctor", "-c", "TOML", toml=off + f'[mqtt]\nhost="127.0.0.1"\nport={free_port()}\n')
    assert code == 1
    assert "✗ camera: /dev/v4l/by-id/none is not there" in out
    assert "✗ broker: TCP" in out
    assert "→ is the broker running" in out
    code, out, _ = call("doctor", "-c", "TOML", toml=off + '[mqtt]\nhost="no.such.host.invalid"\n')
    assert "✗ broker: name" in out
    assert "broker: TCP" not in out


def test_doctor_finds_a_good_broker_and_a_refused_login(call, broker, make_broker, tmp_path):
    off = 'purpose = "demo"\n[microphone]\ndevice = "off"\n[camera]\nsource = "/dev/v4l/by-id/none"\n'
    _, out, _ = call("doctor", "-c", "TOML", toml=off + f'[mqtt]\nhost="127.0.0.1"\nport={broker.port}\n')
    assert "✓ broker: publish" in out
    (tmp_path / "users").write_text("")
    closed = make_broker(
        "listener {port} 127.0.0.1", "allow_anonymous false", f"password_file {tmp_path}/users"
    ).start()
    _, out, _ = call("doctor", "-c", "TOML", toml=off + f'[mqtt]\nhost="127.0.0.1"\nport={closed.port}\n')
    assert "✗ broker: login: refused" in out
    _, out, _ = call(
        "doctor", "-c", "TOML", toml=off + f'[mqtt]\nhost="127.0.0.1"\ntls=true\nport={broker.port}\n'
    )
    assert "✗ broker: TLS" in out


def test_uninstall_empties_the_discovery_topic(call, broker, observe, tmp_path):
    first = observe(broker.port)
    for topic in (
        "homeassistant/device/box/config",
        "edge_emotion/box/status",
        "edge_emotion/box/availability",
    ):
        first.client.publish(topic, b"x", qos=1, retain=True).wait_for_publish(5)
    toml = f'purpose="demo"\ndevice="box"\n[mqtt]\nhost="127.0.0.1"\nport={broker.port}\n'
    code, out, _ = call("uninstall", "-c", "TOML", "--root", tmp_path / "tree", toml=toml)
    assert code == 0
    assert "removed  the announcement" in out
    late = observe(broker.port)
    assert [topic for topic, payload, *_ in late.heard if payload] == []


def test_spool_stat_drain_purge(call, broker, observe, tmp_path):
    toml = f'purpose="demo"\ndevice="box"\n[mqtt]\nhost="127.0.0.1"\nport={broker.port}\n'
    path = tmp_path / "state/spool.sqlite"
    with Spool(path, max_bytes=10**6, max_age_s=1e9, uptime_s=lambda: 0.0) as spool:
        spool.store([(n, b'{"seq":%d}' % n) for n in range(1, 251)])
    assert "250 readings" in call("spool", "stat", "-c", "TOML", toml=toml)[1]
    watcher = observe(broker.port)
    code, out, _ = call("spool", "drain", "-c", "TOML", toml=toml)
    assert (code, out) == (0, "0 readings left\n")
    sent = [each["seq"] for body in watcher.of("/history") for each in json.loads(body)["readings"]]
    assert sent == list(range(1, 251))
    with Spool(path, max_bytes=10**6, max_age_s=1e9, uptime_s=lambda: 0.0) as spool:
        spool.store([(999, b"{}")])
    assert "1 readings forgotten" in call("spool", "purge", "--yes", "-c", "TOML", toml=toml)[1]


def test_a_config_file_that_is_not_there(call, tmp_path):
    code, _, said = call("run", "--config", tmp_path / "none.toml")
    assert code == 2
    assert "install" in said
