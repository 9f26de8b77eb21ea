"""The model card says what the manifest says, in the bundle and on the command line alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import encoder_graph, tiny_bundle
from edge_emotion_export.conversion.bundle import assemble

from edge_emotion.cli import app, run
from edge_emotion.model.bundle import default_bundle_path, open_bundle
from edge_emotion.model.card import CARD, GROUPS, NOT_FOR, card


def test_the_card_names_data_rights_figures_and_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_bundle(tmp_path / "bundle", encoders={"float.onnx": encoder_graph()})
    manifest = assemble(folder, "kitchen-2").manifest
    text = (folder / CARD).read_text()
    assert text == card(manifest)
    assert text.startswith("# kitchen-2\n")
    for wanted in (
        manifest.sha256,
        "| seeded random numbers | 1 | CC0 |",
        "| tiny_loso_ccc_valence | 0.25 |  |  |",
        "Made by `tests/bundles.py`, seed 7.",
        "| encoder | encoder.onnx | float: float.onnx | as this bundle |",
        *NOT_FOR,
        GROUPS,
    ):
        assert wanted in text
    assert run.run(app, "edge-emotion", ["inspect", str(folder), "--card"]) == 0
    assert capsys.readouterr().out == text


def test_an_interval_and_a_count_stand_beside_their_figure(tmp_path: Path) -> None:
    manifest = open_bundle(tiny_bundle(tmp_path / "bundle")).manifest
    metrics = {
        "recall_fear": 0.5758,
        "recall_fear_low": 0.4,
        "recall_fear_high": 0.7312,
        "recall_fear_n": 1033,
    }
    training = manifest.face.training.model_copy(update={"metrics": metrics})
    face = manifest.face.model_copy(update={"training": training})
    text = card(manifest.model_copy(update={"face": face}))
    assert "| recall_fear | 0.5758 | 0.400 to 0.731 | 1,033 |" in text
    assert "recall_fear_low" not in text


def test_the_card_says_which_languages_were_heard(tmp_path: Path) -> None:
    manifest = open_bundle(tiny_bundle(tmp_path / "bundle")).manifest
    source = manifest.acoustic.training.data[0].model_copy(
        update={"items": 1625, "languages": {"Danish": 1350, "English": 275}}
    )
    training = manifest.acoustic.training.model_copy(update={"data": (source,)})
    acoustic = manifest.acoustic.model_copy(update={"training": training})
    text = card(manifest.model_copy(update={"acoustic": acoustic}))
    assert f"| {source.name} | 1,625 (1,350 Danish, 275 English) | {source.licence} |" in text


def test_the_built_in_bundle_carries_its_card() -> None:
    built_in = open_bundle()
    assert (default_bundle_path() / CARD).read_text() == card(built_in.manifest)
    for part in (built_in.manifest.acoustic, built_in.manifest.face):
        for data in part.training.data:
            assert data.licence in card(built_in.manifest)
