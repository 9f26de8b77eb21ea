"""``synthetic-pairs`` and ``reproduce``, from media to a bundle that opens: on a voice of pulses and white squares."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import acoustic_part, detector_graph, face_part, regressor_graph, voice_activity_graph
from edge_emotion_export.cli import app
from edge_emotion_export.conversion.bundle import write_part
from edge_emotion_export.conversion.face import face_onnx
from edge_emotion_export.corpora.avec import read_avec
from edge_emotion_export.corpora.faces import FaceCorpus
from edge_emotion_export.corpora.pair_trees import MARK, write_tree
from edge_emotion_export.corpora.recola import in_turn, read_recola
from edge_emotion_export.corpora.records import Recording
from edge_emotion_export.corpora.synthetic_pairs import FRAME_S, PairSettings, SyntheticPair, make_pairs
from edge_emotion_export.training.face_network import MEAN, SCALE, FaceCnn, FaceCnnSettings
from edge_emotion_export.training.face_tuning import read_network
from edge_emotion_export.training.gold import gold_standard
from scenes import voice

from edge_emotion.cli import app as device_app
from edge_emotion.cli.run import run
from edge_emotion.errors import BundleError, UsageError
from edge_emotion.model.bundle import open_bundle
from edge_emotion.model.manifest import AcousticPart, FacePart, FusionPart
from edge_emotion.types import DIMENSIONS

FAST = ["--effort", "quick", "--hop", "0.2", "--windows", "1,2", "--workers", "1", "--no-recurrent"]


def utterances(folder: Path, actors: int = 6, each: int = 8) -> list[Recording]:
    """Short "utterances", louder with arousal."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    recordings = []
    for actor in range(actors):
        for number in range(each):
            arousal, valence = rng.uniform(-0.9, 0.9, 2)
            path = folder / f"a{actor}_{number}.wav"
            samples = voice(0.8, seed=number, level=0.05 * 6 ** (arousal + 1))
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16000)
                file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
            ratings = {"arousal": (arousal,), "valence": (valence,)}
            recordings.append(Recording(path.stem, f"actor{actor}", audio=path, ratings=ratings))  # type: ignore[arg-type]
    return recordings


def squares(count: int = 300) -> FaceCorpus:
    """White squares on two shades: the left one says arousal, the right one valence."""
    affect = np.random.default_rng(4).uniform(-0.9, 0.9, (count, 2)).astype(np.float32)
    images = []
    for arousal, valence in affect:
        image = np.zeros((144, 144, 3), np.uint8)
        image[:, :72], image[:, 72:] = int(90 + 70 * arousal), int(90 + 70 * valence)
        image[64:80, 64:80] = 255
        images.append(image)
    names = [f"f{k}" for k in range(count)]
    return FaceCorpus("squares", "CC0", images, names, np.full(count, "train"), affect=affect)


def planted(**changes: object) -> PairSettings:
    standard = {"train": 3, "dev": 2, "duration_s": 12.0, "delay_s": {"arousal": 0.6, "valence": 0.6}}
    return PairSettings(**(standard | changes))  # type: ignore[arg-type]


def pairs_of(folder: Path, settings: PairSettings) -> list[SyntheticPair]:
    return list(make_pairs(utterances(folder / "speech"), squares(), settings))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_tree(folder / "tree", "avec2016", pairs_of(folder, planted()), squares(), planted())
    return folder / "tree"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle whose face network can be fine-tuned."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base")
    network = FaceCnn(FaceCnnSettings(channels=(2, 3, 4), features=8)).eval()
    encoder = {"file": "encoder.onnx", "features": 8, "normalisation": {"mean": MEAN, "scale": SCALE}}
    face = face_part() | {"encoder": encoder, "regressor": {"file": "regressor.onnx", "features": 8}}
    sound = {"vad.onnx": voice_activity_graph(), "regressor.onnx": regressor_graph(88, seed=1)}
    write_part(folder, AcousticPart.model_validate(acoustic_part()), sound)
    pictures = {"detector.onnx": detector_graph(), "encoder.onnx": face_onnx(network)}
    write_part(
        folder, FacePart.model_validate(face), pictures | {"regressor.onnx": regressor_graph(8, seed=2)}
    )
    write_part(folder, FusionPart.model_validate({}), {})
    return folder


class TestPairs:
    def test_partitions_share_neither_actors_nor_faces(self, tmp_path: Path) -> None:
        made = pairs_of(tmp_path, planted())
        assert [pair.partition for pair in made] == ["train"] * 3 + ["dev"] * 2
        of = {part: [p for p in made if p.partition == part] for part in ("train", "dev")}
        assert not {p.actor for p in of["train"]} & {p.actor for p in of["dev"]}
        shown = {part: {int(k) for p in pairs for k in p.faces} - {-1} for part, pairs in of.items()}
        assert not shown["train"] & shown["dev"]

    def test_planted_delay_jitter_and_gaps(self, tmp_path: Path) -> None:
        settings = planted(duration_s=60.0, train=1, dev=1, delay_s={"arousal": 1.4, "valence": 2.8})
        pair = pairs_of(tmp_path, settings)[0]
        assert 0.06 <= np.mean(pair.faces < 0) < 0.12
        assert pair.ratings["arousal"].shape == (1501, 6)
        for k, dimension in enumerate(DIMENSIONS):
            gold = gold_standard(pair.ratings[dimension])[:-1]
            lags = range(120)
            fit = [np.corrcoef(pair.truth[: 1500 - lag, k], gold[lag:])[0, 1] for lag in lags]
            assert abs(np.argmax(fit) * FRAME_S - settings.delay_s[dimension]) <= 0.2

    def test_same_seed_same_pairs(self, tmp_path: Path) -> None:
        first, second = (pairs_of(tmp_path, planted(train=1, dev=1)) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a.sound, b.sound)
            np.testing.assert_array_equal(a.faces, b.faces)

    @pytest.mark.parametrize(("variant", "sound", "face"), [("audio_noise", 0, 1), ("video_noise", 1, 0)])
    def test_noise_in_one_modality(self, tmp_path: Path, variant: str, sound: int, face: int) -> None:
        pair = pairs_of(
            tmp_path, planted(variant=variant, train=1, dev=1, duration_s=120.0, missing=0.0, face_error=0.0)
        )[0]
        frames = pair.sound.reshape(len(pair.truth), -1)
        level = np.convolve(np.log(np.mean(frames**2, axis=1) + 1e-6), np.ones(50) / 50, mode="same")
        shown = squares().affect[pair.faces, 0]  # type: ignore[index]
        heard = abs(np.corrcoef(level, pair.truth[:, 0])[0, 1])
        seen = abs(np.corrcoef(shown, pair.truth[:, 0])[0, 1])
        assert (heard > 0.5, seen > 0.5) == (bool(sound), bool(face))

    def test_shared_errors_are_in_the_ratings_alone(self, tmp_path: Path) -> None:
        settings = {"train": 1, "dev": 1, "duration_s": 120.0, "missing": 0.0}
        plain = pairs_of(tmp_path, planted(**settings))[0]
        alike = pairs_of(tmp_path, planted(variant="shared_errors", **settings))[0]

        def agreement(pair: SyntheticPair) -> float:
            gold = gold_standard(pair.ratings["arousal"])
            return float(np.corrcoef(pair.truth[:-15, 0], gold[15:-1])[0, 1])

        assert agreement(alike) < 0.9 < agreement(plain)

    def test_avec_tree_reads_back(self, tree: Path) -> None:
        recordings = list(read_avec(tree))
        assert [r.name for r in recordings] == ["train_1", "train_2", "train_3", "dev_1", "dev_2"]
        trace = recordings[0].traces["valence"]
        assert trace.gold is not None
        np.testing.assert_allclose(trace.gold, gold_standard(trace.values), atol=1e-6)
        assert json.loads((tree / MARK).read_text())["what"] == "synthetic pairs, not people"

    def test_recola_tree_reads_back(self, tmp_path: Path) -> None:
        settings = planted(train=1, dev=1, duration_s=5.0)
        write_tree(tmp_path / "tree", "recola", pairs_of(tmp_path, settings), squares(), settings)
        first, second = in_turn(read_recola(tmp_path / "tree"))
        assert (first.name, first.partition, second.name, second.partition) == ("P16", "train", "P17", "dev")
        assert first.frame_times_s is not None
        assert len(first.frame_times_s) == 125
        assert first.traces["arousal"].values.shape == (126, 6)

    def test_foreign_folder_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("all my work")
        with pytest.raises(UsageError, match="not a tree of synthetic pairs"):
            write_tree(tmp_path, "avec2016", [], squares(), planted())
        assert (tmp_path / "thesis.txt").exists()


class TestReproduce:
    def test_killed_run_goes_on_and_ends_with_the_same_table(
        self, tree: Path, base: Path, tmp_path: Path
    ) -> None:
        options = ["reproduce", "avec2016", "--root", str(tree), "--bundle", str(base), *FAST]
        killed, whole = tmp_path / "killed", tmp_path / "whole"
        command = [sys.executable, "-m", "edge_emotion_export", *options, "--out", str(killed)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
            while not list((killed / "shards").glob("sound-*")) and child.poll() is None:
                time.sleep(0.02)
            child.send_signal(signal.SIGKILL)
        done = {p: p.stat().st_mtime_ns for p in (killed / "shards").glob("[!.]*")}
        assert done
        assert not (killed / "table.md").exists()
        assert run(app, "edge-emotion-export", [*options, "--out", str(killed)]) == 0
        assert {p: p.stat().st_mtime_ns for p in done} == done
        assert run(app, "edge-emotion-export", [*options, "--out", str(whole)]) == 0
        for name in ("table.md", "results.json", "bundle/manifest.json"):
            assert (killed / name).read_bytes() == (whole / name).read_bytes()

        shown = (whole / "table.md").read_text()
        assert "Synthetic pairs" in shown
        assert "| late fusion, fine-tuned |" in shown
        facts = json.loads((whole / "results.json").read_text())
        assert {v["system"] for v in facts["verdicts"]} >= {"audio", "video", "early", "late", "late_tuned"}
        assert (whole / "traces" / "dev_1.png").read_bytes().startswith(b"\x89PNG")
        predicted = (whole / "predictions" / "dev_2.csv").read_text().splitlines()
        assert predicted[0] == "time_s,arousal,valence"
        assert len(predicted) == 61
        manifest = open_bundle(whole / "bundle").manifest
        assert manifest.face.pooling == "mean_deviation"
        assert manifest.fusion.training is not None
        assert "dev_causal_ccc_arousal_low" in manifest.fusion.training.metrics
        assert manifest.fusion.training.data[0].name == "avec2016 (synthetic pairs)"

        film, readings = tree / "recordings_video/dev_1.mp4", tmp_path / "readings.jsonl"
        analyze = ["analyze", str(film), "--bundle", str(whole / "bundle"), "--out", str(readings)]
        assert run(device_app, "edge-emotion", analyze) == 0
        lines = [json.loads(line) for line in readings.read_text().splitlines()]
        assert any(line.get("valid") for line in lines)

        early = [*options, "--out", str(whole), "--fusion", "early", "--support-vectors", "20"]
        assert run(app, "edge-emotion-export", early) == 0
        assert "CCC given up for 20 support vectors" in (whole / "table.md").read_text()
        fusion = open_bundle(whole / "bundle").manifest.fusion
        assert fusion.early is not None
        assert fusion.early.features == 88 + 2 * manifest.face.encoder.features
        assert {term.fact for term in fusion.early.sigma.terms} >= {"audio.snr_db", "video.blur"}
        assert run(device_app, "edge-emotion", analyze) == 0

    def test_a_bundle_gets_a_fusion_part_that_says_how_it_was_learnt(
        self, tree: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bundle = Path(shutil.copytree(base, tmp_path / "bundle"))
        options = [
            "fusion",
            str(bundle),
            "--root",
            str(tree),
            "--out",
            str(tmp_path / "out"),
            "--workers",
            "1",
        ]
        assert run(app, "edge-emotion-export", options) == 0
        assert "smoothed - audio" in capsys.readouterr().out
        assert open_bundle(bundle).manifest.sha256 == open_bundle(base).manifest.sha256
        assert run(app, "edge-emotion-export", [*options, "--write"]) == 0
        training = open_bundle(bundle).manifest.fusion.training
        assert training is not None
        assert training.data[0].name == "avec2016 (synthetic pairs)"
        assert {"dev_smoothed_ccc_arousal_low", "dev_in_80_valence", "dev_speakers"} <= set(training.metrics)
        film, readings = tree / "recordings_video/dev_1.mp4", tmp_path / "readings.jsonl"
        analyze = ["analyze", str(film), "--bundle", str(bundle), "--out", str(readings)]
        assert run(device_app, "edge-emotion", analyze) == 0

    @pytest.mark.parametrize(
        ("damage", "code", "reason"),
        [
            ("root", 65, "not the root of AVEC 2016: ratings_gold_standard"),
            ("dev", 65, "the dev partition is missing"),
            ("film", 65, "dev_1: its picture is missing"),
            ("speakers", 65, "2 speakers (train_1, train_2): training needs 3 or more"),
            ("nan", 65, "is not a number"),
            ("windows", 2, "lengths of 1 to 30 s"),
        ],
    )
    def test_what_cannot_be_done_is_said_in_one_line(
        self,
        tree: Path,
        base: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        damage: str,
        code: int,
        reason: str,
    ) -> None:
        root = tmp_path / "tree"
        shutil.copytree(tree, root)
        more: list[str] = []
        if damage == "root":
            shutil.rmtree(root / "ratings_gold_standard")
        for path in root.rglob("*") if damage in ("dev", "film", "speakers") else ():
            stem = {"dev": "dev_", "film": "dev_1.mp4", "speakers": "train_3"}[damage]
            if path.is_file() and path.name.startswith(stem):
                path.unlink()
        if damage == "nan":
            path = root / "ratings_individual/arousal/dev_2.csv"
            lines = path.read_text().splitlines()
            lines[7] = lines[7].replace(";", ";NaN;", 1).rsplit(";", 1)[0]
            path.write_text("\n".join(lines))
            reason = "dev_2.csv:8: FM1: 'NaN' is not a number"
        if damage == "windows":
            more = ["--windows", "4;6"]
        options = [
            "reproduce",
            "avec2016",
            "--root",
            str(root),
            "--bundle",
            str(base),
            "--out",
            str(tmp_path / "out"),
        ]
        assert run(app, "edge-emotion-export", [*options, *FAST, *more]) == code
        said = capsys.readouterr().err
        assert reason in said
        assert "Traceback" not in said

    def test_another_network_cannot_be_tuned(self, tiny_bundle_path: Path) -> None:
        bundle = open_bundle(tiny_bundle_path)
        with pytest.raises(BundleError, match="use --no-fine-tune"):
            read_network(bundle.file("face", bundle.manifest.face.encoder))
