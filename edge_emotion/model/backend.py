"""Run a model file: one protocol, one adapter for onnxruntime, one for both LiteRT interpreters.

A model runs on what was asked for or not at all: a provider that is absent is refused with its remedy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import Engine, Interpreter, Provider
from edge_emotion.errors import BundleError, ProviderError

Tensors = dict[str, NDArray[Any]]

_ONNX_PROVIDERS: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_REMEDY: dict[Provider, str] = {
    "cuda": "pip uninstall onnxruntime, then pip install onnxruntime-gpu; or set provider = cpu",
    "tensorrt": "install onnxruntime-gpu and TensorRT's libraries; or set provider = cuda or cpu",
}


class Backend(Protocol):
    """A loaded model."""

    description: str
    """What runs it, with its provider: ``onnxruntime/cpu``."""
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    def compute(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """Outputs by name; inputs are C-contiguous arrays of the model's types."""
        ...


def open_backend(model: Path | bytes, engine: Engine | None = None) -> Backend:
    """Load a model file: ``.tflite`` by `LiteRT`, all else (and bytes) by `OnnxRuntime`.

    Raises
    ------
    BundleError
        Where the interpreter cannot read it.
    ProviderError
        Where what was asked for is not there.
    """
    if isinstance(model, bytes):
        return OnnxRuntime(model, engine)
    adapter = LiteRT if model.suffix == ".tflite" else OnnxRuntime
    try:
        return adapter(model.read_bytes(), engine)
    except BundleError as fault:
        raise BundleError(f"{model}: {fault}") from None


class OnnxRuntime:
    """Adapter of onnxruntime: explicit threads, which spin while they wait only if they are told to."""

    def __init__(self, model: bytes, engine: Engine | None = None) -> None:
        import onnxruntime

        engine = engine or Engine()
        provider = _choose(engine.provider, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = engine.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(engine.spinning)))
        options.enable_cpu_mem_arena = False  # no faster for networks this small, and 7 MB dearer
        options.log_severity_level = 3
        names = [_ONNX_PROVIDERS[provider]] + ([] if provider == "cpu" else ["CPUExecutionProvider"])
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=names)
        except Exception as error:  # noqa: BLE001  onnxruntime raises a class for each of its status codes
            raise BundleError(f"the model cannot be loaded by onnxruntime: {_first_line(error)}") from None
        if self._session.get_providers()[0] != names[0]:
            # onnxruntime falls back by itself where a provider's libraries are missing.
            if engine.provider != "auto":
                raise ProviderError(
                    f"provider {provider} is installed but does not start: {_REMEDY[provider]}"
                )
            provider = "cpu"
        self.description = f"onnxruntime/{provider}"
        self.input_names = tuple(item.name for item in self._session.get_inputs())
        self.output_names = tuple(item.name for item in self._session.get_outputs())

    def compute(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """Outputs by name."""
        values = self._session.run(self.output_names, dict(inputs))
        return dict(zip(self.output_names, values, strict=True))


def _choose(asked: Provider, available: list[str]) -> Provider:
    if asked == "auto":
        return "cuda" if _ONNX_PROVIDERS["cuda"] in available else "cpu"
    if _ONNX_PROVIDERS[asked] not in available:
        raise ProviderError(f"provider {asked} is not part of the onnxruntime at hand: {_REMEDY[asked]}")
    return asked


class LiteRT:
    """Adapter of ai-edge-litert and of its predecessor tflite-runtime (Python 3.11 and NumPy 1 only).

    Integer inputs and outputs are quantised and dequantised here by the model's own scales. Tensors go by the
    names of the model's signature, sorted.
    """

    def __init__(self, model: bytes, engine: Engine | None = None) -> None:
        engine = engine or Engine()
        if engine.provider not in ("auto", "cpu"):
            raise ProviderError(
                f"TFLite models run on the CPU, not on {engine.provider}: choose an ONNX variant"
            )
        interpreter_class, found = _interpreter(engine.interpreter)
        try:
            self._interpreter = interpreter_class(model_content=model, num_threads=engine.threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"the model cannot be loaded by {found}: {_first_line(error)}") from None
        self._inputs = self._details(self._interpreter.get_input_details(), "inputs")
        self._outputs = self._details(self._interpreter.get_output_details(), "outputs")
        self.description = f"{found}/cpu"
        self.input_names = tuple(self._inputs)
        self.output_names = tuple(self._outputs)

    def _details(self, details: list[dict[str, Any]], side: str) -> dict[str, dict[str, Any]]:
        """Tensor details by signature name; by tensor name where the model has no signature."""
        signatures = self._interpreter.get_signature_list()
        if not signatures:
            return {item["name"]: item for item in details}
        key = next(iter(signatures))
        runner = self._interpreter.get_signature_runner(key)
        named = runner.get_input_details() if side == "inputs" else runner.get_output_details()
        return {name: named[name] for name in sorted(named)}

    def compute(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """Outputs by name. Pictures go one by one, for converters fix their number; other batches reallocate."""
        count = max(len(values) for values in inputs.values())
        if count < 2 or all(values.ndim < 4 for values in inputs.values()):
            return self._run(inputs)
        rows = [self._run({name: values[i : i + 1] for name, values in inputs.items()}) for i in range(count)]
        return {name: np.concatenate([row[name] for row in rows]) for name in self.output_names}

    def _run(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        for name, detail in self._inputs.items():
            if tuple(detail["shape"]) != inputs[name].shape:
                self._interpreter.resize_tensor_input(detail["index"], inputs[name].shape)
                self._interpreter.allocate_tensors()
                detail["shape"] = np.array(inputs[name].shape)
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], _quantise(inputs[name], detail))
        self._interpreter.invoke()
        return {
            name: _dequantise(self._interpreter.get_tensor(detail["index"]), detail)
            for name, detail in self._outputs.items()
        }


_INTERPRETERS: dict[Interpreter, str] = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


def _interpreter(asked: Interpreter) -> tuple[Any, str]:
    for name, module in _INTERPRETERS.items():
        if asked in ("auto", name):
            try:
                return importlib.import_module(module).Interpreter, name
            except ImportError:
                continue
    missing = "no interpreter is installed" if asked == "auto" else f"{asked} is not installed"
    raise ProviderError(f"the model is a TFLite file and {missing}: pip install 'edge-emotion[tflite]'")


def _quantise(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    kind = detail["dtype"]
    scale, zero = detail["quantization"]
    if not np.issubdtype(kind, np.integer) or scale == 0:
        return np.ascontiguousarray(values, kind)
    limits = np.iinfo(kind)
    return np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(kind)


def _dequantise(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    scale, zero = detail["quantization"]
    if not np.issubdtype(values.dtype, np.integer) or scale == 0:
        return values
    return (values.astype(np.float32) - zero) * np.float32(scale)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
