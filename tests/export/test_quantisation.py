"""Int8 face networks say what float ones say, in weights that no processor's 16-bit sums can overflow."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from edge_emotion_export.cli import app
from edge_emotion_export.conversion import face_forms
from edge_emotion_export.conversion.bundle import part_files, read_fragment, write_part
from edge_emotion_export.conversion.face import face_onnx
from edge_emotion_export.conversion.face_graph import equalise, rectify_before_pooling, spell_out_prelu
from edge_emotion_export.conversion.integer_plan import _least_error, plan
from edge_emotion_export.conversion.quantisation import (
    PACKED,
    prepare,
    quantise,
    quantised_forms,
    widest,
)
from edge_emotion_export.conversion.rounded_weights import pack_weights, round_layers, unpacked
from edge_emotion_export.conversion.weight_grid import steps
from edge_emotion_export.training.face_recipe import load_pretrained
from onnx import helper, numpy_helper
from torch import Tensor, nn

from edge_emotion.cli import run
from edge_emotion.errors import EdgeEmotionError
from edge_emotion.model.backend import OnnxRuntime
from edge_emotion.model.bundle import default_bundle_path

SIZE = 24


class Small(nn.Module):
    """The shape of a face network: convolutions, depthwise ones among them, means of two levels, a layer, heads."""

    def __init__(self, bend: type[nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.low = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2), bend())
        self.mid = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), bend(), nn.Conv2d(8, 12, 1), bend())
        self.high = nn.Sequential(nn.Conv2d(12, 12, 3, 2, 1, groups=12), bend(), nn.Conv2d(12, 16, 1), bend())
        self.feature = nn.Linear(28, 6)
        self.head = nn.Linear(6, 10)
        with torch.no_grad():  # channels of very different size, as in trained networks
            self.low[0].weight *= torch.logspace(-1, 1, 8).reshape(8, 1, 1, 1)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        crops = crops - crops.mean((2, 3), keepdim=True)
        mid = self.mid(self.low(crops))
        features = torch.relu(self.feature(torch.cat([mid.mean((2, 3)), self.high(mid).mean((2, 3))], 1)))
        out = self.head(features)
        return features, out[:, :8].softmax(1), torch.tanh(out[:, 8:])


def exported(bend: type[nn.Module]) -> bytes:
    sink = io.BytesIO()
    names = ("features", "votes", "affect")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Small(bend).eval(),
            (torch.zeros(2, 1, SIZE, SIZE),),
            sink,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=17,
            input_names=["crops"],
            output_names=list(names),
            dynamic_axes={name: {0: "n"} for name in ("crops", *names)},
        )
    return sink.getvalue()


def crops(count: int, seed: int = 0) -> np.ndarray:
    smooth = np.random.default_rng(seed).random((count, 6, 6)).repeat(4, 1).repeat(4, 2)
    return (255 * smooth).astype(np.uint8)


def said(model: bytes, given: np.ndarray) -> dict[str, np.ndarray]:
    return OnnxRuntime(model).compute({"crops": (given[:, None].astype(np.float32) - 127.5) / 127.5})


def packed_weights(model: bytes) -> list[np.ndarray]:
    """Integer weights (channels, inputs) of the convolutions that are not depthwise, in the order they are packed."""
    graph = onnx.load_from_string(model).graph
    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found = []
    for node in graph.node:
        grouped = any(item.name == "group" and item.i > 1 for item in node.attribute)
        if node.op_type == "Conv" and not grouped:
            values = stored[makers[node.input[1]].input[0]]
            assert values.dtype == np.int8
            found.append(values.transpose(0, 2, 3, 1).reshape(len(values), -1).astype(np.int32))
    return found


def test_int8_says_what_float_says_and_saturates_nowhere() -> None:
    given = exported(nn.ReLU)
    int8 = quantise(given, crops(64))
    expected, found = said(given, crops(200, seed=1)), said(int8, crops(200, seed=1))
    assert np.abs(found["affect"] - expected["affect"]).max() < 0.01
    assert np.abs(found["votes"] - expected["votes"]).max() < 0.01
    assert int8 == quantise(given, crops(64))
    weights = packed_weights(int8)
    assert len(weights) == 3
    for rows in weights:
        # vpmaddubsw: two neighbouring products of 0..255 with -128..127 must fit in 16 bits.
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % PACKED))).reshape(len(rows), -1, PACKED)
        for first in range(PACKED):
            for second in range(first + 1, PACKED):
                pair = rows[..., [first, second]]
                assert (255 * np.maximum(pair, 0).sum(2)).max() <= 32767
                assert (255 * np.minimum(pair, 0).sum(2)).min() >= -32768
    assert max(np.abs(rows).max() for rows in weights) > 64, "more than the 7 bits of reduce_range"


def test_the_rounded_form_has_the_weights_of_the_int8_form_and_keeps_them() -> None:
    int8, rounded = quantised_forms(exported(nn.ReLU), crops(64))
    stored = {i.name: numpy_helper.to_array(i) for i in onnx.load_from_string(rounded).graph.initializer}
    for item in onnx.load_from_string(int8).graph.initializer:
        if item.name.endswith("weight_quantized"):
            name = item.name.removesuffix("_quantized")
            counts = numpy_helper.to_array(item).reshape(item.dims[0], -1)
            step = np.abs(stored[name].reshape(len(counts), -1)).max(1) / np.abs(counts).max(1)
            np.testing.assert_allclose(
                stored[name].reshape(counts.shape), counts * step[:, None], atol=1e-5 * step.max()
            )
    expected, found = said(rounded, crops(100, seed=1)), said(int8, crops(100, seed=1))
    assert np.abs(found["affect"] - expected["affect"]).max() < 0.01
    again = quantised_forms(rounded, crops(64))
    assert (
        np.abs(said(again.rounded, crops(9))["features"] - said(rounded, crops(9))["features"]).max() < 1e-6
    )


def test_the_step_of_rounded_weights_is_found_again_and_none_in_others() -> None:
    rng = np.random.default_rng(2)
    counts = rng.integers(-96, 97, (40, 32))
    counts[0] = 0
    counts[1] = 14 * rng.integers(-3, 4, 32)  # no two values are a single step apart
    step = rng.uniform(1e-4, 2, 40)
    rows = (counts * step[:, None]).astype(np.float32)
    found = steps(rows)
    np.testing.assert_allclose(np.rint(rows / found[:, None]) * found[:, None], rows, rtol=1e-5)
    assert (np.abs(rows / found[:, None]).max(1) < 127.01).all()
    assert not steps(rng.standard_normal((40, 9)).astype(np.float32)).any()


def test_large_layers_are_stored_as_integers_and_read_back() -> None:
    rng = np.random.default_rng(3)
    weight = numpy_helper.from_array(rng.standard_normal((64, 80)).astype(np.float32), "w")
    bias = numpy_helper.from_array(np.zeros(64, np.float32), "b")
    layer = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    tensors = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", size])
        for name, size in (("x", 80), ("y", 64))
    ]
    model = helper.make_model(
        helper.make_graph([layer], "g", tensors[:1], tensors[1:], [weight, bias]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    given = {"x": rng.standard_normal((5, 80)).astype(np.float32)}
    exact = OnnxRuntime(model.SerializeToString()).compute(given)["y"]
    round_layers(model)
    rounded = OnnxRuntime(model.SerializeToString()).compute(given)["y"]
    assert 0 < np.abs(rounded - exact).max() < 0.2
    size = len(model.SerializeToString())
    pack_weights(model)
    packed = model.SerializeToString()
    assert len(packed) < size / 3
    np.testing.assert_allclose(OnnxRuntime(packed).compute(given)["y"], rounded, atol=1e-4)
    np.testing.assert_allclose(
        OnnxRuntime(unpacked(packed).SerializeToString()).compute(given)["y"], rounded, atol=1e-4
    )


def test_the_first_tenth_of_the_work_stays_float_and_limits_cut_outliers() -> None:
    prepared, batches = prepare(exported(nn.ReLU), crops(64))
    planned = plan(prepared, batches)
    assert planned.float_first == 0, "the first convolution is more than a tenth"
    assert len(planned.limits) == 5
    values = np.random.default_rng(4).exponential(1, 500_000).astype(np.float32)
    values[0] = 30
    assert 10 < _least_error(values, 30 * np.geomspace(0.15, 1, 24)) < 25


def test_the_widest_pair_is_the_largest_sum_of_one_sign_within_four() -> None:
    row = [3.0, -5.0, 2.0, -4.0, 7.0, 0.0, 0.0, -1.0, 6.0]
    np.testing.assert_allclose(widest(np.array([row, [0.0] * 9], np.float32)), [9.0, 1e-9])


@pytest.mark.parametrize("bend", [nn.ReLU, nn.PReLU])
def test_the_float_graph_is_changed_without_changing_what_it_says(bend: type[nn.Module]) -> None:
    given = exported(bend)
    prepared, batches = prepare(given, crops(32))
    spell_out_prelu(prepared)
    kinds = [node.op_type for node in prepared.graph.node]
    assert "PRelu" not in kinds
    expected, found = said(given, crops(50, seed=2)), said(prepared.SerializeToString(), crops(50, seed=2))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)
    if bend is nn.ReLU:
        assert kinds.index("Relu") < kinds.index("MaxPool")
        depthwise = [node.input[0] for node in prepared.graph.node if node.op_type == "Conv"][1]
        reach = _reach(prepared, depthwise, batches)
        assert reach.max() / reach.min() < 1.01
        assert _reach(onnx.load_from_string(given), _pooled(given), batches).ptp() > 1


def _reach(model: onnx.ModelProto, name: str, batches: list[dict[str, np.ndarray]]) -> np.ndarray:
    from edge_emotion_export.conversion.face_graph import tensors

    rows = [values[0].max((0, 2, 3)) for values in tensors(model, [name], batches)]
    reach = np.max(rows, axis=0)
    return reach[reach > 0]


def _pooled(model: bytes) -> str:
    return next(node.output[0] for node in onnx.load_from_string(model).graph.node if node.op_type == "Relu")


def test_equalising_and_reordering_leave_other_graphs_alone() -> None:
    model = onnx.load(default_bundle_path() / "face" / "regressor.onnx")
    before = model.SerializeToString()
    rectify_before_pooling(model)
    equalise(model, [])
    assert model.SerializeToString() == before


@pytest.mark.parametrize("given", [np.zeros((0, SIZE, SIZE), np.uint8), np.zeros((4, 48, 48), np.uint8)])
def test_crops_that_do_not_fit_are_named(given: np.ndarray) -> None:
    with pytest.raises(EdgeEmotionError, match=r"24 x 24 pixels: give a few hundred crops \(n, 24, 24\)"):
        quantise(exported(nn.ReLU), given)


def with_variant(folder: Path, data: bytes) -> Path:
    """The built-in bundle with a float face encoder, and this second form of it."""
    shutil.copytree(default_bundle_path(), folder)
    part = read_fragment(folder / "face")
    encoder = part.encoder.model_copy(update={"variants": {"int8": "int8.onnx"}})
    files = part_files(folder / "face") | {"encoder.onnx": float_encoder(), "int8.onnx": data}
    write_part(folder, part.model_copy(update={"encoder": encoder}), files)
    return folder


@cache
def float_encoder() -> bytes:
    return face_onnx(load_pretrained())


def test_verify_holds_every_form_against_float(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = with_variant(tmp_path / "same", float_encoder())
    assert run.run(app, "edge-emotion-export", ["verify", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = {row["form"]: row for row in report["encoder"]}
    assert rows["int8"]["holds"]
    assert rows["int8"]["most"] == 0
    assert rows["main"]["cpu_ms"] > 0


def test_verify_ends_with_65_where_a_form_or_a_file_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load_from_string(float_encoder())
    bias = next(item for item in model.graph.initializer if item.name == "network.feature.2.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.3), bias.name))
    folder = with_variant(tmp_path / "other", model.SerializeToString())
    assert run.run(app, "edge-emotion-export", ["verify", str(folder)]) == 65
    assert "form int8 on onnxruntime/cpu differs from float" in capsys.readouterr().err
    with (folder / "face" / "int8.onnx").open("ab") as file:
        file.write(b"x")
    assert run.run(app, "edge-emotion-export", ["verify", str(folder)]) == 65
    assert "is not what the manifest says" in capsys.readouterr().err


def test_conversion_starts_from_float_only(tmp_path: Path) -> None:
    from edge_emotion.model.bundle import open_bundle

    folder = with_variant(tmp_path / "bundle", float_encoder())
    assert face_forms.float_form(open_bundle(folder)) == float_encoder()
    int8 = quantise(float_encoder(), np.full((4, 48, 48), 9, np.uint8))
    write_part(folder, read_fragment(folder / "face"), part_files(folder / "face") | {"encoder.onnx": int8})
    with pytest.raises(EdgeEmotionError, match="quantised already"):
        face_forms.float_form(open_bundle(folder))
