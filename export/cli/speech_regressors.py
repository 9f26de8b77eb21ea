"""``edge-emotion-export cross-validate speech-...``: what else could be done with the voice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .program import cross_validate_app
from .progress import bar
from .speech import AS_JSON, DATA, JOBS, SEED

if TYPE_CHECKING:
    from ..training.speech_regressors import Material


@cross_validate_app.command("speech-regressors")
def compare(
    data: list[Path] = DATA,
    only: list[str] = typer.Option([], help="Part of a regressor's name; repeatable. All without it."),
    keep: Path = typer.Option(None, help="Folder for finished predictions, so that a later call goes on."),
    seed: int = SEED,
    jobs: int = JOBS,
    as_json: bool = AS_JSON,
) -> None:
    """Compare regressors on people left out; prints the table of docs/speech.md."""
    from ..training import speech_comparison

    names = speech_comparison.chosen(only)
    material = _material(data, seed, jobs, frames=speech_comparison.needs_frames(names))
    report = speech_comparison.compare(material, names, seed=seed, keep=keep, progress=bar)
    print(json.dumps(report, indent=1) if as_json else speech_comparison.table(report))


@cross_validate_app.command("speaker-baseline")
def baseline(data: list[Path] = DATA, seed: int = SEED, jobs: int = JOBS, as_json: bool = AS_JSON) -> None:
    """Judge a running baseline of level and pitch on people left out, whose utterances follow one another."""
    from ..training import speech_baseline

    report = speech_baseline.judge(_material(data, seed, jobs, frames=False), seed=seed, progress=bar)
    print(json.dumps(report, indent=1) if as_json else speech_baseline.table(report))


@cross_validate_app.command("speech-languages")
def languages(data: list[Path] = DATA, seed: int = SEED, jobs: int = JOBS, as_json: bool = AS_JSON) -> None:
    """Train on one language and test on another, nobody in both; prints the table of docs/speech.md."""
    from ..training import speech_languages

    report = speech_languages.judge(_material(data, seed, jobs, frames=False), seed=seed, progress=bar)
    print(json.dumps(report, indent=1) if as_json else speech_languages.table(report))


def _material(data: list[Path], seed: int, jobs: int, *, frames: bool) -> Material:
    from ..corpora.speech import find_speech
    from ..training.speech_comparison import read_material
    from ..training.speech_copies import speech_of

    recordings = speech_of(find_speech(data), speakers=3)
    return read_material(recordings, seed=seed, jobs=jobs, frames=frames, progress=bar)
