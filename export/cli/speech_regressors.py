"""``edge-emotion-export cross-validate speech-regressors``: what else could map sound to arousal and valence."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from . import cross_validate_app
from .speech import AS_JSON, DATA, JOBS, SEED, _bar


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
    from ..corpora.records import require_speakers
    from ..corpora.speech import find_speech, rated
    from ..training import speech_comparison

    corpora = find_speech(data)
    require_speakers(rated(corpora), 3, "splitting rated speech by speaker")
    names = speech_comparison.chosen(only)
    material = speech_comparison.read_material(
        [recording for corpus in corpora for recording in corpus.recordings],
        seed=seed,
        jobs=jobs,
        frames=speech_comparison.needs_frames(names),
        progress=_bar,
    )
    report = speech_comparison.compare(material, names, seed=seed, keep=keep, progress=_bar)
    print(json.dumps(report, indent=1) if as_json else speech_comparison.table(report))
