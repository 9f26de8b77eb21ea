"""Acted speech with ratings or categories of whole utterances: EmoTale, EmoDB, or a corpus of one's own.

A folder's layout is found from what lies in it, so that every command takes just ``--data DIR``, where ``DIR`` is one
corpus or a folder of corpora. A new corpus is one more entry in `LAYOUTS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from edge_emotion.errors import InputError
from edge_emotion.types import DIMENSIONS, F32, Dimension

from .own import read_own
from .records import Recording
from .tables import column, rows

RATE_HZ = 16000
RATERS = ("a1", "a2", "a3")
EMOTALE_CATEGORIES = {"A": "anger", "B": "boredom", "H": "happiness", "N": "neutral", "S": "sadness"}
EMOTALE_LANGUAGES = {"DK": "Danish", "EN": "English"}
EMODB_CATEGORIES = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
PUBLISHED_MEANS: dict[str, dict[Dimension, float]] = {
    "anger": {"arousal": 0.59, "valence": -0.51},
    "boredom": {"arousal": -0.62, "valence": -0.65},
    "disgust": {"arousal": 0.35, "valence": -0.60},
    "fear": {"arousal": 0.60, "valence": -0.64},
    "happiness": {"arousal": 0.48, "valence": 0.76},
    "neutral": {"arousal": 0.0, "valence": 0.0},
    "sadness": {"arousal": -0.27, "valence": -0.63},
}
"""Mean arousal and pleasure that people give to the words angry, bored, disgusted, fearful, joyful and sad: Russell and
Mehrabian, *Evidence for a three-factor theory of emotions*, Journal of Research in Personality 11, 1977. Neutral is the
middle of their scales."""


@dataclass(frozen=True, slots=True)
class SpeechCorpus:
    """A corpus of utterances.

    Attributes
    ----------
    licence
        As honestly as it can be said; it goes into the bundle's manifest.
    recordings
        Every one has ``audio``; ``ratings`` where the corpus was rated, ``intended`` where actors were asked for a
        category.
    """

    name: str
    licence: str
    recordings: tuple[Recording, ...]


def find_speech(folders: Sequence[Path]) -> list[SpeechCorpus]:
    """Every speech corpus in ``folders``: each folder itself, or else those of its direct sub-folders that are one.

    Raises
    ------
    InputError
        Nothing of a known layout is there, or a corpus is damaged (the file and line are named).
    """
    found: list[SpeechCorpus] = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give the one that holds the speech corpora")
        here = _read(folder)
        below = [] if here else [_read(path) for path in sorted(folder.iterdir()) if path.is_dir()]
        found += [corpus for corpus in [here, *below] if corpus is not None]
    if not found:
        raise InputError(
            f"{', '.join(map(str, folders))}: no speech corpus here; expected EmoTale (annotations.csv beside "
            "DK_001_A_1.flac), EmoDB (files like 03a01Fa.flac) or recordings.csv with ratings.csv"
        )
    return found


def rated(corpora: Sequence[SpeechCorpus]) -> list[Recording]:
    """The utterances with ratings of both dimensions; `InputError` where there are none."""
    found = [r for corpus in corpora for r in corpus.recordings if r.rated]
    if not found:
        raise InputError(
            "no utterance with ratings of arousal and valence; add EmoTale or a corpus with ratings.csv"
        )
    return found


def with_ratings(corpora: Sequence[SpeechCorpus]) -> list[SpeechCorpus]:
    """The corpora as they are if any is rated; if none is, each utterance with the `PUBLISHED_MEANS` of its emotion."""
    if any(recording.ratings for corpus in corpora for recording in corpus.recordings):
        return list(corpora)
    return [
        replace(corpus, recordings=tuple(_as_published(recording) for recording in corpus.recordings))
        for corpus in corpora
    ]


def _as_published(recording: Recording) -> Recording:
    means = PUBLISHED_MEANS.get(recording.intended or "", {})
    return replace(recording, ratings={dimension: (value,) for dimension, value in means.items()})


def read_sound(path: Path) -> F32:
    """A whole sound file as float32 mono at 16 kHz, full scale 1."""
    try:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
            frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
            frames += resampler.resample(None)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise InputError(f"{path}: cannot be read as sound ({error})") from None
    if not frames:
        raise InputError(f"{path}: holds no sound")
    samples: F32 = np.concatenate([frame.to_ndarray().ravel() for frame in frames]).astype(np.float32)
    return samples


def item_hash(samples: F32) -> str:
    """First eight bytes, as 16 hexadecimal digits, of the SHA-256 of the decoded samples at 16 kHz as 16-bit integers.

    Sound is hashed, not files: the same utterance in another lossless container has the same hash.
    """
    coded = np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2")
    return hashlib.sha256(coded.tobytes()).hexdigest()[:16]


def read_emotale(root: Path) -> Iterator[Recording]:
    """EmoTale (Danish and English): three raters' arousal and valence, 1 to 5 mapped to [-1, 1].

    The speaker is the second field of the file name alone: one person speaks both languages.
    """
    table = root / "annotations.csv"
    for line, row in rows(table):
        name = column(row, "file", table, line)
        fields = Path(name).stem.split("_")
        if len(fields) != 4 or fields[2] not in EMOTALE_CATEGORIES:
            raise InputError(f"{table}:{line}: {name!r} is not of the form DK_001_A_1.flac")
        audio = root / name
        if not audio.is_file():
            raise InputError(f"{table}:{line}: {audio}: no such file")
        yield Recording(
            name=audio.stem,
            speaker=f"emotale-{fields[1]}",
            audio=audio,
            ratings={dimension: _emotale_ratings(row, dimension, table, line) for dimension in DIMENSIONS},
            intended=EMOTALE_CATEGORIES[fields[2]],
            language=EMOTALE_LANGUAGES.get(fields[0], ""),
        )


def read_emodb(root: Path) -> Iterator[Recording]:
    """Berlin EmoDB: ten actors, seven intended emotions (file ``03a01Fa``: speaker 03, emotion F), no ratings."""
    for audio in sorted(path for path in root.iterdir() if _is_emodb(path)):
        name = audio.stem
        yield Recording(
            name=name,
            speaker=f"emodb-{name[:2]}",
            audio=audio,
            intended=EMODB_CATEGORIES[name[5]],
            language="German",
        )


def _emotale_ratings(row: dict[str, str], dimension: Dimension, table: Path, line: int) -> tuple[float, ...]:
    letter = dimension[0].upper()
    values = []
    for rater in RATERS:
        text = column(row, f"{rater}_{letter}", table, line)
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 1.0 <= value <= 5.0:
            raise InputError(f"{table}:{line}: {rater}_{letter}: {text!r} is not a rating of 1 to 5")
        values.append((value - 3.0) / 2.0)
    return tuple(values)


def _is_emotale(folder: Path) -> bool:
    table = folder / "annotations.csv"
    if not table.is_file():
        return False
    header = table.open(encoding="utf-8-sig").readline()
    return all(f"{rater}_A" in header for rater in RATERS)


def _is_emodb(path: Path) -> bool:
    stem = path.stem
    return (
        path.suffix.lower() in (".flac", ".wav")
        and len(stem) == 7
        and stem[:2].isdigit()
        and stem[3:5].isdigit()
        and stem[5] in EMODB_CATEGORIES
    )


def _holds_emodb(folder: Path) -> bool:
    return any(_is_emodb(path) for path in folder.iterdir())


def _is_own(folder: Path) -> bool:
    return (folder / "recordings.csv").is_file() and (folder / "ratings.csv").is_file()


def _with_sound(root: Path) -> Iterator[Recording]:
    return (recording for recording in read_own(root) if recording.audio is not None)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a corpus is recognised and read."""

    name: str
    licence: str
    fits: Callable[[Path], bool]
    read: Callable[[Path], Iterator[Recording]]


LAYOUTS = (
    Layout(
        "EmoTale",
        "copyright of its authors, no licence given, citation asked for; used locally, not redistributed",
        _is_emotale,
        read_emotale,
    ),
    Layout("EmoDB", "CC0", _holds_emodb, read_emodb),
    Layout("own recordings", "of their owner", _is_own, _with_sound),
)


def _read(folder: Path) -> SpeechCorpus | None:
    for layout in LAYOUTS:
        if layout.fits(folder):
            return SpeechCorpus(layout.name, layout.licence, tuple(layout.read(folder)))
    return None
