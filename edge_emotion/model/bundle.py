"""Open a model bundle: nothing is loaded from it before every file's SHA-256 has been checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from edge_emotion.config import parse
from edge_emotion.errors import BundleError
from edge_emotion.model.manifest import SCHEMA, Manifest, Model, PartName, canonical_digest

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: its folder and its manifest."""

    path: Path
    manifest: Manifest

    def file(self, part: PartName, model: Model, variant: str | None = None) -> Path:
        """Path of a model's file.

        Raises
        ------
        BundleError
            Where the bundle holds no such variant.
        """
        if variant is None:
            return self.path / part / model.file
        if variant not in model.variants:
            choice = ", ".join(model.variants) or "none"
            raise BundleError(
                f"{self.path}: {part}/{model.file} has no variant {variant!r}; it has: {choice}"
            )
        return self.path / part / model.variants[variant]


def default_bundle_path() -> Path:
    """Folder of the bundle that is installed with the package."""
    return Path(str(resources.files("edge_emotion"))) / "bundles" / "default"


def open_bundle(path: str | Path | None = None) -> Bundle:
    """Read, validate and verify a bundle; ``None`` is the embedded default.

    Raises
    ------
    BundleError
        Missing or damaged files, an unknown schema, a path that leaves the folder: one line that names it.
    """
    folder = default_bundle_path() if path is None else Path(path)
    data = _read_manifest(folder)
    schema = data.get("schema")
    if schema != SCHEMA:
        raise BundleError(
            f"{folder}: bundle schema {schema!r} is unknown here ({SCHEMA} is read); "
            "upgrade edge-emotion or pack the bundle again with `edge-emotion-export bundle`"
        )
    manifest = parse(Manifest, data, f"{folder / MANIFEST}", BundleError)
    if canonical_digest(data) != manifest.sha256:
        raise BundleError(
            f"{folder / MANIFEST}: its content does not match its own sha256; pack the bundle again"
        )
    _verify(folder, manifest)
    return Bundle(folder, manifest)


def _read_manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such bundle folder")
    try:
        data = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder}: not a bundle, it holds no {MANIFEST}") from None
    except OSError as error:
        raise BundleError(f"{folder / MANIFEST}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{folder / MANIFEST}: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise BundleError(f"{folder / MANIFEST}: a JSON object was expected")
    return data


def _verify(folder: Path, manifest: Manifest) -> None:
    root = folder.resolve()
    for name, entry in manifest.files.items():
        file = (root / name).resolve()  # follows links, so that none leads outside
        if not file.is_relative_to(root):
            raise BundleError(f"{folder}: {name} leads outside the bundle's folder")
        try:
            content = file.read_bytes()
        except OSError as error:
            raise BundleError(f"{folder}: {name}: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError(
                f"{folder}: {name} is not what the manifest says (SHA-256 differs); copy the bundle again"
            )
