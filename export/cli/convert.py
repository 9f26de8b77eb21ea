"""``edge-emotion-export convert face`` and ``verify``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_emotion.cli import run

from .program import app, convert_app

if TYPE_CHECKING:
    from edge_emotion.model.manifest import FacePart

    from ..conversion.face_forms import Comparison, Faces


@convert_app.command("face")
def convert_face(
    bundle: Path = typer.Option(help="The bundle whose face encoder is converted in place."),
    data: Path = typer.Option(
        help="Folder with FER+: training faces for the ranges, validation faces to judge."
    ),
    encoder: Path = typer.Option(
        None,
        exists=True,
        dir_okay=False,
        help="Float ONNX to start from; by default the bundle's own float form.",
    ),
    tflite: bool = typer.Option(
        True, help="Also TFLite; the first time, its converter is installed (1.9 GB)."
    ),
    let_differ: bool = typer.Option(
        False, "--let-differ", help="Write also forms that differ more than that; the manifest records it."
    ),
) -> None:
    """Quantise a bundle's float face encoder to int8 ONNX and TFLite, and write both if they say what float says.

    The int8 ONNX becomes the main file; float and TFLite become variants. Where a form differs from float by more than
    0.02 (99th percentile) or 0.06 (most) in arousal or valence, or 0.3 points of accuracy, nothing is written.
    """
    from ..conversion.face_conversion import convert_face as convert

    _show(convert(bundle, data, encoder=encoder, tflite=tflite, let_differ=let_differ))


@app.command()
def verify(
    bundle: Path = typer.Argument(None, help="Folder of a model bundle; the built-in one by default."),
    faces: Path = typer.Option(
        None, help="Folder with FER+: compare on its validation faces, not on drawn ones."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of a table."),
) -> None:
    """Check a bundle: every file's hash, every model run once, and every form of the face encoder against float.

    Ends with 65 where a file is not what the manifest says or a form differs.
    """
    from edge_emotion.model.bundle import open_bundle

    from ..conversion import face_forms
    from ..conversion.exercise import exercise

    opened = open_bundle(bundle)
    exercise(opened)
    judged = _judged(opened.manifest.face, faces)
    found = face_forms.compare_bundle(opened, judged)
    if as_json:
        report = {
            "bundle": opened.manifest.id,
            "sha256": opened.manifest.sha256,
            "files": len(opened.manifest.files),
            "faces": "drawn" if faces is None else "given",
            "encoder": [row.report() for row in found],
        }
        run.stdout.print(json.dumps(report, indent=1, allow_nan=False), markup=False)
    else:
        run.stdout.print(
            f"{opened.manifest.id}: {len(opened.manifest.files)} files as the manifest says, models run"
        )
        _show(found)
    face_forms.check(found)


def _judged(part: FacePart, folder: Path | None) -> Faces:
    if folder is None:
        from edge_emotion.model.trial import drawn_faces

        from ..conversion.face_forms import Faces

        return Faces(drawn_faces(part))
    from ..conversion.face_conversion import labelled_faces
    from ..corpora.faces import find_faces, with_votes

    return labelled_faces(part, with_votes(find_faces(folder)))


def _show(found: Sequence[Comparison]) -> None:
    from rich.table import Column, Table

    heads = ("face encoder", "runs on", "p99", "most", "accuracy", "lost", "cpu ms", "kB", "")
    columns = [Column(head, no_wrap=True) for head in heads]
    table = Table(*columns, box=None, padding=(0, 1), title=f"against float, {found[0].faces} faces")
    for row in found:
        rates = ("", "") if row.accuracy is None else (f"{row.accuracy:.2f} %", f"{row.lost:.2f}")
        table.add_row(
            row.form,
            row.ran_on,
            f"{row.p99:.4f}",
            f"{row.most:.4f}",
            *rates,
            f"{row.cpu_ms:.2f}",
            f"{row.bytes / 1e3:.0f}",
            "holds" if row.holds else "differs",
        )
    run.stdout.print(table)
