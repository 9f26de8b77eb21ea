"""Where a bundle's neutral lies among its features: the reference that a person's calibration is moved to.

Everything is computed by the bundle's own models through the run-time code. The reference is an item, not a mean: the
most typical neutral one. A mean over people is like no one, and a kernel regressor says there what it says of the
unknown: moved to the mean, neutral speech of EmoTale and EmoDB came out at an arousal of 0.40; moved to the typical
item, at -0.08, with half the spread between speakers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import Execution
from edge_emotion.errors import InputError, UsageError
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle
from edge_emotion.model.encoder import FaceNetwork

from ..corpora.faces import EXPRESSIONS, FaceCorpus
from ..corpora.speech import SpeechCorpus, read_sound
from ..corpora.votes import label
from .face_crops import face_crops

MOST_FACES = 1000
"""Of each corpus, drawn at random: the mean is certain long before."""
_CPU = Execution(provider="cpu")
_NEUTRAL = EXPRESSIONS.index("neutral")


def neutral_voice(bundle: Bundle, corpora: Sequence[SpeechCorpus]) -> tuple[float, ...]:
    """Functionals (88) of the most typical utterance that was meant to be neutral, over its last full window.

    Raises
    ------
    InputError
        No corpus has a neutral utterance.
    """
    part = bundle.manifest.acoustic
    window = DescriptorWindow(part.sample_rate_hz, (part.window_s.longest,), 3600.0, mode=part.mode)
    by_speaker: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for recording in (r for corpus in corpora for r in corpus.recordings if r.intended == "neutral"):
        if recording.audio is None:
            continue
        window.reset()
        window.push(read_sound(recording.audio))
        described = window.compute()
        if described is not None:
            by_speaker[recording.speaker].append(described.values[0])
    return _most_typical(list(by_speaker.values()), "utterance")


def neutral_face(bundle: Bundle, corpora: Sequence[FaceCorpus], seed: int = 0) -> tuple[float, ...]:
    """Features of the most typical neutral face, as the encoder sees it in an aligned crop.

    Raises
    ------
    InputError
        No corpus has a neutral face.
    UsageError
        The bundle pools deviations over time, which stills do not have.
    """
    part = bundle.manifest.face
    if part.pooling != "mean":
        raise UsageError(f"the face part pools by {part.pooling}: stills tell no neutral of it")
    encoder = FaceNetwork(
        open_backend(bundle.file("face", part.encoder), _CPU),
        part.encoder.normalisation,
        part.encoder.features,
    )
    rows = []
    for corpus in corpora:
        neutral = np.flatnonzero(_expressions(corpus) == _NEUTRAL)
        if len(neutral) == 0:
            continue
        chosen = np.random.default_rng(seed).permutation(neutral)[:MOST_FACES]
        crops, found = face_crops(corpus.take(np.sort(chosen)).images, part.crop)
        aligned = crops[found] if found.any() else crops
        rows.append([encoder.compute(crop[None])[0] for crop in aligned])
    return _most_typical(rows, "face")


def _expressions(corpus: FaceCorpus) -> NDArray[np.int64]:
    if corpus.votes is not None:
        return label(corpus.votes, "standard")
    return corpus.expression if corpus.expression is not None else np.full(len(corpus), -1)


def _most_typical(groups: Sequence[Sequence[NDArray[np.float32]]], what: str) -> tuple[float, ...]:
    """The row nearest to the mean of the groups' means, in units of each feature's standard deviation.

    Groups, speakers or corpora, count alike, however much they hold.
    """
    if not groups:
        raise InputError(f"no neutral {what} in the data: calibration has nothing to move to")
    rows = np.concatenate([np.asarray(group, np.float64) for group in groups])
    centre = np.mean([np.mean(group, axis=0, dtype=np.float64) for group in groups], axis=0)
    spread = rows.std(axis=0)
    distance = np.sum(((rows - centre) / np.where(spread > 0, spread, 1.0)) ** 2, axis=1)
    return tuple(round(float(value), 6) for value in rows[np.argmin(distance)])
