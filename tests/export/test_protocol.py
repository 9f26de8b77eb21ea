"""The protocol on recordings with a planted truth: delays are found, fusions help or stay out of the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dask.distributed import Client
from edge_emotion_export.training import engine, shards
from edge_emotion_export.training.blocks import Block, read_rows, statistics_of, training_rows
from edge_emotion_export.training.protocol import FitJob, Plan, ProtocolSettings, System, fit_jobs, lag_of
from edge_emotion_export.training.regression import Candidate, Grid
from edge_emotion_export.training.report import results, table
from edge_emotion_export.training.reproduction import Outcome, Reproduction, decide
from latent_members import HOP_S, WINDOWS_S, latent_members

from edge_emotion.types import DIMENSIONS

SETTINGS = ProtocolSettings(
    hop_s=HOP_S,
    windows_s=WINDOWS_S,
    folds=3,
    every=3,
    search_rows=500,
    fit_rows=900,
    grid=Grid(
        linear_c=(1e-2, 1.0),
        rbf_c=(1.0,),
        epsilons=(0.05,),
        rbf_epsilons=(0.05,),
        gammas=(0.25,),
        weights=((1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),
    ),
)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with engine.cluster() as opened:
        yield opened


def run(folder: Path, client: Client, **planted: object) -> Outcome:
    members = latent_members(folder / "corpus", **planted)  # type: ignore[arg-type]
    settings = Reproduction(keep=folder / "shards", protocol=SETTINGS, recurrent=None)
    return decide(members, settings, client)


@pytest.fixture(scope="module")
def plain(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(tmp_path_factory.mktemp("plain"), client)


def ccc_of(outcome: Outcome, system: str, dimension: str, stage: str = "causal") -> float:
    return outcome.verdicts[system, dimension].figures[stage]["ccc"]  # type: ignore[index]


@pytest.mark.parametrize("delays_s", [(1.4, 2.8), (3.6, 1.4)])
def test_planted_delays_are_found(client: Client, tmp_path: Path, delays_s: tuple[float, float]) -> None:
    outcome = run(tmp_path, client, delays_s=delays_s, noise=(1.0, 1.0), seed=4)
    for dimension, planted in zip(DIMENSIONS, delays_s, strict=True):
        assert abs(outcome.agreed_s[dimension] - planted) <= 0.2 + 1e-9


def test_fusions_beat_both_modalities(plain: Outcome) -> None:
    for dimension in DIMENSIONS:
        best = max(ccc_of(plain, "audio", dimension), ccc_of(plain, "video", dimension))
        assert ccc_of(plain, "early", dimension) > best
        assert ccc_of(plain, "late", dimension) > best
        assert 0 < plain.late_weights["late", dimension] < 1


@pytest.mark.parametrize(("noise", "good"), [((np.inf, 1.5), "video"), ((1.5, np.inf), "audio")])
def test_noise_in_one_modality_costs_nothing(
    client: Client, tmp_path: Path, noise: tuple[float, float], good: str
) -> None:
    outcome = run(tmp_path, client, noise=noise)
    for dimension in DIMENSIONS:
        alone = ccc_of(outcome, good, dimension)
        assert ccc_of(outcome, "early", dimension) > alone - 0.02
        assert ccc_of(outcome, "late", dimension) > alone - 0.02


def test_shared_errors_leave_little_to_gain(client: Client, plain: Outcome, tmp_path: Path) -> None:
    alike = run(tmp_path, client, noise=(0.05, 0.05), shared=1.0)

    def gain(outcome: Outcome) -> float:
        single = max(ccc_of(outcome, name, "arousal") for name in ("audio", "video"))
        return ccc_of(outcome, "late", "arousal") - single

    assert gain(plain) > 0.03
    assert abs(gain(alike)) < 0.02


def test_every_kept_step_helped_on_speakers_that_did_not_choose_it(plain: Outcome) -> None:
    for verdict in plain.verdicts.values():
        for chosen in verdict.chains.values():
            assert all(step.kept == (step.with_it > step.without + 1e-3) for step in chosen.steps)
        assert verdict.chains["causal"].chain.shift_s >= 0


def test_same_again_and_nothing_repeated(client: Client, plain: Outcome, tmp_path: Path) -> None:
    first = run(tmp_path, client)
    assert {key: verdict.facts() for key, verdict in first.verdicts.items()} == {
        key: verdict.facts() for key, verdict in plain.verdicts.items()
    }, "another cache, the same figures"
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").iterdir()}
    again = run(tmp_path, client)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").iterdir()} == kept
    settings = Reproduction(keep=tmp_path, protocol=SETTINGS, recurrent=None)
    facts = [results(o, settings, corpus="c", command="x", synthetic=True) for o in (first, again)]
    assert facts[0] == facts[1]
    shown = table(first, facts[0])
    assert "Synthetic pairs" in shown
    assert "early fusion - audio" in shown
    assert "training mean | 0.000" in shown.replace("-0.000", "0.000")


class TestBlocks:
    def test_rows_are_decimated_and_pair_with_later_labels(self, tmp_path: Path) -> None:
        members = latent_members(tmp_path, train=2, dev=0, noise=(0.0, 0.0), missing=0.0)
        block = (Block("audio", 1.0),)
        lag = lag_of(block, 2.8, HOP_S)
        assert lag == round((2.8 - 0.5) / HOP_S)
        rows, labels, owner = training_rows(members, block, "arousal", lag, HOP_S, 100, 2)
        assert len(rows) == len(labels) == len(owner) <= 100
        assert set(owner.tolist()) == {0, 1}
        weights, *_ = np.linalg.lstsq(rows, labels, rcond=None)
        assert np.corrcoef(rows @ weights, labels)[0, 1] > 0.9

    @pytest.mark.parametrize("standardisation", ["speaker", "running"])
    def test_other_standardisations(self, tmp_path: Path, standardisation: str) -> None:
        members = latent_members(tmp_path, train=3, dev=1)
        block = Block("video", 2.0)
        statistics = statistics_of(members, block, HOP_S, standardisation)  # type: ignore[arg-type]
        values = read_rows(
            members[3],
            (block,),
            HOP_S,
            training=True,
            statistics=statistics,
            standardisation=standardisation,  # type: ignore[arg-type]
        ).values
        if standardisation == "speaker":
            np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
        else:
            assert list(statistics) == ["video/2/*"], "a device knows training statistics only"
        assert np.abs(values).max() < 10

    def test_fold_sources_replace_the_final_ones(self, tmp_path: Path) -> None:
        member = latent_members(tmp_path, train=1, dev=0)[0]
        paths = {"video_tuned": tmp_path / "all", "video_tuned_fold1": tmp_path / "fold1"}
        tuned = replace(member, features={**member.features, **paths})
        assert tuned.in_fold(1).features["video_tuned"].name == "fold1"
        assert tuned.in_fold(0).features["video_tuned"].name == "all"


def test_fit_job_survives_a_torn_shard(tmp_path: Path) -> None:
    members = latent_members(tmp_path, train=3, dev=1)
    plan = Plan(
        System("audio", ("audio",)), "arousal", (Block("audio", 1.0),), 2.8, Candidate("linear", 0.1, 0.05)
    )
    job: FitJob = fit_jobs(members, plan, SETTINGS, {}, tmp_path / "keep")[-1]
    first = job.run()
    before = job.path().stat().st_mtime_ns
    assert job.run()["dev_3"].tolist() == first["dev_3"].tolist()
    assert job.path().stat().st_mtime_ns == before
    # What a killed writer leaves behind has another name and is never read.
    (tmp_path / "keep" / f".{job.path().name}.partial").write_bytes(b"PAR1")
    job.path().unlink()
    assert job.run()["dev_3"].tolist() == first["dev_3"].tolist()
    shards.read(job.path(), ["prediction"])
