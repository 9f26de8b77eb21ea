"""Synthetic pairs written as RECOLA's public release or an AVEC 2016 tree, and known by a file at the root."""

from __future__ import annotations

import json
import shutil
import wave
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np

from edge_emotion.errors import UsageError
from edge_emotion.types import DIMENSIONS, Dimension

from ..training.gold import gold_standard
from .faces import FaceCorpus
from .recola import ANNOTATION, AUDIO, TIMINGS, VIDEO
from .records import F64
from .synthetic_pairs import FRAME_S, PICTURE_PX, RATERS, PairSettings, SyntheticPair, picture

MARK = "SYNTHETIC-PAIRS.json"
"""Every tree of synthetic pairs carries this file; whatever is made from such a tree says so."""

RECOLA_NUMBERS = (16, 17, 19, 21, 23, 25, 26, 28, 30, 34, 37, 39, 41, 42, 43, 45, 46, 48, 56, 58, 62, 64, 65)

Shape = Literal["recola", "avec2016"]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the parts of one recording go, relative to the root."""

    name: str
    audio: Path
    video: Path
    ratings: Path
    """A folder with one folder for each dimension."""


def write_tree(
    root: Path, shape: Shape, pairs: Iterable[SyntheticPair], faces: FaceCorpus, settings: PairSettings
) -> int:
    """Write all recordings below ``root`` and return their number; what is there already must be ours.

    The mark is written first, so that a tree that was cut short is still known as synthetic.
    """
    if root.exists() and any(root.iterdir()):
        if not (root / MARK).is_file():
            raise UsageError(f"{root}: not empty, and not a tree of synthetic pairs; give another folder")
        shutil.rmtree(root)
    if shape == "recola" and settings.train + settings.dev > len(RECOLA_NUMBERS):
        raise UsageError(f"RECOLA has {len(RECOLA_NUMBERS)} speakers; ask for no more recordings than that")
    if shape == "recola" and not 0 <= settings.train - settings.dev <= 1:
        raise UsageError(
            "RECOLA's speakers are train and dev in turn; ask for as many of one as of the other"
        )
    root.mkdir(parents=True, exist_ok=True)
    facts = {"what": "synthetic pairs, not people", "shape": shape, "settings": asdict(settings)}
    (root / MARK).write_text(json.dumps(facts, indent=2) + "\n")
    count = 0
    for pair in pairs:
        places = _PLACES[shape](pair)
        _write_wav(root / places.audio, pair)
        _write_film(root / places.video, pair, faces)
        for dimension in DIMENSIONS:
            _write_ratings(
                root / places.ratings / dimension / f"{places.name}.csv", pair.ratings[dimension], shape
            )
            if shape == "avec2016":
                _write_gold(root, places.name, dimension, pair.ratings[dimension])
        if shape == "recola":
            _write_timings(root / TIMINGS / f"{places.name}.csv", len(pair.faces))
        count += 1
    return count


def is_synthetic(root: Path) -> bool:
    """Whether a tree says of itself that it is made of synthetic pairs."""
    return (root / MARK).is_file()


def _recola(pair: SyntheticPair) -> _Places:
    turn = 2 * (pair.number - 1) + (pair.partition == "dev")
    name = f"P{RECOLA_NUMBERS[turn]}"
    return _Places(name, AUDIO / f"{name}.wav", VIDEO / f"{name}.mp4", ANNOTATION)


def _avec2016(pair: SyntheticPair) -> _Places:
    name = f"{pair.partition}_{pair.number}"
    return _Places(
        name,
        Path("recordings_audio") / f"{name}.wav",
        Path("recordings_video") / f"{name}.mp4",
        Path("ratings_individual"),
    )


_PLACES: dict[Shape, Callable[[SyntheticPair], _Places]] = {"recola": _recola, "avec2016": _avec2016}


def _write_wav(path: Path, pair: SyntheticPair) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.rint(np.clip(pair.sound, -1, 1) * 32767).astype("<i2").tobytes())


def _write_film(path: Path, pair: SyntheticPair, faces: FaceCorpus) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = {int(index): picture(faces, int(index)) for index in np.unique(pair.faces)}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(1 / FRAME_S))
        stream.width = stream.height = PICTURE_PX
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        stream.codec_context.thread_count = 1  # the same film each time
        for index in pair.faces:
            frame = av.VideoFrame.from_ndarray(pictures[int(index)], format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_ratings(path: Path, ratings: F64, shape: Shape) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blank = " " if shape == "recola" else ""
    lines = [";".join(f"{name}{blank}" for name in ("time", *RATERS))]
    lines += [
        ";".join([f"{FRAME_S * k:.2f}{blank}", *(f"{value:.2f}{blank}" for value in row)])
        for k, row in enumerate(ratings)
    ]
    path.write_text("\n".join(lines) + "\n")


def _write_gold(root: Path, name: str, dimension: Dimension, ratings: F64) -> None:
    path = root / "ratings_gold_standard" / dimension / f"{name}.arff"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = (
        "@relation GOLDSTANDARD\n\n@attribute Instance_name string\n@attribute frameTime numeric\n"
        "@attribute GoldStandard numeric\n\n@data\n\n"
    )
    body = "".join(
        f"'{name}',{FRAME_S * k:.2f},{value:.6f}\n" for k, value in enumerate(gold_standard(ratings))
    )
    path.write_text(head + body)


def _write_timings(path: Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{k};{FRAME_S * k:.6f}\n" for k in range(frames))
    path.write_text("frame;time in seconds\n" + rows)
