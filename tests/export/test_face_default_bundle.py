"""The face models that are installed, on real faces where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
from edge_emotion_export.conversion.face_part import is_known
from edge_emotion_export.corpora.faces import find_faces, with_affect, with_votes
from edge_emotion_export.training.face_data import small_grey
from edge_emotion_export.training.face_evaluation import FaceJudge
from edge_emotion_export.training.face_recipe import load_pretrained
from edge_emotion_export.training.face_report import accuracy
from edge_emotion_export.training.face_training import infer

from edge_emotion.model.bundle import open_bundle

DATA = Path(__file__).parents[3] / "shared" / "data" / "faces"
needs_faces = pytest.mark.skipif(not DATA.is_dir(), reason="the face corpora are not at ../shared/data/faces")


@pytest.fixture(scope="module")
def judge() -> FaceJudge:
    return FaceJudge(open_bundle())


def test_the_face_part_is_small():
    bundle = open_bundle()
    encoder = bundle.manifest.face.encoder
    sizes = {file.name: file.stat().st_size for file in (bundle.path / "face").iterdir()}
    assert sizes[encoder.file] < 2e6
    assert sum(size for name, size in sizes.items() if name not in encoder.variants.values()) < 4e6


@needs_faces
def test_validation_faces_are_new_and_read_well_with_and_without_detection(judge):
    corpus = with_votes(find_faces(DATA)).only("valid").take(np.arange(0, 3505, 7))
    assert len(judge.unseen(corpus)) == len(corpus)
    direct = np.stack([small_grey(image) for image in corpus.images])
    seen = judge.look(corpus)
    assert seen.found.mean() > 0.95
    crops = direct.copy()
    crops[seen.item] = seen.crops
    plain, aligned = (accuracy(corpus.votes, judge.encode(x).votes)["standard"] for x in (direct, crops))
    assert plain > 0.85
    assert abs(plain - aligned) < 0.03


@needs_faces
def test_training_faces_are_known(judge):
    corpus = with_affect(find_faces(DATA)).take(np.arange(0, 1028, 40))
    assert all(is_known(digest, judge.known) for digest in corpus.hashes())


@needs_faces
def test_the_weights_that_folds_start_from_know_votes(judge):
    corpus = with_votes(find_faces(DATA)).only("valid").take(np.arange(3, 3505, 7))
    crops = np.stack([small_grey(image) for image in corpus.images])
    assert accuracy(corpus.votes, infer(load_pretrained(), crops)[1])["standard"] > 0.85
