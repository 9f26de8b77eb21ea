"""From a bundle's float face encoder to the forms that devices run, written only where they say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import Engine
from edge_emotion.errors import UsageError
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.model.manifest import FacePart
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.model.trial import REFERENCE
from edge_emotion.types import U8

from ..corpora.faces import FaceCorpus, find_faces, with_votes
from ..corpora.votes import label
from ..training.face_crops import face_crops
from . import face_forms
from .bundle import assemble, part_files, write_part
from .face_forms import TFLITE, Comparison, Faces
from .face_part import FLOAT_FILE
from .integer_plan import plan
from .quantisation import prepare, quantised_forms
from .rounded_weights import is_rounded, unpacked
from .tflite import to_tflite

CALIBRATION, JUDGED = 384, 2000
"""Crops for the ranges of activations, and other crops on which the forms are compared."""
FILES = {REFERENCE: FLOAT_FILE, TFLITE: "encoder.tflite"}


def convert_face(
    folder: Path,
    data: Path,
    *,
    encoder: Path | None = None,
    tflite: bool = True,
    let_differ: bool = False,
) -> list[Comparison]:
    """Write int8 ONNX as the main file of a bundle's face encoder, and float ONNX and int8 TFLite as variants.

    All of them have the same rounded weights. Ranges come from training faces in ``data``, the comparison from its
    validation faces. ``encoder`` is a float ONNX file to start from, where the bundle does not hold its own; if its
    weights are not rounded yet, accuracy is held against it, and the comparison lists it as `face_forms.UNROUNDED`.
    Int8 and float forms of one rounding, as training writes them, stay as they are.
    With ``let_differ``, forms that differ more than `face_forms` lets through are written too; the manifest says so.

    Raises
    ------
    BundleError
        No float form to start from, or a form that differs from it by more than `face_forms` lets through; the bundle
        stays as it was.
    """
    bundle = open_bundle(folder)
    part = bundle.manifest.face
    source = face_forms.float_form(bundle) if encoder is None else encoder.read_bytes()
    corpus = with_votes(find_faces(data))
    crops, _ = _some_crops(part, corpus.only("train"), CALIBRATION)
    forms = _quantised_already(bundle, source) if encoder is None else {}
    if not forms:
        int8, rounded = quantised_forms(source, crops, part.encoder.normalisation)
        forms = {"main": int8, REFERENCE: rounded}
    if tflite:
        prepared, batches = prepare(forms[REFERENCE], crops, part.encoder.normalisation)
        inputs = np.concatenate([next(iter(batch.values())) for batch in batches])
        forms[TFLITE] = to_tflite(prepared.SerializeToString(), inputs, plan(prepared, batches))
    regressor = AffectRegressor(open_backend(bundle.file("face", part.regressor), Engine(provider="cpu")))
    before = {} if is_rounded(unpacked(source)) else {face_forms.UNROUNDED: source}
    found = face_forms.compare(part, regressor, forms | before, labelled_faces(part, corpus))
    if not let_differ:
        face_forms.check(found)
    _write(bundle, forms, found)
    return found


def _quantised_already(bundle: Bundle, source: bytes) -> dict[str, bytes]:
    """Int8 and float form of a bundle that holds both with the same rounded weights: its regressor knows this int8."""
    stored = face_forms.stored_forms(bundle)
    if REFERENCE not in stored or not is_rounded(unpacked(source)):
        return {}
    return {"main": stored["main"], REFERENCE: source}


def labelled_faces(part: FacePart, corpus: FaceCorpus) -> Faces:
    """Validation faces as the bundle crops them, with their FER+ expression by the standard protocol."""
    judged = corpus.only("valid")
    crops, taken = _some_crops(part, judged, JUDGED)
    assert judged.votes is not None
    return Faces(crops, label(judged.votes[taken], "standard"))


def _some_crops(part: FacePart, corpus: FaceCorpus, count: int) -> tuple[U8, NDArray[np.int64]]:
    """At most ``count`` aligned crops ``uint8 (n, size, size)``, spread over the corpus, and which they are.

    All of the corpus is looked at, as in training: so its landmarks are found once.
    """
    if not len(corpus.images):
        raise UsageError(
            "the face corpora hold no training or no validation faces with votes: FER+ is needed"
        )
    taken = np.unique(np.linspace(0, len(corpus.images) - 1, count).astype(np.int64))
    return face_crops(corpus.images, part.crop)[0][taken], taken


def _write(bundle: Bundle, forms: dict[str, bytes], found: list[Comparison]) -> None:
    part = bundle.manifest.face
    variants = {name: FILES[name] for name in forms if name != "main"}
    encoder = part.encoder.model_copy(update={"variants": variants})
    figures = {
        f"{row.form}_{row.ran_on}_{name}".replace("/cpu", "").replace("main", "int8"): round(value, 4)
        for row in found
        if row.form != REFERENCE
        for name, value in (
            ("from_float_p99", row.p99),
            ("from_float_most", row.most),
            ("points_lost", row.lost),
            ("holds", float(row.holds)),
        )
        if value is not None
    }
    training = part.training.model_copy(update={"metrics": {**part.training.metrics, **figures}})
    files: dict[str, bytes | Path] = {
        name: file
        for name, file in part_files(bundle.path / "face").items()
        if name not in {part.encoder.file, *part.encoder.variants.values()}
    }
    files |= {variants.get(name, encoder.file): data for name, data in forms.items()}
    write_part(bundle.path, part.model_copy(update={"encoder": encoder, "training": training}), files)
    assemble(bundle.path)
