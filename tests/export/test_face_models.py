import dataclasses
import json

import cv2
import numpy as np
import pytest
from edge_emotion_export.cli import app
from edge_emotion_export.conversion.face_part import is_known, known_items, pack_items
from edge_emotion_export.corpora.faces import find_faces, item_hash
from edge_emotion_export.corpora.votes import label
from edge_emotion_export.training import face_data, face_evaluation, face_recipe
from edge_emotion_export.training.face_affect import FineTuning
from edge_emotion_export.training.face_conditions import CONDITIONS
from edge_emotion_export.training.face_cross_validation import OutOfFold
from edge_emotion_export.training.face_network import FaceCnnSettings
from edge_emotion_export.training.face_regressor import AffectSettings, Choice, RegressorSettings, choose
from edge_emotion_export.training.face_report import accuracy, confusion, recall
from edge_emotion_export.training.face_sightings import Sightings
from edge_emotion_export.training.face_training import FaceTrainingSettings
from face_corpora import write_diffusionfer, write_ferplus

from edge_emotion.cli.run import run
from edge_emotion.errors import UsageError
from edge_emotion.features.crop import CANONICAL
from edge_emotion.model.encoder import FaceEncoding
from edge_emotion.types import FaceBox


class CentralFace:
    """A detector that knows where `frame` puts the face, but does not see it in the dark."""

    def __init__(self, *_):
        pass

    def compute(self, image, long_side_px=None):
        if image.mean() < 12:
            return []
        grey = image if image.ndim == 2 else image.mean(2)
        inside = np.abs(grey.astype(float) - np.median(grey[:4])) > 3
        side = int(max(np.flatnonzero(inside.any(1)).ptp(), 40))
        corner = (image.shape[0] - side) / 2
        points = np.array(CANONICAL.landmarks, np.float32) * side / 48 + corner
        return [FaceBox(corner, corner, side, side, points, 0.9)]


@pytest.fixture
def data(tmp_path):
    write_ferplus(tmp_path / "faces" / "ferplus", train=48, valid=24)
    write_diffusionfer(tmp_path / "faces" / "diffusionfer", count=28)
    return tmp_path / "faces"


@pytest.fixture
def small(monkeypatch):
    """The recipe at toy size, and no real detector."""
    cycle = FaceTrainingSettings(
        epochs=1, batch=16, network=FaceCnnSettings((4, 4, 8), (3, 3, 3), features=8)
    )
    recipe = face_recipe.FaceRecipe(
        network="reference",
        cycles=(cycle, dataclasses.replace(cycle, seed=11)),
        affect=AffectSettings(
            FineTuning(steps=6, rated=16, voted=8),
            RegressorSettings(
                (0.5,), (0.5, 1.0), (0.0, 0.2), pseudo_faces=16, support_vectors=40, inner_folds=2
            ),
        ),
        folds=2,
    )
    monkeypatch.setattr(face_recipe, "shipped_recipe", lambda seed=1, epochs=None, network="small": recipe)
    clean = dataclasses.replace(recipe, cycles=recipe.cycles[:1])
    monkeypatch.setattr(face_recipe, "clean_recipe", lambda seed=1, epochs=None, network="tiny": clean)
    # All cartoons are near duplicates of each other.
    monkeypatch.setattr(face_recipe, "near_duplicates", lambda faces: np.arange(len(faces)) // 2)
    monkeypatch.setattr(face_recipe, "YuNet", CentralFace)
    monkeypatch.setattr(face_evaluation, "YuNet", CentralFace)

    def whole(images):
        return np.stack([face_data.small_grey(image) for image in images]), np.ones(len(images), bool)

    monkeypatch.setattr(face_data, "face_crops", whole)


def test_train_cross_validate_and_evaluate_from_the_command_line(data, small, tmp_path, capsys):
    from bundles import detector_graph, tiny_bundle
    from edge_emotion_export.conversion import yunet
    from edge_emotion_export.conversion.bundle import replace_part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yunet, "default_detector", detector_graph)
        out = tmp_path / "out"
        assert (
            run(app, "x", ["train", "face", "--data", str(data), "--out", str(out), "--device", "cpu"]) == 0
        )
        assert run(app, "x", ["train", "face", "--data", str(data), "--out", str(out), "--resume"]) == 0
        capsys.readouterr()
        weights = str(out / "face_votes.safetensors")
        folds = ["cross-validate", "face", "--data", str(data), "--pretrained", weights, "--json"]
        assert run(app, "x", folds) == 0
        judged = json.loads(capsys.readouterr().out)
        assert run(app, "x", [*folds, "--seeds", "2"]) == 0
        seeds = json.loads(capsys.readouterr().out)
    assert seeds["seeds"] == [1, 2]
    values = seeds["over_seeds"]["CCC valence"]["values"]
    assert values[0] == pytest.approx(judged["valence"]["ccc"])
    assert seeds["over_seeds"]["CCC valence"]["mean"] == pytest.approx(np.mean(values))
    trained = json.loads((out / "metrics.json").read_text())
    assert judged["arousal"]["n"] == 28
    assert judged["valence"] == pytest.approx(trained["cross_validation"]["valence"], abs=1e-5)
    assert set(judged["conditions"]) == set(CONDITIONS)
    for name in ("learning_curves.png", "confusion.png", "out_of_fold.png"):
        assert cv2.imread(str(out / name)) is not None

    bundle = tiny_bundle(tmp_path / "bundle")
    manifest = replace_part(bundle, out / "face").manifest
    assert manifest.face.training.metrics["diffusionfer_cv_clean_ccc_valence"] == pytest.approx(
        judged["valence"]["ccc"], abs=1e-3
    )
    metrics = manifest.face.training.metrics
    for name in ("diffusionfer_cv_clean_ccc_arousal", "ferplus_valid_direct_accuracy_standard"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    assert metrics["ferplus_valid_direct_accuracy_standard_n"] == 24
    assert metrics["diffusionfer_cv_mask_coverage_80_valence_n"] == 28
    assert [source.items for source in manifest.face.training.data] == [48, 28]
    evaluate = ["evaluate", "face", "--data", str(data), "--bundle", str(bundle), "--json"]
    assert run(app, "x", evaluate) == 0
    fresh = json.loads(capsys.readouterr().out)
    assert fresh["left_out"] == {"ferplus": 48, "diffusionfer": 28}
    assert fresh["arousal"] is None
    assert fresh["accuracy"]["n"]["standard"] == 24
    assert fresh["found"]["ferplus"] == {"faces": 24, "of": 24}
    assert run(app, "x", [*evaluate, "--include-training", "--split", "train"]) == 0
    everything = json.loads(capsys.readouterr().out)
    assert everything["accuracy"]["n"]["standard"] == 48
    assert everything["valence"]["n"] == 28


def test_rated_faces_alone_make_a_face_part(data, small, tmp_path, monkeypatch, capsys):
    """No votes: each fold's network has seen the expressions of the others' faces alone."""
    from bundles import detector_graph, tiny_bundle
    from edge_emotion_export.conversion import yunet
    from edge_emotion_export.conversion.bundle import replace_part

    monkeypatch.setattr(yunet, "default_detector", detector_graph)
    shown = []
    begin = face_recipe.FaceTrainer.epochs
    monkeypatch.setattr(
        face_recipe.FaceTrainer,
        "epochs",
        lambda self, views, *others: (shown.append(len(views)), begin(self, views, *others))[1],
    )
    folder, out = data / "diffusionfer", tmp_path / "out"
    assert run(app, "x", ["train", "face", "--data", str(folder), "--out", str(out), "--device", "cpu"]) == 0
    assert shown == [14, 14, 28]
    manifest = replace_part(tiny_bundle(tmp_path / "bundle"), out / "face").manifest
    assert [source.name for source in manifest.face.training.data] == ["diffusionfer"]
    assert "FER+ vote" not in manifest.face.training.notes
    assert "ferplus_valid_direct_accuracy_standard" not in manifest.face.training.metrics
    capsys.readouterr()


def test_networks_that_start_from_sface_need_votes():
    with pytest.raises(UsageError, match="--network reference or tiny"):
        face_recipe.clean_recipe(network="large")
    assert face_recipe.clean_recipe().affect.regressor.pseudo_weights == (0.0,)


def test_wrong_requests_end_in_one_line(data, tmp_path, capsys):
    assert run(app, "x", ["evaluate", "face", "--data", str(data), "--split", "dev"]) == 2
    assert run(app, "x", ["cross-validate", "face", "--data", str(data), "--pretrained", "none"]) == 65
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "out")
    assert run(app, "x", ["train", "face", "--data", str(data), "--out", out]) == 2
    assert (
        run(app, "x", ["train", "face", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "o")]) == 65
    )
    errors = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in errors if line.startswith("x: ")]) == 4


def test_the_search_finds_the_width_that_fits():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 4)).astype(np.float32)
    truth = np.stack([np.sin(3 * x[:, 0]), 0.4 * x[:, 1]], 1).astype(np.float32)
    settings = RegressorSettings(penalties=(1.0,), gammas=(0.01, 4.0), pseudo_weights=(0.0, 5.0))
    harmful = np.tile(np.float32([[9, 9]]), (160, 1))
    choice = choose(x, truth, np.arange(160), np.arange(160) // 2, x, harmful, settings)
    assert choice.gamma[0] == 4.0
    assert choice.pseudo_weight == 0.0


def out_of_fold(count: int = 16_000) -> OutOfFold:
    rng = np.random.default_rng(1)
    facts = np.stack(
        [
            rng.uniform(16, 160, count),
            np.full(count, 0.9),
            rng.uniform(0.3, 0.65, count),
            rng.uniform(0, 45, count),
            rng.uniform(8, 150, count),
            rng.uniform(-0.6, 0.3, count),
        ],
        1,
    ).astype(np.float32)
    features = rng.uniform(0, 3, (count, 1)).astype(np.float32) * np.ones((1, 4), np.float32)
    seen = FaceEncoding(features, np.zeros((count, 8), np.float32), np.zeros((count, 2), np.float32))
    covered = np.clip(-facts[:, 5], 0.15, 0.5) + 1 - seen.feature_norm / 6
    spread = 0.1 * np.exp(2 * (facts[:, 2] - 0.3) + 6 / facts[:, 0] + 4 / facts[:, 4] + covered)
    truth = rng.uniform(-0.8, 0.8, (count, 2)).astype(np.float32)
    guess = truth + (spread[:, None] * rng.normal(size=(count, 2))).astype(np.float32)
    sightings = Sightings(
        np.arange(count), np.arange(count) % len(CONDITIONS), np.zeros((count, 48, 48), np.uint8), facts
    )
    choice = Choice((1.0, 1.0), (1.0, 1.0), 0.0)
    return OutOfFold(sightings, truth, guess, seen, np.arange(count) % 5, (choice,) * 5, np.arange(count) % 7)


def test_sigma_covers_and_grows_with_blur_darkness_distance_and_what_is_missing():
    from edge_emotion.config import SigmaParameters
    from edge_emotion.fusion import SigmaModel

    found = out_of_fold()
    for shares in found.coverage().values():
        assert 0.75 <= shares["arousal"] <= 0.85
        assert 0.75 <= shares["valence"] <= 0.85
    model = SigmaModel(SigmaParameters.model_validate(found.sigma()))
    good = {"face_px": 150.0, "score": 0.9, "blur": 0.3, "yaw_deg": 3.0, "brightness": 140.0}
    good |= {"lower_detail": 0.0, "feature_norm": 5.5}
    pictures = (
        {"face_px": 18.0},
        {"blur": 0.65},
        {"yaw_deg": 60.0},
        {"brightness": 8.0},
        {"lower_detail": -0.6},
    )
    for worse in (*pictures, {"feature_norm": 0.5}):
        for bad, fine in zip(model.compute(good | worse), model.compute(good), strict=True):
            assert bad > 1.09 * fine


def test_sigma_grows_a_little_even_where_errors_do_not():
    from edge_emotion_export.training import sigma

    found = out_of_fold()
    errors = np.random.default_rng(2).normal(0, 0.2, (len(found.truth), 2))
    model = sigma.fit(errors, found.facts(np.arange(len(errors))), sigma.FACE_TERMS)
    for term, row in zip(sigma.FACE_TERMS, model["terms"], strict=True):
        for dimension in ("arousal", "valence"):
            assert max(row[dimension]) - min(row[dimension]) >= term.least - 1e-6
    assert {term.fact for term in sigma.FACE_TERMS if term.least > 0} == {
        "face_px",
        "blur",
        "yaw_deg",
        "brightness",
        "lower_detail",
    }


def test_accuracy_recall_and_confusion_on_counted_guesses():
    votes = np.zeros((4, 10), np.float32)
    votes[[0, 1, 2], [0, 0, 1]] = 9
    votes[3, [2, 3]] = 5
    guess = np.eye(8, dtype=np.float32)[[0, 1, 1, 2]]
    assert label(votes, "standard").tolist() == [0, 0, 1, -1]
    judged = accuracy(votes, guess)
    assert judged["standard"] == pytest.approx(2 / 3)
    assert judged["n"] == {"standard": 3, "plurality": 3, "majority": 3}
    table = confusion(votes, guess)
    assert (table[0, 0], table[0, 1], table[1, 1], table.sum()) == (1, 1, 1, 3)
    assert recall(table)["neutral"] == 0.5
    assert recall(table)["fear"] is None
    assert accuracy(votes[3:], guess[3:])["standard"] is None


def test_items_are_known_by_packed_prefixes(data):
    corpus = find_faces(data)[0]
    hashes = corpus.hashes()
    known = known_items(pack_items(hashes[:10]))
    assert len(known) == len(set(hashes[:10]))
    assert all(is_known(digest, known) for digest in hashes[:10])
    assert not any(is_known(item_hash(255 - image), known) for image in corpus.images)
