"""RAF-DB, single-label set (Li & Deng 2019), as published in ``basic``.

``EmoLabel/list_patition_label.txt`` (its authors' spelling) has ``train_00001.jpg 5`` in each line: 1 surprise, 2 fear,
3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral. Pictures: ``Image/aligned/train_00001_aligned.jpg``, or the
originals in ``Image/original``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_emotion.errors import InputError

from .duplicates import without_leaks
from .face_records import EXPRESSIONS, FaceCorpus, Pictures, number

_LABELS = Path("EmoLabel") / "list_patition_label.txt"
_EMOTIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


def fits(folder: Path) -> bool:
    """Whether ``folder``, or ``basic`` in it, holds the list of labels."""
    return _root(folder) is not None


def read(folder: Path) -> FaceCorpus:
    """Pictures with one expression each, split into train and test."""
    root = _root(folder)
    assert root is not None
    path = root / _LABELS
    aligned = (root / "Image" / "aligned").is_dir()
    pictures = root / "Image" / ("aligned" if aligned else "original")
    files, split, expression = [], [], []
    for line, text in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        cells = text.split()
        if not cells:
            continue
        part = cells[0].partition("_")[0]
        if len(cells) != 2 or part not in ("train", "test"):
            raise InputError(
                f"{path}: line {line}: expected a name that begins with train_ or test_, and a number"
            )
        kind = int(number(path, line, "label", cells[1], 1, len(_EMOTIONS)))
        name = Path(cells[0])
        files.append(pictures / (f"{name.stem}_aligned{name.suffix}" if aligned else name))
        split.append(part)
        expression.append(EXPRESSIONS.index(_EMOTIONS[kind - 1]))
    if not files:
        raise InputError(f"{path}: no rows")
    corpus = FaceCorpus(
        name="raf_db",
        licence="RAF-DB: research only, by agreement with its authors",
        images=Pictures(files),
        names=[file.name for file in files],
        split=np.asarray(split),
        expression=np.asarray(expression),
    )
    return without_leaks(corpus)


def _root(folder: Path) -> Path | None:
    return next((root for root in (folder, folder / "basic") if (root / _LABELS).is_file()), None)
