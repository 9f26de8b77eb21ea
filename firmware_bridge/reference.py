"""The message reference as JSON Schema, as AsyncAPI and as the page ``docs/messages.md``, all made from `messages`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edge_emotion import __version__
from firmware_bridge import messages
from firmware_bridge.settings_page import settings_page

TOPICS: list[tuple[str, str, type[BaseModel] | None, str]] = [
    ("availability", "out", None, "`online` or `offline` as plain text; retained, QoS 1, also the last will"),
    ("status", "out", messages.Status, "retained, QoS 1, once per change"),
    ("reading", "out", messages.Reading, "QoS 0, not retained, `rate_hz` times a second"),
    ("track/{track}/reading", "out", messages.Reading, "QoS 0: further faces, one topic for each"),
    ("summary", "out", messages.Summary, "retained, QoS 1, `summary_hz` times a second"),
    (
        "history",
        "out",
        messages.History,
        "QoS 1, `history.rate_hz` readings a second, kept in the spool while the broker is away",
    ),
    ("health", "out", messages.Health, "QoS 0, every `health_s` seconds"),
    *(
        (f"cmd/{verb}", "in", model, "command; at most 1024 bytes, not retained")
        for verb, model in messages.VERBS.items()
    ),
    *((f"resp/{verb}", "out", messages.Response, "QoS 1: the answer") for verb in messages.VERBS),
]
"""Topic below ``<prefix>/<device>/``, direction seen from the device, message, and how it is sent."""

MESSAGES: dict[str, type[BaseModel]] = {
    "reading": messages.Reading,
    "status": messages.Status,
    "summary": messages.Summary,
    "history": messages.History,
    "health": messages.Health,
    "response": messages.Response,
    "calibrate": messages.Calibrate,
}


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of one message of `MESSAGES`."""
    schema = MESSAGES[name].model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"edge_emotion.{name}/1",
        **schema,
    }


def asyncapi() -> dict[str, Any]:
    """The whole interface as an AsyncAPI 2.6 document."""
    schemas: dict[str, Any] = {}
    components: dict[str, Any] = {}
    models = {model for _, _, model, _ in TOPICS if model is not None}
    for model in sorted(models, key=_name):
        schema = model.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
        components[model.__name__] = {
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        }
    channels: dict[str, Any] = {}
    for topic, direction, body, note in TOPICS:
        text: Any = {
            "contentType": "text/plain",
            "payload": {"type": "string", "enum": ["online", "offline"]},
        }
        message = text if body is None else {"$ref": f"#/components/messages/{body.__name__}"}
        # AsyncAPI 2 is written from the application's side: what we send, others subscribe to
        parameters = {name: {"schema": {"type": "string"}} for name in ("prefix", "device")}
        if "{track}" in topic:
            parameters["track"] = {"schema": {"type": "string"}}
        channels[f"{{prefix}}/{{device}}/{topic}"] = {
            "description": note,
            "parameters": parameters,
            "subscribe" if direction == "out" else "publish": {"message": message},
        }
    return {
        "asyncapi": "2.6.0",
        "info": {
            "title": "Edge Emotion",
            "version": __version__,
            "description": "Estimated expressed arousal and valence from a camera and a microphone, on the device.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "components": {"messages": components, "schemas": schemas},
    }


def _name(model: type[BaseModel]) -> str:
    return model.__name__


def markdown() -> str:
    """The page ``docs/messages.md``."""
    lines = [
        "# Messages",
        "",
        "<!-- made by `edge-emotion-daemon print-schema --markdown`; edit firmware_bridge/messages.py instead -->",
        "",
        *(messages.__doc__ or "").strip().splitlines()[2:],
        "The same in machine-readable form: `edge-emotion-daemon print-schema` (AsyncAPI) and "
        "`edge-emotion-daemon print-schema reading` (JSON Schema).",
        "",
        "## Topics",
        "",
        "| topic under `<prefix>/<device>/` | message | how |",
        "|---|---|---|",
    ]
    for topic, _, model, note in TOPICS:
        shown = topic.replace("{track}", "<id>")
        lines.append(f"| `{shown}` | {model.__name__ if model else 'text'} | {note} |")
    lines += ["", "`homeassistant/device/<device>/config` announces the device to Home Assistant.", ""]
    schemas = asyncapi()["components"]["schemas"]
    for name in dict.fromkeys([model.__name__ for _, _, model, _ in TOPICS if model] + sorted(schemas)):
        lines += _section(name, schemas[name])
    return "\n".join(lines)


def _section(name: str, schema: dict[str, Any]) -> list[str]:
    lines = [
        f"## {name}",
        "",
        schema.get("description", ""),
        "",
        "| key | type | required | meaning |",
        "|---|---|---|---|",
    ]
    required = schema.get("required", [])
    for key, value in schema.get("properties", {}).items():
        needed = "yes" if key in required else ""
        lines.append(f"| `{key}` | {_type(value)} | {needed} | {value.get('description', '')} |")
    return [*lines, ""]


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_type(each) for each in value["anyOf"])
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return " ".join(f"`{each}`" for each in value["enum"])
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    limits = [f"{sign} {value[key]:g}" for key, sign in _LIMITS.items() if key in value]
    kind = str(value.get("type", "any"))
    return f"{kind} {', '.join(limits)}" if limits else kind


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}


def write(units: Path, docs: Path) -> None:
    """Write all three forms where they are shipped."""
    (units / "schemas").mkdir(exist_ok=True)
    for name in MESSAGES:
        (units / f"schemas/{name}.schema.json").write_text(json.dumps(json_schema(name), indent=1) + "\n")
    (units / "asyncapi.json").write_text(json.dumps(asyncapi(), indent=1) + "\n")
    (docs / "messages.md").write_text(markdown())
    (docs / "settings.md").write_text(settings_page())


if __name__ == "__main__":
    here = Path(__file__).parent
    write(here / "units", here.parent / "docs")
