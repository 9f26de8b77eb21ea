import dataclasses
import json

import numpy as np
import pytest
import torch
from edge_emotion_export.conversion import face as conversion
from edge_emotion_export.corpora.faces import FaceCorpus
from edge_emotion_export.training.face_affect import (
    FineTuning,
    RatedFaces,
    VotedFaces,
    circumplex,
    concordance_loss,
    fine_tune,
    pseudo_affect,
)
from edge_emotion_export.training.face_augmentation import SPOILERS, Augmentation, augment
from edge_emotion_export.training.face_cycles import cycles, shortened
from edge_emotion_export.training.face_data import FaceViews, VoteData
from edge_emotion_export.training.face_network import FaceCnn, FaceCnnSettings
from edge_emotion_export.training.face_recipe import (
    FaceRecipe,
    Progress,
    load_pretrained,
    save_pretrained,
    train_votes,
)
from edge_emotion_export.training.face_training import (
    Average,
    Compute,
    FaceTrainer,
    FaceTrainingSettings,
    infer,
    one_cycle,
)
from edge_emotion_export.training.metrics import ccc
from face_corpora import drawn_face

from edge_emotion.errors import EdgeEmotionError, InputError, UsageError

TINY = FaceCnnSettings(channels=(4, 6, 8), kernels=(3, 3, 3), features=8, dropout=0.1)
SETTINGS = FaceTrainingSettings(epochs=3, batch=16, learning_rate=1e-2, average_decay=0.9, network=TINY)
COMPUTE = Compute(threads=1)


def faces(count: int, seed: int = 0) -> tuple[FaceViews, np.ndarray]:
    rng = np.random.default_rng(seed)
    pictures = np.stack([drawn_face(number % 8, rng) for number in range(count)])
    views = FaceViews(pictures, np.roll(pictures, 1, axis=2), np.arange(count) % 3 > 0)
    return views, np.eye(8, dtype=np.float32)[np.arange(count) % 8]


def train(folder, settings=SETTINGS, stop_after=99):
    trainer = FaceTrainer(settings, COMPUTE, folder)
    views, shares = faces(64)
    for row in trainer.epochs(views, shares, lambda network: {"crop": 0.0}):
        if row["epoch"] == stop_after:
            break
    return trainer


def test_the_network_learns_what_it_is_shown(tmp_path):
    longer = dataclasses.replace(
        SETTINGS, epochs=8, batch=8, learning_rate=2e-2, augmentation=Augmentation(3, 0, 0, 0, 0, 0)
    )
    trainer = train(tmp_path, longer)
    views, shares = faces(64, seed=9)
    votes = infer(trainer.averaged(), views.direct)[1]
    assert (votes.argmax(1) == shares.argmax(1)).mean() > 0.5  # chance is 0.125
    assert trainer.history[-1]["loss"] < 0.7 * trainer.history[0]["loss"]


def test_a_resumed_run_gives_the_same_bits(tmp_path):
    whole = train(tmp_path / "whole").averaged()
    train(tmp_path / "halves", stop_after=1)
    trainer = FaceTrainer(SETTINGS, COMPUTE, tmp_path / "halves")
    trainer.resume()
    assert trainer.epoch == 1
    views, shares = faces(64)
    assert [row["epoch"] for row in trainer.epochs(views, shares, lambda network: {})] == [2, 3]
    for a, b in zip(whole.state_dict().values(), trainer.averaged().state_dict().values(), strict=True):
        assert torch.equal(a, b)


def votes_of(count: int = 64) -> VoteData:
    views, shares = faces(count)
    votes = np.hstack([10 * shares, np.zeros((count, 2), np.float32)])
    corpus = FaceCorpus(
        name="toy",
        licence="ours",
        images=list(views.direct),
        names=[str(number) for number in range(count)],
        split=np.full(count, "valid"),
        votes=votes,
    )
    return VoteData(views, shares, views, corpus, np.arange(count))


def test_a_second_cycle_goes_on_from_the_averaged_weights_and_can_be_resumed(tmp_path):
    data = votes_of()
    cycles = (SETTINGS, dataclasses.replace(SETTINGS, epochs=2, seed=11, learning_rate=1e-3))
    recipe = FaceRecipe("reference", cycles)
    whole, history = train_votes(data, recipe, COMPUTE, tmp_path / "whole", False, Progress())
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    first = FaceTrainer(SETTINGS, COMPUTE, tmp_path / "whole" / "cycle_1")
    first.resume()
    begun = FaceTrainer(cycles[1], COMPUTE, tmp_path, first.averaged())
    for name, value in first.average.state.items():
        assert torch.equal(begun.network.state_dict()[name], value)
    assert not begun.optimiser.state
    train_votes(
        data, dataclasses.replace(recipe, cycles=cycles[:1]), COMPUTE, tmp_path / "halves", False, Progress()
    )
    again, resumed = train_votes(data, recipe, COMPUTE, tmp_path / "halves", True, Progress())
    assert resumed == history
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_cycles_are_shortened_in_proportion():
    for epochs in (1, 2, 7, 21):
        chosen = shortened(cycles(), epochs)
        assert sum(cycle.epochs for cycle in chosen) == epochs
        assert all(0 <= cycle.calm_epochs < cycle.epochs + 1 for cycle in chosen)
    assert shortened(cycles(), 21) == cycles()


def test_resuming_needs_a_checkpoint_of_the_same_settings(tmp_path):
    with pytest.raises(UsageError, match="nothing to resume"):
        FaceTrainer(SETTINGS, COMPUTE, tmp_path).resume()
    train(tmp_path, stop_after=1)
    with pytest.raises(UsageError, match="other settings"):
        FaceTrainer(dataclasses.replace(SETTINGS, seed=2), COMPUTE, tmp_path).resume()


def test_compute_refuses_what_is_not_there():
    with pytest.raises(UsageError, match="unknown device"):
        Compute.choose("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="cuda is not available"):
            Compute.choose("cuda")


def test_the_learning_rate_rises_and_falls():
    rates = [one_cycle(step / 100, 1.0) for step in range(101)]
    assert np.argmax(rates) == 20
    assert rates[0] == pytest.approx(0.04)
    assert (np.diff(rates[20:]) <= 0).all()
    assert 0 < rates[-1] < 1e-3


def test_the_average_follows_weights_and_keeps_counters():
    network = FaceCnn(TINY)
    average = Average(network, 0.5)
    with torch.no_grad():
        network.head.bias += 11.0
        network.convolutions[2].num_batches_tracked += 7
    start = average.state["head.bias"].clone()
    average.update(network)  # decays by (1 + 1) / (10 + 1) at first
    torch.testing.assert_close(average.state["head.bias"], start + 11.0 * 9 / 11)
    assert average.state["convolutions.2.num_batches_tracked"] == 7


def test_multiply_adds_of_a_network_counted_by_hand():
    settings = FaceCnnSettings(channels=(1, 2, 3), kernels=(1, 1, 3), last_pool=3, features=5)
    assert settings.multiply_adds == 48 * 48 + 2 * 24 * 24 + 2 * 3 * 9 * 12 * 12 + 3 * 16 * 5 + 10 * 5


def test_contrast_and_exposure_are_taken_out():
    network = FaceCnn(TINY).eval()
    face = drawn_face(1, np.random.default_rng(0)).astype(np.float32)
    dim = torch.from_numpy(np.stack([face, 0.3 * face + 10])[:, None] - 127.5) / 127.5
    with torch.no_grad():
        features = network(dim)[0]
    torch.testing.assert_close(features[0], features[1], rtol=0.02, atol=0.02)


def test_augmentation_is_seeded_and_keeps_shape():
    views, _ = faces(16)
    one, two = (augment(views.direct, Augmentation(), np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.dtype == np.uint8
    assert one.shape == views.direct.shape
    assert (one != views.direct).any(axis=(1, 2)).all()


def test_no_augmentation_is_the_picture_or_its_mirror():
    views, _ = faces(32)
    still = augment(views.direct, Augmentation(0, 0, 0, 0, 0, 0), np.random.default_rng(0))
    same = (np.abs(still.astype(int) - views.direct) <= 1).all(axis=(1, 2))
    mirrored = (np.abs(still.astype(int) - views.direct[:, :, ::-1]) <= 1).all(axis=(1, 2))
    assert (same | mirrored).all()
    assert 5 < same.sum() < 27


def test_spoilers_do_what_their_names_say():
    rng = np.random.default_rng(0)
    face = drawn_face(1, rng)
    spoiled = {name: spoil(face, rng) for name, spoil in SPOILERS.items()}

    def detail(image):
        return np.abs(np.diff(image.astype(float), axis=1)).mean()

    assert detail(spoiled["blur"]) < 0.9 * detail(face)
    assert detail(spoiled["low resolution"]) < 0.9 * detail(face)
    assert detail(spoiled["noise"]) > detail(face)
    assert spoiled["dark"].mean() < 0.45 * face.mean()
    assert all(image.shape == face.shape and image.dtype == np.uint8 for image in spoiled.values())


def trained_norms(seed: int = 0) -> FaceCnn:
    torch.manual_seed(seed)
    network = FaceCnn(TINY).train()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        for _ in range(5):
            network(torch.randn(32, 1, 48, 48) * 0.7 + 0.3)
    return network.eval()


def test_onnx_says_what_torch_says_with_every_norm_folded():
    network = trained_norms()
    model = conversion.face_onnx(network)
    import onnx

    graph = onnx.load_from_string(model).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    assert [value.name for value in graph.input] == ["crops"]
    assert [value.name for value in graph.output] == ["features", "votes", "affect"]
    assert conversion.parity(network, model) < 1e-4
    assert conversion.parity(network, model, faces(3)[0].direct) < 1e-4


def test_a_norm_that_does_not_commute_with_the_maximum_is_kept():
    network = trained_norms()
    with torch.no_grad():
        network.convolutions[2].weight[1] = -0.5
    folded = conversion.fold_norms(network)
    assert isinstance(folded.convolutions[2], torch.nn.BatchNorm2d)
    assert isinstance(folded.convolutions[6], torch.nn.Identity)
    assert conversion.parity(network, conversion.face_onnx(network)) < 1e-4


def test_a_graph_that_differs_from_torch_is_not_let_through(monkeypatch):
    monkeypatch.setattr(conversion, "fold_norms", lambda network: trained_norms(seed=1))
    with pytest.raises(EdgeEmotionError, match="differs from torch"):
        conversion.face_onnx(trained_norms())


def test_pretrained_weights_survive_half_precision(tmp_path):
    network = trained_norms()
    save_pretrained(network, tmp_path / "weights.safetensors")
    again = load_pretrained(tmp_path / "weights.safetensors")
    assert again.settings == TINY
    crops = faces(5)[0].direct
    np.testing.assert_allclose(infer(network, crops)[1], infer(again, crops)[1], atol=0.02)
    with pytest.raises(InputError, match="no weights"):
        load_pretrained(tmp_path / "none")


def rated(count: int = 56) -> RatedFaces:
    views, _ = faces(count)
    expression = np.arange(count) % 8
    kept = expression != 7
    angle = expression * 0.8
    affect = np.stack([0.6 * np.cos(angle), 0.6 * np.sin(angle)], 1).astype(np.float32)
    return RatedFaces(views, affect, expression).rows(np.flatnonzero(kept))


def test_pseudo_labels_are_expectations_under_the_votes():
    means = circumplex(rated())
    np.testing.assert_allclose(means[1], [0.6 * np.cos(0.8), 0.6 * np.sin(0.8)], atol=1e-6)
    np.testing.assert_allclose(means[7], (means[0] + means[5]) / 2)
    shares = np.zeros((2, 8), np.float32)
    shares[0, 2], shares[1, [0, 4]] = 1, (0.25, 0.75)
    np.testing.assert_allclose(
        pseudo_affect(shares, means), [means[2], 0.25 * means[0] + 0.75 * means[4]], rtol=1e-6
    )
    with pytest.raises(InputError, match="no rated face shows anger"):
        circumplex(rated().rows(np.flatnonzero(rated().expression != 4)))


def test_the_concordance_loss_is_one_less_the_ccc():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(40, 2))
    guess = 0.5 * truth + rng.normal(0, 0.3, truth.shape) + 0.1
    expected = 1 - np.mean([ccc(truth[:, k], guess[:, k]) for k in (0, 1)])
    loss = concordance_loss(torch.from_numpy(guess), torch.from_numpy(truth))
    assert float(loss) == pytest.approx(expected, abs=1e-4)


def test_fine_tuning_learns_affect_and_repeats_itself(tmp_path):
    start = train(tmp_path).averaged()
    known, voted = rated(), VotedFaces(*faces(64))
    settings = FineTuning(
        steps=60, rated=32, voted=16, learning_rate=1e-2, augmentation=Augmentation(3, 0, 0, 0, 0, 0)
    )
    one, two = (fine_tune(start, known, voted, settings, COMPUTE) for _ in range(2))
    before, after = (infer(network, known.views.crops)[2] for network in (start, one))
    for k in (0, 1):
        assert ccc(known.affect[:, k], after[:, k]) > max(0.5, ccc(known.affect[:, k], before[:, k]))
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_checkpoint_metadata_is_plain_json(tmp_path):
    from safetensors import safe_open

    train(tmp_path, stop_after=1)
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        meta = file.metadata()
    assert json.loads(meta["settings"])["network"]["features"] == 8
    assert json.loads(meta["history"])[0]["epoch"] == 1
