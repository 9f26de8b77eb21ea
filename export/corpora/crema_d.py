"""CREMA-D (Cao et al. 2014; Open Database License): 91 actors, 7442 clips, crowd votes for sound and picture together.

::

    AudioWAV/1001_IEO_NEU_XX.wav        VideoFlash/1001_IEO_NEU_XX.flv
    processedResults/tabulatedVotes.csv "", A, D, F, H, N, S, fileName, numResponses, ...

The first digit of a row's number tells what was rated: 1 the voice, 2 the face, 3 both. There is no arousal or
valence in CREMA-D, only votes for six categories with a level.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from edge_emotion.errors import InputError

from .records import Recording, require_root
from .tables import column, rows

VOTES = Path("processedResults/tabulatedVotes.csv")
EMOTIONS = {
    "A": ("ANG", "anger"),
    "D": ("DIS", "disgust"),
    "F": ("FEA", "fear"),
    "H": ("HAP", "happiness"),
    "N": ("NEU", "neutral"),
    "S": ("SAD", "sadness"),
}
INTENDED = dict(EMOTIONS.values())
QUERY = {"voice": "1", "face": "2", "both": "3"}


def read_crema_d(root: Path, rated: Literal["voice", "face", "both"] = "both") -> Iterator[Recording]:
    """Clips in the order of the vote table, with the votes of those who heard and saw (or only one of them)."""
    require_root(root, [str(VOTES)], "CREMA-D")
    for line, row in rows(root / VOTES):
        if column(row, "", root / VOTES, line).startswith(QUERY[rated]):
            yield _recording(root, row, line)


def _recording(root: Path, row: dict[str, str], line: int) -> Recording:
    name = column(row, "fileName", root / VOTES, line)
    fields = name.split("_")
    if len(fields) != 4 or fields[2] not in INTENDED:
        raise InputError(f"{root / VOTES}:{line}: {name!r} is not of the form 1001_IEO_NEU_XX")
    audio, video = root / "AudioWAV" / f"{name}.wav", root / "VideoFlash" / f"{name}.flv"
    return Recording(
        name=name,
        speaker=fields[0],
        audio=audio if audio.is_file() else None,
        video=video if video.is_file() else None,
        votes={label: _count(row, code, root / VOTES, line) for code, (_, label) in EMOTIONS.items()},
        intended=INTENDED[fields[2]],
    )


def _count(row: dict[str, str], code: str, path: Path, line: int) -> int:
    text = column(row, code, path, line)
    if not text.isdigit():
        raise InputError(f"{path}:{line}: {code}: {text!r} is not a number of votes")
    return int(text)
