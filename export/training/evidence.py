"""What a bundle's sound and picture say of a recording before they are fused, through the device's own code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import Execution
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.pipeline.evidence import NOTHING, Evidence
from edge_emotion.pipeline.picture import Pictures
from edge_emotion.pipeline.sound import Sound
from edge_emotion.pipeline.spans import Spans
from edge_emotion.types import DIMENSIONS, AudioBlock, Dimension, Modality, VideoFrame

from ..corpora.speech import RATE_HZ, read_sound
from . import shards
from .extraction import frames

F64 = NDArray[np.float64]
_CPU = Execution(provider="cpu")


class Said(NamedTuple):
    """One modality and dimension of one recording, a row for each reading from time 0 on; zeros where not known."""

    sigma: F64
    """``(n,)``, as the device states it."""
    known: NDArray[np.bool_]
    features: F64
    """``(n, d)``: what the regressor is given."""


@dataclass(frozen=True, slots=True)
class EvidenceJob:
    """Run sound and picture of a bundle over one recording, at the bundle's rate of readings."""

    audio: Path
    video: Path
    frame_times_s: tuple[float, ...] | None
    bundle: Path | None
    keep: Path

    def run(self) -> Path:
        """The shard; `read_evidence` reads it."""
        bundle = open_bundle(self.bundle)
        media = [shards.content_hash(path) for path in (self.audio, self.video)]
        name = shards.key("evidence", media, self.frame_times_s, bundle.manifest.sha256)
        return shards.made(self.keep / f"evidence-{name}.parquet", lambda: self._extract(bundle))

    def _extract(self, bundle: Bundle) -> shards.Columns:
        manifest, rate_hz = bundle.manifest, bundle.manifest.fusion.rate_hz
        sound, pictures = Sound(bundle, _CPU, Spans()), Pictures(bundle, _CPU, Spans())
        samples = read_sound(self.audio)
        block: AudioBlock | None = AudioBlock(samples, RATE_HZ, 0)
        film = frames(self.video, self.frame_times_s)
        shown = next(film, None)
        count = int(len(samples) / RATE_HZ * rate_hz) + 1
        widths = {"audio": manifest.acoustic.regressor.features, "video": manifest.face.regressor.features}
        columns = {modality: _empty(count, width) for modality, width in widths.items()}
        for row in range(1, count):
            now_ns = round(row * 1e9 / rate_hz)
            block = None if block is None else sound.take(block, now_ns)
            while shown is not None and round(shown[0] * 1e9) < now_ns:
                pictures.take(VideoFrame(shown[1], round(shown[0] * 1e9)))
                shown = next(film, None)
            own, faces = pictures.followed(now_ns)
            seen = NOTHING if own is None else pictures.compute(faces[own], now_ns)
            _fill(columns["audio"], row, sound.compute(now_ns))
            _fill(columns["video"], row, seen)
        return {f"{m}_{name}": values for m, own in columns.items() for name, values in own.items()}


def read_evidence(path: Path, modality: Modality, dimension: Dimension) -> Said:
    """One modality and dimension of a shard."""
    names = {name: f"{modality}_{name}" for name in ("sigma", "known", dimension)}
    columns = shards.read(path, list(names.values()))
    sigma = columns[names["sigma"]][:, DIMENSIONS.index(dimension)].astype(np.float64)
    return Said(sigma, columns[names["known"]], columns[names[dimension]].astype(np.float64))


def _empty(count: int, width: int) -> shards.Columns:
    return {
        "sigma": np.zeros((count, len(DIMENSIONS)), np.float32),
        "known": np.zeros(count, np.bool_),
        **{d: np.zeros((count, width), np.float32) for d in DIMENSIONS},
    }


def _fill(columns: shards.Columns, row: int, said: Evidence) -> None:
    if said.estimate is None or said.features is None:
        return
    columns["sigma"][row], columns["known"][row] = said.estimate.sigma, True
    for dimension, features in zip(DIMENSIONS, said.features, strict=True):
        columns[dimension][row] = features
