"""Pack bundles: write one part at a time, then join the parts' fragments to ``manifest.json``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import onnx
from pydantic import BaseModel

from edge_emotion.config import PerDimension, SmoothingChain, SmoothingSettings, parse
from edge_emotion.errors import BundleError
from edge_emotion.model.bundle import MANIFEST, Bundle, open_bundle
from edge_emotion.model.card import CARD, card
from edge_emotion.model.manifest import (
    PART_MODELS,
    PARTS,
    SCHEMA,
    AnyPart,
    DataSource,
    FusionPart,
    Model,
    RegressorModel,
    Shape,
    Training,
    canonical_digest,
    referenced,
)

FRAGMENT = "part.json"

_SHORT_MEDIAN = SmoothingChain(median_s=0.6)
DEFAULT_FUSION = FusionPart(
    smoothing=SmoothingSettings(arousal=_SHORT_MEDIAN, valence=_SHORT_MEDIAN),
    training=Training(
        data=(),
        command="edge-emotion-export bundle edge_emotion/bundles/default",
        notes="The median over three readings takes out single outliers (our choice).",
    ),
)
"""What a bundle gets that has no fusion part of its own: no data at hand has sound and pictures with ratings."""


def describe_data(name: str, licence: str, items: Mapping[str, bytes | Path] | Iterable[Path]) -> DataSource:
    """Say what a model was trained on: item names and contents become one digest."""
    named = items.items() if isinstance(items, Mapping) else ((path.name, path) for path in items)
    lines = sorted(
        f"{hashlib.sha256(item.read_bytes() if isinstance(item, Path) else item).hexdigest()}  {key}\n"
        for key, item in named
    )
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return DataSource(name=name, licence=licence, items=len(lines), items_sha256=digest)


def write_part(bundle: Path, part: AnyPart, files: Mapping[str, bytes | Path]) -> Path:
    """Write or replace one part of a bundle, whole or not at all; ``files`` are its model files by name.

    ``manifest.json`` is joined again as soon as all three parts are there.

    Raises
    ------
    BundleError
        Where the fragment refers to a file that is not in ``files``.
    """
    lacking = sorted(set(referenced(part)) - set(files))
    if lacking:
        raise BundleError(f"{part.part}: the fragment refers to {', '.join(lacking)}, which is not given")
    bundle.mkdir(parents=True, exist_ok=True)
    target = bundle / part.part
    staged = Path(tempfile.mkdtemp(dir=bundle, prefix=f".{part.part}-"))
    try:
        staged.chmod(0o755)
        for name, content in files.items():
            file = staged / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
        (staged / FRAGMENT).write_text(_text(part), encoding="utf-8")
        _swap(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    if all((bundle / name / FRAGMENT).is_file() for name in PARTS):
        assemble(bundle)
    return target


def assemble(bundle: Path, bundle_id: str | None = None) -> Bundle:
    """Join the fragments to ``manifest.json`` with every file's SHA-256, write the card, and open it as on a device.

    ``bundle_id`` keeps the former one where ``None`` (the folder's name with ``-1`` at first).
    """
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "id": bundle_id or _former_id(bundle) or f"{bundle.resolve().name}-1",
        "files": {
            file.relative_to(bundle).as_posix(): {
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                "bytes": file.stat().st_size,
            }
            for part in PARTS
            for file in sorted((bundle / part).rglob("*"))
            if file.is_file()
        },
    }
    for name in PARTS:
        manifest[name] = _with_shapes(read_fragment(bundle / name), bundle / name).model_dump(
            mode="json", by_alias=True
        )
    manifest["sha256"] = canonical_digest(manifest)
    staged = bundle / f".{MANIFEST}"
    staged.write_text(
        json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    staged.replace(bundle / MANIFEST)
    opened = open_bundle(bundle)
    (bundle / CARD).write_text(card(opened.manifest), encoding="utf-8")
    return opened


def _with_shapes(part: AnyPart, folder: Path) -> AnyPart:
    """The part, each of its ONNX models with the shapes that its file declares."""
    models = {
        name: value for name in type(part).model_fields if isinstance(value := getattr(part, name), Model)
    }
    shaped = {
        name: model.model_copy(update=_shapes(folder / model.file))
        for name, model in models.items()
        if model.file.endswith(".onnx")
    }
    return part.model_copy(update=shaped)


def _shapes(file: Path) -> dict[str, dict[str, Shape]]:
    try:
        graph = onnx.load_model(file).graph
    except Exception as fault:  # noqa: BLE001  protobuf has classes of its own
        raise BundleError(f"{file}: not an ONNX model ({fault})") from None
    weights = {weight.name for weight in graph.initializer}
    return {
        side: {
            value.name: tuple(
                axis.dim_value or axis.dim_param or "any" for axis in value.type.tensor_type.shape.dim
            )
            for value in values
            if value.name not in weights
        }
        for side, values in (("inputs", graph.input), ("outputs", graph.output))
    }


def read_fragment(folder: Path) -> AnyPart:
    """Read and validate a part's ``part.json``; the folder's name says which part it is."""
    file = folder / FRAGMENT
    if folder.name not in PART_MODELS:
        raise BundleError(f"{folder}: a part is named {', '.join(PARTS)}")
    try:
        data = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise BundleError(
            f"{folder}: the part is missing ({FRAGMENT} not found); train and export it first"
        ) from None
    except ValueError as error:
        raise BundleError(f"{file}: not JSON ({error})") from None
    return parse(PART_MODELS[folder.name], data, str(file), BundleError)


def replace_part(bundle: Path, source: Path) -> Bundle:
    """Put the part in folder ``source`` (of another bundle, or new) in the place of the bundle's own."""
    part = read_fragment(source)
    files = {name: source / name for name in referenced(part)}
    write_part(bundle, part, files)
    return assemble(bundle)


def set_neutral(bundle: Path, part: Literal["acoustic", "face"], neutral: tuple[float, ...]) -> Bundle:
    """Write where a part's neutral lies (`RegressorModel.neutral`) into its fragment; its models stay as they are."""
    fragment = read_fragment(bundle / part)
    assert not isinstance(fragment, FusionPart)
    regressor = parse(
        RegressorModel,
        fragment.regressor.model_dump() | {"neutral": neutral},
        f"{part}.regressor",
        BundleError,
    )
    write_part(bundle, fragment.model_copy(update={"regressor": regressor}), part_files(bundle / part))
    return assemble(bundle)


def part_files(folder: Path) -> dict[str, Path]:
    """All files of a part but its fragment, by name."""
    return {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != FRAGMENT
    }


def set_added_sigma(bundle: Path, video: tuple[float, float], metrics: Mapping[str, float]) -> Bundle:
    """Write what the face part's sigma does not know of into the fusion part, and the figures that it follows from."""
    part = read_fragment(bundle / "fusion")
    assert isinstance(part, FusionPart)
    added = part.added_sigma.model_copy(update={"video": PerDimension(arousal=video[0], valence=video[1])})
    training = part.training or Training(data=(), command="edge-emotion-export transfer --write")
    source = "Added sigma: what `edge-emotion-export transfer` measured on photographs."
    notes = training.notes if source in training.notes else f"{training.notes} {source}".strip()
    training = training.model_copy(update={"metrics": {**training.metrics, **metrics}, "notes": notes})
    files = {name: bundle / "fusion" / name for name in referenced(part)}
    write_part(bundle, part.model_copy(update={"added_sigma": added, "training": training}), files)
    return assemble(bundle)


def _former_id(bundle: Path) -> str | None:
    try:
        return str(json.loads((bundle / MANIFEST).read_bytes())["id"])
    except (OSError, ValueError, KeyError):
        return None


def _text(part: BaseModel) -> str:
    return part.model_dump_json(indent=1, by_alias=True) + "\n"


def _swap(staged: Path, target: Path) -> None:
    """Rename ``staged`` to ``target``; a former target is moved aside first and put back if that fails."""
    if not target.exists():
        staged.rename(target)
        return
    former = target.with_name(f".{target.name}-former-{os.getpid()}")
    target.rename(former)
    try:
        staged.rename(target)
    except OSError:
        former.rename(target)
        raise
    shutil.rmtree(former)
