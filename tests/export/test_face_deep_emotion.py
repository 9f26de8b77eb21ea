"""The tiny network: where its transformer looks, what it learns, and that every form of it says the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from edge_emotion_export.conversion import face as conversion
from edge_emotion_export.conversion.quantisation import quantise
from edge_emotion_export.training import face_networks
from edge_emotion_export.training.face_deep_emotion import DeepEmotion, DeepEmotionSettings
from edge_emotion_export.training.face_recipe import load_pretrained, save_pretrained
from edge_emotion_export.training.face_training import infer
from face_corpora import drawn_face

from edge_emotion.model.backend import open_backend
from edge_emotion.model.encoder import FaceNetwork
from edge_emotion.model.manifest import Normalisation


def crops(count: int = 16) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([drawn_face(number % 8, rng) for number in range(count)])


def lived_in(seed: int = 0) -> DeepEmotion:
    """Norms that have seen something, and a transformer that does not stand still."""
    torch.manual_seed(seed)
    network = DeepEmotion().train()
    with torch.no_grad():
        network.transformation.weight.normal_(0, 0.05)
        for _ in range(5):
            network(torch.randn(32, 1, 48, 48))
    return network.eval()


def test_it_is_as_large_as_published_but_for_norms_and_affect():
    convolutions, linear = 10 * 9 + 3 * 900, 810 * 50
    locating = (8 * 49 + 8) + (80 * 25 + 10) + (640 * 32 + 32) + (32 * 6 + 6)
    norms, heads = 4 * 20 + 100, 50 * 10 + 10
    count = sum(p.numel() for p in DeepEmotion().parameters())
    assert count == convolutions + linear + locating + norms + heads == 67_100


def test_it_begins_by_looking_at_the_whole_picture():
    pictures = torch.from_numpy(crops()[:, None].astype(np.float32))
    torch.testing.assert_close(DeepEmotion().eval().look(pictures), pictures, atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0.25, 0, 1, 0), lambda x: x[:, 6:]),  # a quarter of half a picture to the right
        ((-1, 0, 0, 0, 1, 0), lambda x: x[:, ::-1]),
        ((0, 1, 0, 1, 0, 0), lambda x: x.T),
    ],
)
def test_the_transformer_moves_mirrors_and_turns(matrix, expected):
    network = DeepEmotion().eval()
    network.transformation.bias.data.copy_(torch.tensor(matrix, dtype=torch.float32))
    face = crops(1)[0].astype(np.float32)
    with torch.no_grad():
        seen = network.look(torch.from_numpy(face)[None, None])[0, 0].numpy()
    wanted = expected(face)
    np.testing.assert_allclose(seen[: wanted.shape[0], : wanted.shape[1]], wanted, atol=0.1)


def test_gradients_reach_the_transformer():
    network = lived_in().train()
    network(torch.randn(8, 1, 48, 48))[1].square().sum().backward()
    assert network.transformation.weight.grad.abs().max() > 0
    assert network.locate[0].weight.grad.abs().max() > 0


def test_onnx_and_int8_say_what_torch_says():
    network = lived_in()
    model = conversion.face_onnx(network)
    kinds = {node.op_type for node in onnx.load_from_string(model).graph.node}
    assert "GridSample" in kinds
    assert "BatchNormalization" not in kinds
    assert conversion.parity(network, model, crops()) < 1e-4
    int8 = quantise(model, crops(64))
    assert "QLinearConv" in kinds or b"QuantizeLinear" in int8
    device = FaceNetwork(open_backend(int8), Normalisation(mean=127.5, scale=127.5), 50)
    votes = device.encode(crops()).votes
    np.testing.assert_allclose(votes, infer(network, crops())[1], atol=0.05)


def test_weights_and_settings_can_be_read_back(tmp_path):
    network = lived_in()
    save_pretrained(network, tmp_path / "weights.safetensors")
    assert (tmp_path / "weights.safetensors").stat().st_size < 200_000
    again = load_pretrained(tmp_path / "weights.safetensors")
    assert isinstance(again, DeepEmotion)
    np.testing.assert_allclose(infer(network, crops())[1], infer(again, crops())[1], atol=0.02)
    given = dataclasses.asdict(DeepEmotionSettings())
    assert face_networks.settings_from(given) == DeepEmotionSettings()
