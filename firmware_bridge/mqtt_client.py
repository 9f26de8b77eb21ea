"""A client object for one connection to the broker, and what to say when a connection fails."""

from __future__ import annotations

import hashlib
import ssl
import uuid
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_emotion.errors import ConfigError
from firmware_bridge.config_file import read_secret
from firmware_bridge.settings import Mqtt


def client_id(instance: str) -> str:
    """Stable and unique: a hash of this machine's id and the instance, 23 characters as MQTT 3.1.1 guarantees."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = f"{uuid.getnode():012x}"
    return "edge_emotion-" + hashlib.sha256(f"edge_emotion:{machine}:{instance}".encode()).hexdigest()[:10]


def new_client(settings: Mqtt, identity: str, will_topic: str) -> paho.Client:
    """A client that is not connected yet: finite queues, last will, login, TLS; it never reconnects by itself.

    Raises
    ------
    ConfigError
        When a secret or a certificate cannot be read.
    """
    version = MQTTProtocolVersion.MQTTv5 if settings.protocol == "5" else MQTTProtocolVersion.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, identity, protocol=version, reconnect_on_failure=False)
    client.suppress_exceptions = True
    client.max_queued_messages_set(64)
    client.max_inflight_messages_set(64)
    client.will_set(will_topic, b"offline", qos=1, retain=True)
    if settings.username:
        password = read_secret(settings.password_file) if settings.password_file else None
        client.username_pw_set(settings.username, password)
    if settings.uses_tls:
        client.tls_set_context(tls_context(settings))
    return client


def tls_context(settings: Mqtt) -> ssl.SSLContext:
    """Verifying context with the authority and the client certificate of the settings."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file and settings.key_file:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except OSError as error:
        raise ConfigError(
            f"mqtt certificates: {error}; check ca_file, certificate_file and key_file"
        ) from None
    return context


def explain(error: Exception) -> tuple[str, str]:
    """Reason code and one line for an attempt that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "mqtt_tls",
            f"its certificate is not accepted: {error.verify_message}; check ca_file, the date and the name",
        )
    if isinstance(error, ssl.SSLError):
        return "mqtt_tls", f"no TLS ({error.reason or error}); check port and tls"
    if isinstance(error, TimeoutError):
        return "mqtt_unreachable", "does not answer; check host, port and firewall"
    if isinstance(error, OSError) and error.errno is not None and error.errno < 0:
        return "mqtt_unreachable", f"name cannot be resolved ({error.strerror})"
    return "mqtt_unreachable", f"cannot be reached ({getattr(error, 'strerror', None) or error})"
