"""FER2013 and its FER+ votes as published.

* ``fer2013.csv`` (emotion, pixels, Usage) of the Kaggle challenge, and ``fer2013new.csv`` (Usage, Image name, ten
  columns of votes) of the FER+ repository beside it, row by row for the same pictures;
* the folders that FER+'s own script makes: ``FER2013Train``, ``FER2013Valid`` and ``FER2013Test``, each with pictures
  and a ``label.csv`` without header (name, box, ten votes).

Faces without votes or picture name are those that FER+ calls no faces, and are left out, as its script does.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge_emotion.errors import InputError
from edge_emotion.types import U8

from .duplicates import without_leaks
from .face_records import EXPRESSIONS, FACE_PX, VOTE_COLUMNS, FaceCorpus, number, picture, table_rows

LICENCE = "FER2013 pixels scraped from the web, rights unclear; FER+ labels MIT (Microsoft)"
_EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_SPLITS = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
_FOLDERS = {"FER2013Train": "train", "FER2013Valid": "valid", "FER2013Test": "test"}


def is_csv(folder: Path) -> bool:
    """Whether ``folder`` holds fer2013.csv."""
    return (folder / "fer2013.csv").is_file()


def read_csv(folder: Path) -> FaceCorpus:
    """Pictures with expression labels and, where fer2013new.csv lies beside, the FER+ votes in their place."""
    path = folder / "fer2013.csv"
    images, split, expression = [], [], []
    for line, cells in table_rows(path, ("emotion", "pixels", "Usage")):
        kind = int(number(path, line, "emotion", cells["emotion"], 0, len(_EMOTIONS) - 1))
        expression.append(EXPRESSIONS.index(_EMOTIONS[kind]))
        images.append(_pixels(path, line, cells["pixels"]))
        split.append(_split(path, line, cells["Usage"]))
    if not images:
        raise InputError(f"{path}: no rows")
    votes = folder / "fer2013new.csv"
    corpus = FaceCorpus(
        name="fer2013",
        licence=LICENCE,
        images=images,
        names=[str(i) for i in range(len(images))],
        split=np.asarray(split),
        expression=np.asarray(expression),
    )
    return without_leaks(_with_votes(corpus, votes) if votes.is_file() else corpus)


def _with_votes(corpus: FaceCorpus, path: Path) -> FaceCorpus:
    votes, names, kept = [], [], []
    rows = list(table_rows(path, ("Usage", "Image name", *VOTE_COLUMNS)))
    if len(rows) != len(corpus):
        raise InputError(f"{path}: {len(rows)} rows, fer2013.csv beside it has {len(corpus)}")
    for place, (line, cells) in enumerate(rows):
        if _split(path, line, cells["Usage"]) != corpus.split[place]:
            raise InputError(f"{path}: line {line}: Usage is {cells['Usage']!r}, fer2013.csv says otherwise")
        if cells["Image name"]:
            kept.append(place)
            names.append(cells["Image name"])
            votes.append([number(path, line, name, cells[name], 0, 100) for name in VOTE_COLUMNS])
    chosen = corpus.take(np.asarray(kept, np.int64))
    return FaceCorpus(
        "ferplus",
        LICENCE,
        chosen.images,
        names,
        chosen.split,
        votes=np.asarray(votes, np.float32).reshape(-1, 10),
    )


def is_ferplus_folders(folder: Path) -> bool:
    """Whether ``folder`` holds what the script of FER+ makes."""
    return any((folder / name / "label.csv").is_file() for name in _FOLDERS)


def read_ferplus_folders(folder: Path) -> FaceCorpus:
    """Pictures with votes from the three folders, or as many of them as are there."""
    images, names, split, votes = [], [], [], []
    for name, part in _FOLDERS.items():
        path = folder / name / "label.csv"
        for line, file, row in _labels(path) if path.is_file() else ():
            image = picture(path.parent / file, cv2.IMREAD_GRAYSCALE)
            if image.shape != (FACE_PX, FACE_PX):
                raise InputError(
                    f"{path.parent / file}: {image.shape[1]}x{image.shape[0]} pixels, expected 48x48"
                )
            images.append(image)
            names.append(file)
            split.append(part)
            votes.append(
                [number(path, line, c, text, 0, 100) for c, text in zip(VOTE_COLUMNS, row, strict=True)]
            )
    if not images:
        raise InputError(f"{folder}: no rows in the label.csv of {', '.join(_FOLDERS)}")
    corpus = FaceCorpus(
        "ferplus", LICENCE, images, names, np.asarray(split), votes=np.asarray(votes, np.float32)
    )
    return without_leaks(corpus)


def _labels(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Line, file name and ten votes of each row."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, skipinitialspace=True)
        for cells in reader:
            if any(cells):
                if len(cells) != 2 + len(VOTE_COLUMNS):
                    raise InputError(f"{path}: line {reader.line_num}: {len(cells)} cells, expected 12")
                yield reader.line_num, cells[0], cells[2:]


def _pixels(path: Path, line: int, text: str) -> U8:
    cells = text.split()
    try:
        values = np.array(cells, np.int64)
    except (ValueError, OverflowError):
        values = np.array([-1])
    if values.size != FACE_PX**2 or values.min() < 0 or values.max() > 255:
        raise InputError(f"{path}: line {line}: pixels are not 48x48 numbers from 0 to 255")
    return values.astype(np.uint8).reshape(FACE_PX, FACE_PX)


def _split(path: Path, line: int, usage: str) -> str:
    if usage not in _SPLITS:
        raise InputError(f"{path}: line {line}: Usage is {usage!r}, expected {', '.join(_SPLITS)}")
    return _SPLITS[usage]
