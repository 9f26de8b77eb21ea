"""Tiny bundles with every interface of a real one: seeded random graphs, a detector of bright squares, a loudness
"voice activity". Made in a second, for tests of everything that surrounds the models."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from edge_emotion_export.conversion import voice_encoder
from edge_emotion_export.conversion.bundle import write_part
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_emotion.features.names import FUNCTIONAL_NAMES
from edge_emotion.model.manifest import VOICE_ENCODER_NAMES, AcousticPart, FacePart, FusionPart

OPSET = 17
ENCODER_FEATURES = 16
TRAINING = {
    "data": [
        {"name": "seeded random numbers", "licence": "CC0", "items": 1, "items_sha256": "0" * 64},
    ],
    "command": "tests/bundles.py",
    "seed": 7,
    "metrics": {"tiny_loso_ccc_arousal": 0.5, "tiny_loso_ccc_valence": 0.25},
}
SIGMA = {"intercept": {"arousal": -1.6, "valence": -1.2}}


def tiny_bundle(
    folder: Path,
    *,
    acoustic: dict[str, Any] | None = None,
    face: dict[str, Any] | None = None,
    fusion: dict[str, Any] | None = None,
    encoders: dict[str, bytes] | None = None,
    listens: bool = False,
) -> Path:
    """Write a bundle to ``folder``; the keyword tables replace keys of the parts; ``listens`` adds a voice encoder.

    ``encoders`` are further forms of the face encoder by their file names; what comes before the dot is the variant.
    """
    heard = AcousticPart.model_validate(acoustic_part(listens=listens) | (acoustic or {}))
    sound = {"vad.onnx": voice_activity_graph()}
    sound["regressor.onnx"] = regressor_graph(heard.regressor.features, seed=1)
    if listens:
        sound["voice.onnx"] = voice_encoder_graph()
    write_part(folder, heard, sound)
    forms = encoders or {}
    seen = face_part() | (face or {})
    seen["encoder"] = seen["encoder"] | {"variants": {name.partition(".")[0]: name for name in forms}}
    write_part(
        folder,
        FacePart.model_validate(seen),
        forms
        | {
            "detector.onnx": detector_graph(),
            "encoder.onnx": encoder_graph(),
            "regressor.onnx": regressor_graph(ENCODER_FEATURES, seed=2),
        },
    )
    part = FusionPart.model_validate(fusion or {})
    early = {} if part.early is None else {part.early.file: regressor_graph(part.early.features, seed=5)}
    write_part(folder, part, early)
    return folder


def acoustic_part(*, listens: bool = False) -> dict[str, Any]:
    """Fragment of the acoustic part."""
    names = [*FUNCTIONAL_NAMES, *(VOICE_ENCODER_NAMES if listens else ())]
    falling = {"arousal": [0.5, 0.0], "valence": [0.5, 0.0], "missing": {"arousal": 0.3, "valence": 0.3}}
    return {
        "feature_names": names,
        "window_s": {"arousal": 3.0, "valence": 3.0},
        "hop_s": 0.5,
        "voice_activity": {"file": "vad.onnx", "licence": "CC0"},
        "voice_encoder": {"file": "voice.onnx", "licence": "CC0"} if listens else None,
        "regressor": {"file": "regressor.onnx", "features": len(names)},
        "sigma": SIGMA
        | {
            "terms": [
                {"fact": "snr_db", "knots": [0, 20]} | falling,
                {"fact": "fill", "knots": [0, 1]} | falling,
            ]
        },
        "training": TRAINING,
    }


def face_part() -> dict[str, Any]:
    """Fragment of the face part."""
    falling = {"arousal": [0.5, 0.0], "valence": [0.5, 0.0], "missing": {"arousal": 0.3, "valence": 0.3}}
    return {
        "detector": {"file": "detector.onnx", "licence": "CC0"},
        "crop": {"size": 48, "landmarks": [[16, 18], [32, 18], [24, 27], [18, 36], [30, 36]]},
        "encoder": {
            "file": "encoder.onnx",
            "features": ENCODER_FEATURES,
            "normalisation": {"mean": 128.0, "scale": 64.0},
        },
        "window_s": {"arousal": 2.0, "valence": 2.0},
        "regressor": {"file": "regressor.onnx", "features": ENCODER_FEATURES},
        "sigma": SIGMA | {"terms": [{"fact": "fill", "knots": [0, 1]} | falling]},
        "training": TRAINING,
    }


def regressor_graph(width: int, seed: int) -> bytes:
    """``tanh(softsign(features) @ W + b)``: bounded whatever the features' scale."""
    random = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Softsign", ["features"], ["soft"]),
        helper.make_node("Gemm", ["soft", "W", "b"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["prediction"]),
    ]
    constants = {"W": random.normal(0, 1 / np.sqrt(width), (width, 2)), "b": random.normal(0, 0.1, 2)}
    return _graph(nodes, {"features": ["n", width]}, {"prediction": ["n", 2]}, constants)


def voice_encoder_weights(seed: int = 0) -> dict[str, Any]:
    """Random weights of the voice encoder, by PyTorch's names."""
    random = np.random.default_rng(seed)
    shapes = {"weight_ih": 256, "weight_hh": 256, "bias_ih": None, "bias_hh": None}
    return {
        f"lstm.{name}_l{layer}": (
            random.normal(0, 1 / 16, (1024, 40 if (layer, name) == (0, "weight_ih") else width))
            if width
            else random.normal(0, 1 / 16, 1024)
        ).astype(np.float32)
        for layer in (0, 1)
        for name, width in shapes.items()
    }


def voice_encoder_graph() -> bytes:
    """As a bundle carries it, with random weights."""
    return voice_encoder.shrink(voice_encoder.encoder_graph(voice_encoder_weights())).SerializeToString()


def encoder_graph(seed: int = 3, *, gain: float = 1.0, detours: int = 0) -> bytes:
    """Sixteen mean levels of the crop, times ``gain``, as features; votes and affect are random maps of them.

    Each of the ``detours`` multiplies the crop by the unit matrix: it takes time and changes nothing.
    """
    random = np.random.default_rng(seed)
    names = ["scaled", *(f"detour_{i}" for i in range(detours))]
    nodes = [
        helper.make_node("Mul", ["crops", "gain"], ["scaled"]),
        *(helper.make_node("MatMul", [old, "unit"], [new]) for old, new in pairwise(names)),
        helper.make_node("AveragePool", [names[-1]], ["pooled"], kernel_shape=[12, 12], strides=[12, 12]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "V"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["votes"], axis=1),
        helper.make_node("MatMul", ["features", "A"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["affect"]),
    ]
    constants = {"V": random.normal(0, 0.5, (16, 8)), "A": random.normal(0, 0.2, (16, 2))}
    constants |= {"gain": np.array(gain), "unit": np.eye(48)}
    outputs = {"features": ["n", 16], "votes": ["n", 8], "affect": ["n", 2]}
    return _graph(nodes, {"crops": ["n", 1, 48, 48]}, outputs, constants)


def detector_graph() -> bytes:
    """YuNet's twelve outputs: a nearly white cell (over 230) of 16 pixels is the middle of a "face" of 64 pixels.

    Its middle is the cell's upper left corner, so that the windows in which a face is followed lie on the cells too.
    """
    nodes = [helper.make_node("ReduceMean", ["input"], ["grey"], axes=[1], keepdims=1)]
    # In units of the stride: centre, then logarithm of width and height; eyes above, mouth below the centre.
    landmarks = np.array([[-0.5, -0.4], [0.5, -0.4], [0, 0.1], [-0.4, 0.6], [0.4, 0.6]])
    constants: dict[str, Any] = {
        "limit": np.array(230.0),
        "tenth": np.array(0.1),
        "box": np.array([0.0, 0.0, np.log(4.0), np.log(4.0)]).reshape(1, 1, 4),
        "points": landmarks.reshape(1, 1, 10),
    }
    outputs: dict[str, list[Any]] = {}
    for stride in (8, 16, 32):
        s = str(stride)
        constants["weight" + s] = np.array(1.0 if stride == 16 else 0.0)
        constants["row" + s] = np.array([1, -1, 1], np.int64)
        nodes += [
            helper.make_node(
                "AveragePool", ["grey"], ["mean" + s], kernel_shape=[stride] * 2, strides=[stride] * 2
            ),
            helper.make_node("Reshape", ["mean" + s, "row" + s], ["cells" + s]),
            helper.make_node("Sub", ["cells" + s, "limit"], ["over" + s]),
            helper.make_node("Mul", ["over" + s, "tenth"], ["logit" + s]),
            helper.make_node("Sigmoid", ["logit" + s], ["score" + s]),
            helper.make_node("Mul", ["score" + s, "weight" + s], ["cls_" + s]),
            helper.make_node("Identity", ["cls_" + s], ["obj_" + s]),
            helper.make_node("Shape", ["cls_" + s], ["shape" + s]),
            helper.make_node("Sub", ["score" + s, "score" + s], ["zero" + s]),
            helper.make_node("Add", ["zero" + s, "box"], ["bbox_" + s]),
            helper.make_node("Add", ["zero" + s, "points"], ["kps_" + s]),
        ]
        outputs |= {
            f"{k}_{s}": [1, "cells", w] for k, w in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        }
    return _graph(nodes, {"input": [1, 3, "h", "w"]}, outputs, constants)


def voice_activity_graph() -> bytes:
    """Silero VAD's interface; the probability is the sigmoid of the level over -40 dBFS, the state only passes."""
    nodes = [
        helper.make_node("Mul", ["input", "input"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["power"], axes=[1], keepdims=1),
        helper.make_node("Add", ["power", "floor"], ["floored"]),
        helper.make_node("Log", ["floored"], ["nepers"]),
        helper.make_node("Sub", ["nepers", "limit"], ["over"]),
        helper.make_node("Sigmoid", ["over"], ["output"]),
        helper.make_node("Identity", ["state"], ["stateN"]),
        helper.make_node("Identity", ["sr"], ["unused"]),
    ]
    constants = {"floor": np.array(1e-10), "limit": np.array(np.log(1e-4))}
    graph = _graph(
        nodes,
        {"input": ["n", "samples"], "state": [2, "n", 128]},
        {"output": ["n", 1], "stateN": [2, "n", 128]},
        constants,
        integers=("sr",),
    )
    return graph


def _graph(
    nodes: list[Any],
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    constants: dict[str, Any],
    integers: tuple[str, ...] = (),
) -> bytes:
    kinds = {True: TensorProto.INT64, False: TensorProto.FLOAT}
    arrays = {
        k: v if np.issubdtype(np.asarray(v).dtype, np.integer) else np.asarray(v, np.float32)
        for k, v in constants.items()
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()]
        + [helper.make_tensor_value_info(k, kinds[True], []) for k in integers],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in outputs.items()],
        [numpy_helper.from_array(v, k) for k, v in arrays.items()],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return model.SerializeToString()
