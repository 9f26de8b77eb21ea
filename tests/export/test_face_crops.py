"""Folding of the detector, landmarks and crops of corpus faces, and the geometry that they are cut by."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
from edge_emotion_export.conversion.yunet import fold_yunet
from edge_emotion_export.training import face_crops
from edge_emotion_export.training.crop_geometry import depths
from portraits import folded_yunet, packaged, portrait

from edge_emotion.features.crop import CANONICAL
from edge_emotion.features.quality import FACE_MM


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """Three grey portraits and a blank picture, with a cache folder of their own."""
    monkeypatch.setenv("EDGE_EMOTION_CACHE", str(tmp_path))
    monkeypatch.setattr(face_crops, "default_detector", folded_yunet)
    people = [cv2.cvtColor(portrait(i), cv2.COLOR_BGR2GRAY)[:, 36:324] for i in range(3)]
    return [*people, np.full((48, 48), 120, np.uint8)]


def test_the_folded_detector_has_no_quantised_weights_and_a_free_size():
    model = onnx.load_from_string(folded_yunet())
    assert not {node.op_type for node in model.graph.node} & {"DequantizeLinear", "QuantizeLinear"}
    height, width = model.graph.input[0].type.tensor_type.shape.dim[2:]
    assert not height.HasField("dim_value")
    assert not width.HasField("dim_value")
    assert len(model.graph.output) == 12
    path = packaged("yunet.onnx")
    assert fold_yunet(path) == fold_yunet(path.read_bytes()) == folded_yunet()


def test_crops_are_aligned_where_a_face_is_found_and_whole_pictures_elsewhere(faces):
    crops, found = face_crops.face_crops(faces)
    assert crops.shape == (4, 48, 48)
    assert found.tolist() == [True, True, True, False]
    assert (crops[3] == 120).all()
    for crop in crops[:3]:
        # Eyes are darker than the cheeks below them.
        for x, y in CANONICAL.landmarks[:2]:
            eye, cheek = (
                crop[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3],
                crop[27:31, int(x) - 2 : int(x) + 3],
            )
            assert eye.mean() < cheek.mean()


def test_size_and_colour(faces):
    crops, _ = face_crops.face_crops(faces, CANONICAL.scaled(64), grey=False)
    assert crops.shape == (4, 64, 64, 3)


def test_landmarks_are_found_once(faces, monkeypatch):
    first = face_crops.find_landmarks(faces)
    monkeypatch.setattr(face_crops, "YuNet", None)
    assert np.array_equal(face_crops.find_landmarks(faces), first, equal_nan=True)
    with pytest.raises(TypeError):
        face_crops.find_landmarks(faces[:2])


def test_the_depth_of_a_known_shape_is_found():
    random = np.random.default_rng(0)
    views = []
    for _ in range(200):
        axes, _ = np.linalg.qr(random.normal(0, 0.25, (3, 3)) + np.eye(3))
        axes *= np.sign(np.diag(axes))[None]
        views.append(FACE_MM @ axes[:2].T * random.uniform(0.2, 3) + random.normal(0, 50, 2))
    assert depths(np.array(views), FACE_MM[:, :2]) == (FACE_MM[2, 2], FACE_MM[3, 2])
