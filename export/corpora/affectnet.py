"""AffectNet (Mollahosseini, Hasani & Mahoor 2019) in its two published layouts.

* Lists: ``training.csv`` and ``validation.csv`` (subDirectory_filePath, face_x, face_y, face_width, face_height,
  facial_landmarks, expression, valence, arousal) in ``Manually_Annotated_file_lists`` or beside it, pictures under
  ``Manually_Annotated_Images``.
* Sets: ``train_set`` and ``val_set``, each with ``images/N.jpg`` and ``annotations/N_exp.npy``, ``N_val.npy``,
  ``N_aro.npy``.

Pictures without one of the eight expressions (numbers 8 to 10: none, uncertain, no face) or without ratings (-2) are
left out, and so are training pictures that the validation list names too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import InputError

from .face_records import AFFECTNET, EXPRESSIONS, FaceCorpus, Pictures, number, table_rows

LICENCE = "AffectNet: research only, by agreement with its authors"
_LISTS = {"training.csv": "train", "validation.csv": "valid"}
_SETS = {"train_set": "train", "val_set": "valid"}
_BOX = ("face_x", "face_y", "face_width", "face_height")
_COLUMNS = ("subDirectory_filePath", *_BOX, "expression", "valence", "arousal")
_LAST, _UNRATED = 10, -2.0


def is_lists(folder: Path) -> bool:
    """Whether ``folder`` has the csv lists."""
    return any("subDirectory_filePath" in _first_line(path) for path in _list_files(folder))


def read_lists(folder: Path) -> FaceCorpus:
    """Manually annotated pictures, cut to the face box of their row."""
    root = folder / "Manually_Annotated_Images"
    root = root if root.is_dir() else folder
    files, boxes, affect, expression, split = [], [], [], [], []
    known: set[str] = set()
    for path in sorted(_list_files(folder), reverse=True):  # validation first: it keeps what both name
        here: set[str] = set()
        for line, cells in table_rows(path, _COLUMNS):
            kind = int(number(path, line, "expression", cells["expression"], 0, _LAST))
            ratings = [number(path, line, key, cells[key], _UNRATED, 1) for key in ("arousal", "valence")]
            name = cells["subDirectory_filePath"]
            if kind >= len(AFFECTNET) or min(ratings) < -1 or name in known:
                continue
            here.add(name)
            files.append(root / name)
            boxes.append([number(path, line, key, cells[key], -1e4, 1e5) for key in _BOX])
            affect.append(ratings)
            expression.append(EXPRESSIONS.index(AFFECTNET[kind]))
            split.append(_LISTS[path.name])
        known |= here
    if not files:
        raise InputError(f"{folder}: no rated faces in {' and '.join(_LISTS)}")
    names = [str(file.relative_to(root)) for file in files]
    return _corpus(files, names, split, affect, expression, np.asarray(boxes).astype(np.int64))


def is_sets(folder: Path) -> bool:
    """Whether ``folder`` has train_set or val_set with annotations."""
    return any((folder / name / "annotations").is_dir() for name in _SETS)


def read_sets(folder: Path) -> FaceCorpus:
    """Cropped pictures with a file for each annotation."""
    files, names, affect, expression, split = [], [], [], [], []
    for name, part in _SETS.items():
        for path in sorted((folder / name / "annotations").glob("*_exp.npy")):
            item = path.name.removesuffix("_exp.npy")
            kind = int(_scalar(path, 0, _LAST))
            ratings = [_scalar(path.with_name(f"{item}_{key}.npy"), _UNRATED, 1) for key in ("aro", "val")]
            if kind < len(AFFECTNET) and min(ratings) >= -1:
                files.append(folder / name / "images" / f"{item}.jpg")
                names.append(f"{name}/{item}.jpg")
                affect.append(ratings)
                expression.append(EXPRESSIONS.index(AFFECTNET[kind]))
                split.append(part)
    if not files:
        raise InputError(f"{folder}: no rated faces in the annotations of {' and '.join(_SETS)}")
    return _corpus(files, names, split, affect, expression, None)


def _corpus(
    files: list[Path],
    names: list[str],
    split: list[str],
    affect: list[list[float]],
    expression: list[int],
    boxes: NDArray[np.int64] | None,
) -> FaceCorpus:
    return FaceCorpus(
        name="affectnet",
        licence=LICENCE,
        images=Pictures(files, boxes),
        names=names,
        split=np.asarray(split),
        affect=np.asarray(affect, np.float32),
        expression=np.asarray(expression),
    )


def _list_files(folder: Path) -> list[Path]:
    places = (folder, folder / "Manually_Annotated_file_lists")
    return [place / name for place in places for name in _LISTS if (place / name).is_file()]


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return lines.readline()


def _scalar(path: Path, low: float, high: float) -> float:
    """The one number of an annotation file; AffectNet stores some of them as text."""
    try:
        value = float(np.load(path, allow_pickle=False))
    except (OSError, ValueError, TypeError):
        value = np.nan
    if not low <= value <= high:
        raise InputError(f"{path}: not one number from {low:g} to {high:g}")
    return value
