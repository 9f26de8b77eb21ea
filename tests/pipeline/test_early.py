"""Early fusion: the joint regressor speaks while both modalities are there, each part's own where one is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundles import ENCODER_FEATURES, SIGMA, tiny_bundle
from scenes import blocks, film, merged, voice

from edge_emotion.errors import BundleError
from edge_emotion.model.bundle import open_bundle
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.types import DIMENSIONS, Reading

SHIFTED = {"intercept": {"arousal": -2.5, "valence": -2.0}}
EARLY = {
    "kind": "early",
    "early": {"file": "early.onnx", "features": 88 + ENCODER_FEATURES, "sigma": SHIFTED},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("early") / "tiny", fusion=EARLY)


def readings(folder: Path, *, sound: bool = True, picture: bool = True) -> list[Reading]:
    items = merged(blocks(voice(4.0)) if sound else [], film(4.0) if picture else [])
    return list(replay(EmotionPipeline(open_bundle(folder)), items))


def test_both_there_means_the_joint_regressor(folder: Path, tiny_bundle_path: Path) -> None:
    joint, late = readings(folder)[-1], readings(tiny_bundle_path)[-1]
    assert joint.audio.used
    assert joint.video.used
    assert (joint.audio.weight, joint.video.weight) == (late.audio.weight, late.video.weight)
    assert (joint.sigma_arousal, joint.sigma_valence) == pytest.approx((np.exp(-2.5), np.exp(-2.0)))
    assert late.sigma_arousal != pytest.approx(np.exp(-2.5), rel=0.05)
    assert abs((joint.arousal or 0.0) - (late.arousal or 0.0)) > 1e-3


@pytest.mark.parametrize(("sound", "picture"), [(True, False), (False, True)])
def test_one_missing_means_the_other_part_as_in_late_fusion(
    folder: Path, tiny_bundle_path: Path, sound: bool, picture: bool
) -> None:
    given = {"sound": sound, "picture": picture}
    assert readings(folder, **given) == readings(tiny_bundle_path, **given)


def test_sigma_knows_the_facts_of_both(tmp_path: Path) -> None:
    flat = {"arousal": [1.0, 1.0], "valence": [1.0, 1.0], "missing": dict.fromkeys(DIMENSIONS, 9.0)}
    terms = [
        {"fact": "audio.voiced", "knots": [0, 1]} | flat,
        {"fact": "video.face_px", "knots": [0, 1]} | flat,
    ]
    early = {**EARLY["early"], "sigma": SIGMA | {"terms": terms}}  # type: ignore[dict-item]
    last = readings(tiny_bundle(tmp_path / "b", fusion={"kind": "early", "early": early}))[-1]
    assert last.sigma_arousal == pytest.approx(np.exp(-1.6 + 2.0))


@pytest.mark.parametrize(
    ("fusion", "reason"),
    [
        ({"kind": "early"}, "belongs to kind early"),
        ({"early": EARLY["early"]}, "belongs to kind early"),
        (EARLY | {"early": {**EARLY["early"], "features": 90}}, "takes 90 features, the parts have 104"),  # type: ignore[dict-item]
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, fusion: dict[str, object], reason: str) -> None:
    with pytest.raises((BundleError, ValueError), match=reason):
        tiny_bundle(tmp_path / "b", fusion=fusion)
