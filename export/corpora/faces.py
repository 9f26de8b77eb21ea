"""Still faces with expression votes, labels, or arousal and valence: finding the corpora, one reader per layout.

A folder's layout is found from what lies in it, so that every command takes just ``--data DIR``, where ``DIR`` is one
corpus or a folder of corpora. A new corpus is one more entry in `LAYOUTS`: a test for the layout and its reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_emotion.errors import InputError
from edge_emotion.types import U8

from . import afew_va, affectnet, fer2013, raf_db
from .face_records import (
    AFFECTNET,
    EXPRESSIONS,
    FACE_PX,
    VOTE_COLUMNS,
    FaceCorpus,
    item_hash,
    number,
    picture,
    table_rows,
)

__all__ = [
    "EXPRESSIONS",
    "FACE_PX",
    "VOTE_COLUMNS",
    "FaceCorpus",
    "find_faces",
    "item_hash",
    "with_affect",
    "with_votes",
]

SHEET_FACES, SHEET_COLUMNS = 2000, 50


def find_faces(folder: Path) -> list[FaceCorpus]:
    """Every face corpus in ``folder``: the folder itself, or else those of its direct sub-folders that are one.

    Raises
    ------
    InputError
        Nothing of a known layout is there, or a corpus is damaged (the file and line are named).
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one that holds the face corpora")
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    found = []
    for place in places:
        reader = next((read for fits, read in LAYOUTS if fits(place)), None)
        if reader is not None:
            found.append(reader(place))
        if place == folder and found:
            break
    if not found:
        raise InputError(
            f"{folder}: no face corpus here; expected labels.csv beside sheet_NN.webp (FER+) or beside pictures "
            "with columns file, valence, arousal, expression, or FER2013, FER+, AFEW-VA, AffectNet or RAF-DB as "
            "published"
        )
    return found


def with_votes(corpora: Sequence[FaceCorpus]) -> FaceCorpus:
    """The corpus that has FER+ votes; `InputError` where none has."""
    return _having(corpora, "votes", "FER+ votes (folder ferplus)")


def with_affect(corpora: Sequence[FaceCorpus]) -> FaceCorpus:
    """The corpus that has arousal and valence; `InputError` where none has."""
    return _having(corpora, "affect", "arousal and valence (folder diffusionfer)")


def _having(corpora: Sequence[FaceCorpus], column: str, what: str) -> FaceCorpus:
    for corpus in corpora:
        if getattr(corpus, column) is not None:
            return corpus
    raise InputError(f"no corpus with {what} among: {', '.join(corpus.name for corpus in corpora) or 'none'}")


def _is_ferplus(folder: Path) -> bool:
    return (folder / "labels.csv").is_file() and any(folder.glob("sheet_*.webp"))


def read_ferplus(folder: Path) -> FaceCorpus:
    """FER2013 faces in sheets (2,000 a sheet, 50 a row, row by row); ``labels.csv`` has the votes of each."""
    path = folder / "labels.csv"
    index, split, votes = [], [], []
    for line, cells in table_rows(path, ("index", "split", *VOTE_COLUMNS)):
        index.append(int(number(path, line, "index", cells["index"], 0, 1e7)))
        split.append(cells["split"])
        votes.append([number(path, line, name, cells[name], 0, 100) for name in VOTE_COLUMNS])
    if not index:
        raise InputError(f"{path}: no rows")
    images = np.empty((len(index), FACE_PX, FACE_PX), np.uint8)
    order = np.asarray(index)
    for sheet in np.unique(order // SHEET_FACES):
        name = folder / f"sheet_{sheet:02d}.webp"
        tiles = _tiles(picture(name, cv2.IMREAD_GRAYSCALE), name)
        here = np.flatnonzero(order // SHEET_FACES == sheet)
        if (order[here] % SHEET_FACES).max() >= len(tiles):
            raise InputError(f"{name}: holds {len(tiles)} faces, labels.csv names more")
        images[here] = tiles[order[here] % SHEET_FACES]
    return FaceCorpus(
        name="ferplus",
        licence="labels MIT (Microsoft FER+); FER2013 pixels scraped from the web, rights unclear",
        images=list(images),
        names=[str(i) for i in index],
        split=np.asarray(split),
        votes=np.asarray(votes, np.float32),
    )


def _tiles(sheet: U8, path: Path) -> U8:
    rows, rest = divmod(sheet.shape[0], FACE_PX)
    if rest or sheet.shape[1] != SHEET_COLUMNS * FACE_PX:
        raise InputError(
            f"{path}: {sheet.shape[1]}x{sheet.shape[0]} pixels, expected rows of {SHEET_COLUMNS} faces of 48"
        )
    grid = sheet.reshape(rows, FACE_PX, SHEET_COLUMNS, FACE_PX)
    return np.ascontiguousarray(grid.transpose(0, 2, 1, 3)).reshape(-1, FACE_PX, FACE_PX)


def _is_diffusionfer(folder: Path) -> bool:
    path = folder / "labels.csv"
    if not path.is_file() or _is_ferplus(folder):
        return False
    header = path.read_text(encoding="utf-8-sig").partition("\n")[0]
    return {"file", "valence", "arousal"} <= {name.strip() for name in header.split(",")}


def read_diffusionfer(folder: Path) -> FaceCorpus:
    """Pictures named in ``labels.csv``: file, valence, arousal, expression in AffectNet's numbering."""
    path = folder / "labels.csv"
    images, names, affect, expression = [], [], [], []
    for line, cells in table_rows(path, ("file", "valence", "arousal", "expression")):
        affect.append([number(path, line, name, cells[name], -1, 1) for name in ("arousal", "valence")])
        kind = number(path, line, "expression", cells["expression"], 0, len(AFFECTNET) - 1)
        expression.append(EXPRESSIONS.index(AFFECTNET[int(kind)]))
        images.append(picture(folder / cells["file"], cv2.IMREAD_COLOR))
        names.append(cells["file"])
    if not names:
        raise InputError(f"{path}: no rows")
    return FaceCorpus(
        name="diffusionfer",
        licence="CC0 (generated faces)",
        images=images,
        names=names,
        split=np.full(len(names), ""),
        affect=np.asarray(affect, np.float32),
        expression=np.asarray(expression),
    )


LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[[Path], FaceCorpus]], ...] = (
    (_is_ferplus, read_ferplus),
    (_is_diffusionfer, read_diffusionfer),
    (fer2013.is_csv, fer2013.read_csv),
    (fer2013.is_ferplus_folders, fer2013.read_ferplus_folders),
    (afew_va.fits, afew_va.read),
    (affectnet.is_lists, affectnet.read_lists),
    (affectnet.is_sets, affectnet.read_sets),
    (raf_db.fits, raf_db.read),
)
"""Known layouts: does this folder have it, and how is it read."""
