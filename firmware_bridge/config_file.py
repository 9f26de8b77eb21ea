"""Reads the settings file, tells what is wrong by dotted path, prints it redacted, and compares two versions of it."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_emotion.errors import ConfigError
from firmware_bridge.settings import SAFE_KEYS, Settings

_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_KEYS = {"password", "passwd", "token", "secret", "key"}


def load(path: Path) -> Settings:
    """Settings of a TOML file.

    Raises
    ------
    ConfigError
        When the file cannot be read, is no TOML, or holds a key that is unknown, missing or out of its range; the
        message gives the dotted path.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); `edge-emotion-daemon install` writes an example"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    return parse(table, str(path))


def parse(table: dict[str, Any], origin: str = "settings") -> Settings:
    """Settings of a parsed table; every fault is named in one line each."""
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{origin}: " + "; ".join(_one_line(fault) for fault in error.errors())) from None


def _one_line(fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        last = str(fault["loc"][-1])
        if last in _SECRET_KEYS:
            return f"{path}: secrets are not kept in the settings; put it into a file and name that as {path}_file"
        return f"{path}: unknown key"
    if fault["type"] == "missing":
        return f"{path}: required"
    # pydantic prefixes the messages of our own validators; its own messages quote no input, so no secret leaks
    message = fault["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


def read_secret(name: str) -> str:
    """A secret by its file, or by the name (no slash) of a systemd credential; one trailing newline is not part of it.

    Raises
    ------
    ConfigError
        When it cannot be read or is empty.
    """
    path = Path(name)
    if "/" not in name:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise ConfigError(
                f"credential {name!r}: there is no $CREDENTIALS_DIRECTORY; add LoadCredential={name}:/path to the unit"
            )
        path = Path(folder) / name
    try:
        secret = path.read_text().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"secret {name!r}: cannot be read ({getattr(error, 'strerror', None) or 'not text'})"
        ) from None
    if not secret:
        raise ConfigError(f"secret {name!r}: is empty")
    return secret


def redact(text: str) -> str:
    """``text`` without the user and password part of any URL."""
    return _USERINFO.sub("***@", text)


def show(settings: Settings) -> dict[str, Any]:
    """Every setting with its effective value, fit to be shown: user names and URL credentials become ``***``."""

    def clean(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: clean(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [clean(item) for item in value]
        if key == "username" and value is not None:
            return "***"
        return redact(value) if isinstance(value, str) else value

    shown: dict[str, Any] = clean(settings.model_dump(mode="json"))
    shown["mqtt"]["tls"] = settings.mqtt.uses_tls
    shown["mqtt"]["port"] = settings.mqtt.resolved_port
    return shown


def changes(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """Dotted keys that differ: those that a running daemon may take over, and those that need a restart."""
    before, after = _flat(old.model_dump()), _flat(new.model_dump())
    differing = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return [key for key in differing if key in SAFE_KEYS], [key for key in differing if key not in SAFE_KEYS]


def take_safe(old: Settings, new: Settings) -> Settings:
    """``old`` with the safe keys of ``new``."""
    merged = old.model_dump()
    fresh = _flat(new.model_dump())
    for key in SAFE_KEYS:
        *tables, last = key.split(".")
        place = merged
        for table in tables:
            place = place[table]
        place[last] = fresh[key]
    return Settings.model_validate(merged)


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
