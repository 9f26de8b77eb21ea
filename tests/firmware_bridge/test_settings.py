import pytest

from edge_emotion.errors import ConfigError
from firmware_bridge import config_file
from firmware_bridge.settings import SAFE_KEYS, Settings

MINIMAL = {"purpose": "personal"}


def test_the_shortest_file_is_one_line(tmp_path):
    path = tmp_path / "daemon.toml"
    path.write_text('purpose = "personal"\n')
    settings = config_file.load(path)
    assert settings.output == ("mqtt",)
    assert settings.mqtt.resolved_port == 1883


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "purpose: required"),
        (MINIMAL | {"mqtt": {"hots": "x"}}, "mqtt.hots: unknown key"),
        (MINIMAL | {"rate_hz": 26}, "rate_hz:"),
        (MINIMAL | {"mqtt": {"password": "hunter2"}}, "mqtt.password: secrets are not kept"),
        (MINIMAL | {"output": []}, "output must name"),
        (MINIMAL | {"output": "serial"}, "serial.port"),
        (MINIMAL | {"microphone": {"device": "off"}}, "nothing to sense"),
        (MINIMAL | {"indicator": {"required": True}}, "required = true needs"),
        (MINIMAL | {"mqtt": {"backoff_s": [5, 1]}}, "mqtt.backoff_s"),
        (MINIMAL | {"mqtt": {"certificate_file": "/a"}}, "belong together"),
        (MINIMAL | {"mqtt": {"prefix": "a/#"}}, "mqtt.prefix"),
        (MINIMAL | {"device": "A b"}, "device"),
    ],
)
def test_faults_are_named_by_their_dotted_path(table, said):
    with pytest.raises(ConfigError, match=r".") as caught:
        config_file.parse(table)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("purpose", ["workplace", "education"])
def test_the_purpose_gate(purpose):
    with pytest.raises(ConfigError, match=r"2024/1689 Art\. 5\(1\)\(f\)"):
        config_file.parse({"purpose": purpose})
    with pytest.raises(ConfigError, match="documented basis"):
        config_file.parse({"purpose": purpose, "purpose_basis": "because"})
    basis = "Driver fatigue alarm, safety case 12-B, reviewed 2026"
    assert config_file.parse({"purpose": purpose, "purpose_basis": basis}).purpose == purpose


def test_tls_is_on_where_credentials_are():
    plain = config_file.parse(MINIMAL).mqtt
    login = config_file.parse(MINIMAL | {"mqtt": {"username": "u"}}).mqtt
    forced = config_file.parse(MINIMAL | {"mqtt": {"username": "u", "tls": False}}).mqtt
    assert (plain.uses_tls, plain.resolved_port) == (False, 1883)
    assert (login.uses_tls, login.resolved_port) == (True, 8883)
    assert (forced.uses_tls, forced.resolved_port) == (False, 1883)


def test_a_broken_file_is_one_line(tmp_path):
    path = tmp_path / "daemon.toml"
    for content in (b"purpose = ", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"daemon\.toml") as caught:
            config_file.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        config_file.load(tmp_path / "absent.toml")


def test_secrets_come_from_files_and_credentials(tmp_path, monkeypatch):
    (tmp_path / "word").write_text("s3cret \n")
    assert config_file.read_secret(str(tmp_path / "word")) == "s3cret "
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="LoadCredential=word"):
        config_file.read_secret("word")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert config_file.read_secret("word") == "s3cret "
    (tmp_path / "word").write_text("\n")
    with pytest.raises(ConfigError, match="empty"):
        config_file.read_secret("word")


def test_nothing_secret_is_shown():
    settings = config_file.parse(
        MINIMAL | {"mqtt": {"username": "anna"}, "camera": {"source": "rtsp://bert:word@10.0.0.7/live"}}
    )
    shown = str(config_file.show(settings))
    assert not any(secret in shown for secret in ("anna", "bert", "word@"))
    assert "rtsp://***@10.0.0.7/live" in shown


def test_changes_tell_safe_keys_from_the_rest():
    old = config_file.parse(MINIMAL)
    new = config_file.parse(
        MINIMAL | {"log_level": "debug", "history": {"rate_hz": 2}, "mqtt": {"host": "other"}}
    )
    assert config_file.changes(old, new) == (["history.rate_hz", "log_level"], ["mqtt.host"])
    taken = config_file.take_safe(old, new)
    assert taken.log_level == "debug"
    assert taken.history.rate_hz == 2
    assert taken.mqtt.host == old.mqtt.host


def test_safe_keys_exist():
    known = config_file._flat(Settings(purpose="demo").model_dump())
    assert set(SAFE_KEYS) <= set(known)
