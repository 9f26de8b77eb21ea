"""The face detector of the default bundle: YuNet, from the published quantised file to float ONNX.

YuNet (Wu, Peng & Yu, *YuNet: a tiny millisecond-level face detector*, 2023; MIT, OpenCV Zoo) is published
with int8 weights behind ``DequantizeLinear``. `fold_yunet` unpacks them and frees the input size, which
turns 122 KB into 231 KB and leaves the detections as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from ..packaged_files import fetch

if TYPE_CHECKING:
    from pathlib import Path

_FOLDED = ("DequantizeLinear", "Reshape")


def fold_yunet(published: bytes | Path) -> bytes:
    """Return YuNet as float32 ONNX with a free input size; equal input gives equal bytes.

    Parameters
    ----------
    published
        The block-quantised ONNX file, or its path.

    Returns
    -------
    bytes
        Input ``input`` float32 ``(1, 3, height, width)``, BGR, 0 to 255, sides multiples of 32. Outputs, for
        each stride s of 8, 16 and 32: ``cls_s``, ``obj_s`` ``(1, cells, 1)``, ``bbox_s`` ``(1, cells, 4)``,
        ``kps_s`` ``(1, cells, 10)``.
    """
    model = onnx.load_from_string(published if isinstance(published, bytes) else published.read_bytes())
    fold_weights(model)
    for tensor, free in ((model.graph.input[0], (2, 3)), *((output, (1,)) for output in model.graph.output)):
        for axis in free:
            tensor.type.tensor_type.shape.dim[axis].Clear()
    del model.graph.value_info[:]
    model.producer_name, model.producer_version, model.doc_string = "edge_emotion", "", ""
    onnx.checker.check_model(model)
    folded: bytes = model.SerializeToString(deterministic=True)
    return folded


def default_detector() -> bytes:
    """Fetch the published file (`packaged_files`) and fold it: the detector of the default bundle."""
    return fold_yunet(fetch("yunet.onnx"))


def fold_weights(model: onnx.ModelProto) -> None:
    """Replace, in place, what ``DequantizeLinear`` and ``Reshape`` make of constants by initialisers."""
    graph = model.graph
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type in _FOLDED and all(name in known for name in node.input):
            feeds = {name: known[name] for name in node.input}
            known[node.output[0]] = ReferenceEvaluator(node).run(None, feeds)[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    used = dict.fromkeys(name for node in kept for name in node.input if name in known)
    del graph.initializer[:]
    graph.initializer.extend(numpy_helper.from_array(known[name], name) for name in used)
