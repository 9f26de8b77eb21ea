"""What all commands show of long work, and how its threads wait."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge_emotion.cli import run

if TYPE_CHECKING:
    from ..training.face_recipe import Progress


def quiet_threads() -> None:
    """Let idle threads sleep: where others use the machine too, spinning ones cost several times the work."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """One bar, told how many are done and of how many."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=run.stderr) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def phases() -> Iterator[Progress]:
    """A bar for each phase of a long run, as it begins."""
    from rich import progress as bars

    from ..training.face_recipe import Progress

    shown = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
        console=run.stderr,
        disable=not sys.stderr.isatty(),
    )
    with shown:
        tasks: list[bars.TaskID] = []

        def begin(what: str, steps: int) -> None:
            tasks.append(shown.add_task(what, total=steps))
            if shown.disable:
                run.stderr.print(f"{what} ...")

        yield Progress(begin, lambda: shown.advance(tasks[-1]), lambda line: shown.console.print(line))
