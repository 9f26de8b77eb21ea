"""``edge-emotion-export reproduce``: the reference system on RECOLA or AVEC 2016, in one command."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import typer

from edge_emotion.cli import run
from edge_emotion.errors import UsageError

from ..corpora.records import Recording
from .program import app


class Corpus(StrEnum):
    """Trees that can be read; ``own`` is the documented CSV layout with traces."""

    recola = "recola"
    avec2016 = "avec2016"
    avec2018 = "avec2018"
    own = "own"


class Effort(StrEnum):
    """How much is tried."""

    full = "full"
    quick = "quick"


class Fusion(StrEnum):
    """What the bundle does with the two modalities."""

    best = "best"
    late = "late"
    early = "early"


class Standardisation(StrEnum):
    """How features are standardised; ``speaker`` looks ahead, no device can do it."""

    global_ = "global"
    speaker = "speaker"
    running = "running"


@app.command()
def reproduce(
    corpus: Corpus = typer.Argument(help="Layout of the tree."),
    root: Path = typer.Option(..., "--root", help="Root of the corpus, as it was delivered."),
    out: Path = typer.Option(..., "--out", help="Folder for the table, traces, bundle and shards."),
    bundle: Path = typer.Option(
        None,
        help="Bundle with the detector, voice activity and face network to start from; the default one if left out.",
    ),
    scheduler: str = typer.Option(None, help="Dask scheduler (tcp://host:8786) instead of this machine."),
    workers: int = typer.Option(
        None, min=1, help="Worker processes on this machine; one for each core if left out."
    ),
    fine_tune: bool = typer.Option(True, help="Fine-tune the face network on the training speakers' frames."),
    recurrent: bool = typer.Option(True, help="Fit the recurrent regressor as well."),
    effort: Effort = typer.Option(
        Effort.full, help="quick tries little: for trials of the chain, not for results."
    ),
    standardise: Standardisation = typer.Option(Standardisation.global_, help="speaker looks ahead."),
    windows: str = typer.Option("4,6", help="Lengths in seconds to choose from, separated by commas."),
    fusion: Fusion = typer.Option(
        Fusion.best, help="Of the bundle; best: whichever did better on held-out training speakers."
    ),
    support_vectors: int = typer.Option(None, min=10, help="At the most in each shipped regressor."),
    hop: float = typer.Option(0.04, min=0.02, max=1.0, help="Seconds from row to row."),
    seed: int = typer.Option(0, help="Of folds, networks and resampling."),
) -> None:
    """Train and judge audio, video, early and late fusion; write the table, the traces and a bundle.

    Run again after an interruption: finished work is found in OUT/shards and not repeated.
    """
    from ..corpora.pair_trees import is_synthetic
    from ..training import engine
    from ..training.face_tuning import TuningSettings
    from ..training.protocol import ProtocolSettings, with_grid
    from ..training.recurrent import RecurrentSettings
    from ..training.report import write_report
    from ..training.reproduced_bundle import write_bundle
    from ..training.reproduction import Reproduction
    from ..training.reproduction import reproduce as run_chain

    protocol = ProtocolSettings(
        hop_s=hop,
        every=max(1, round(0.4 / hop)),
        windows_s=_windows(windows),
        standardisation=standardise.value,
        budget=support_vectors,
        seed=seed,
    )
    quick = effort is Effort.quick
    tuning = TuningSettings(seed=seed, epochs=1, most=1500) if quick else TuningSettings(seed=seed)
    gru = RecurrentSettings(seed=seed, epochs=(40, 80)) if quick else RecurrentSettings(seed=seed)
    settings = Reproduction(
        keep=out.resolve() / "shards",
        bundle=None if bundle is None else bundle.resolve(),
        protocol=with_grid(protocol, effort.value),
        tuning=tuning if fine_tune else None,
        recurrent=gru if recurrent else None,
    )
    recordings = read_corpus(corpus, root.resolve())
    synthetic = is_synthetic(root)
    title = f"{corpus.value}{' (synthetic pairs)' if synthetic else ''}"
    with engine.cluster(scheduler, workers or engine.default_workers()) as client:
        outcome = run_chain(recordings, settings, client, run.stderr)
        command = f"edge-emotion-export reproduce {corpus.value} --effort {effort.value} --seed {seed}"
        costs = None
        if standardise is Standardisation.global_:
            costs = write_bundle(
                outcome, settings, out / "bundle", corpus=title, command=command, fusion=fusion.value
            )
        write_report(outcome, settings, out, corpus=title, command=command, synthetic=synthetic, costs=costs)
    run.stdout.print((out / "table.md").read_text(), markup=False)
    if standardise is Standardisation.global_:
        run.stdout.print(f"bundle: {out / 'bundle'}")
    else:
        run.stdout.print("no bundle: the device standardises by training statistics alone")


def _windows(text: str) -> tuple[float, ...]:
    try:
        lengths = tuple(float(part) for part in text.split(","))
    except ValueError:
        lengths = ()
    if not lengths or not all(1.0 <= length <= 30.0 for length in lengths):
        raise UsageError(f"--windows {text!r}: lengths of 1 to 30 s separated by commas, as in 4,6")
    return lengths


def read_corpus(corpus: Corpus, root: Path) -> Iterable[Recording]:
    """The recordings of a tree with traces."""
    from ..corpora.avec import AVEC2018, read_avec
    from ..corpora.own import read_own
    from ..corpora.recola import in_turn, read_recola

    if corpus is Corpus.recola:
        return in_turn(read_recola(root))
    if corpus is Corpus.own:
        return read_own(root)
    return read_avec(root, AVEC2018) if corpus is Corpus.avec2018 else read_avec(root)
