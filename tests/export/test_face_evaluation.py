"""`evaluate face` with the installed bundle: figures by condition, samples, pictures, refusals."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_emotion_export.cli import app
from edge_emotion_export.corpora.faces import EXPRESSIONS, FaceCorpus
from edge_emotion_export.training.face_conditions import CONDITIONS, HELD_OUT
from edge_emotion_export.training.face_evaluation import held_out_mean, stratified
from edge_emotion_export.training.face_evaluation_plots import draw_size_and_light
from edge_emotion_export.training.face_report import calibration_error
from face_corpora import write_diffusionfer, write_ferplus

from edge_emotion.cli import run

DATA = Path(__file__).parents[3] / "shared" / "data" / "faces"


@pytest.fixture
def data(tmp_path):
    write_ferplus(tmp_path / "faces" / "ferplus", train=2, valid=16)
    write_diffusionfer(tmp_path / "faces" / "diffusionfer", count=7)
    return tmp_path / "faces"


def evaluate(data, capsys, *options):
    assert run.run(app, "x", ["evaluate", "face", "--data", str(data), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_condition_is_judged_and_drawn(data, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    history = [{"epoch": k, "loss": 1 / k, "direct": 0.5, "crop": 0.5, "flip": 0.5} for k in (1, 2)]
    (tmp_path / "out" / "metrics.json").write_text(json.dumps({"history": history}))
    plots = tmp_path / "plots"
    report = evaluate(
        data, capsys, "--condition", "all", "--plot", str(plots), "--training", str(tmp_path / "out")
    )
    assert list(report["conditions"]) == list(CONDITIONS)
    assert {name for name, row in report["conditions"].items() if row["held_out"]} == set(HELD_OUT)
    for row in report["conditions"].values():
        # Cartoons are not always found, and count in the accuracy all the same.
        assert row["accuracy"]["n"] == {"standard": 18, "plurality": 18, "majority": 18}
        assert row["found"]["ferplus"]["of"] == 18
        assert row["labels"]["diffusionfer"]["n"] == 7
        assert 0 <= row["calibration_error"] <= 1
    assert report["accuracy"] == report["conditions"]["clean"]["accuracy"]
    accuracies = [report["conditions"][name]["accuracy"]["standard"] for name in HELD_OUT]
    assert report["held_out_mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    for name in ("confusion", "conditions", "size_and_light", "learning_curves"):
        assert cv2.imread(str(plots / f"{name}.png")) is not None


def test_one_condition_stands_beside_clean_and_a_sample_will_do(data, capsys):
    report = evaluate(data, capsys, "--condition", "jpeg", "--limit", "16")
    assert list(report["conditions"]) == ["clean", "jpeg"]
    assert report["accuracy"]["n"]["standard"] == 16
    assert report["recall"].keys() == set(EXPRESSIONS)
    assert report["conditions"]["jpeg"]["found"]["diffusionfer"]["of"] == 7


def test_the_tables_tell_the_conditions(data, capsys):
    options = ["evaluate", "face", "--data", str(data), "--condition", "mask", "--limit", "8"]
    assert run.run(app, "x", options) == 0
    text = capsys.readouterr().out
    for expected in ("mask *", "held-out mean", "expected calibration error", "recall", "expression labels"):
        assert expected in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--condition", "fog"), "unknown condition 'fog'; known: all, clean, far"),
        (("--plot", "{tmp}/plots", "--training", "{tmp}"), "no history of a training"),
    ],
)
def test_refusals_take_one_line(data, tmp_path, capsys, options, message):
    options = [option.format(tmp=tmp_path) for option in options]
    assert run.run(app, "x", ["evaluate", "face", "--data", str(data), "--limit", "1", *options]) != 0
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_sample_keeps_the_shares_of_the_expressions():
    kind = np.repeat([0, 1, 2], [700, 250, 50])
    votes = np.zeros((1000, 10), np.float32)
    votes[np.arange(1000), kind] = 10
    corpus = FaceCorpus("x", "", [np.zeros((2, 2), np.uint8)] * 1000, [""] * 1000, np.full(1000, ""), votes)
    drawn = stratified(corpus, 100)
    assert np.bincount(kind[drawn]).tolist() == [70, 25, 5]
    assert len(np.unique(drawn)) == 100
    np.testing.assert_array_equal(stratified(corpus, 5000), np.arange(1000))


def test_calibration_error_of_counted_guesses():
    votes = np.zeros((10, 10), np.float32)
    votes[:, 0] = 10
    sure = np.tile(np.float32([0.9, 0.1, 0, 0, 0, 0, 0, 0]), (10, 1))
    assert calibration_error(votes, sure) == pytest.approx(0.1, abs=1e-6)
    sure[5:] = sure[5:, ::-1]
    assert calibration_error(votes, sure) == pytest.approx(0.4, abs=1e-6)
    assert calibration_error(np.ones((3, 10), np.float32), sure[:3]) is None


def test_the_mean_is_over_what_is_held_out():
    def row(held_out, ccc):
        return {"held_out": held_out, "accuracy": None, "arousal": {"ccc": ccc}, "valence": {"ccc": ccc}}

    rows = {"clean": row(False, 0.9), "mask": row(True, 0.4), "jpeg": row(True, 0.6)}
    assert held_out_mean(rows) == {"accuracy": None, "arousal": 0.5, "valence": 0.5}


def test_few_faces_can_be_drawn(tmp_path):
    few = (np.array([True, False, True]), np.float32([10, 20, 30]))
    draw_size_and_light(few, few, tmp_path / "few.png")
    assert cv2.imread(str(tmp_path / "few.png")) is not None


@pytest.mark.skipif(not DATA.is_dir(), reason="the face corpora are not at ../shared/data/faces")
def test_real_faces_are_read_clean_and_less_well_when_far(capsys):
    report = evaluate(DATA, capsys, "--split", "valid", "--limit", "150", "--condition", "face_12px")
    clean, far = (report["conditions"][name] for name in ("clean", "face_12px"))
    assert clean["accuracy"]["standard"] > 0.75
    assert clean["accuracy"]["standard"] > far["accuracy"]["standard"] > 0.3
    assert clean["found"]["ferplus"]["faces"] > 0.95 * 150
