"""The form of the face encoder that was found best on this machine: kept by `edge-emotion bundle choose`, recalled at
later starts, and ignored where encoder, machine or versions are no longer those that were measured.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_emotion import folders
from edge_emotion.config import EncoderEngine, Finite, Provider, Settings, parse
from edge_emotion.errors import ConfigError
from edge_emotion.model.bundle import Bundle

log = logging.getLogger(__name__)

SCHEMA: Literal["edge_emotion.choice/1"] = "edge_emotion.choice/1"
_RUNTIMES = ("edge-emotion", "onnxruntime", "onnxruntime-gpu", "ai-edge-litert", "tflite-runtime")


class Key(Settings):
    """What a choice holds for."""

    encoder: str
    """SHA-256 over the hashes of the encoder's files."""
    machine: str
    versions: dict[str, str]


class Choice(Settings):
    """What was found best, and where."""

    schema_: Literal["edge_emotion.choice/1"] = Field(SCHEMA, alias="schema")
    key: Key
    engine: EncoderEngine
    budget_ms: Finite
    reason: str

    @property
    def line(self) -> str:
        """What to log where it is used."""
        return f"face encoder as chosen on this machine: {self.engine} (edge-emotion bundle choose)"


def remember(bundle: Bundle, engine: EncoderEngine, budget_ms: float, reason: str) -> Path:
    """Keep a decision for later starts; returns the file."""
    choice = Choice(schema=SCHEMA, key=key(bundle), engine=engine, budget_ms=budget_ms, reason=reason)
    path = file(bundle)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_text(json.dumps(choice.model_dump(mode="json", by_alias=True), indent=1) + "\n")
        unfinished.replace(path)
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be written ({fault.strerror}); set STATE_DIRECTORY") from None
    return path


def recall(bundle: Bundle, provider: Provider = "auto") -> Choice | None:
    """What was chosen for this bundle, machine and these run-time versions; ``None`` with any other provider asked."""
    path = file(bundle)
    if provider != "auto" or not path.exists():
        return None
    try:
        choice = parse(Choice, json.loads(path.read_text()), str(path))
    except (OSError, ValueError, ConfigError) as fault:
        log.warning("%s: not a choice, ignored (%s)", path, fault)
        return None
    if choice.key != key(bundle):
        log.info("%s: chosen on another machine or version, ignored; run `edge-emotion bundle choose`", path)
        return None
    return choice


def forget(bundle: Bundle) -> bool:
    """Remove what was remembered; tells whether there was anything."""
    path = file(bundle)
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


def file(bundle: Bundle) -> Path:
    """Where the choice for this bundle's encoder is kept."""
    return folders.state() / f"face-encoder-{_digest(bundle)[:16]}.json"


def key(bundle: Bundle) -> Key:
    """Encoder, machine and versions as they are now."""
    versions = {package: version for package in _RUNTIMES if (version := _version(package))}
    return Key(encoder=_digest(bundle), machine=_machine(), versions=versions)


def _digest(bundle: Bundle) -> str:
    encoder, entries = bundle.manifest.face.encoder, bundle.manifest.files
    forms = {"": encoder.file, **encoder.variants}
    lines = [f"{variant} {entries[f'face/{file}'].sha256}" for variant, file in forms.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _machine() -> str:
    """Board or processor, its architecture and how many cores this process may use."""
    board = _text("/proc/device-tree/model").strip("\0 \n")
    lines = _text("/proc/cpuinfo").splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{board or processor or 'unknown'}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
