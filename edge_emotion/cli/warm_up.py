"""``edge-emotion warm-up``: compile all kernels ahead of time."""

from __future__ import annotations

import time

import typer

from edge_emotion.cli import run
from edge_emotion.cli.program import app


@app.command("warm-up")
def warm_up(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Name each kernel and what became of it."),
) -> None:
    """Compile all kernels and cache them, so that the first reading need not wait.

    The cache lies beside the installed package or in NUMBA_CACHE_DIR; a later start on the same machine loads from it.
    """
    from edge_emotion.kernels._jit import compile_all

    begin = time.perf_counter()
    kernels = compile_all()
    seconds = time.perf_counter() - begin
    if verbose:
        for name, compiled in kernels.items():
            run.stdout.print(f"{name}: {'compiled' if compiled else 'cached'}")
    count = sum(kernels.values())
    run.stdout.print(
        f"{count} of {len(kernels)} kernels compiled in {seconds:.1f} s, {len(kernels) - count} from the cache"
    )
