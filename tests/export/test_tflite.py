"""TFLite by Google's converters, where their environment has been made; it says what the float network says."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from edge_emotion_export.conversion import tflite
from edge_emotion_export.conversion.face import face_onnx
from edge_emotion_export.conversion.face_forms import Faces, compare
from edge_emotion_export.conversion.integer_plan import plan
from edge_emotion_export.conversion.quantisation import prepare, quantised_forms
from edge_emotion_export.packaged_files import cache_folder
from edge_emotion_export.training.face_recipe import load_pretrained

from edge_emotion.config import Engine
from edge_emotion.errors import EdgeEmotionError
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import open_bundle
from edge_emotion.model.regressor import AffectRegressor
from edge_emotion.model.trial import drawn_faces

ENVIRONMENT = cache_folder() / "tflite" / f"python{sys.version_info.major}.{sys.version_info.minor}"


@cache
def encoder() -> bytes:
    return face_onnx(load_pretrained())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    not (ENVIRONMENT / "complete").exists(), reason="the converter's environment is not there"
)
def test_the_tflite_form_says_what_float_says_on_every_interpreter() -> None:
    bundle = open_bundle()
    part, faces = bundle.manifest.face, drawn_faces(bundle.manifest.face)
    rounded = quantised_forms(encoder(), faces, part.encoder.normalisation).rounded
    prepared, batches = prepare(rounded, faces, part.encoder.normalisation)
    inputs = np.concatenate([batch["crops"] for batch in batches])
    made = tflite.to_tflite(prepared.SerializeToString(), inputs, plan(prepared, batches))
    regressor = AffectRegressor(open_backend(bundle.file("face", part.regressor), Engine(provider="cpu")))
    found = compare(part, regressor, {"float": rounded, "tflite-int8": made}, Faces(faces))
    assert len(found) > 1
    for row in found:
        assert row.most < 0.06


def test_the_graph_for_one_crop_computes_no_shapes(tmp_path: Path) -> None:
    tflite._for_one_crop(encoder(), tmp_path / "one.onnx")
    graph = onnx.load(tmp_path / "one.onnx").graph
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert not {"Shape", "Constant"} & {node.op_type for node in graph.node}


def test_a_converter_that_cannot_be_had_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_EMOTION_CACHE", str(tmp_path))
    monkeypatch.setattr(tflite.venv, "create", lambda folder, **_: _without_network(folder))
    with pytest.raises(EdgeEmotionError, match=r"^the TFLite converter cannot be installed: no network$"):
        tflite.converter()
    assert not list(tmp_path.rglob("complete"))


def _without_network(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text("#!/bin/sh\necho trying >&2\necho no network >&2\nexit 1\n")
    python.chmod(0o755)
