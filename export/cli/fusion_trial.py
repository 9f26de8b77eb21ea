"""``edge-emotion-export evaluate fusion``: whether fusion keeps what the better modality knows."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import typer

from edge_emotion.cli import run

from .face import DEVICE, THREADS
from .program import evaluate_app
from .progress import bar, phases, quiet_threads
from .speech import AS_JSON, JOBS, LANDMARKS, Features


@evaluate_app.command("fusion")
def evaluate_fusion(
    speech: list[Path] = typer.Option(..., help="A speech corpus, or a folder of corpora; repeatable."),
    faces: Path = typer.Option(..., help="Faces with votes and faces with arousal and valence."),
    bundle: Path = typer.Option(None, help="Whose fusion part; the embedded default without it."),
    seed: int = typer.Option(0, help="Of copies, pairs and the voice's folds; the faces' is one more."),
    landmarks: int = LANDMARKS,
    jobs: int = JOBS,
    threads: int = THREADS,
    device: str = DEVICE,
    as_json: bool = AS_JSON,
) -> None:
    """Fuse utterances and faces of like ratings, one of them spoiled; each judged by models that never met it.

    The voice is refitted without each speaker, all that learns from rated faces in five folds.
    """
    quiet_threads()
    from edge_emotion.model.bundle import open_bundle

    from ..conversion.yunet import default_detector
    from ..corpora.speech import find_speech
    from ..training import face_recipe, fusion_trial, speech_evaluation
    from ..training.face_data import vote_data
    from ..training.face_training import Compute
    from ..training.speech import fit
    from ..training.speech_copies import training_data, trial_windows

    part = open_bundle(bundle).manifest.fusion
    spoken = training_data(find_speech(speech), Features.both, speakers=3, seed=seed, jobs=jobs, progress=bar)
    conditions = list(fusion_trial.VOICES.values())
    trials = trial_windows(spoken, Features.both, conditions, seed=seed, jobs=jobs, progress=bar)
    with bar("leaving each speaker out") as progress:
        heard = speech_evaluation.leave_speakers_out(
            spoken,
            trials,
            fitter=partial(fit, budget=landmarks, seed=seed),
            jobs=jobs,
            progress=progress,
        )
    with phases() as shown:
        votes = vote_data(faces)
        rated = face_recipe.rated_set(faces, default_detector(), progress=shown)
        found = face_recipe.cross_validate_faces(
            face_recipe.from_votes(face_recipe.load_pretrained(), votes),
            rated,
            face_recipe.shipped_recipe(seed + 1),
            Compute.choose(device, threads),
            shown,
        )
    report = fusion_trial.judge(
        fusion_trial.voices(spoken, heard),
        fusion_trial.faces(found),
        spoken.speakers[spoken.rated],
        part,
        seed,
    )
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _show(report)


def _show(report: list[dict[str, Any]]) -> None:
    from rich.table import Table

    names = ("voice", "face", "fused")
    columns = (*(f"{name}: RMSE, CCC" for name in names), "fused less voice", "fused less face")
    table = Table("voice", "face", "n", "", *columns, title="RMSE: what fusion adds, with 95 % intervals")
    for row in report:
        for dimension in ("arousal", "valence"):
            found = row[dimension]
            said = (f"{found[name]['rmse']:.3f}, {found[name]['ccc']:.3f}" for name in names)
            less = (
                f"{part['rmse']:+.3f} ({part['interval_95'][0]:+.3f} to {part['interval_95'][1]:+.3f})"
                for part in (found["less_voice"], found["less_face"])
            )
            table.add_row(row["voice"], row["face"], f"{row['n']} of {row['pairs']}", dimension, *said, *less)
    run.stdout.print(table)
