"""Still faces with expression votes or arousal and valence: one record type, one reader per layout.

A folder's layout is found from what lies in it, so that every command takes just ``--data DIR``, where ``DIR`` is one
corpus or a folder of corpora. A new corpus is one more entry in `LAYOUTS`: a test for the layout and its reader.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import InputError
from edge_emotion.types import F32, U8

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The eight FER+ classes, in the order of the network's ``votes`` output."""
VOTE_COLUMNS = (*EXPRESSIONS, "unknown", "NF")
"""The ten FER+ columns: the last two say that no expression, or no face, was seen."""
SHEET_FACES, SHEET_COLUMNS, FACE_PX = 2000, 50, 48


@dataclass(frozen=True)
class FaceCorpus:
    """Faces and what is known of them, column by column; a column that a corpus does not have is ``None``.

    Attributes
    ----------
    images
        ``uint8``, grey ``(h, w)`` or BGR ``(h, w, 3)``; sizes may differ.
    names
        What a message calls the item: a file name, or the index in a sheet.
    split
        ``train``, ``valid`` or ``test`` for each item; empty in a corpus without partitions.
    votes
        ``float32 (n, 10)``: annotators' votes in the order of `VOTE_COLUMNS`.
    affect
        ``float32 (n, 2)``: arousal, valence in [-1, 1].
    expression
        ``int64 (n,)``: index into `EXPRESSIONS`.
    subject
        Person or clip for each item: folds keep them together.
    """

    name: str
    licence: str
    images: Sequence[U8]
    names: Sequence[str]
    split: NDArray[np.str_]
    votes: F32 | None = None
    affect: F32 | None = None
    expression: NDArray[np.int64] | None = None
    subject: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        """Items."""
        return len(self.names)

    def take(self, index: NDArray[np.int64]) -> FaceCorpus:
        """The items at ``index``, in that order."""
        return replace(
            self,
            images=[self.images[i] for i in index],
            names=[self.names[i] for i in index],
            split=self.split[index],
            votes=None if self.votes is None else self.votes[index],
            affect=None if self.affect is None else self.affect[index],
            expression=None if self.expression is None else self.expression[index],
            subject=None if self.subject is None else self.subject[index],
        )

    def only(self, split: str) -> FaceCorpus:
        """The items of one partition."""
        return self.take(np.flatnonzero(self.split == split))

    def hashes(self) -> list[str]:
        """`item_hash` of every item."""
        return [item_hash(image) for image in self.images]


def item_hash(image: U8) -> str:
    """First eight bytes, as 16 hexadecimal digits, of the SHA-256 of an image's shape and pixels.

    Decoded pixels are hashed, not files: the same face in another lossless container has the same hash.
    """
    shape = "x".join(map(str, image.shape)).encode()
    return hashlib.sha256(shape + b":" + np.ascontiguousarray(image).tobytes()).hexdigest()[:16]


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
            "with columns file, valence, arousal, expression"
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


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of each row; a byte order mark, blank lines and blanks around cells do not matter."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, skipinitialspace=True)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        missing = [name for name in columns if name not in reader.fieldnames]
        if missing:
            raise InputError(f"{path}: line 1: no column {', '.join(missing)}")
        for row in reader:
            cells = {name: (row[name] or "").strip() for name in columns}
            if any(cells.values()):
                yield reader.line_num, cells


def _number(path: Path, line: int, column: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not low <= value <= high:
        raise InputError(
            f"{path}: line {line}: {column} is {text!r}, expected a number from {low:g} to {high:g}"
        )
    return value


def _picture(path: Path, flags: int) -> U8:
    image = cv2.imread(str(path), flags) if path.is_file() else None
    if image is None:
        raise InputError(
            f"{path}: not a picture that can be read; restore the file or drop its row from labels.csv"
        )
    return np.asarray(image, np.uint8)


def _is_ferplus(folder: Path) -> bool:
    return (folder / "labels.csv").is_file() and any(folder.glob("sheet_*.webp"))


def read_ferplus(folder: Path) -> FaceCorpus:
    """FER2013 faces in sheets (2,000 a sheet, 50 a row, row by row); ``labels.csv`` has the votes of each."""
    path = folder / "labels.csv"
    index, split, votes = [], [], []
    for line, cells in _rows(path, ("index", "split", *VOTE_COLUMNS)):
        index.append(int(_number(path, line, "index", cells["index"], 0, 1e7)))
        split.append(cells["split"])
        votes.append([_number(path, line, name, cells[name], 0, 100) for name in VOTE_COLUMNS])
    if not index:
        raise InputError(f"{path}: no rows")
    images = np.empty((len(index), FACE_PX, FACE_PX), np.uint8)
    order = np.asarray(index)
    for sheet in np.unique(order // SHEET_FACES):
        name = folder / f"sheet_{sheet:02d}.webp"
        tiles = _tiles(_picture(name, cv2.IMREAD_GRAYSCALE), name)
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


_AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""AffectNet's numbers for expressions, which diffusionfer's labels use."""


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
    for line, cells in _rows(path, ("file", "valence", "arousal", "expression")):
        affect.append([_number(path, line, name, cells[name], -1, 1) for name in ("arousal", "valence")])
        number = _number(path, line, "expression", cells["expression"], 0, len(_AFFECTNET) - 1)
        expression.append(EXPRESSIONS.index(_AFFECTNET[int(number)]))
        images.append(_picture(folder / cells["file"], cv2.IMREAD_COLOR))
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
)
"""Known layouts: does this folder have it, and how is it read."""
