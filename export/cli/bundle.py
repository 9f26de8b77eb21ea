"""``edge-emotion-export bundle``: join parts to a bundle, or put another part in."""

from __future__ import annotations

from pathlib import Path

import typer

from edge_emotion.cli import run

from . import app


@app.command()
def bundle(
    folder: Path = typer.Argument(help="The bundle: a folder that holds acoustic/, face/ and fusion/."),
    part: list[Path] = typer.Option(
        [], help="A part's folder to put in the place of the bundle's own; repeatable."
    ),
    bundle_id: str = typer.Option(
        None, "--id", help="Name of the bundle in every reading, such as kitchen-2."
    ),
) -> None:
    """Pack a bundle: check its parts, write manifest.json with every file's SHA-256, open it as a device would.

    A bundle without a fusion part gets the default one.
    """
    from ..conversion.bundle import DEFAULT_FUSION, FRAGMENT, assemble, replace_part, write_part

    if folder.is_dir() and not (folder / "fusion" / FRAGMENT).exists():
        write_part(folder, DEFAULT_FUSION, {})
    for source in part:
        replace_part(folder, source)
    packed = assemble(folder, bundle_id).manifest
    size = sum(entry.bytes for entry in packed.files.values())
    run.stdout.print(
        f"{packed.id}  sha256 {packed.sha256[:16]}  {len(packed.files)} files, {size / 1e6:.2f} MB"
    )
