"""Tiny generated face corpora in the layouts of FER+ sheets and diffusionfer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from edge_emotion_export.corpora.faces import EXPRESSIONS, VOTE_COLUMNS
from numpy.typing import NDArray


def drawn_face(expression: int, rng: np.random.Generator, size: int = 48) -> NDArray[np.uint8]:
    """A cartoon whose mouth, brows and eyes depend on the expression; no detector would take it for a face."""
    image = np.full((240, 240), int(rng.integers(60, 120)), np.uint8)
    skin = int(rng.integers(150, 220))
    jitter = rng.integers(-6, 7, 2)
    centre = (120 + int(jitter[0]), 120 + int(jitter[1]))
    cv2.ellipse(image, centre, (80, 100), 0, 0, 360, skin, -1)
    for side in (-1, 1):
        eye = (centre[0] + 35 * side, centre[1] - 30)
        cv2.ellipse(image, eye, (16, 6 + 3 * (expression % 3)), 0, 0, 360, 30, -1)
        tilt = 10 * side * (expression // 3 - 1)
        cv2.line(image, (eye[0] - 18, eye[1] - 22 - tilt), (eye[0] + 18, eye[1] - 22 + tilt), 20, 6)
    curve = (expression % 4) * 12 - 18
    cv2.ellipse(
        image, (centre[0], centre[1] + 50), (30, max(4, abs(curve))), 0, 0, 180 if curve > 0 else -180, 20, 6
    )
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    noise = rng.normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def write_ferplus(folder: Path, train: int = 64, valid: int = 24, seed: int = 0) -> Path:
    """Sheets of 2,000 places (the last one shorter) with votes that agree but for one voter."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    count = train + valid
    sheet = np.zeros((-(-count // 50) * 48, 50 * 48), np.uint8)
    lines = [",".join(("index", "split", *VOTE_COLUMNS))]
    for index in range(count):
        expression = index % len(EXPRESSIONS)
        row, column = divmod(index, 50)
        sheet[row * 48 : (row + 1) * 48, column * 48 : (column + 1) * 48] = drawn_face(expression, rng)
        votes = np.zeros(10, int)
        votes[expression] = 9
        votes[rng.integers(8)] += 1
        lines.append(",".join(map(str, (index, "train" if index < train else "valid", *votes))))
    cv2.imwrite(str(folder / "sheet_00.webp"), sheet, [cv2.IMWRITE_WEBP_QUALITY, 101])
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
CIRCUMPLEX = {  # arousal, valence
    "neutral": (0.0, 0.0),
    "happiness": (0.3, 0.6),
    "sadness": (-0.2, -0.3),
    "surprise": (0.6, 0.0),
    "fear": (0.3, -0.5),
    "disgust": (0.2, -0.6),
    "anger": (0.6, -0.6),
}


def write_diffusionfer(folder: Path, count: int = 42, seed: int = 1, size: int = 112) -> Path:
    """Pictures with arousal and valence near the mean of their expression."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    lines = ["file,valence,arousal,expression"]
    for index in range(count):
        number = index % 7
        name = AFFECTNET[number]
        arousal, valence = np.clip(np.array(CIRCUMPLEX[name]) + rng.normal(0, 0.05, 2), -1, 1)
        face = drawn_face(EXPRESSIONS.index(name), rng, size)
        cv2.imwrite(str(folder / f"{name}__{index}.png"), cv2.cvtColor(face, cv2.COLOR_GRAY2BGR))
        lines.append(f"{name}__{index}.png,{valence:.2f},{arousal:.2f},{number}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
