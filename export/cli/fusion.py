"""``edge-emotion-export fusion``: learn a bundle's fusion part from recordings with sound and picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_emotion.cli import run
from edge_emotion.errors import UsageError
from edge_emotion.types import MODALITIES

from .program import app
from .reproduce import Corpus, read_corpus

if TYPE_CHECKING:
    from ..training.shipped_fusion import Learnt


@app.command()
def fusion(
    folder: Path = typer.Argument(help="The bundle."),
    corpus: Corpus = typer.Option(Corpus.avec2016, help="Layout of the tree."),
    root: Path = typer.Option(..., "--root", help="Root of the corpus, or of a tree of synthetic pairs."),
    out: Path = typer.Option(..., "--out", help="Folder for what was extracted; delete it to start anew."),
    workers: int = typer.Option(
        None, min=1, help="Worker processes on this machine; one for each core if left out."
    ),
    write: bool = typer.Option(False, "--write", help="Write what was learnt into the bundle's fusion part."),
) -> None:
    """Learn how the errors of a bundle's sound and picture go together and what smoothing helps.

    Learnt on the train speakers, judged on the dev speakers; the manifest gets protocol, figures and intervals.
    """
    from edge_emotion.model.bundle import open_bundle

    from ..conversion.bundle import write_part
    from ..corpora.pair_trees import is_synthetic
    from ..training import engine
    from ..training.gathering import gather_evidence
    from ..training.reproduction import run_job
    from ..training.shipped_fusion import describe, learn, rebuilt

    bundle = open_bundle(folder)
    part = bundle.manifest.fusion
    if part.early is not None:
        raise UsageError(f"{folder}: its early fusion belongs to a reproduction; this rebuilds a late one")
    hop_s, keep = 1.0 / part.rate_hz, out.resolve() / "shards"
    with engine.cluster(None, workers or engine.default_workers()) as client:
        members = gather_evidence(
            read_corpus(corpus, root.resolve()),
            lambda jobs, what: engine.run(client, run_job, jobs, what, run.stderr),
            bundle=folder.resolve(),
            hop_s=hop_s,
            keep=keep,
        )
    learnt = learn(members, bundle.manifest)
    _show(learnt)
    if write:
        title = f"{corpus.value}{' (synthetic pairs)' if is_synthetic(root) else ''}"
        command = f"edge-emotion-export fusion BUNDLE --corpus {corpus.value} --root TREE --out OUT --write"
        write_part(folder, rebuilt(part, learnt, describe(learnt, title), command), {})
        run.stdout.print(f"{folder}: fusion written")


def _show(learnt: Learnt) -> None:
    from rich.table import Table

    speakers = (len({m.speaker for m in part}) for part in (learnt.train, learnt.dev))
    title = "learnt on {}, judged on {} speakers; CCC (95 %)".format(*speakers)
    table = Table("", *learnt.judged, box=None, padding=(0, 2), title=title)
    judged = list(learnt.judged.values())
    for name in ("audio", "video", "fused", "smoothed", "balanced"):
        scored = [(j.ccc[name], j.intervals[name]) for j in judged]
        cells = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, (low, high) in scored]
        table.add_row(name, *cells)
    for name in MODALITIES:
        gains = [j.gains[name] for j in judged]
        table.add_row(
            f"smoothed - {name}", *(f"{g.difference:+.3f} ({g.low:+.3f} to {g.high:+.3f})" for g in gains)
        )
    covered = [f"{j.covered[0]:.2f}, {j.covered[1]:.2f}" for j in judged]
    table.add_row("in the 80 % interval: independent, as found", *covered)
    for modality in MODALITIES:
        sigmas = [f"{found:.3f}, {said:.3f}" for found, said in (j.sigma[modality] for j in judged)]
        table.add_row(f"sigma of {modality}: found, said", *sigmas)
    medians = [f"{c.chain.median_s:g} s" for c in learnt.smoothing.values()]
    table.add_row("median", *medians)
    run.stdout.print(table)
    run.stdout.print(f"error correlation {learnt.error_correlation:.3f}")
