"""Fusion of utterances and faces of like ratings: what is paired, and that the surer one is kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
from edge_emotion_export.training.fusion_trial import COMBINED, FACES, NEAREST, VOICES, Said, judge, pair

from edge_emotion.model.bundle import open_bundle


def make_said(truth: np.ndarray, error: float, said_error: float, seed: int) -> Said:
    noise = error * np.random.default_rng(seed).normal(size=truth.shape)
    return Said(truth, np.clip(truth + noise, -1, 1), np.full(truth.shape, said_error))


@pytest.fixture
def said() -> tuple[dict[str, Said], dict[str, Said], np.ndarray]:
    """Sixty utterances of six people, a hundred faces; a clean voice errs by 0.1, a clean face by 0.05."""
    rng = np.random.default_rng(0)
    spoken, shown = rng.uniform(-0.6, 0.6, (60, 2)), rng.uniform(-0.6, 0.6, (100, 2))
    voice = {"clean": make_said(spoken, 0.1, 0.1, 1), "pink_0_db": make_said(spoken, 0.5, 0.5, 2)}
    face = {
        name: make_said(shown, 0.05 if name == "clean" else 0.6, 0.05 if name == "clean" else 0.6, 3)
        for name in FACES
    }
    return voice, face, np.repeat(np.arange(6).astype(str), 10)


def fusion_part():
    part = open_bundle().manifest.fusion
    nothing = part.added_sigma.model_validate(
        {d: {"arousal": 0.0, "valence": 0.0} for d in ("audio", "video")}
    )
    return part.model_copy(update={"added_sigma": nothing})


def test_faces_are_among_the_nearest():
    rng = np.random.default_rng(0)
    voice, face = rng.uniform(-1, 1, (20, 2)), rng.uniform(-1, 1, (200, 2))
    face[5] = np.nan
    chosen = pair(voice, face, seed=1)
    assert 5 not in chosen
    for row, number in zip(voice, chosen, strict=True):
        distance = np.linalg.norm(face - row, axis=1)
        assert np.sum(distance < distance[number]) < NEAREST
    np.testing.assert_array_equal(pair(voice, face, seed=1), chosen)


def test_the_surer_one_is_kept_and_what_is_wrong_about_itself_shows(said):
    voice, face, speakers = said
    rows = {(row["voice"], row["face"]): row for row in judge(voice, face, speakers, fusion_part())}
    assert set(rows) == set(COMBINED)
    json.dumps(list(rows.values()))
    for dimension in ("arousal", "valence"):
        assert rows["clean", "clean"][dimension]["less_face"]["rmse"] < 0.01
        assert rows["pink_0_db", "clean"][dimension]["less_face"]["rmse"] < 0.02
        dark = rows["clean", "dark"][dimension]
        assert dark["less_voice"]["rmse"] < 0.02
        assert (
            dark["less_voice"]["interval_95"][0]
            <= dark["less_voice"]["rmse"]
            <= dark["less_voice"]["interval_95"][1]
        )
        assert dark["fused"]["rmse"] < dark["face"]["rmse"]
    # a dark face that is as sure of itself as a clean one spoils the voice, and the table says so
    face["dark"] = replace(face["dark"], sigma=np.full((100, 2), 0.02))
    spoilt = judge(voice, face, speakers, fusion_part())
    assert spoilt[COMBINED.index(("clean", "dark"))]["arousal"]["less_voice"]["rmse"] > 0.1


def test_pairs_without_a_reading_are_left_out_and_counted(said):
    voice, face, speakers = said
    missing = voice["pink_0_db"].prediction.copy()
    missing[:20] = np.nan
    voice["pink_0_db"] = replace(voice["pink_0_db"], prediction=missing)
    row = judge(voice, face, speakers, fusion_part())[COMBINED.index(("pink_0_db", "clean"))]
    assert (row["n"], row["pairs"]) == (40, 60)
    assert np.isfinite(row["valence"]["fused"]["ccc"])
    assert set(VOICES) == set(voice)
