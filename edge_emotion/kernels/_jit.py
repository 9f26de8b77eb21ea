"""The one decorator of all kernels: how they are compiled, cached and counted.

A kernel's annotations are its signature: `Vector32`, `Matrix64` ... for C-contiguous arrays, ``int``, ``float``,
``bool``, and plans, which are named tuples of those. So `compile_all` can build each kernel for exactly the types that
it is called with, and nothing is left to compile later.

Fast-math stays off: results must not depend on the machine's vector width. Machine code is cached beside the source or
in ``NUMBA_CACHE_DIR``; where neither can be written, kernels are compiled anew in each process and one warning says so.
``NUMBA_DISABLE_JIT=1`` leaves plain Python; ``NUMBA_BOUNDSCHECK=1`` checks each index (and leaves the cache alone).

The cache knows when a kernel's own file has changed, not when another has: a `part` serves the kernels of its file.

Kernels allocate nothing: what they need room for is handed in. So they do without Numba's run-time library, and code
from the cache can be loaded without the compiler's tables of types and functions, which take longer than all else.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import typing
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Vector32 = Annotated[NDArray[np.float32], types.Array(types.float32, 1, "C")]
Matrix32 = Annotated[NDArray[np.float32], types.Array(types.float32, 2, "C")]
Vector64 = Annotated[NDArray[np.float64], types.Array(types.float64, 1, "C")]
Matrix64 = Annotated[NDArray[np.float64], types.Array(types.float64, 2, "C")]
Indices = Annotated[NDArray[np.int64], types.Array(types.int64, 1, "C")]
Flags = Annotated[NDArray[np.bool_], types.Array(types.boolean, 1, "C")]

F = TypeVar("F", bound=Callable[..., Any])

_SCALARS: dict[Any, types.Type] = {int: types.int64, float: types.float64, bool: types.boolean}
_FLAGS = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
try:
    _compiler = importlib.import_module("edge_emotion.kernels._compiler")
    _KERNEL, _PART = ({"pipeline_class": c} for c in (_compiler.KernelCompiler, _compiler.PartCompiler))
except (ImportError, AttributeError):  # another Numba
    _KERNEL, _PART = {}, {}
_PART["no_cpython_wrapper"] = True
_kernels: list[tuple[Any, Callable[..., Any]]] = []
_cache_fault_told = False


def part(function: F) -> F:
    """Mark a piece of a kernel: compiled into the kernels of its own file that call it, never called from Python."""
    if numba.config.DISABLE_JIT:
        return function
    return typing.cast(F, _njit(function, **_PART))


def inlined(function: F) -> F:
    """Mark a `part` that is copied to where it is called, so that the constants it is called with are known in it."""
    if numba.config.DISABLE_JIT:
        return function
    return typing.cast(F, _njit(function, forceinline=True, **_PART))


def kernel(function: F) -> F:
    """Compile ``function`` on its first call (or in `compile_all`) for its annotated types, without the GIL."""
    if numba.config.DISABLE_JIT:
        return function
    dispatcher = _cached(function)
    _kernels.append((dispatcher, function))
    return typing.cast(F, dispatcher)


def compile_all() -> dict[str, bool]:
    """Compile or load every kernel of the package; tells for each whether it had to be compiled."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__package__}.{module.name}")
    compiled = {}
    for dispatcher, function in _kernels:
        before = compilations()
        dispatcher.compile(signature(function))
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        compiled[name] = compilations() > before
    return compiled


def compilations() -> int:
    """How many kernels this process had to compile so far, as opposed to load from the cache."""
    return sum(
        len(dispatcher.signatures) - sum(dispatcher.stats.cache_hits.values()) for dispatcher, _ in _kernels
    )


def signature(function: Callable[..., Any]) -> tuple[types.Type, ...]:
    """Numba types of ``function``'s parameters, read from its annotations."""
    hints = typing.get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    return tuple(_numba_type(hint) for hint in hints.values())


def _numba_type(hint: Any) -> types.Type:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if typing.get_origin(hint) is Annotated:
        return typing.cast(types.Type, hint.__metadata__[0])
    if isinstance(hint, type) and issubclass(hint, tuple):
        fields = [_numba_type(field) for field in typing.get_type_hints(hint, include_extras=True).values()]
        if len(set(fields)) == 1:
            return types.NamedUniTuple(fields[0], len(fields), hint)
        return types.NamedTuple(fields, hint)
    raise TypeError(f"a kernel cannot take {hint!r}")


def _njit(function: Callable[..., Any], **options: Any) -> Any:
    """Numba's dispatcher; a constant that one kernel hands to another is a plain number, not a type of its own."""
    dispatcher = numba.njit(**_FLAGS, **options)(function)
    template = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: template(tuple(map(types.unliteral, args)), kws)
    return dispatcher


def _cached(function: Callable[..., Any]) -> Any:
    if numba.config.BOUNDSCHECK:
        return _njit(function, **_KERNEL)
    try:
        dispatcher = _njit(function, cache=True, **_KERNEL)
    except RuntimeError as fault:  # Numba found no folder that it may write to
        _tell_cache_fault(fault)
        return _njit(function, **_KERNEL)
    cache = dispatcher._cache
    cache.save_overload = _forgiving(cache.save_overload)
    cache.load_overload = _forgiving(_short_cut(cache))
    return dispatcher


def _short_cut(cache: Any) -> Callable[..., Any]:
    """Load machine code as ``cache.load_overload`` does, but for filling the compiler's tables first.

    Rests on private names of Numba's: without them, or after any fault, Numba's own way is taken. Code that does need
    the run-time library must never get here, so the flags become part of what the cache looks for.
    """
    load = cache.load_overload
    try:
        key, short, guarded = cache._index_key, cache._load_overload, cache._guard_against_spurious_io_errors
    except AttributeError:
        return typing.cast(Callable[..., Any], load)

    def load_short(signature: Any, context: Any) -> Any:
        try:
            with guarded():
                return short(signature, context)
        except Exception:  # noqa: BLE001 - whatever it was, Numba's own way decides
            return load(signature, context)

    cache._index_key = lambda signature, codegen: (*key(signature, codegen), tuple(_FLAGS.items()))
    return load_short


def _forgiving(access: Callable[..., Any]) -> Callable[..., Any]:
    """A full disk or a damaged cache file costs compile time, never a result."""

    def guarded(*args: Any) -> Any:
        try:
            return access(*args)
        except Exception as fault:  # noqa: BLE001 - unpickling a damaged file can raise nearly anything
            _tell_cache_fault(fault)
            return None

    return guarded


def _tell_cache_fault(fault: Exception) -> None:
    global _cache_fault_told
    if not _cache_fault_told:
        _cache_fault_told = True
        log.warning(
            "compiled kernels cannot be cached (%s): each start compiles for some seconds; "
            "set NUMBA_CACHE_DIR to a folder that can be written",
            fault,
        )
