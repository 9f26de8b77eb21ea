"""RAVDESS (Livingstone and Russo 2018; CC BY-NC-SA 4.0): 24 actors, acted categories, speech with sound and picture.

::

    [Audio_Speech_]Actor_01/03-01-06-01-02-01-12.wav
    [Video_Speech_Actor_01/]Actor_01/01-01-06-01-02-01-12.mp4

The seven fields of a name: modality (01 both, 02 picture, 03 sound), channel (01 speech, 02 song), emotion, intensity,
statement, repetition, actor.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_emotion.errors import InputError

from .records import Recording, require_root

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
_BOTH, _PICTURE, _SOUND = "01", "02", "03"


def read_ravdess(root: Path) -> Iterator[Recording]:
    """Spoken takes by name (``01-06-01-02-01-12``), sound and picture of a take joined; song is left out.

    A take's sound is its WAV where there is one, else the film with sound; its picture that film, else the silent one.
    """
    require_root(root, [], "RAVDESS")
    takes: dict[str, dict[str, Path]] = {}
    for path in sorted([*root.rglob("*.wav"), *root.rglob("*.mp4")]):
        modality, take = _fields(path)
        if take.startswith("01-"):
            takes.setdefault(take, {})[modality] = path
    if not takes:
        raise InputError(
            f"{root}: not the root of RAVDESS: no spoken takes (03-01-...wav, 01-01-...mp4) below it"
        )
    for take, files in sorted(takes.items()):
        yield Recording(
            name=take,
            speaker=take.split("-")[5],
            audio=files.get(_SOUND) or files.get(_BOTH),
            video=files.get(_BOTH) or files.get(_PICTURE),
            intended=EMOTIONS[take.split("-")[1]],
        )


def _fields(path: Path) -> tuple[str, str]:
    fields = path.stem.split("-")
    if len(fields) != 7 or fields[0] not in (_BOTH, _PICTURE, _SOUND) or fields[2] not in EMOTIONS:
        raise InputError(f"{path}: not a RAVDESS name (seven numbers, as in 03-01-06-01-02-01-12.wav)")
    return fields[0], "-".join(fields[1:])
