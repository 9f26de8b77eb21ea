"""The page ``docs/settings.md``, made from the docstrings of `settings`."""

from __future__ import annotations

import ast
import itertools
import json
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from firmware_bridge import settings


def settings_page() -> str:
    """The page ``docs/settings.md``: every key of the settings file, from the docstrings of `settings`."""
    described = _attribute_docstrings(Path(settings.__file__).read_text())
    lines = [
        "# Settings",
        "",
        "<!-- made by `python -m firmware_bridge.reference` from firmware_bridge/settings.py -->",
        "",
    ]
    lines += [
        "One TOML file; unknown keys are refused with their dotted path. Only `purpose` has no default.",
        "",
    ]
    tables = {
        key: field for key, field in settings.Settings.model_fields.items() if _table(field) is not None
    }
    lines += _settings_table(settings.Settings, described, without=set(tables))
    for key, field in tables.items():
        model = _table(field)
        assert model is not None
        first = (model.__doc__ or "").strip().removeprefix(f"``[{key}]``: ")
        lines += [
            f"## [{key}]",
            "",
            first[:1].upper() + first[1:],
            "",
            *_settings_table(model, described, set()),
        ]
    reloaded = ", ".join(f"`{key}`" for key in settings.SAFE_KEYS)
    lines += [
        f"A running daemon takes over {reloaded} on SIGHUP or `cmd/reload`; the rest waits for a restart.",
        "",
    ]
    return "\n".join(lines)


def _table(field: Any) -> type[BaseModel] | None:
    for kind in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _settings_table(
    model: type[BaseModel], described: dict[str, dict[str, str]], without: set[str]
) -> list[str]:
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for key, field in model.model_fields.items():
        if key in without:
            continue
        if field.is_required():
            default = "required"
        else:
            unset = field.default is None or field.default_factory is not None
            default = "" if unset else f"`{_toml(field.default)}`"
        meaning = described.get(model.__name__, {}).get(key, "").replace("``", "`").replace("|", "\\|")
        lines.append(f"| `{key}` | {default} | {' '.join(meaning.split())} |")
    return [*lines, ""]


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _attribute_docstrings(source: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            for item, after in itertools.pairwise(node.body):
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    text = after.value.value if is_text else ""  # type: ignore[attr-defined]
                    found.setdefault(node.name, {})[item.target.id] = text
    return found
