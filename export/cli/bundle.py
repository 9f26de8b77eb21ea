"""``edge-emotion-export bundle``: join parts to a bundle, or put another part in."""

from __future__ import annotations

from pathlib import Path

import typer

from edge_emotion.cli import run
from edge_emotion.types import DIMENSIONS

from .program import app


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
    """Pack a bundle: check its parts, write manifest.json with every file's SHA-256, run each model once.

    A bundle without a fusion part gets the default one.
    """
    from ..conversion.bundle import DEFAULT_FUSION, FRAGMENT, assemble, replace_part, write_part
    from ..conversion.exercise import exercise

    if folder.is_dir() and not (folder / "fusion" / FRAGMENT).exists():
        write_part(folder, DEFAULT_FUSION, {})
    for source in part:
        replace_part(folder, source)
    opened = assemble(folder, bundle_id)
    exercise(opened)
    packed = opened.manifest
    size = sum(entry.bytes for entry in packed.files.values())
    run.stdout.print(
        f"{packed.id}  sha256 {packed.sha256[:16]}  {len(packed.files)} files, {size / 1e6:.2f} MB"
    )


@app.command()
def neutral(
    folder: Path = typer.Argument(help="The bundle."),
    speech: list[Path] = typer.Option(
        [], help="A speech corpus with neutral utterances, or a folder of corpora."
    ),
    faces: Path = typer.Option(None, help="A face corpus with neutral faces, or a folder of corpora."),
) -> None:
    """Measure where a bundle's neutral lies and write it into the bundle: personal calibration needs it."""
    from edge_emotion.errors import UsageError
    from edge_emotion.model.bundle import open_bundle

    from ..conversion.bundle import set_neutral
    from ..corpora.faces import find_faces
    from ..corpora.speech import find_speech
    from ..training.neutral import neutral_face, neutral_voice

    if not speech and faces is None:
        raise UsageError("say what is neutral: --speech DIR, --faces DIR or both")
    models = open_bundle(folder)
    if speech:
        set_neutral(folder, "acoustic", neutral_voice(models, find_speech(speech)))
        run.stdout.print("acoustic: neutral written")
    if faces is not None:
        set_neutral(folder, "face", neutral_face(models, find_faces(faces)))
        run.stdout.print("face: neutral written")


@app.command()
def transfer(
    folder: Path = typer.Argument(help="The bundle."),
    faces: Path = typer.Option(..., help="Folder with FER+ and a corpus of rated faces."),
    write: bool = typer.Option(
        False, "--write", help="Write the missing sigma into the bundle's fusion part."
    ),
) -> None:
    """Measure how much more the face part errs on photographs than its sigma says (against pseudo-labels of FER+)."""
    from edge_emotion.model.bundle import open_bundle

    from ..conversion.bundle import set_added_sigma
    from ..training.transfer import measure

    found = measure(open_bundle(folder), faces)
    run.stdout.print(f"{found.faces} FER+ validation faces, pseudo-labels     arousal  valence")
    for name in ("ccc", "bias", "sigma_found", "sigma_said", "added"):
        arousal, valence = getattr(found, name)
        run.stdout.print(f"  {name:42} {arousal:+8.3f} {valence:+8.3f}")
    if write:
        figures = {
            f"ferplus_pseudo_{name}_{dimension}": round(getattr(found, name)[i], 4)
            for name in ("ccc", "bias", "sigma_found", "sigma_said")
            for i, dimension in enumerate(DIMENSIONS)
        }
        set_added_sigma(folder, found.added, figures)
