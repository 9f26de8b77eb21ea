"""Whether fusion keeps what the better modality knows: a voice in noise beside a good face, a dark face beside a voice.

Utterances and faces of like ratings are put together as in `export.corpora.synthetic_pairs`: sound and picture then err
independently, and the truth is known. Each modality was fitted without the speaker or the face.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import PerDimension
from edge_emotion.fusion import widen
from edge_emotion.model.manifest import FusionPart
from edge_emotion.types import DIMENSIONS

from . import sigma
from .face_cross_validation import OutOfFold
from .fused_rows import fuse_rows
from .metrics import bootstrap, ccc, rmse
from .sound_conditions import CLEAN, Condition
from .speech import SpeechData, utterance_means
from .speech_evaluation import Heard

F64 = NDArray[np.float64]

VOICES: dict[str, Condition] = {"clean": CLEAN, "pink_0_db": Condition(noise="pink", snr_db=0.0)}
FACES = ("clean", "dark", "focus_blur", "motion_blur")
COMBINED = (
    ("clean", "clean"),
    ("pink_0_db", "clean"),
    ("clean", "dark"),
    ("clean", "focus_blur"),
    ("clean", "motion_blur"),
)
"""Conditions of voice and face that are judged together."""
NEAREST = 12


@dataclass(frozen=True)
class Said:
    """What one modality says of some items under one condition.

    Attributes
    ----------
    truth, prediction, sigma
        ``float64 (n, 2)``; prediction and sigma are NaN where there was no reading.
    """

    truth: F64
    prediction: F64
    sigma: F64


def voices(data: SpeechData, heard: Heard) -> dict[str, Said]:
    """Utterances under each of `VOICES`, in the order of the rated recordings: mean reading and mean sigma."""
    said = {}
    for copy, name in enumerate(VOICES):
        rows = np.flatnonzero(heard.windows.copy == copy)
        both = np.hstack([heard.predictions[rows], heard.sigmas[rows]])
        clip, means = utterance_means(heard.windows.clip[rows], both)
        table = np.full((len(data.recordings), 2 * len(DIMENSIONS)), np.nan)
        table[clip] = means
        prediction, spread = np.hsplit(table[data.rated], 2)
        said[name] = Said(data.ratings[data.rated], prediction, spread)
    return said


def faces(found: OutOfFold) -> dict[str, Said]:
    """Faces under each of `FACES`, by number; sigma by the model that the bundle gets."""
    model = found.sigma()
    count = int(found.sightings.item.max()) + 1
    truth = np.full((count, 2), np.nan)
    truth[found.sightings.item] = found.truth
    said = {}
    for name in FACES:
        rows = found.rows(name)
        item = found.sightings.item[rows]
        prediction, spread = np.full((2, count, 2), np.nan)
        prediction[item] = found.prediction[rows]
        spread[item] = sigma.evaluate(model, found.facts(rows), len(rows))
        said[name] = Said(truth, prediction, spread)
    return said


def pair(voice: F64, face: F64, seed: int = 0) -> NDArray[np.intp]:
    """For each utterance one of the `NEAREST` faces by rating, drawn at random; ratings (n, 2) and (m, 2)."""
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(~np.isnan(face).any(axis=1))
    distance = np.sum((voice[:, None] - face[known][None]) ** 2, axis=2)
    near = np.argsort(distance, axis=1, kind="stable")[:, :NEAREST]
    drawn = rng.integers(0, near.shape[1], len(voice))
    return np.asarray(known[near[np.arange(len(voice)), drawn]])


def judge(
    voice: Mapping[str, Said],
    face: Mapping[str, Said],
    speakers: NDArray[np.str_],
    part: FusionPart,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One row for each of `COMBINED`: figures of voice, face and both, where both have a reading.

    ``speakers`` (n,) of the utterances are drawn anew for the 95 % intervals of what fusion adds to either RMSE.
    """
    chosen = pair(voice["clean"].truth, face["clean"].truth, seed)
    rows = []
    for sound, picture in COMBINED:
        heard, seen = voice[sound], face[picture]
        seen = Said(seen.truth[chosen], seen.prediction[chosen], seen.sigma[chosen])
        both = np.flatnonzero(~np.isnan(heard.prediction[:, 0]) & ~np.isnan(seen.prediction[:, 0]))
        figures = _judge(_take(heard, both), _take(seen, both), speakers[both], part)
        rows.append({"voice": sound, "face": picture, "pairs": len(chosen), "n": len(both), **figures})
    return rows


def _judge(heard: Said, seen: Said, speakers: NDArray[np.str_], part: FusionPart) -> dict[str, Any]:
    # A face's error is carried over to the utterance's rating: what is left between the two ratings is nobody's error.
    moved = np.clip(seen.prediction - seen.truth + heard.truth, -1.0, 1.0)
    said = {
        "voice": heard.prediction,
        "face": moved,
        "fused": _fused(
            Said(heard.truth, heard.prediction, heard.sigma), Said(heard.truth, moved, seen.sigma), part
        ),
    }
    return {
        dimension: {
            **{name: _figures(heard.truth[:, k], values[:, k]) for name, values in said.items()},
            **{
                f"less_{name}": _difference(
                    heard.truth[:, k], said["fused"][:, k], said[name][:, k], speakers
                )
                for name in ("voice", "face")
            },
        }
        for k, dimension in enumerate(DIMENSIONS)
    }


def _fused(heard: Said, seen: Said, part: FusionPart) -> F64:
    """By the device's own fusion, of full windows."""
    audio = heard.prediction, _widened(heard.sigma, part.added_sigma.audio)
    video = seen.prediction, _widened(seen.sigma, part.added_sigma.video)
    return fuse_rows(audio, video, part.error_correlation)[0]


def _widened(sigma: F64, added: PerDimension) -> F64:
    return np.array([widen((arousal, valence), added, 1.0, 0.0) for arousal, valence in sigma.tolist()])


def _figures(truth: F64, said: F64) -> dict[str, float]:
    return {"rmse": rmse(truth, said), "ccc": ccc(truth, said)}


def _difference(truth: F64, fused: F64, alone: F64, speakers: NDArray[np.str_]) -> dict[str, Any]:
    """RMSE of the fused reading less that of one modality, and its 95 % interval."""

    def difference(rows: NDArray[np.intp]) -> float:
        return rmse(truth[rows], fused[rows]) - rmse(truth[rows], alone[rows])

    return {"rmse": difference(np.arange(len(truth))), "interval_95": list(bootstrap(difference, speakers))}


def _take(said: Said, rows: NDArray[np.intp]) -> Said:
    return Said(said.truth[rows], said.prediction[rows], said.sigma[rows])
