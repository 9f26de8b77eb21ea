"""``edge-emotion bundle choose``: measure which form of a bundle's face encoder suits this machine, and remember it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_emotion.cli.program import app
from edge_emotion.cli.run import stdout

if TYPE_CHECKING:
    from edge_emotion.model.trial import Timing

bundle_app = typer.Typer(no_args_is_help=True, help="Model bundles on this machine.")
app.add_typer(bundle_app, name="bundle")

MOST_THREADS = 4


@bundle_app.callback()
def _group() -> None:
    """Keep `choose` a command of its own name."""


@bundle_app.command()
def choose(
    bundle: Path = typer.Argument(None, help="Folder of a model bundle; the built-in one by default."),
    budget_ms: float = typer.Option(
        20.0, min=0.01, help="Milliseconds that one face may take, 95 times of 100."
    ),
    seconds: float = typer.Option(4.0, min=0.0, max=120.0, help="How long to measure."),
    forget: bool = typer.Option(False, "--forget", help="Only drop what was remembered for this bundle."),
) -> None:
    """Time every form of the face encoder (float, int8, onnxruntime, LiteRT, threads) here and remember the best.

    The best takes the least processor time of all that keep to the budget and answer as the reference does. analyze,
    profile and the daemon use it from then on, until the encoder, the machine or a version changes.
    """
    from edge_emotion.model import choice, trial
    from edge_emotion.model.bundle import open_bundle

    models = open_bundle(bundle)
    if forget:
        stdout.print("forgotten" if choice.forget(models) else "nothing was remembered")
        return
    cores = len(os.sched_getaffinity(0))
    threads = [count for count in (1, 2, MOST_THREADS) if count <= cores]
    timings, refused = trial.measure(models, list(trial.engines(models, threads)), seconds)
    best, reason = trial.decide(timings, budget_ms)
    _table(timings, best, budget_ms)
    for engine, fault in refused.items():
        stdout.print(f"[yellow]not measured:[/] {engine}: {fault}")
    path = choice.remember(models, best.engine, budget_ms, reason)
    stdout.print(f"chosen: [bold]{best.engine}[/] on {best.ran_on}: {reason}")
    stdout.print(f"remembered: {path}")


def _table(timings: Sequence[Timing], best: Timing, budget_ms: float) -> None:
    import numpy as np
    from rich.table import Column, Table

    heads = ("processor ms", "p50 ms", "p95 ms", "differs by", "")
    table = Table(Column("face encoder", no_wrap=True), *heads, box=None, padding=(0, 1))
    for timing in timings:
        slow = f"over {budget_ms:g} ms" if timing.p95_ms > budget_ms else ""
        verdict = "chosen" if timing is best else slow if timing.agrees else "answers differ"
        table.add_row(
            str(timing.engine),
            f"{timing.cpu_ms:.2f}",
            f"{np.median(timing.wall_ns) / 1e6:.2f}",
            f"{timing.p95_ms:.2f}",
            f"{timing.difference:.3f}",
            verdict,
        )
    stdout.print(table)
