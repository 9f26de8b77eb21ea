"""The networks with a trunk of SFace: the published weights, their heads, training in stages."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from edge_emotion_export.conversion import face as conversion
from edge_emotion_export.conversion.quantisation import quantise
from edge_emotion_export.training import face_networks
from edge_emotion_export.training.face_cycles import cycles
from edge_emotion_export.training.face_data import FaceViews
from edge_emotion_export.training.face_deep_emotion import DeepEmotion
from edge_emotion_export.training.face_network import MEAN, SCALE, FaceCnn
from edge_emotion_export.training.face_recipe import load_pretrained, save_pretrained
from edge_emotion_export.training.face_regressor import encode
from edge_emotion_export.training.face_sface import (
    LARGE,
    PAIR,
    SMALL,
    SFaceNet,
    SFaceSettings,
    read_units,
)
from edge_emotion_export.training.face_training import (
    Compute,
    FaceTrainer,
    FaceTrainingSettings,
    infer,
    votes_loss,
)
from edge_emotion_export.training.face_tuning import TuningSettings, read_network, tune
from face_corpora import drawn_face
from portraits import packaged

from edge_emotion.model.bundle import open_bundle

TINY = SFaceSettings(levels=(2, 4), features=6, side=56, early=(2, 3), early_features=5)
SETTINGS = FaceTrainingSettings(
    epochs=3, batch=8, learning_rate=1e-3, head_rate=5.0, small_epochs=1, fading_epochs=1.5, network=TINY
)


def faces(count: int) -> tuple[FaceViews, np.ndarray]:
    rng = np.random.default_rng(0)
    pictures = np.stack([drawn_face(number % 8, rng) for number in range(count)])
    return FaceViews(pictures, pictures, np.ones(count, bool)), np.eye(8, dtype=np.float32)[
        np.arange(count) % 8
    ]


def trainer(folder, settings=SETTINGS) -> FaceTrainer:
    packaged("sface.onnx")
    return FaceTrainer(settings, Compute(threads=1), folder)


def lived_in(settings: SFaceSettings = TINY) -> SFaceNet:
    """A network whose norms have seen something, so that folding them is not nothing."""
    torch.manual_seed(0)
    network = SFaceNet(settings).train()
    with torch.no_grad():
        for _ in range(3):
            network.exits(torch.randn(16, 1, 48, 48) * 0.7 + 0.3)
    return network.eval()


def test_the_trunk_says_what_the_published_file_says():
    path = packaged("sface.onnx")
    checked = (1, 4, 7, 12, 14)
    model = onnx.load(str(path))
    del model.graph.input[1:]
    for number in checked:
        model.graph.output.append(onnx.helper.make_tensor_value_info(f"conv_{number}_relu", 1, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    published = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    grey = np.random.default_rng(0).integers(0, 256, (1, 1, 112, 112)).astype(np.float32)
    wanted = published.run(
        [f"conv_{number}_relu" for number in checked], {"data": np.repeat(grey, 3, axis=1)}
    )
    network = SFaceNet(LARGE)
    network.load_published(path)
    network.keep_slopes(1.0)
    network.eval()
    x, found = torch.from_numpy((grey - MEAN) / SCALE), []
    with torch.no_grad():
        for level in network.trunk:
            x = level(x)
            found.append(x.numpy())
    for number, expected in zip(checked, wanted, strict=True):
        np.testing.assert_allclose(found[number - 1], expected, atol=1e-4)


def test_the_published_trunk_has_27_units_of_the_widths_that_we_build():
    units = list(read_units(packaged("sface.onnx")))
    assert len(units) == 27
    assert [len(unit.slope) for unit in units[2::2]] == [64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]


def test_sizes_of_the_networks():
    small, large = SFaceNet(SMALL), SFaceNet(LARGE)
    assert small.description["parameters"] == 1_813_770
    assert large.description["parameters"] == 3_869_962
    by_hooks = []
    networks = (small, large, FaceCnn(), DeepEmotion())
    for network in networks:
        counted = []
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                layer.register_forward_hook(
                    lambda layer, given, out, counted=counted: counted.append(
                        layer.weight.numel() * out[0, 0].numel()
                    )
                )
        with torch.no_grad():
            network.eval()(torch.zeros(1, 1, 48, 48))
        by_hooks.append(sum(counted))
    assert by_hooks == [network.description["multiply_adds"] for network in networks]


def test_each_head_alone_says_what_it_says_in_the_pair():
    network = lived_in()
    crops = torch.randn(3, 1, 48, 48)
    with torch.no_grad():
        early, last = network.exits(crops)
        for wanted, name in ((early, "small"), (last, "large")):
            found = face_networks.part(network, name)(crops)
            for a, b in zip(wanted, found, strict=True):
                torch.testing.assert_close(a, b)
    assert [tuple(t.shape) for t in early] == [(3, 5), (3, 8), (3, 2)]
    assert [tuple(t.shape) for t in last] == [(3, 6), (3, 8), (3, 2)]
    assert len(face_networks.part(network, "small").trunk) == 3


def test_contrast_and_exposure_are_taken_out():
    network = lived_in()
    face = drawn_face(1, np.random.default_rng(0)).astype(np.float32)
    dim = torch.from_numpy(np.stack([face, 0.3 * face + 10])[:, None] - 127.5) / 127.5
    with torch.no_grad():
        features = network(dim)[0]
    torch.testing.assert_close(features[0], features[1], rtol=0.02, atol=0.02)


def test_slopes_fade_to_relu():
    network = lived_in()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("slope"):
                value.fill_(0.5)
        x = torch.tensor([[[[-2.0, 3.0]]]]).expand(1, 32, 1, 2)
        bend = network.trunk[0][0][2]
        for kept, low in ((1.0, -1.0), (0.5, -0.5), (0.0, 0.0)):
            network.keep_slopes(kept)
            torch.testing.assert_close(bend(x)[0, 0, 0], torch.tensor([low, 3.0]))


def test_frozen_levels_neither_learn_nor_count():
    network = lived_in()
    network.freeze(3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    network(torch.randn(4, 1, 48, 48))[2].sum().backward()
    moved = {name for name, value in network.state_dict().items() if not torch.equal(before[name], value)}
    assert not any(name.startswith(("trunk.0", "trunk.1", "trunk.2")) for name in moved)
    assert any(name.startswith("trunk.3") for name in moved)
    learning = {
        name.split(".")[1] for name, p in network.named_parameters() if p.grad is not None and "trunk" in name
    }
    assert learning == {"3"}


def test_the_early_head_learns_from_votes_and_from_the_last_head():
    votes = torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 0]])
    last = torch.zeros(1, 8, requires_grad=True)
    early = torch.zeros(1, 8, requires_grad=True)
    nothing = torch.zeros(1, 1)
    votes_loss([(nothing, early, nothing), (nothing, last, nothing)], votes).backward()
    # Gradient of a cross entropy: guess less target.
    torch.testing.assert_close(last.grad, torch.full((1, 8), 1 / 8) - votes)
    torch.testing.assert_close(early.grad, 1 / 8 - 0.5 * (votes + 1 / 8))


def test_training_goes_by_stages_and_a_resumed_run_gives_the_same_bits(tmp_path):
    views, shares = faces(24)
    seen = []

    def judge(network):
        unit = network.trunk[0][0][2]
        seen.append((network.side, round(unit.kept, 3)))
        return {}

    whole = trainer(tmp_path / "whole")
    list(whole.epochs(views, shares, judge))
    assert seen == [(48, 0.333), (56, 0.0), (56, 0.0)]
    halves = trainer(tmp_path / "halves")
    next(halves.epochs(views, shares, judge))
    again = trainer(tmp_path / "halves")
    again.resume()
    list(again.epochs(views, shares, judge))
    for a, b in zip(
        whole.averaged().state_dict().values(), again.averaged().state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


def test_training_starts_from_the_published_weights(tmp_path):
    own = trainer(tmp_path).network.state_dict()
    given = next(iter(read_units(packaged("sface.onnx"))))
    torch.testing.assert_close(own["trunk.0.0.2.slope"], given.slope)
    torch.testing.assert_close(own["trunk.0.0.1.running_var"], given.norm[3])


def test_onnx_says_what_torch_says_with_every_norm_folded():
    network = face_networks.part(lived_in(), "small")
    model = conversion.face_onnx(network)
    kinds = {node.op_type for node in onnx.load_from_string(model).graph.node}
    assert not kinds & {"BatchNormalization", "PRelu"}
    assert conversion.parity(network, model, faces(3)[0].direct) < 1e-4


@pytest.mark.parametrize("int8", [False, True])
def test_the_network_can_be_read_back_and_fine_tuned(tmp_path, int8):
    network = lived_in(SMALL)
    model = conversion.face_onnx(network)
    crops = faces(16)[0].direct
    path = tmp_path / "encoder.onnx"
    path.write_bytes(quantise(model, crops) if int8 else model)
    again = read_network(path)
    assert conversion.parity(again, model, crops) < (0.1 if int8 else 1e-4)
    labels = np.tile(np.linspace(-0.5, 0.5, 16, dtype=np.float32)[:, None], 2)
    before = again.head.weight.clone()
    tune(again, crops, labels, TuningSettings(epochs=1, batch=16))
    assert not torch.equal(before, again.head.weight)


def test_the_shipped_encoder_is_read_back_with_its_equalised_levels():
    bundle = open_bundle()
    encoder = bundle.manifest.face.encoder
    crops = faces(8)[0].direct
    said = infer(read_network(bundle.file("face", encoder)), crops)[0]
    model = bundle.file("face", encoder, "float").read_bytes()
    np.testing.assert_allclose(said, encode(model, encoder.features, crops).features, atol=2e-3)


def test_weights_and_settings_are_kept_together(tmp_path):
    network = face_networks.part(lived_in(), "small")
    save_pretrained(network, tmp_path / "weights.safetensors")
    assert load_pretrained(tmp_path / "weights.safetensors").settings == network.settings


def test_recipes_by_name():
    assert (
        [cycle.network for cycle in cycles("small")]
        == [cycle.network for cycle in cycles("large")]
        == [PAIR] * 2
    )
    assert isinstance(face_networks.build(cycles("reference")[0].network), FaceCnn)
    given = dataclasses.asdict(PAIR)
    assert face_networks.settings_from(given) == PAIR
