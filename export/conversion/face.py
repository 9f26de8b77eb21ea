"""The face network as ONNX: batch norms folded, names and shapes fixed, parity with torch held."""

from __future__ import annotations

import io
import logging
import warnings
from copy import deepcopy

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from edge_emotion.errors import EdgeEmotionError
from edge_emotion.model.backend import open_backend
from edge_emotion.types import U8

from ..training.face_network import MEAN, SCALE, SIZE, to_input
from ..training.face_networks import FaceNet

OPSET = 17
PARITY = 1e-4
"""Largest difference to torch that is let through, on outputs of order 1."""
OUTPUTS = ("features", "votes", "affect")


class _Deployed(nn.Module):
    """What the device runs: vote probabilities instead of logits."""

    def __init__(self, network: FaceNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, votes, affect = self.network(crops)
        return features, votes.softmax(1), affect


def fold_norms(network: FaceNet) -> FaceNet:
    """A copy for inference with each batch norm folded into the layer before it, or after it where it comes first.

    A norm after max pooling can be folded only where its scales are positive, since only then do scale and maximum
    change places; a layer with another scale keeps its norm.
    """
    folded = deepcopy(network).eval()
    for block in folded.modules():
        if isinstance(block, nn.Sequential):
            for number, norm in enumerate(block):
                if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                    _fold(block, number, norm)
    return folded


def _fold(block: nn.Sequential, number: int, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    scale, shift = _line(norm)
    if number == 0:
        after = next(layer for layer in block if isinstance(layer, nn.Linear))
        after.bias = nn.Parameter(after.weight.detach() @ shift)
        after.weight = nn.Parameter(after.weight * scale)
    else:
        pooled = isinstance(block[number - 1], nn.MaxPool2d)
        if pooled and not bool((scale > 0).all()):
            return
        layer = block[number - 2 if pooled else number - 1]
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        bias = 0.0 if layer.bias is None else layer.bias.detach()
        layer.weight = nn.Parameter(layer.weight * scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias = nn.Parameter(shift + scale * bias)
    block[number] = nn.Identity()


def _line(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift that the norm applies."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias.detach() - norm.running_mean * scale


def face_onnx(network: FaceNet) -> bytes:
    """Convert a network for any number of crops.

    Returns
    -------
    bytes
        ONNX: input ``crops`` float32 ``(n, 1, 48, 48)``, ``(pixel - MEAN) / SCALE``; outputs ``features (n, d)``,
        ``votes (n, 8)`` probabilities, ``affect (n, 2)`` arousal and valence.

    Raises
    ------
    EdgeEmotionError
        onnxruntime's outputs differ from torch's by more than `PARITY`.
    """
    deployed = _Deployed(fold_norms(network)).eval()
    sink = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own plans
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            deployed,
            (torch.zeros(2, 1, SIZE, SIZE),),
            sink,  # type: ignore[arg-type]  # torch accepts a stream here
            dynamo=False,
            opset_version=OPSET,
            input_names=["crops"],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "n"} for name in ("crops", *OUTPUTS)},
        )
    model = onnx.load_from_string(sink.getvalue())
    model.producer_name, model.producer_version, model.doc_string = "edge_emotion", "", ""
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    difference = parity(network, data)
    if not difference <= PARITY:
        raise EdgeEmotionError(f"the face network's ONNX differs from torch by {difference:.1e}: not written")
    return data


@torch.inference_mode()
def parity(network: FaceNet, model: bytes, crops: U8 | None = None) -> float:
    """Largest absolute difference between onnxruntime's and torch's outputs on crops ``uint8 (n, 48, 48)``.

    Without crops: on seeded noise of every brightness.
    """
    if crops is None:
        rng = np.random.default_rng(0)
        crops = (rng.random((64, SIZE, SIZE)) * np.linspace(32, 256, 64)[:, None, None]).astype(np.uint8)
    wanted = _Deployed(network.eval())(to_input(torch.from_numpy(crops)))
    given = (crops[:, None].astype(np.float32) - np.float32(MEAN)) / np.float32(SCALE)
    found = open_backend(model).compute({"crops": given})
    return max(
        float(np.abs(found[name] - expected.numpy()).max())
        for name, expected in zip(OUTPUTS, wanted, strict=True)
    )
