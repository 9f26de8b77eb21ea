"""The causal recurrent regressor: it learns, it looks at the past alone, its ONNX graph carries its state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from edge_emotion_export.training.metrics import ccc
from edge_emotion_export.training.recurrent import (
    Recurrent,
    RecurrentJob,
    RecurrentSettings,
    ccc_loss,
    fit_recurrent,
    to_onnx,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from latent_members import HOP_S, latent_members, walk

from edge_emotion.model.backend import open_backend

SETTINGS = RecurrentSettings(hidden=8, epochs=(20, 40), learning_rate=1e-2, dropout=0.1)


@pytest.fixture(scope="module")
def fitted() -> tuple[Recurrent, list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    truths = [walk(rng, 60, 15) for _ in range(6)]
    rows = [t[:, None] * [1.0, -1.0, 2.0] * 50 + 300 + rng.normal(0, 10, (60, 3)) for t in truths]
    model, held = fit_recurrent(rows, truths, list("abcdef"), SETTINGS, 3)
    return model, rows, truths, held


def test_learns_on_held_out_speakers(fitted: tuple) -> None:
    _, _, truths, held = fitted
    assert ccc(np.concatenate(truths), np.concatenate(held)) > 0.6


def test_same_seed_same_network(fitted: tuple) -> None:
    model, rows, truths, _ = fitted
    again, _ = fit_recurrent(rows, truths, list("abcdef"), SETTINGS, 3)
    np.testing.assert_array_equal(again.predict(rows[0]), model.predict(rows[0]))


def test_looks_back_only(fitted: tuple) -> None:
    model, rows, _, _ = fitted
    np.testing.assert_allclose(model.predict(rows[0])[:30], model.predict(rows[0][:30]), atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=4))
def test_onnx_obeys_the_chunking_law(fitted: tuple, cuts: list[int]) -> None:
    model, rows, _, _ = fitted
    backend = open_backend(to_onnx(model).SerializeToString())
    state, got = np.zeros((1, 1, 8), np.float32), []
    for part in np.split(rows[0].astype(np.float32), sorted(cuts)):
        if len(part):
            outputs = backend.compute({"features": part, "state": state})
            state = outputs["next_state"]
            got.append(outputs["prediction"])
    np.testing.assert_allclose(np.concatenate(got), model.predict(rows[0]), atol=2e-5)


def test_loss_is_one_less_the_ccc() -> None:
    rng = np.random.default_rng(1)
    truth, prediction = rng.normal(size=50), rng.normal(size=50)
    loss = ccc_loss(torch.tensor(truth), torch.tensor(prediction), torch.ones(50))
    assert float(loss) == pytest.approx(1 - ccc(truth, prediction), abs=1e-6)


def test_job_keeps_predictions_of_every_hop(tmp_path: Path) -> None:
    from edge_emotion_export.training.blocks import Block

    members = tuple(latent_members(tmp_path, train=3, dev=1, frames=120, noise=(0.5, 0.5)))
    blocks = (Block("audio", 1.0), Block("video", 1.0))
    small = RecurrentSettings(hidden=4, epochs=(5,))
    job = RecurrentJob(members, blocks, "arousal", 3, HOP_S, 4, 3, small, tmp_path)
    held, rest = job.run()
    assert {name: len(trace) for name, trace in (held | rest).items()} == {m.name: 120 for m in members}
    assert all(np.ptp(rest["dev_3"][k : k + 4]) == 0 for k in range(0, 120, 4))
    assert job.path().is_file()
