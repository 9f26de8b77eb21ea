"""The bundle's neutral: what the run-time code makes of the most typical neutral item."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from bundles import ENCODER_FEATURES
from edge_emotion_export.cli import app
from edge_emotion_export.corpora.faces import FaceCorpus
from edge_emotion_export.corpora.speech import read_sound
from edge_emotion_export.training import neutral as subject
from voices import make_voice, write_flac

from edge_emotion.cli import run
from edge_emotion.errors import InputError, UsageError
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.model.bundle import open_bundle
from edge_emotion.pipeline import EmotionPipeline


@pytest.fixture
def bundle(tiny_bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle_path, tmp_path / "copy"))


@pytest.fixture
def emodb(tmp_path: Path) -> Path:
    """Two speakers; the first has two neutral utterances, the second one, and both have an angry one."""
    pitch_hz = {"03a01Na": 110, "03a02Na": 165, "08a01Na": 220, "03a01Wa": 160, "08a01Wa": 170}
    for name, f0_hz in pitch_hz.items():
        write_flac(tmp_path / "emodb" / f"{name}.flac", make_voice(2.0, f0_hz=f0_hz, seed=1))
    return tmp_path / "emodb"


def test_one_of_the_neutral_utterances_is_taken(
    bundle: Path, emodb: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run.run(app, "x", ["neutral", str(bundle), "--speech", str(emodb)]) == 0
    opened = open_bundle(bundle).manifest
    window = DescriptorWindow(16000, (3.0,), 100.0)
    same = []
    for file in sorted(emodb.iterdir()):
        window.reset()
        window.push(read_sound(file))
        result = window.compute()
        assert result is not None
        same.append(np.allclose(opened.acoustic.regressor.neutral, result.values[0], rtol=1e-5, atol=1e-6))
    names = [file.stem for file in sorted(emodb.iterdir())]
    assert [name[5] for name, hit in zip(names, same, strict=True) if hit] == ["N"]
    assert opened.face.regressor.neutral == ()
    EmotionPipeline(open_bundle(bundle)).calibration.start(5.0)  # is possible now


def test_groups_count_alike_and_features_in_their_own_units() -> None:
    """Means of the groups: (1, 100) and (2.15, 200); the row nearest to their mean is in the second group."""
    one = [np.array([0.0, 0.0])] * 3 + [np.array([4.0, 400.0])]
    two = [np.array([1.3, 100.0]), np.array([3.0, 300.0])]
    assert subject._most_typical([one, two], "row") == (1.3, 100.0)


def faces(expressions: list[int], shades: list[int]) -> FaceCorpus:
    images = [np.full((48, 48), shade, np.uint8) for shade in shades]
    names = [str(i) for i in range(len(images))]
    return FaceCorpus(
        "flat", "CC0", images, names, np.full(len(images), ""), expression=np.array(expressions)
    )


def test_faces_of_other_expressions_do_not_count(
    tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unaligned(images, geometry):
        return np.stack(images), np.zeros(len(images), bool)

    monkeypatch.setattr(subject, "face_crops", unaligned)  # the faces are flat: there is nothing to detect
    bundle = open_bundle(tiny_bundle_path)
    corpora = [faces([0, 0, 1, 0], [128, 192, 100, 144]), faces([0, 4], [64, 110])]
    # (grey - 128) / 64: the corpora's means are 0.417 and -1, theirs is -0.29, and 0 is the nearest neutral face.
    np.testing.assert_allclose(subject.neutral_face(bundle, corpora), np.zeros(ENCODER_FEATURES), atol=1e-6)
    with pytest.raises(InputError, match="no neutral face"):
        subject.neutral_face(bundle, [faces([1, 2], [0, 0])])


def test_what_has_no_neutral_is_refused(
    bundle: Path, emodb: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run.run(app, "x", ["neutral", str(bundle)]) == 2
    for file in emodb.glob("*N?.flac"):
        file.unlink()
    assert run.run(app, "x", ["neutral", str(bundle), "--speech", str(emodb)]) == 65
    assert "no neutral utterance" in capfd.readouterr().err
    opened = open_bundle(bundle)
    part = opened.manifest.face.model_copy(update={"pooling": "mean_deviation"})
    object.__setattr__(opened, "manifest", opened.manifest.model_copy(update={"face": part}))
    with pytest.raises(UsageError, match="mean_deviation"):
        subject.neutral_face(opened, [])
