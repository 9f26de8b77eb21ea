"""YuNet on onnxruntime against OpenCV's own on the published file, and its decoding against loops."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from portraits import crowd, packaged, portrait, yunet

from edge_emotion.config import DetectorSettings
from edge_emotion.features.tracking import overlap
from edge_emotion.model.detector import STRIDES, YuNet, shrink


def test_the_folded_model_finds_what_opencv_finds_with_the_published_one():
    image = crowd()
    ours = yunet(long_side_px=1000, max_faces=32).compute(image)
    reference = cv2.FaceDetectorYN.create(str(packaged("yunet.onnx")), "", (1000, 667), 0.6, 0.3, 5000)
    theirs = reference.detect(image)[1]
    theirs = theirs[np.argsort(-theirs[:, 14])]
    assert len(ours) == len(theirs) == 5
    for face, row in zip(ours, theirs, strict=True):
        assert (face.x, face.y, face.width, face.height) == pytest.approx(row[:4], abs=1e-3)
        assert face.landmarks.ravel() == pytest.approx(row[4:14], abs=1e-3)
        assert face.score == pytest.approx(row[14], abs=1e-5)


@pytest.mark.parametrize("long_side_px", [160, 224, 320, 480])
def test_a_small_input_finds_the_same_faces_in_the_pictures_own_pixels(long_side_px):
    """Faces 90 pixels wide, of which the smallest input leaves 15: their boxes hold, their landmarks are rough."""
    image = crowd()
    fine = sorted(yunet(long_side_px=1000, max_faces=32).compute(image), key=lambda face: face.x)
    coarse = sorted(yunet(long_side_px=long_side_px, max_faces=32).compute(image), key=lambda face: face.x)
    assert len(coarse) == len(fine)
    for one, other in zip(coarse, fine, strict=True):
        assert overlap(one, other) > 0.5


def test_colours_do_not_matter():
    image = portrait(0)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    with_alpha = np.dstack([image, np.full(image.shape[:2], 7, np.uint8)])
    plain, alpha, one_channel = (yunet().compute(i)[0] for i in (image, with_alpha, grey))
    assert np.array_equal(alpha.landmarks, plain.landmarks)
    assert one_channel.landmarks == pytest.approx(plain.landmarks, abs=0.06 * plain.width)


@pytest.mark.parametrize(
    "shape", [(0, 0, 3), (1, 1, 3), (10, 10), (10, 10, 4), (1, 500, 3), (500, 1), (2160, 3840, 3)]
)
def test_a_picture_of_any_size_without_a_face_has_none(shape):
    assert yunet().compute(np.full(shape, 90, np.uint8)) == []


def test_the_most_certain_come_first_and_no_more_than_asked():
    faces = yunet(long_side_px=640, max_faces=3).compute(crowd())
    assert len(faces) == 3
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


@pytest.mark.parametrize("shape", [(480, 640, 3), (667, 1000, 3), (1080, 1920), (300, 200, 4), (50, 60, 3)])
def test_shrinking_keeps_places(shape):
    """A ramp along x and y, in pixels: the small picture shows the value of the place that the factors lead to."""
    height, width = shape[:2]
    ramp = np.add.outer((np.arange(height) + 0.5) / height * 100, (np.arange(width) + 0.5) / width * 100)
    ramp = np.rint(ramp).astype(np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(ramp.reshape(height, width, *[1] * (len(shape) - 2)), shape))
    small, factor = shrink(image, 160)
    assert max(small.shape[:2]) == min(160, max(shape[:2]))
    row, column = np.mgrid[2 : small.shape[0] - 2, 2 : small.shape[1] - 2]
    x, y = (column + 0.5) * factor[0], (row + 0.5) * factor[1]
    level = small if small.ndim == 2 else small[:, :, 0]
    assert level[2:-2, 2:-2].astype(float) == pytest.approx(x / width * 100 + y / height * 100, abs=1.1)


class Planted:
    """A backend that answers with given outputs."""

    description, input_names, output_names = "planted", ("input",), ()

    def __init__(self, outputs):
        self.outputs = outputs

    def compute(self, inputs):
        return self.outputs


def naive_decode(outputs, width, min_score):
    found = []
    for stride in STRIDES:
        for cell in range(outputs[f"cls_{stride}"].shape[1]):
            score = math.sqrt(outputs[f"cls_{stride}"][0, cell, 0] * outputs[f"obj_{stride}"][0, cell, 0])
            if score < min_score:
                continue
            row, column = divmod(cell, width // stride)
            dx, dy, w, h = outputs[f"bbox_{stride}"][0, cell]
            w, h = math.exp(w) * stride, math.exp(h) * stride
            x, y = (column + dx) * stride - w / 2, (row + dy) * stride - h / 2
            points = outputs[f"kps_{stride}"][0, cell]
            landmarks = [
                ((points[2 * i] + column) * stride, (points[2 * i + 1] + row) * stride) for i in range(5)
            ]
            found.append((score, (x, y, w, h), landmarks))
    return sorted(found, key=lambda face: -face[0])


def test_decoding_is_that_of_plain_loops():
    random = np.random.default_rng(3)
    outputs = {}
    for stride in STRIDES:
        cells = (96 // stride) * (64 // stride)
        outputs |= {
            f"cls_{stride}": random.random((1, cells, 1), np.float32),
            f"obj_{stride}": random.random((1, cells, 1), np.float32),
            f"bbox_{stride}": random.normal(0, 0.3, (1, cells, 4)).astype(np.float32),
            f"kps_{stride}": random.normal(0, 1, (1, cells, 10)).astype(np.float32),
        }
    # With an overlap of 1 none is suppressed.
    settings = DetectorSettings(score_threshold=0.7, nms_threshold=1.0, max_faces=32)
    faces = YuNet(Planted(outputs), settings).compute(np.zeros((64, 96, 3), np.uint8))
    expected = naive_decode(outputs, 96, 0.7)[:32]
    assert len(expected) > 10
    assert [face.score for face in faces] == pytest.approx([score for score, _, _ in expected], rel=1e-5)
    for face, (_, box, landmarks) in zip(faces, expected, strict=True):
        assert (face.x, face.y, face.width, face.height) == pytest.approx(box, abs=1e-3)
        assert face.landmarks == pytest.approx(np.array(landmarks), abs=1e-3)
