"""Write the acoustic part of a bundle: voice activity, regressor, sigma, and what they were made of."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_emotion.config import SigmaParameters, WindowLengths, parse
from edge_emotion.errors import UsageError
from edge_emotion.model.manifest import (
    VOICE_ENCODER_NAMES,
    AcousticPart,
    DataSource,
    RegressorModel,
    Training,
    VoiceActivityModel,
    VoiceEncoderModel,
)
from edge_emotion.types import F32

from ..corpora.speech import RATE_HZ, SpeechCorpus, item_hash, read_sound
from ..packaged_files import FILES, fetch
from ..training.speech import Fitted
from ..training.speech_windows import FEATURES, HOP_S, WINDOW_S
from .bundle import write_part
from .svr import to_onnx
from .voice_encoder import hold_parity, voice_encoder_graph

ITEMS_FILE = "training_items.txt"
LARGEST_BYTES = 4_000_000
VOICE_ACTIVITY_FILE = "silero_vad.onnx"
VOICE_ENCODER_FILE = "voice_encoder.onnx"
MOST_COMPARED = 60
"""Recordings on which the voice encoder is compared with the published weights, spread evenly over the corpora."""
FEWEST_COMPARED = 30
"""A correlation over fewer tells nothing."""


def write_acoustic_part(
    bundle: Path,
    fitted: Fitted,
    corpora: Sequence[SpeechCorpus],
    *,
    features: str,
    command: str,
    seed: int,
    metrics: Mapping[str, float],
    notes: str = "",
) -> Path:
    """Write ``bundle/acoustic``; ``manifest.json`` is joined once the other parts are there.

    Parameters
    ----------
    features
        A key of `FEATURES`: what ``fitted`` was trained on. The voice encoder goes with those that it is part of.

    Raises
    ------
    UsageError
        The part would be larger than 4 MB: ask for fewer landmarks.
    EdgeEmotionError
        The voice encoder as it is stored does not hear what the published one hears.
    """
    names = FEATURES[features]
    listens = VOICE_ENCODER_NAMES[0] in names
    hashes = {
        corpus.name: {
            recording.name: item_hash(read_sound(recording.audio))
            for recording in corpus.recordings
            if recording.audio
        }
        for corpus in corpora
    }
    files = {
        VOICE_ACTIVITY_FILE: fetch("silero_vad.onnx").read_bytes(),
        "regressor.onnx": to_onnx(fitted.model).SerializeToString(),
        ITEMS_FILE: "".join(
            sorted(f"{item}\n" for named in hashes.values() for item in named.values())
        ).encode(),
    }
    if listens:
        files[VOICE_ENCODER_FILE] = voice_encoder_graph()
        sounds = _some_sounds(corpora)
        if len(sounds) >= FEWEST_COMPARED:
            hold_parity(files[VOICE_ENCODER_FILE], sounds)
    size = sum(map(len, files.values()))
    if size > LARGEST_BYTES:
        raise UsageError(
            f"the acoustic part has {size / 1e6:.1f} MB, at most {LARGEST_BYTES / 1e6:g} fit: lower --landmarks"
        )
    part = AcousticPart(
        sample_rate_hz=RATE_HZ,
        feature_names=names,
        window_s=WindowLengths(arousal=WINDOW_S, valence=WINDOW_S),
        hop_s=HOP_S,
        voice_activity=VoiceActivityModel(file=VOICE_ACTIVITY_FILE, licence=FILES["silero_vad.onnx"].licence),
        voice_encoder=VoiceEncoderModel(
            file=VOICE_ENCODER_FILE, window_s=WINDOW_S, licence=FILES["ge2e.pt"].licence
        )
        if listens
        else None,
        regressor=RegressorModel(file="regressor.onnx", features=len(names)),
        sigma=parse(SigmaParameters, fitted.sigma, "sigma"),
        training=Training(
            data=tuple(_source(corpus, hashes[corpus.name]) for corpus in corpora),
            command=command,
            seed=seed,
            metrics=dict(metrics),
            notes=notes,
            items_file=ITEMS_FILE,
        ),
    )
    return write_part(bundle, part, files)


def trained_on(part_folder: Path, part: AcousticPart) -> frozenset[str]:
    """`item_hash` of each utterance that the part was trained on; empty where it does not tell."""
    if part.training.items_file is None:
        return frozenset()
    return frozenset((part_folder / part.training.items_file).read_text().split())


def _some_sounds(corpora: Sequence[SpeechCorpus]) -> list[F32]:
    paths = [recording.audio for corpus in corpora for recording in corpus.recordings if recording.audio]
    return [read_sound(path) for path in paths[:: max(1, -(-len(paths) // MOST_COMPARED))]]


def _source(corpus: SpeechCorpus, items: Mapping[str, str]) -> DataSource:
    lines = "".join(sorted(f"{digest}  {name}\n" for name, digest in items.items()))
    return DataSource(
        name=corpus.name,
        licence=corpus.licence,
        items=len(items),
        languages=dict(
            sorted(Counter(r.language for r in corpus.recordings if r.audio and r.language).items())
        ),
        items_sha256=hashlib.sha256(lines.encode()).hexdigest(),
    )
