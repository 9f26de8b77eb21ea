"""``edge-emotion-export synthetic-pairs``: RECOLA- and AVEC-shaped trees to try the research side on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from edge_emotion.cli import run

from .program import app


class Shape(StrEnum):
    """Trees that can be written."""

    recola = "recola"
    avec2016 = "avec2016"


class Variant(StrEnum):
    """What is planted."""

    plain = "plain"
    audio_noise = "audio_noise"
    video_noise = "video_noise"
    shared_errors = "shared_errors"


@app.command("synthetic-pairs")
def synthetic_pairs(
    out: Path = typer.Argument(help="Folder for the tree; an older tree of synthetic pairs is replaced."),
    speech: Path = typer.Option(..., help="EmoTale, or utterances of one's own with ratings."),
    faces: Path = typer.Option(..., help="Faces with arousal and valence."),
    shape: Shape = typer.Option(Shape.avec2016, help="Layout of the tree."),
    variant: Variant = typer.Option(Variant.plain, help="Make one modality noise, or let both err alike."),
    train: int = typer.Option(9, min=1, help="Recordings of the train partition."),
    dev: int = typer.Option(9, min=1, help="Recordings of the dev partition."),
    duration: float = typer.Option(300.0, min=5.0, help="Seconds of each recording."),
    delay_arousal: float = typer.Option(2.8, min=0.0, max=10.0, help="Raters' delay in seconds."),
    delay_valence: float = typer.Option(3.6, min=0.0, max=10.0, help="Raters' delay in seconds."),
    missing: float = typer.Option(0.06, min=0.0, max=0.9, help="Share of frames without a face."),
    seed: int = typer.Option(0, help="Of everything that is drawn."),
) -> None:
    """Chain utterances and faces of like arousal and valence, rated by artificial raters of known delay and jitter.

    The trees prove the chain from media to table; they say nothing of accuracy on people.
    """
    from ..corpora.faces import find_faces, with_affect
    from ..corpora.pair_trees import write_tree
    from ..corpora.speech import find_speech, rated
    from ..corpora.synthetic_pairs import PairSettings, make_pairs

    settings = PairSettings(
        train=train,
        dev=dev,
        duration_s=duration,
        delay_s={"arousal": delay_arousal, "valence": delay_valence},
        missing=missing,
        variant=variant.value,
        seed=seed,
    )
    gallery = with_affect(find_faces(faces))
    pairs = make_pairs(rated(find_speech([speech])), gallery, settings)
    count = write_tree(out, shape.value, pairs, gallery, settings)
    run.stdout.print(f"{count} synthetic pairs of {duration:g} s in {out}")
