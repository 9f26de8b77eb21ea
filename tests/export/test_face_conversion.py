"""A bundle's float encoder becomes forms that say the same; others are written only where that is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from edge_emotion_export.conversion import face_forms
from edge_emotion_export.conversion.face_conversion import convert_face
from face_corpora import write_ferplus
from onnx import helper, numpy_helper

from edge_emotion.errors import BundleError
from edge_emotion.model.bundle import open_bundle


def convolutions(seed: int = 0) -> bytes:
    """Two convolutions; their means over the picture are the 16 features."""
    rng = np.random.default_rng(seed)
    constants = {
        "first": rng.normal(0, 0.3, (8, 1, 3, 3)),
        "second": rng.normal(0, 0.2, (16, 8, 3, 3)),
        "b": rng.normal(0, 0.1, 8),
        "c": rng.normal(0, 0.1, 16),
        "V": rng.normal(0, 1, (16, 8)),
        "A": rng.normal(0, 0.3, (16, 2)),
    }
    nodes = [
        helper.make_node(
            "Conv", ["crops", "first", "b"], ["low"], name="low", pads=[1, 1, 1, 1], strides=[2, 2]
        ),
        helper.make_node("Relu", ["low"], ["low+"], name="low+"),
        helper.make_node("Conv", ["low+", "second", "c"], ["high"], name="high", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["high"], ["high+"], name="high+"),
        helper.make_node("GlobalAveragePool", ["high+"], ["mean"], name="mean"),
        helper.make_node("Flatten", ["mean"], ["features"], name="features"),
        helper.make_node("MatMul", ["features", "V"], ["logits"], name="logits"),
        helper.make_node("Softmax", ["logits"], ["votes"], name="votes", axis=1),
        helper.make_node("MatMul", ["features", "A"], ["sum"], name="sum"),
        helper.make_node("Tanh", ["sum"], ["affect"], name="affect"),
    ]
    shapes = {"crops": ["n", 1, 48, 48], "features": ["n", 16], "votes": ["n", 8], "affect": ["n", 2]}
    tensors = [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v) for k, v in shapes.items()]
    stored = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "network", tensors[:1], tensors[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture
def given(tiny_bundle_path: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A bundle, faces, and a float encoder."""
    (tmp_path / "float.onnx").write_bytes(convolutions())
    bundle = Path(shutil.copytree(tiny_bundle_path, tmp_path / "bundle"))
    return bundle, write_ferplus(tmp_path / "faces" / "ferplus", train=40, valid=24), tmp_path / "float.onnx"


def test_forms_that_hold_are_written_and_converted_again_alike(given: tuple[Path, Path, Path]) -> None:
    folder, faces, encoder = given
    found = {row.form: row for row in convert_face(folder, faces.parent, encoder=encoder, tflite=False)}
    assert set(found) == {"main", "float", face_forms.UNROUNDED}
    assert found["float"].most == 0
    assert 0 < found["main"].most < 0.06
    bundle = open_bundle(folder)
    assert set(bundle.manifest.face.encoder.variants) == {"float"}
    metrics = bundle.manifest.face.training.metrics
    assert metrics["int8_onnxruntime_from_float_most"] == round(found["main"].most, 4)
    assert metrics["int8_onnxruntime_holds"] == 1
    before = face_forms.stored_forms(bundle)
    again = convert_face(folder, faces.parent, tflite=False)
    assert {row.form for row in again} == {"main", "float"}, "the bundle's own float form is rounded already"
    after = face_forms.stored_forms(open_bundle(folder))
    assert after == before, "its regressor knows this int8 form"


def test_forms_that_differ_are_written_only_on_request(
    given: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, faces, encoder = given
    monkeypatch.setattr(face_forms, "MOST", 1e-7)
    before = open_bundle(folder).manifest.sha256
    with pytest.raises(BundleError, match="form main on onnxruntime/cpu differs from float"):
        convert_face(folder, faces.parent, encoder=encoder, tflite=False)
    assert open_bundle(folder).manifest.sha256 == before
    convert_face(folder, faces.parent, encoder=encoder, tflite=False, let_differ=True)
    assert open_bundle(folder).manifest.face.training.metrics["int8_onnxruntime_holds"] == 0
