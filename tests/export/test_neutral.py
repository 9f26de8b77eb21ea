"""The bundle's neutral: the mean over speakers of what the run-time code makes of neutral items."""

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
from edge_emotion.features.functionals import compute_functionals
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.model.bundle import open_bundle
from edge_emotion.pipeline import EmotionPipeline


@pytest.fixture
def bundle(tiny_bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle_path, tmp_path / "copy"))


@pytest.fixture
def emodb(tmp_path: Path) -> Path:
    """Two speakers; the first has two neutral utterances, the second one, and both have an angry one."""
    for i, name in enumerate(("03a01Na", "03a02Na", "08a01Na", "03a01Wa", "08a01Wa")):
        write_flac(tmp_path / "emodb" / f"{name}.flac", make_voice(2.0, f0_hz=110 + 30 * i, seed=i))
    return tmp_path / "emodb"


def test_speakers_count_alike(bundle: Path, emodb: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run.run(app, "x", ["neutral", str(bundle), "--speech", str(emodb)]) == 0
    opened = open_bundle(bundle).manifest

    def described(name: str) -> np.ndarray:
        window = DescriptorWindow(16000, (3.0,), 100.0)
        window.push(read_sound(emodb / f"{name}.flac"))
        result = window.compute()
        assert result is not None
        assert np.isfinite(compute_functionals(read_sound(emodb / f"{name}.flac"), 16000)).all()
        return result.values[0].astype(float)

    first = (described("03a01Na") + described("03a02Na")) / 2
    expected = (first + described("08a01Na")) / 2
    np.testing.assert_allclose(opened.acoustic.regressor.neutral, expected, rtol=1e-5, atol=1e-6)
    assert opened.face.regressor.neutral == ()
    EmotionPipeline(open_bundle(bundle)).calibration.start(5.0)  # is possible now


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
    neutral = subject.neutral_face(bundle, [faces([0, 0, 1], [128, 192, 0]), faces([0, 4], [64, 255])])
    # (grey - 128) / 64, mean of each corpus, then of both.
    np.testing.assert_allclose(neutral, np.full(ENCODER_FEATURES, (0.5 + -1.0) / 2), atol=1e-6)
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
