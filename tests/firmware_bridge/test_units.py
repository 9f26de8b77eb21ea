"""The package data: units by systemd's own judgement, mosquitto's example files by mosquitto, schemas as generated."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import paho.mqtt.client as paho
import pytest
from broker import until
from paho.mqtt.enums import CallbackAPIVersion

from firmware_bridge import config_file, reference
from firmware_bridge.install import UNITS, Place, install, uninstall, unit
from firmware_bridge.settings_page import settings_page

DOCS = Path(__file__).parents[2] / "docs"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is not installed (apt-get install systemd)"
)


@pytest.fixture
def service(tmp_path):
    path = tmp_path / "edge-emotion.service"
    path.write_text((UNITS / "edge-emotion.service").read_text().replace("@PROGRAM@", "/bin/true"))
    return path


def analyze(*words, **environment):
    return subprocess.run(
        [ANALYZE, *map(str, words)], capture_output=True, text=True, env=os.environ | environment
    )


@needs_systemd
@pytest.mark.parametrize("drop_in", [None, *sorted(path.name for path in (UNITS / "drop-ins").iterdir())])
def test_verify_prints_nothing(service, drop_in):
    if drop_in:
        folder = service.with_name(service.name + ".d")
        folder.mkdir()
        shutil.copy(UNITS / "drop-ins" / drop_in, folder)
    done = analyze("verify", "--man=no", service)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_verify_would_have_told(service):
    service.write_text(service.read_text().replace("PrivateTmp", "PrivatTmp"))
    assert "PrivatTmp" in analyze("verify", "--man=no", service).stderr


@needs_systemd
def test_the_user_variant(tmp_path):
    path = tmp_path / "edge-emotion.service"
    path.write_text((UNITS / "edge-emotion-user.service").read_text().replace("@PROGRAM@", "/bin/true"))
    done = analyze("verify", "--man=no", "--user", path, XDG_RUNTIME_DIR=str(tmp_path))
    assert done.stderr == ""


@needs_systemd
def test_exposure_is_at_most_1_5(service):
    done = analyze("security", "--offline=true", "--threshold=15", service)
    assert done.returncode == 0, done.stdout


def test_the_contract_with_the_service_manager():
    text = (UNITS / "edge-emotion.service").read_text()
    for line in (
        "Type=notify",
        "WatchdogSignal=SIGABRT",
        "RestartPreventExitStatus=2",
        "LimitCORE=0",
        "MemorySwapMax=0",
        "ProtectSystem=strict",
        "Environment=NUMBA_CACHE_DIR=%C/edge-emotion/numba PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2",
    ):
        assert line in text.splitlines()


def test_print_unit_names_this_program():
    assert "@PROGRAM@" not in unit() + unit(user=True)
    assert "edge-emotion-daemon run --config" in unit()


def test_example_settings_are_in_order_and_secret_free():
    settings = config_file.load(UNITS / "daemon.toml")
    assert settings.purpose == "personal"
    table = tomllib.loads((UNITS / "daemon.toml").read_text())
    commented = (UNITS / "daemon.toml").read_text().replace("\n# device", "\ndevice")
    assert tomllib.loads(commented)["device"] == "kitchen"
    assert set(table) <= set(config_file.show(settings))


def test_install_keeps_settings_and_uninstall_keeps_what_the_user_wrote(tmp_path):
    place, said = Place(user=False, root=tmp_path), []
    install(place, said.append)
    assert place.unit.read_text() == unit()
    config_file.load(place.settings)
    place.settings.write_text('purpose = "research"\n')
    place.unit.write_text("old")
    install(place, said.append)
    assert place.settings.read_text() == 'purpose = "research"\n'
    assert place.unit.read_text() == unit()
    uninstall(place, said.append)
    assert place.settings.exists()
    assert not place.unit.exists()
    assert not place.sysusers.exists()
    assert str(place.settings.parent) in said[-1]


def test_schemas_and_pages_are_as_generated():
    for name in reference.MESSAGES:
        shipped = json.loads((UNITS / f"schemas/{name}.schema.json").read_text())
        assert shipped == reference.json_schema(name), "run: python -m firmware_bridge.reference"
        jsonschema.Draft202012Validator.check_schema(shipped)
    assert json.loads((UNITS / "asyncapi.json").read_text()) == reference.asyncapi()
    assert (DOCS / "messages.md").read_text() == reference.markdown()
    assert (DOCS / "settings.md").read_text() == settings_page()


def test_asyncapi_refers_only_to_what_it_holds():
    document = reference.asyncapi()
    text = json.dumps(document)
    for target in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        place = document
        for key in target.split("/"):
            place = place[key]
    assert "{prefix}/{device}/reading" in document["channels"]


def test_the_acl_lets_each_device_speak_for_itself_only(make_broker, observe, tmp_path):
    passwords = tmp_path / "passwords"
    mosquitto_passwd = shutil.which("mosquitto_passwd") or pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([mosquitto_passwd, "-b", "-c", passwords, "kitchen", "word"], check=True)
    subprocess.run([mosquitto_passwd, "-b", passwords, "homeassistant", "word"], check=True)
    acl = tmp_path / "acl"
    shutil.copy(UNITS / "mosquitto.acl", acl)
    for path in (acl, passwords):
        path.chmod(0o644)
    broker = make_broker(
        "listener {port} 127.0.0.1", "allow_anonymous false", f"password_file {passwords}", f"acl_file {acl}"
    ).start()
    heard = []

    def client(name):
        made = paho.Client(CallbackAPIVersion.VERSION2)
        made.username_pw_set(name, "word")
        made.on_message = lambda _c, _u, message: heard.append((name, message.topic))
        made.connect("127.0.0.1", broker.port)
        made.loop_start()
        until(made.is_connected)
        return made

    home, kitchen = client("homeassistant"), client("kitchen")
    home.subscribe("edge_emotion/+/reading", qos=1)
    kitchen.subscribe("edge_emotion/+/cmd/+", qos=1)
    kitchen.publish("edge_emotion/bedroom/reading", b"x", qos=1).wait_for_publish(5)
    home.publish("edge_emotion/bedroom/cmd/pause", b"x", qos=1).wait_for_publish(5)
    kitchen.publish("edge_emotion/kitchen/reading", b"x", qos=1).wait_for_publish(5)
    home.publish("edge_emotion/kitchen/cmd/pause", b"x", qos=1).wait_for_publish(5)
    until(lambda: len(heard) >= 2)
    for each in (home, kitchen):
        each.disconnect()
        each.loop_stop()
    assert sorted(heard) == [
        ("homeassistant", "edge_emotion/kitchen/reading"),
        ("kitchen", "edge_emotion/kitchen/cmd/pause"),
    ]


def test_every_test_that_the_docs_name_exists():
    text = (DOCS / "daemon.md").read_text()
    named = re.findall(r"`(?:([\w/]+\.py)(?:::)?)?(test_\w+)?`", text)
    tests = Path(__file__).parents[1]
    files = [*tests.glob("firmware_bridge/test_*.py"), *tests.glob("faults/test_*.py")]
    known = "\n".join(path.read_text() for path in files)
    assert len([name for _, name in named if name]) > 25
    for file, name in named:
        assert not name or f"def {name}(" in known, name
        assert not file or any((tests / folder / file).exists() for folder in ("", "firmware_bridge")), file
