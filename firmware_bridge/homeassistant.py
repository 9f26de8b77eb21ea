"""Device-based discovery for Home Assistant (2024.11 or newer): one retained message announces the whole device.

Source: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from __future__ import annotations

from typing import Any

from edge_emotion import __version__
from firmware_bridge.settings import Settings


def topic(settings: Settings) -> str:
    """Where the announcement goes; an empty retained message there takes it back."""
    return f"{settings.mqtt.discovery_prefix}/device/{settings.device}/config"


def discovery(settings: Settings, model_id: str) -> dict[str, Any]:
    """The announcement.

    Sensors read the summary, not the live readings, and turn unavailable when three summaries are missing. A null
    renders as ``None``, which Home Assistant takes as unknown.
    """
    root = f"{settings.mqtt.prefix}/{settings.device}"
    expire_s = max(15, round(3 / settings.summary_hz))

    def sensor(name: str, value: str, icon: str) -> dict[str, Any]:
        return {
            "platform": "sensor",
            "unique_id": f"{settings.device}_{value}",
            "name": name,
            "icon": icon,
            "state_topic": f"{root}/summary",
            "value_template": "{{ value_json.mean." + value + " }}",
            "state_class": "measurement",
            "suggested_display_precision": 2,
            "expire_after": expire_s,
        }

    def button(name: str, verb: str, icon: str) -> dict[str, Any]:
        return {
            "platform": "button",
            "unique_id": f"{settings.device}_{verb}",
            "name": name,
            "icon": icon,
            "command_topic": f"{root}/cmd/{verb}",
            "payload_press": "{}",
            "entity_category": "config",
        }

    components = {
        "arousal": sensor("Expressed arousal", "arousal", "mdi:lightning-bolt-outline"),
        "valence": sensor("Expressed valence", "valence", "mdi:emoticon-outline"),
        "confidence": sensor("Confidence", "confidence", "mdi:gauge"),
        "state": {
            "platform": "sensor",
            "unique_id": f"{settings.device}_state",
            "name": "State",
            "state_topic": f"{root}/status",
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": f"{root}/status",
            "device_class": "enum",
            "options": ["init", "ready", "degraded", "paused", "error"],
            "entity_category": "diagnostic",
        },
    }
    if settings.mqtt.commands:
        components |= {
            "pause": button("Pause", "pause", "mdi:pause"),
            "resume": button("Resume", "resume", "mdi:play"),
            "identify": button("Identify", "identify", "mdi:lightbulb-alert-outline"),
        }
    return {
        "device": {
            "identifiers": [f"edge_emotion_{settings.device}"],
            "name": settings.device,
            "manufacturer": "Edge Emotion",
            "model": f"bundle {model_id}",
            "sw_version": __version__,
        },
        "origin": {"name": "edge-emotion-daemon", "sw_version": __version__},
        "availability": [{"topic": f"{root}/availability"}],
        "components": components,
    }
