"""``edge-emotion-export train|evaluate|cross-validate face``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import typer

from edge_emotion.cli import run
from edge_emotion.errors import UsageError

from .program import cross_validate_app, evaluate_app, train_app
from .progress import phases, quiet_threads

DATA = typer.Option(
    help="Folder of the face corpora: FER+ sheets and rated pictures, each in its own folder."
)
THREADS = typer.Option(2, min=1, help="Processor threads.")
DEVICE = typer.Option("auto", help="auto, cpu or cuda.")
NETWORK = typer.Option(
    None,
    help="small (shipped) or large, both from SFace; reference: three convolutional layers; tiny: Deep-Emotion. "
    "By default small, and tiny where no corpus has votes.",
)
JSON = typer.Option(False, "--json", help="Print one JSON object instead of a table.")


@train_app.command("face")
def train_face(
    data: Path = DATA,
    out: Path = typer.Option(help="Folder for checkpoints, metrics.json, pictures and the part face/."),
    resume: bool = typer.Option(False, help="Go on from the checkpoint in the output folder."),
    network: str | None = NETWORK,
    epochs: int = typer.Option(None, min=1, help="Epochs on votes; by default those of the shipped model."),
    seed: int = typer.Option(1, help="Of everything that is drawn at random."),
    threads: int = THREADS,
    device: str = DEVICE,
) -> None:
    """Train the face network and its regressors, judge them in folds, and write the face part of a bundle.

    Under three hours on one processor core: two cycles of eleven and ten epochs on FER+ votes, then five folds and the
    final fit on rated faces. Networks small and large learn votes together: --resume in the same folder gives the
    other one. Where no corpus has votes, a network learns the expressions of the rated faces from nothing (minutes).
    """
    quiet_threads()
    from ..conversion.face_part import write_face_part
    from ..conversion.yunet import default_detector
    from ..corpora.faces import find_faces
    from ..training import face_figures, face_recipe, face_report
    from ..training.face_data import vote_data
    from ..training.face_networks import NAMES
    from ..training.face_training import Compute

    if network not in (None, *NAMES):
        raise UsageError(f"unknown network {network!r}; known: {', '.join(NAMES)}")
    voted = any(corpus.votes is not None for corpus in find_faces(data))
    network = network or ("small" if voted else "tiny")
    recipe = (face_recipe.shipped_recipe if voted else face_recipe.clean_recipe)(seed, epochs, network)
    compute = Compute.choose(device, threads)
    _make(out)
    with phases() as progress:
        votes = vote_data(data) if voted else None
        history: list[dict[str, Any]] = []
        if votes:
            start, history = face_recipe.train_votes(votes, recipe, compute, out, resume, progress)
            face_report.draw_curves(history, out / "learning_curves.png")
        detector = default_detector()
        rated = face_recipe.rated_set(data, detector, progress=progress)
        begin = (
            face_recipe.from_votes(start, votes)
            if votes
            else face_recipe.from_expressions(rated.rated, recipe, compute, out, progress)
        )
        found = face_recipe.cross_validate_faces(begin, rated, recipe, compute, progress)
        face_report.draw_out_of_fold(found, out / "out_of_fold.png")
        models = face_recipe.fit_all(begin, rated, recipe, compute, progress)
    judged = face_figures.judge_models(models, votes) if votes else None
    if judged:
        face_report.draw_confusion(judged["confusion"], out / "confusion.png")
    metrics = {
        **(judged or {}),
        "cross_validation": found.report(),
        "network": models.network.description,
        "choice": models.choice._asdict(),
        "regressor_parity": models.regressor_parity,
        "history": history,
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    part = write_face_part(
        out,
        models,
        detector,
        found.sigma(),
        [*([votes.corpus.take(votes.used)] if votes else []), rated.data.corpus],
        command=f"edge-emotion-export train face --data DIR --out DIR{_options(seed, epochs, network)}",
        seed=seed,
        metrics=face_figures.flat_metrics(judged, found, rated.data.corpus.name, rated.groups),
    )
    _show(found.report() | ({"accuracy": judged["accuracy"]} if judged else {}))
    run.stdout.print(f"wrote {part}, {out / 'metrics.json'} and the pictures beside it")


@evaluate_app.command("face")
def evaluate_face(
    data: Path = DATA,
    split: str = typer.Option(
        "all", help="train, valid, test or all; corpora without partitions count whole."
    ),
    bundle: Path = typer.Option(None, help="A bundle's folder; by default the one that is installed."),
    condition: str = typer.Option(
        "clean", help="A condition to judge beside clean pictures, or all of them."
    ),
    limit: int = typer.Option(
        None, min=1, help="Judge so many faces of each corpus, every expression in proportion."
    ),
    include_training: bool = typer.Option(False, help="Judge also faces that the models were trained on."),
    plot: Path = typer.Option(None, help="Folder for pictures of the figures."),
    training: Path = typer.Option(
        None, help="Output folder of `train face`: with --plot, its learning curves are drawn too."
    ),
    as_json: bool = JSON,
) -> None:
    """Detect, crop, encode and regress labelled faces with a bundle, as on the device, clean and spoiled."""
    quiet_threads()
    from edge_emotion.model.bundle import open_bundle

    from ..training.face_conditions import CONDITIONS
    from ..training.face_evaluation import evaluate
    from ..training.face_evaluation_plots import draw

    if split not in ("train", "valid", "test", "all"):
        raise UsageError(f"unknown split {split!r}; known: train, valid, test, all")
    with phases() as progress:
        report, judged = evaluate(
            open_bundle(bundle),
            data,
            split,
            conditions=tuple(CONDITIONS) if condition == "all" else (condition,),
            limit=limit,
            include_training=include_training,
            begin=progress.begin,
            step=progress.step,
        )
    _print(report, as_json)
    if plot:
        _make(plot)
        draw(report, judged, plot, training)


@cross_validate_app.command("face")
def cross_validate_face(
    data: Path = DATA,
    pretrained: Path = typer.Option(
        None, help="Weights trained on votes only (face_votes.safetensors); by default those of the package."
    ),
    seed: int = typer.Option(1, help="Of folds and fitting."),
    seeds: int = typer.Option(
        1, min=1, help="Repeat with so many seeds, from --seed on; mean and spread are shown."
    ),
    threads: int = THREADS,
    device: str = DEVICE,
    as_json: bool = JSON,
) -> None:
    """Refit all that learns from rated faces in five folds, near duplicates kept together, and judge the rest."""
    quiet_threads()
    from ..conversion.yunet import default_detector
    from ..training import face_recipe
    from ..training.face_data import vote_data
    from ..training.face_figures import over_seeds
    from ..training.face_training import Compute

    start = face_recipe.load_pretrained(pretrained)
    compute = Compute.choose(device, threads)
    reports = []
    with phases() as progress:
        votes = vote_data(data)
        rated = face_recipe.rated_set(data, default_detector(), progress=progress)
        begin = face_recipe.from_votes(start, votes)
        for number in range(seed, seed + seeds):
            recipe = face_recipe.shipped_recipe(number)
            found = face_recipe.cross_validate_faces(begin, rated, recipe, compute, progress)
            reports.append(found.report())
    _print(reports[0] if seeds == 1 else over_seeds(reports, seed), as_json)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None


def _options(seed: int, epochs: int | None, network: str) -> str:
    extra = ["--network", network]
    extra += [] if epochs is None else ["--epochs", str(epochs)]
    extra += [] if seed == 1 else ["--seed", str(seed)]
    return f" {shlex.join(extra)}" if extra else ""


def _print(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        run.stdout.print(json.dumps(report, indent=1, allow_nan=False), markup=False)
    else:
        _show(report)


def _show(report: dict[str, Any]) -> None:
    from .face_tables import show

    show(report)
