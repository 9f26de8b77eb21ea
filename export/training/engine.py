"""Where the work runs: a Dask cluster on this machine, or one whose scheduler is named. The results are the same."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import dask
from dask.distributed import Client, LocalCluster, as_completed
from distributed.scheduler import KilledWorker
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from edge_emotion.errors import EdgeEmotionError, UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOST_WORKERS = 3
"""A task is tried again on another worker so often before it is given up."""


@contextmanager
def cluster(scheduler: str | None = None, workers: int = 1, *, timeout_s: float = 10.0) -> Iterator[Client]:
    """A client of ``scheduler`` (``tcp://host:8786``), or of a cluster of ``workers`` processes on this machine.

    One local worker runs inside this process. Workers elsewhere must see the same files under the same paths and have
    the same version installed.
    """
    quiet = {
        "distributed.logging.distributed": "critical",
        "distributed.scheduler.allowed-failures": _LOST_WORKERS,
        "distributed.comm.timeouts.connect": "10s",
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.admin.large-graph-warning-threshold": "1 GiB",  # traces to be judged travel in their tasks
    }
    for name in ("distributed", "asyncio", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(quiet):
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout=timeout_s)
            except (OSError, ValueError) as error:
                raise UsageError(f"{scheduler}: no Dask scheduler answers there ({error})") from None
            with client:
                yield client
            return
        count = max(1, workers)
        local = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=count > 1,
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
            memory_limit=0,
        )
        with local, Client(local) as client:
            yield client


def run(
    client: Client,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    what: str,
    console: Console | None = None,
) -> list[Result]:
    """``work`` on each item, results in the order of ``items``; a bar shows how far it is.

    Expected faults come back as they were raised. A task that takes its workers down with it is a `UsageError`.
    """
    futures = client.map(work, list(items), pure=False)
    place = {future.key: index for index, future in enumerate(futures)}
    results: list[Any] = [None] * len(futures)
    try:
        with _progress(console) as progress:
            bar = progress.add_task(what, total=len(futures))
            for future in as_completed(futures):
                results[place[future.key]] = future.result()
                progress.advance(bar)
    except EdgeEmotionError:
        raise
    except KilledWorker as error:
        raise UsageError(
            f"{what}: {_LOST_WORKERS + 1} workers died on {error.task}; most often their memory ran out: "
            "use fewer workers, then run the same command again, it goes on where it stopped"
        ) from None
    finally:
        client.cancel(futures)
    return results


def release_memory() -> None:
    """Give freed memory back to the system where the C library can (glibc): what one stage has used and let go would
    otherwise be counted in the next one too.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def default_workers() -> int:
    """As many workers as this process may use cores."""
    return len(os.sched_getaffinity(0))


def _progress(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description:24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console or Console(stderr=True),
        disable=console is not None and not console.is_terminal,
    )
