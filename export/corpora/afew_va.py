"""AFEW-VA (Kossaifi, Tzimiropoulos, Todorovic & Pantic 2017) as published: 600 clips from films, in one folder each.

``001/00000.png`` ... and ``001/001.json`` with ``{"actor", "video_id", "frames": {"00000": {"valence", "arousal",
"landmarks"}}}``: valence and arousal are whole numbers from -10 to 10, landmarks 68 points. The archives 01.zip to
12.zip are unpacked into one folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.errors import InputError

from .face_records import FaceCorpus, Pictures

_SCALE = 10.0
_MARGIN = 0.25
"""Of the landmarks' extent, kept on each side (our choice): landmarks end at the brows."""


def fits(folder: Path) -> bool:
    """Whether ``folder`` holds clips with their json files."""
    return next(_clips(folder), None) is not None


def read(folder: Path) -> FaceCorpus:
    """Every frame of every clip, cut to the face; the actor, or else the clip, is the subject."""
    files, boxes, affect, subject = [], [], [], []
    for path in sorted(_clips(folder)):
        text = path.read_text(encoding="utf-8-sig")
        clip = _parsed(path, text)
        for name, frame in sorted(clip["frames"].items()):
            at = (
                f"{path}: line {text[: max(text.find(json.dumps(name)), 0)].count(chr(10)) + 1}: frame {name}"
            )
            affect.append([_rating(at, frame, key) for key in ("arousal", "valence")])
            boxes.append(_box(at, frame))
            files.append(path.parent / f"{name}.png")
            subject.append(str(clip.get("actor") or clip.get("video_id") or path.stem))
    if not files:
        raise InputError(f"{folder}: no frames in the json files")
    return FaceCorpus(
        name="afew_va",
        licence="AFEW-VA: research only, by agreement with its authors",
        images=Pictures(files, np.asarray(boxes, np.int64)),
        names=[f"{file.parent.name}/{file.name}" for file in files],
        split=np.full(len(files), ""),
        affect=np.asarray(affect, np.float32),
        subject=np.asarray(subject),
    )


def _clips(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*/*.json") if path.stem == path.parent.name)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        clip = json.loads(text)
    except json.JSONDecodeError as fault:
        raise InputError(f"{path}: line {fault.lineno}: not JSON ({fault.msg})") from None
    if not isinstance(clip, dict) or not isinstance(clip.get("frames"), dict):
        raise InputError(f"{path}: line 1: no frames, is this a file of AFEW-VA?")
    return clip


def _rating(at: str, frame: Any, key: str) -> float:
    value = frame.get(key) if isinstance(frame, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_SCALE <= value <= _SCALE:
        raise InputError(f"{at}: {key} is {value!r}, expected a number from -10 to 10")
    return value / _SCALE


def _box(at: str, frame: dict[str, Any]) -> NDArray[np.int64]:
    """Left, top, width, height of a square round the landmarks."""
    try:
        points = np.asarray(frame["landmarks"], np.float64).reshape(-1, 2)
        low, high = points.min(0), points.max(0)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{at}: landmarks are not pairs of numbers") from None
    side = (1 + 2 * _MARGIN) * max(*(high - low), 1.0)
    return np.rint([*((low + high - side) / 2), side, side]).astype(np.int64)
