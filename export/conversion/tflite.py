"""Static int8 TFLite of the face network, by Google's converters (litert-torch, ai-edge-quantizer).

They need NumPy 2, and a torch of their choice: they live in an environment of their own, which the first conversion
makes in the cache folder (1.9 GB), so that this one keeps its NumPy and its torch.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import onnxruntime

from edge_emotion.errors import EdgeEmotionError
from edge_emotion.types import F32

from ..packaged_files import cache_folder
from .integer_plan import Plan

REQUIREMENTS = ("litert-torch==0.10.*", "ai-edge-quantizer==0.10.*", "onnx>=1.16")
WORKER = Path(__file__).with_name("tflite_worker.py")


def to_tflite(float_onnx: bytes, calibration: F32, planned: Plan) -> bytes:
    """Convert a float face network to static int8: convolutions in integers, all else in float.

    Parameters
    ----------
    float_onnx
        `quantisation.Quantised.rounded`, as `quantisation.prepare` gives it back.
    calibration
        float32 ``(n, 1, size, size)``: the network's input for a few hundred faces.
    planned
        `integer_plan.plan` of that graph: the same convolutions are integers, with the same limits.

    Returns
    -------
    bytes
        TFLite for one crop at a time, with the names of the ONNX form in its signature.

    Raises
    ------
    EdgeEmotionError
        The converter cannot be installed, or does not convert this network.
    """
    python = converter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, given, out = folder / "float.onnx", folder / "given.npz", folder / "int8.tflite"
        _for_one_crop(float_onnx, source)
        limits = np.array([limit for _, limit in planned.limits], np.float32)
        np.savez(given, crops=calibration, float_first=planned.float_first, limits=limits)
        _run([str(python), str(WORKER), str(source), str(given), str(out)], "the TFLite converter failed")
        return out.read_bytes()


def converter() -> Path:
    """Python of the converter's environment, made first where it is not there yet."""
    folder = cache_folder() / "tflite" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    # Without its local part (+cpu): which build comes is for pip's own settings to say.
    torch = f"torch=={metadata.version('torch').partition('+')[0]}"
    _run([*pip, torch, *REQUIREMENTS], "the TFLite converter cannot be installed")
    (folder / "complete").touch()
    return python


def _for_one_crop(model: bytes, file: Path) -> None:
    """Write the graph with a batch of one, in which the shapes that it computes are constants."""
    options = onnxruntime.SessionOptions()
    options.add_free_dimension_override_by_name("n", 1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(command: Sequence[str], fault: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EdgeEmotionError(f"{fault}: {reason}")
