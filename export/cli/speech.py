"""``edge-emotion-export train|cross-validate|evaluate speech``: the acoustic model."""

from __future__ import annotations

import json
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edge_emotion.cli import run

from .program import cross_validate_app, evaluate_app, train_app
from .progress import bar

if TYPE_CHECKING:
    from ..training.speech_evaluation import Fitter


class Features(StrEnum):
    """What the regressor may be fed with."""

    functionals = "functionals"
    encoder = "encoder"
    both = "both"


class Regressor(StrEnum):
    """What maps features to arousal and valence."""

    kernel_ridge = "kernel-ridge"
    svr = "svr"


DATA = typer.Option(..., "--data", help="A speech corpus, or a folder of corpora; repeatable.")
SEED = typer.Option(0, help="Of folds, copies and clustering.")
JOBS = typer.Option(2, min=1, help="Processes at a time.")
FEATURES = typer.Option(Features.both, help="What the regressor hears.")
REGRESSOR = typer.Option(
    Regressor.kernel_ridge,
    help="Kernel ridge on landmarks, or the reference system's SVR (many support vectors).",
)
CONDITION = typer.Option(None, help="Judge under one of the named conditions (see docs/speech.md).")
LANDMARKS = typer.Option(1000, min=1, help="Training rows that the regressor's kernels stand on.")
VAD_COLUMNS = ("auc", "found", "false_alarm")
NOTES = (
    "Voice activity: Silero VAD 6.2.3 (MIT) as published; chosen over a decision from descriptors by "
    "`edge-emotion-export evaluate voice-activity`, see docs/speech.md. Voice encoder, if there is one: two layers "
    "of Resemblyzer's (Apache-2.0; Wan et al. 2018), trained on LibriSpeech and VoxCeleb. Leave-one-speaker-out "
    "figures (loso) are of EmoTale, utterance means, everything refitted for each speaker; held_out is the mean of "
    "ten conditions whose kind no training copy has."
)
NOTES_OF_WORDS = (
    "Voice activity: Silero VAD 6.2.3 (MIT) as published, trained by its authors. No utterance was rated: each has the "
    "arousal and pleasure that people give to the word for its intended emotion (Russell and Mehrabian 1977), so the "
    "figures tell how well emotions are told apart, not how well ratings are met."
)
AS_JSON = typer.Option(False, "--json", help="Print the report as JSON.")


def _fitter(regressor: Regressor, landmarks: int, seed: int) -> Fitter:
    from ..training.speech import fit
    from ..training.speech_svr import fit_svr

    if regressor is Regressor.svr:
        return partial(fit_svr, seed=seed)
    return partial(fit, budget=landmarks, seed=seed)


@train_app.command("speech")
def train(
    data: list[Path] = DATA,
    out: Path = typer.Option(..., help="The bundle that the acoustic part is written into."),
    features: Features = FEATURES,
    regressor: Regressor = REGRESSOR,
    seed: int = SEED,
    landmarks: int = LANDMARKS,
    notes: str = typer.Option("", help="What else the part shall say of itself."),
    judge: bool = typer.Option(
        True, "--cross-validate/--no-cross-validate", help="Leave each speaker out first, for the figures."
    ),
    jobs: int = JOBS,
) -> None:
    """Train the acoustic regressor and its sigma; writes OUT/acoustic and OUT/metrics.json."""
    from edge_emotion.errors import UsageError

    from ..conversion.acoustic_part import write_acoustic_part
    from ..corpora.speech import find_speech, with_ratings
    from ..training import speech_evaluation
    from ..training.sound_conditions import named
    from ..training.speech_copies import training_data, trial_windows

    if features is Features.encoder:
        raise UsageError("the device computes the functionals anyway: train on functionals or on both")
    found = find_speech(data)
    corpora = with_ratings(found)
    speakers = 3 if judge else 2
    spoken = training_data(corpora, features, speakers=speakers, seed=seed, jobs=jobs, progress=bar)
    fitter = _fitter(regressor, landmarks, seed)
    report: dict[str, Any] = {}
    if judge:
        trials = trial_windows(spoken, features, named(), seed=seed, jobs=jobs, progress=bar)
        with bar("leaving each speaker out") as progress:
            report = speech_evaluation.cross_validate(
                spoken, trials, fitter=fitter, jobs=jobs, progress=progress
            )
    with run.stderr.status("fitting"):
        everyone = spoken.rated | ~spoken.rated
        fitted = fitter(spoken, everyone)
    options = f"--features {features} --regressor {regressor} --seed {seed} --landmarks {landmarks}"
    command = f"edge-emotion-export train speech --data DATA --out BUNDLE {options}"
    metrics = _flat(report) if report else {f"inner_ccc_{k}": v for k, v in fitted.out_of_fold.items()}
    write_acoustic_part(
        out,
        fitted,
        corpora,
        features=features,
        command=command,
        seed=seed,
        metrics=metrics,
        notes=f"{NOTES if corpora == found else NOTES_OF_WORDS} {notes}".strip(),
    )
    report |= {
        "inner_folds_ccc": fitted.out_of_fold,
        "command": command,
        "utterances": len(spoken.recordings),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(json.dumps(report, indent=1) + "\n")
    _print(report, as_json=False)


@cross_validate_app.command("speech")
def cross_validate(
    data: list[Path] = DATA,
    features: Features = FEATURES,
    regressor: Regressor = REGRESSOR,
    seed: int = SEED,
    landmarks: int = LANDMARKS,
    plot: Path = typer.Option(None, help="Draw CCC over noise and distance into this picture (PNG, SVG)."),
    jobs: int = JOBS,
    as_json: bool = AS_JSON,
) -> None:
    """Leave each speaker out in turn; hyper-parameters, scale and sigma are fitted anew among the others."""
    from ..corpora.speech import find_speech
    from ..training import speech_evaluation
    from ..training.sound_conditions import along_series, named
    from ..training.speech_copies import training_data, trial_windows
    from ..training.speech_plot import draw_series

    spoken = training_data(find_speech(data), features, speakers=3, seed=seed, jobs=jobs, progress=bar)
    asked = [*named(), *along_series()] if plot else named()
    fitter = _fitter(regressor, landmarks, seed)
    trials = trial_windows(spoken, features, asked, seed=seed, jobs=jobs, progress=bar)
    with bar("leaving each speaker out") as progress:
        report = speech_evaluation.cross_validate(spoken, trials, fitter=fitter, jobs=jobs, progress=progress)
    if plot:
        draw_series(report["series"], plot)
    _print(report, as_json=as_json)


@evaluate_app.command("speech")
def evaluate(
    data: list[Path] = DATA,
    bundle: Path = typer.Option(None, help="A bundle; the embedded default without it."),
    condition: str = CONDITION,
    plot: Path = typer.Option(None, help="Draw CCC over noise and distance into this picture (PNG, SVG)."),
    with_training_items: bool = typer.Option(
        False, help="Judge utterances too that the bundle was trained on (the figures then flatter it)."
    ),
    seed: int = SEED,
    as_json: bool = AS_JSON,
) -> None:
    """Judge a bundle on rated utterances that it was not trained on, through the device's own code."""
    from edge_emotion.errors import InputError, UsageError
    from edge_emotion.model.bundle import open_bundle

    from ..conversion.acoustic_part import trained_on
    from ..corpora.speech import find_speech, item_hash, rated, read_sound
    from ..training.sound_conditions import CLEAN, CONDITIONS, SERIES
    from ..training.speech_evaluation import judge_bundle
    from ..training.speech_plot import draw_series

    if condition is not None and condition not in CONDITIONS:
        raise UsageError(f"no condition {condition!r}: choose from {', '.join(CONDITIONS)}")
    opened = open_bundle(bundle)
    known = trained_on(opened.path / "acoustic", opened.manifest.acoustic)
    spoken = [(r, read_sound(r.audio)) for r in rated(find_speech(data)) if r.audio]
    kept = [pair for pair in spoken if with_training_items or item_hash(pair[1]) not in known]
    if not kept:
        raise InputError(
            f"all {len(spoken)} rated utterances were trained on: give other data, cross-validate, "
            "or ask for --with-training-items"
        )
    asked = CONDITIONS[condition].condition if condition else CLEAN
    with bar("listening") as progress:
        report: dict[str, Any] = judge_bundle(opened, kept, asked, seed=seed, progress=progress)
    report |= {"trained_on_left_out": len(spoken) - len(kept), "bundle": opened.manifest.id}
    if plot:
        report["series"] = {
            axis: {
                f"{x:g}": _ccc(judge_bundle(opened, kept, point, seed=seed)) for x, point in points.items()
            }
            for axis, points in SERIES.items()
        }
        draw_series(report["series"], plot)
    _print(report, as_json=as_json, name=condition or "clean")


@evaluate_app.command("voice-activity")
def voice_activity(data: list[Path] = DATA, seed: int = SEED, as_json: bool = AS_JSON) -> None:
    """Compare Silero's voice activity with a decision from the descriptors, in noise and on tones."""
    from rich.table import Table

    from edge_emotion.config import Execution
    from edge_emotion.model.backend import open_backend
    from edge_emotion.model.voice_activity import SileroVoiceActivity

    from ..corpora.speech import find_speech, read_sound
    from ..packaged_files import fetch
    from ..training.voice_activity_trial import Detector, compare, from_descriptors

    audio = [r.audio for corpus in find_speech(data) for r in corpus.recordings if r.audio]
    network = open_backend(fetch("silero_vad.onnx"), Execution(provider="cpu"))
    detectors: dict[str, Detector] = {
        "silero": lambda samples: SileroVoiceActivity(network).push(samples),
        "descriptors": from_descriptors,
    }
    with run.stderr.status("listening"):
        report = compare([read_sound(path) for path in audio], detectors, seed=seed)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    table = Table("condition", *(f"{name}: AUC, found, false alarms" for name in report))
    for condition in report["silero"]:
        cells = [
            " ".join(
                "-" if (value := rows[condition].get(key)) is None else f"{value:.3f}" for key in VAD_COLUMNS
            )
            for rows in report.values()
        ]
        table.add_row(condition, *cells)
    run.stdout.print(table)


def _ccc(report: dict[str, Any]) -> dict[str, float]:
    return {dimension: report[dimension]["ccc"] for dimension in ("arousal", "valence")}


def _flat(report: dict[str, Any]) -> dict[str, float]:
    """The figures that go into the manifest."""
    flat = {}
    for dimension in ("arousal", "valence"):
        flat[f"loso_ccc_{dimension}"] = round(report[dimension]["ccc"], 4)
        flat[f"loso_rmse_{dimension}"] = round(report[dimension]["rmse"], 4)
        flat[f"loso_interval_80_{dimension}"] = round(report["interval_80"][dimension], 4)
        flat[f"loso_pink_10_db_ccc_{dimension}"] = round(
            report["conditions"]["pink_10_db"][dimension]["ccc"], 4
        )
        flat[f"loso_held_out_ccc_{dimension}"] = round(report["held_out"][dimension], 4)
    return flat


def _print(report: dict[str, Any], *, as_json: bool, name: str = "clean") -> None:
    if as_json:
        print(json.dumps(report, indent=1))
        return
    from rich.table import Table

    if "arousal" not in report:
        run.stdout.print(f"CCC of the inner folds: {report['inner_folds_ccc']}")
        return
    table = Table("condition", "arousal CCC", "valence CCC", "RMSE", "within 80 % interval", "n")
    for condition, scores in {name: report, **report.get("conditions", {})}.items():
        inside = scores.get("interval_80", {})
        table.add_row(
            f"{condition} (held out)" if scores.get("held_out") is True else condition,
            f"{scores['arousal']['ccc']:.3f}",
            f"{scores['valence']['ccc']:.3f}",
            f"{scores['arousal']['rmse']:.3f} {scores['valence']['rmse']:.3f}",
            " ".join(f"{share:.2f}" for share in inside.values()),
            str(scores["arousal"]["n"]),
        )
    run.stdout.print(table)
    for fact in ("anger_over_sadness", "trained_on_left_out", "without_reading"):
        if report.get(fact) is not None:
            run.stdout.print(f"{fact.replace('_', ' ')}: {report[fact]:.3g}")
