"""Numba's compiler without what kernels do not need, which takes more than half of its time.

* A part is only linked into its kernel. Numba would optimise it and make machine code of it by itself, and again in
  every caller.
* A kernel is optimised once, as a whole. Numba goes over each function and over the whole twice, to cancel counts of
  references; kernels have none.
* Passes for what kernels do not use (closures, array expressions, ``with``) are left out.
* Python's collector of cycles does not run meanwhile: all that is made is kept until the kernel is done.

Only the order of optimisations differs from Numba's own way, so the results do not: without fast-math there is but one.
Rests on private names of Numba's; where one is missing, importing this fails and `_jit` takes Numba's own way.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary, ll
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager

_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)

_NEEDED = (
    JITCodeLibrary._optimize_functions,
    JITCodeLibrary._optimize_final_module,
    JITCodeLibrary._get_module_for_linking,
)


class _KernelLibrary(JITCodeLibrary):
    """Code that is optimised once, when all of it is together."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)


class _PartLibrary(_KernelLibrary):
    """Code that waits, as it is, for the kernel that it goes into."""

    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == ll.Linkage.external:
                function.linkage = "linkonce_odr"
        self._shared_module = self._final_module
        self._finalized = True

    @property
    def codegen(self) -> _Unknown:
        """What is asked for once the code is ready to run."""
        return _Unknown()


class _Unknown:
    """Takes the place of the engine for code that it never sees."""

    def set_env(self, name: str, environment: object) -> None:
        """Nothing can be set in code that is not there."""


class KernelCompiler(CompilerBase):
    """From a Python function to machine code."""

    library = _KernelLibrary

    def compile_extra(self, function: Any) -> Any:
        """Compile ``function``."""
        with _uncollected():
            return super().compile_extra(function)

    def define_pipelines(self) -> list[Any]:
        """The passes, and the library that takes the code."""
        self.state.library = self.library(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        self.state.library.enable_object_caching()
        manager = PassManager("kernel")
        for step in _PASSES:
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]


class PartCompiler(KernelCompiler):
    """From a Python function to code for linking."""

    library = _PartLibrary


@contextmanager
def _uncollected() -> Iterator[None]:
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()
