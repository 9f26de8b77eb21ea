"""Compilation: types from annotations, the cache and its absence, no compilation after the first use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from edge_emotion.kernels import _jit, trellis
from edge_emotion.kernels.voice_quality import PeriodPlan

pytestmark = pytest.mark.kernels

START = """
import logging, sys
logging.basicConfig(format="%(message)s", stream=sys.stdout)
import numpy as np
from edge_emotion.kernels import trellis
from edge_emotion.kernels._jit import compilations, compile_all
"""
FLUSH = (
    START
    + """
trellis.flush(trellis.new_trellis(), np.zeros(40, np.float32))
print(compilations())
"""
)
READ = (
    START
    + """
from edge_emotion.features.lld import LowLevelStream
compiled = sum(compile_all().values())
warm = compilations()  # more than that: a kernel is also compiled into the kernels that call it
stream = LowLevelStream(16000)
stream.push(np.sin(np.arange(4000, dtype=np.float32) / 20))
stream.finish()
print(compiled, compilations() - warm)
"""
)


def use(script: str, cache: Path | str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "NUMBA_DISABLE_JIT": "0", "NUMBA_BOUNDSCHECK": ""}
        | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_signatures_are_read_from_annotations():
    def take(a: _jit.Matrix32, n: int, x: float, flag: bool, plan: PeriodPlan) -> None: ...

    a, n, x, flag, plan = _jit.signature(take)
    assert a == numba.types.Array(numba.float32, 2, "C")
    assert (n, x, flag) == (numba.int64, numba.float64, numba.boolean)
    assert plan.instance_class is PeriodPlan

    def wrong(a: str) -> None: ...

    with pytest.raises(TypeError, match="str"):
        _jit.signature(wrong)


@pytest.mark.slow
def test_warm_up_leaves_nothing_to_compile(tmp_path):
    compiled, late = use(READ, tmp_path)[-1].split()
    assert int(compiled) > 10
    assert late == "0"
    assert use(READ, tmp_path)[-1] == "0 0"


@pytest.mark.slow
def test_a_damaged_cache_costs_time_only(tmp_path):
    assert use(FLUSH, tmp_path) == ["1"]
    assert use(FLUSH, tmp_path) == ["0"]
    for file in tmp_path.rglob("*.nbc"):
        file.write_bytes(b"damaged")
    told, compiled = use(FLUSH, tmp_path)
    assert "set NUMBA_CACHE_DIR" in told
    assert compiled == "1"


@pytest.mark.slow
def test_without_a_cache_one_line_says_so_and_results_come():
    # Only the user's folder may be used, and there is none: as where nothing can be written.
    told, compiled = use(FLUSH, "", NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator")
    assert "set NUMBA_CACHE_DIR" in told
    assert compiled == "1"


RESULT = """
from edge_emotion.features.lld import LowLevelStream
stream = LowLevelStream(16000)
stream.push(np.sin(np.arange(4000, dtype=np.float32) / 20))
stream.finish()
print(stream.short.tobytes().hex(), stream.long.tobytes().hex())
print(compilations(), "numba.np.linalg" in sys.modules)
"""
NUMBAS_OWN_WAY = """
import sys
sys.modules["edge_emotion.kernels._compiler"] = None
"""
CHANGED_NUMBA = """
from numba.core.caching import Cache
del Cache._guard_against_spurious_io_errors
def load_overload(self, signature, context):
    context.refresh()
    return self._load_overload(signature, context)
def save_overload(self, signature, data):
    self._save_overload(signature, data)
Cache.load_overload, Cache.save_overload = load_overload, save_overload
"""
FAULT = """
from numba.core.caching import Cache
load = Cache._load_overload
asked = []
def faulty(self, signature, context):
    asked.append(signature)
    if len(asked) % 2:
        raise KeyError("strange")
    return load(self, signature, context)
Cache._load_overload = faulty
"""


@pytest.mark.slow
def test_code_is_loaded_without_the_compiler_and_with_the_same_results(tmp_path):
    compiled, counts = use(START + RESULT, tmp_path)
    assert counts.endswith("True")
    loaded, counts = use(START + RESULT, tmp_path)
    assert loaded == compiled
    assert counts == "0 False"


@pytest.mark.slow
def test_the_short_way_of_compiling_changes_no_bit(tmp_path):
    shortly, _ = use(START + RESULT, tmp_path / "ours")
    wholly, _ = use(NUMBAS_OWN_WAY + START + RESULT, tmp_path / "numbas")
    assert shortly == wholly


@pytest.mark.slow
def test_another_numba_or_a_fault_of_the_short_cut_falls_back_to_its_own_way(tmp_path):
    changed = CHANGED_NUMBA + START + RESULT
    compiled, _ = use(changed, tmp_path)
    assert use(changed, tmp_path) == [compiled, "0 True"]
    use(START + RESULT, tmp_path)
    assert use(FAULT + START + RESULT, tmp_path) == [compiled, "0 True"]


def test_code_for_other_flags_is_not_looked_up(monkeypatch):
    if numba.config.DISABLE_JIT or numba.config.BOUNDSCHECK:
        pytest.skip("no cache")
    cache = trellis.flush._cache
    codegen = trellis.flush.targetctx.codegen()
    key = cache._index_key((), codegen)
    monkeypatch.setitem(_jit._FLAGS, "_nrt", True)
    assert cache._index_key((), codegen) != key
