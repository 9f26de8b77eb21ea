"""What is known of still faces: one record type for every corpus, and what its readers share."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import InputError
from edge_emotion.types import F32, U8

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The eight FER+ classes, in the order of the network's ``votes`` output."""
VOTE_COLUMNS = (*EXPRESSIONS, "unknown", "NF")
"""The ten FER+ columns: the last two say that no expression, or no face, was seen."""
FACE_PX = 48
"""Side of a FER2013 picture."""
AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""AffectNet's numbers for expressions."""


class Pictures(Sequence[U8]):
    """Picture files, read when they are asked for, each cut to its face.

    Parameters
    ----------
    files
        Each exists.
    boxes
        Part of each picture to keep: left, top, width, height in pixels; ``None``: all of it.
    longest_px
        Larger parts are shrunk to this.
    """

    def __init__(
        self, files: Sequence[Path], boxes: NDArray[np.int64] | None = None, longest_px: int = 256
    ) -> None:
        missing = next((file for file in files if not file.is_file()), None)
        if missing:
            raise InputError(f"{missing}: not a picture that can be read; restore the file or drop its label")
        self.files, self.boxes, self.longest_px = files, boxes, longest_px

    def __len__(self) -> int:
        """Pictures."""
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> U8: ...
    @overload
    def __getitem__(self, index: slice) -> Pictures: ...
    def __getitem__(self, index: int | slice) -> U8 | Pictures:
        """One picture, BGR, or those of a slice."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        image = picture(self.files[index])
        if self.boxes is not None:
            left, top, width, height = self.boxes[index].tolist()
            image = image[max(0, top) : max(1, top + height), max(0, left) : max(1, left + width)]
            if not image.size:
                raise InputError(f"{self.files[index]}: the face's box lies outside the picture")
        share = self.longest_px / max(image.shape[:2])
        return (
            cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA) if share < 1 else image
        )

    def take(self, index: NDArray[np.int64]) -> Pictures:
        """The pictures at ``index``, in that order."""
        boxes = None if self.boxes is None else self.boxes[index]
        return Pictures([self.files[i] for i in index], boxes, self.longest_px)


@dataclass(frozen=True)
class FaceCorpus:
    """Faces and what is known of them, column by column; a column that a corpus does not have is ``None``.

    Attributes
    ----------
    images
        ``uint8``, grey ``(h, w)`` or BGR ``(h, w, 3)``; sizes may differ. Large corpora read them when asked
        (`Pictures`).
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
            images=self.images.take(index)
            if isinstance(self.images, Pictures)
            else [self.images[i] for i in index],
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


def table_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
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


def number(path: Path, line: int, column: str, text: str, low: float, high: float) -> float:
    """A cell's number from ``low`` to ``high``, or the `InputError` that names its place."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not low <= value <= high:
        raise InputError(
            f"{path}: line {line}: {column} is {text!r}, expected a number from {low:g} to {high:g}"
        )
    return value


def picture(path: Path, flags: int = cv2.IMREAD_COLOR) -> U8:
    """A picture file as BGR or, with ``cv2.IMREAD_GRAYSCALE``, grey."""
    image = cv2.imread(str(path), flags) if path.is_file() else None
    if image is None:
        raise InputError(f"{path}: not a picture that can be read; restore the file or drop its label")
    return np.asarray(image, np.uint8)
