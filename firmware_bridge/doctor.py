"""Looks at everything that a daemon needs, in the order in which it needs it; each complaint comes with its remedy."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import paho.mqtt.client as paho

from edge_emotion import folders
from edge_emotion.errors import EdgeEmotionError
from firmware_bridge import machine
from firmware_bridge.mqtt_client import client_id, explain, new_client, tls_context
from firmware_bridge.outputs import topic_root
from firmware_bridge.settings import Settings

WAIT_S = 5.0

Verdict = Literal["ok", "warning", "fault"]


class Finding(NamedTuple):
    """One thing looked at."""

    verdict: Verdict
    what: str
    said: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding; a stage that fails ends its own chain, not the others."""
    yield Finding(
        "ok", "purpose", settings.purpose + (f": {settings.purpose_basis}" if settings.purpose_basis else "")
    )
    yield from _clock()
    yield from _models(settings)
    if settings.replay is not None:
        yield from _replay(settings.replay.file)
    else:
        yield from _microphone(settings)
        yield from _camera(settings)
    yield from _indicator(settings)
    if "mqtt" in settings.output:
        yield from _spool(settings)
        yield from broker(settings)
    if settings.serial.port:
        yield from _serial(settings.serial.port)


def _clock() -> Iterator[Finding]:
    if machine.clock() == "synced":
        yield Finding("ok", "clock", "synchronised")
    else:
        yield Finding(
            "warning",
            "clock",
            "not known to be synchronised: readings carry the flag clock_unsynced",
            "timedatectl set-ntp true",
        )


def _models(settings: Settings) -> Iterator[Finding]:
    from edge_emotion.model.bundle import open_bundle

    try:
        bundle = open_bundle(settings.bundle)
    except EdgeEmotionError as error:
        yield Finding("fault", "bundle", str(error), "leave `bundle` out to use the built-in one")
        return
    yield Finding("ok", "bundle", f"{bundle.manifest.id} ({bundle.manifest.sha256[:12]})")
    cache = Path(os.environ.get("NUMBA_CACHE_DIR", ""))
    if str(cache) != "." and not os.access(_existing(cache), os.W_OK):
        yield Finding(
            "warning",
            "kernel cache",
            f"{cache} cannot be written: each start compiles for a minute",
            "chown it",
        )


def _replay(path: Path) -> Iterator[Finding]:
    from edge_emotion.capture.file import open_clip

    try:
        with open_clip(path) as clip:
            kinds = [
                name for name, there in (("sound", clip.has_audio), ("picture", clip.has_video)) if there
            ]
    except EdgeEmotionError as error:
        yield Finding("fault", "clip", str(error), "choose another file in replay.file")
    else:
        yield Finding("ok", "clip", f"{path}: {' and '.join(kinds)}")


def _microphone(settings: Settings) -> Iterator[Finding]:
    from firmware_bridge.microphone import devices, find, portaudio

    if settings.microphone.device == "off":
        yield Finding("ok", "microphone", "off")
        return
    try:
        with portaudio() as audio:
            known = [device.name for device in devices(audio)]
            device = find(audio, settings.microphone.device)
    except ImportError:
        yield Finding("fault", "microphone", "PyAudio is not installed", "pip install 'edge-emotion[device]'")
    except OSError as error:
        remedy = "name one of those in microphone.device" if "there are" in str(error) else (
            "plug one in; `groups` must show audio; on desktops use the user service"
        )  # fmt: skip
        yield Finding("fault", "microphone", str(error), remedy)
    else:
        yield Finding("ok", "microphone", f"{device.name}, {device.sample_rate_hz} Hz (of {len(known)})")


def _camera(settings: Settings) -> Iterator[Finding]:
    from firmware_bridge.camera import open_camera

    if settings.camera.source == "off":
        yield Finding("ok", "camera", "off")
        return
    try:
        pictures = open_camera(settings.camera)
    except (OSError, EdgeEmotionError) as error:
        yield Finding("fault", "camera", str(error), "`edge-emotion-daemon devices` lists what there is")
        return
    try:
        # the first ones may be of no use: a stream that is joined in its middle
        seen = any(pictures.grab() is not None and pictures.retrieve() is not None for _ in range(50))
    except (OSError, EOFError):
        seen = False
    finally:
        pictures.close()
    if seen:
        yield Finding("ok", "camera", "opens and delivers")
    else:
        yield Finding(
            "fault", "camera", "opens, but delivers no picture", "try another source or plug it in again"
        )


def _indicator(settings: Settings) -> Iterator[Finding]:
    from firmware_bridge.indicator import LEDS

    if settings.indicator.kind == "none":
        yield Finding(
            "warning", "indicator", "none: nobody can see when it senses", 'set [indicator] kind = "led"'
        )
    elif settings.indicator.kind == "led":
        brightness = LEDS / str(settings.indicator.led) / "brightness"
        if os.access(brightness, os.W_OK):
            yield Finding("ok", "indicator", f"LED {settings.indicator.led}")
        else:
            said = "may not be switched" if brightness.exists() else "is not there"
            yield Finding(
                "fault", "indicator", f"LED {settings.indicator.led} {said}", "see units/drop-ins/led.conf"
            )
    else:
        yield Finding("ok", "indicator", f"on the microcontroller at {settings.serial.port}")


def _spool(settings: Settings) -> Iterator[Finding]:
    if settings.history.rate_hz <= 0:
        yield Finding("ok", "spool", "off: history.rate_hz is 0")
        return
    path = settings.history.file or folders.state() / "spool.sqlite"
    home = _existing(path.parent)
    if not os.access(home, os.W_OK):
        yield Finding("fault", "spool", f"{home} cannot be written", "set history.file, or chown the folder")
        return
    free = shutil.disk_usage(home).free
    if free < settings.history.max_bytes:
        said = f"{free / 1e6:.0f} MB free, history.max_bytes asks for {settings.history.max_bytes / 1e6:.0f}"
        yield Finding("warning", "spool", said, "free some space or lower history.max_bytes")
    else:
        yield Finding("ok", "spool", f"{path}, {free / 1e6:.0f} MB free")


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _serial(port: str) -> Iterator[Finding]:
    if os.access(port, os.R_OK | os.W_OK):
        yield Finding("ok", "serial", port)
    elif Path(port).exists():
        yield Finding("fault", "serial", f"{port} may not be opened", "add the user to the group dialout")
    else:
        yield Finding("fault", "serial", f"{port} is not there", "name it as under /dev/serial/by-id")


def broker(settings: Settings) -> Iterator[Finding]:
    """Name, TCP, TLS, login, publish: the first that fails ends the chain."""
    mqtt = settings.mqtt
    place = f"{mqtt.host}:{mqtt.resolved_port}"
    try:
        address = socket.getaddrinfo(mqtt.host, mqtt.resolved_port, type=socket.SOCK_STREAM)[0][4]
    except OSError as error:
        yield Finding(
            "fault", "broker: name", f"{mqtt.host}: {error.strerror}", "check mqtt.host, or use an address"
        )
        return
    yield Finding("ok", "broker: name", f"{mqtt.host} is {address[0]}")
    try:
        line = socket.create_connection((mqtt.host, mqtt.resolved_port), WAIT_S)
    except OSError as error:
        remedy = "is the broker running, the port right (8883 with TLS, else 1883), the firewall open?"
        yield Finding("fault", "broker: TCP", f"{place}: {error.strerror or error}", remedy)
        return
    with line:
        yield Finding("ok", "broker: TCP", place)
        if mqtt.uses_tls:
            finding = _tls(settings, line)
            yield finding
            if finding.verdict == "fault":
                return
        elif mqtt.username:
            yield Finding(
                "warning",
                "broker: TLS",
                "off: the password crosses the network in the open",
                "set mqtt.tls = true",
            )
    yield from _login(settings)


def _tls(settings: Settings, line: socket.socket) -> Finding:
    try:
        with tls_context(settings.mqtt).wrap_socket(line, server_hostname=settings.mqtt.host) as secure:
            return Finding("ok", "broker: TLS", f"{secure.version()}, certificate accepted")
    except EdgeEmotionError as error:
        return Finding("fault", "broker: TLS", str(error), "check the paths and who may read them")
    except (OSError, ssl.SSLError) as error:
        return Finding(
            "fault",
            "broker: TLS",
            explain(error)[1],
            "openssl s_client -connect HOST:PORT shows the certificate",
        )


def _login(settings: Settings) -> Iterator[Finding]:
    mqtt = settings.mqtt
    answered, published = threading.Event(), threading.Event()
    codes: dict[str, Any] = {}

    def noted(name: str, event: threading.Event) -> Callable[..., None]:
        def callback(
            client: paho.Client, userdata: Any, flags_or_mid: Any, code: Any, properties: Any
        ) -> None:
            codes[name] = code
            event.set()

        return callback

    try:
        # an identity of its own: the daemon's would throw a running daemon off
        client = new_client(
            mqtt, client_id(settings.instance + "-doctor"), f"{topic_root(settings)}/resp/doctor"
        )
        client.on_connect = noted("login", answered)
        client.on_publish = noted("publish", published)
        client.connect(mqtt.host, mqtt.resolved_port, 10)
    except (OSError, EdgeEmotionError) as error:
        yield Finding("fault", "broker: login", str(error), "see above")
        return
    client.loop_start()
    try:
        if not answered.wait(WAIT_S):
            said = "accepts connections but does not answer"
            yield Finding("fault", "broker: login", said, "is this an MQTT port, and TLS switched as there?")
            return
        if codes["login"].is_failure:
            said, remedy = f"refused: {codes['login']}", "check username, password_file and mqtt.protocol"
            yield Finding("fault", "broker: login", said, remedy)
            return
        yield Finding("ok", "broker: login", f"as {'a user' if mqtt.username else 'nobody in particular'}")
        client.publish(f"{topic_root(settings)}/resp/doctor", b"{}", qos=1)
        if published.wait(WAIT_S) and not codes["publish"].is_failure:
            yield Finding("ok", "broker: publish", f"under {topic_root(settings)}/")
        else:
            said = f"not acknowledged ({codes.get('publish', 'no answer')})"
            yield Finding(
                "fault", "broker: publish", said, "check the broker's ACL; units/mosquitto.acl is an example"
            )
    finally:
        with contextlib.suppress(OSError):
            client.disconnect()
        client.loop_stop()
