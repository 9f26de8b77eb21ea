"""What the fusion part learns, on evidence whose errors and delay are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_emotion_export.training import shards
from edge_emotion_export.training.blocks import Member
from edge_emotion_export.training.shipped_fusion import describe, learn, metrics, rebuilt
from latent_members import walk

from edge_emotion.model.bundle import open_bundle
from edge_emotion.model.manifest import Manifest
from edge_emotion.types import DIMENSIONS

HOP_S = 0.2
DELAY_S = 2.4
SIGMA = 0.25


def members(folder: Path, *, shared: float = 0.0, flicker: float = 0.0) -> list[Member]:
    """Both modalities show the truth, half a window late, with slow errors; ``shared`` is in both, ``flicker`` fast."""
    rng, made = np.random.default_rng(1), []
    for k in range(10):
        columns: shards.Columns = {}
        truth = np.stack([walk(rng, 400, 30), walk(rng, 400, 30)], axis=1)
        common = np.stack([walk(rng, 400, 30), walk(rng, 400, 30)], axis=1)
        for modality in ("audio", "video"):
            own = np.stack([walk(rng, 400, 30), walk(rng, 400, 30)], axis=1)
            fast = flicker * (rng.uniform(size=(400, 2)) < 0.15) * rng.choice((-1.0, 1.0), (400, 2))
            seen = np.roll(truth + shared * common + (1.0 - shared) * own, 5, axis=0) + fast
            known = np.arange(400) >= 5
            columns[f"{modality}_sigma"] = np.full((400, 2), SIGMA, np.float32) * known[:, None]
            columns[f"{modality}_known"] = known
            for d in DIMENSIONS:
                columns[f"{modality}_{d}"] = (seen * known[:, None]).astype(np.float32)
        late = np.roll(truth, round(DELAY_S / HOP_S), axis=0)
        labels = {d: late[:, i] for i, d in enumerate(DIMENSIONS)}
        paths = {name: folder / f"{name}-{k}.parquet" for name in ("labels", "evidence")}
        shards.write(paths["labels"], labels)
        shards.write(paths["evidence"], columns)
        part = "train" if k < 6 else "dev"
        made.append(Member(f"r{k}", f"s{k}", part, paths["labels"], {"evidence": paths["evidence"]}))  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def manifest(tiny_bundle_path: Path) -> Manifest:
    """Its windows are 2 s long, the middle lies five readings back."""
    return open_bundle(tiny_bundle_path).manifest


def test_delay_gain_and_coverage(manifest: Manifest, tmp_path: Path) -> None:
    learnt = learn(members(tmp_path), manifest)
    assert abs(learnt.error_correlation) < 0.2
    for d in DIMENSIONS:
        judged = learnt.judged[d]
        assert learnt.delays_s[d] == pytest.approx(DELAY_S, abs=0.21)
        assert judged.ccc["fused"] > max(judged.ccc["audio"], judged.ccc["video"])
        assert judged.gains["audio"].low > 0
        assert judged.sigma["audio"][1] == pytest.approx(SIGMA)
        low, high = judged.intervals["fused"]
        assert low < judged.ccc["fused"] < high


def test_errors_that_go_together_are_found_and_widen_the_interval(manifest: Manifest, tmp_path: Path) -> None:
    learnt = learn(members(tmp_path, shared=0.8), manifest)
    assert learnt.error_correlation > 0.8
    for judged in learnt.judged.values():
        assert judged.covered[1] > judged.covered[0]


def test_a_median_is_kept_against_flicker_and_has_little_to_do_elsewhere(
    manifest: Manifest, tmp_path: Path
) -> None:
    steady, flickering = members(tmp_path / "steady"), members(tmp_path / "flickering", flicker=2.0)
    found = [learn(made, manifest).smoothing for made in (steady, flickering)]
    gains = [{d: chosen.steps[0].with_it - chosen.steps[0].without for d, chosen in f.items()} for f in found]
    for d in DIMENSIONS:
        assert found[1][d].steps[0].name == "median"
        assert 0.4 <= found[1][d].chain.median_s <= 2.0
        assert gains[1][d] > 0.03 > gains[0][d]


def test_the_part_says_how_it_was_learnt_and_keeps_what_photographs_said(
    manifest: Manifest, tmp_path: Path
) -> None:
    learnt = learn(members(tmp_path, shared=0.8), manifest)
    training = {
        "data": [],
        "command": "transfer",
        "metrics": {"ferplus_pseudo_bias_arousal": 0.1, "old": 1.0},
    }
    added = {"video": {"arousal": 0.126, "valence": 0.0}}
    former = type(manifest.fusion).model_validate({"added_sigma": added, "training": training})
    part = rebuilt(former, learnt, describe(learnt, "pairs"), "fusion BUNDLE")
    assert part.added_sigma == former.added_sigma
    assert part.error_correlation == learnt.error_correlation
    assert part.training is not None
    assert part.training.metrics == {"ferplus_pseudo_bias_arousal": 0.1, **metrics(learnt)}
    assert part.training.metrics["dev_speakers"] == 4
    assert "dev_gain_over_video_ccc_valence_low" in part.training.metrics
    assert part.training.data[0].items == 6
    assert "other speakers" in part.training.notes
    assert "photographs" in part.training.notes
