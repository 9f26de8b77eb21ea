"""Recordings whose features are noisy views of a known truth: the protocol's decisions can be checked against it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from edge_emotion_export.training import shards
from edge_emotion_export.training.blocks import Member

HOP_S = 0.2
WINDOWS_S = (1.0, 2.0)


def walk(rng: np.random.Generator, frames: int, smooth: int = 30) -> np.ndarray:
    steps = np.convolve(rng.normal(size=frames + smooth), np.hanning(smooth), mode="valid")[:frames]
    return np.tanh(steps / steps.std() * 0.4)


def latent_members(
    folder: Path,
    *,
    train: int = 6,
    dev: int = 4,
    frames: int = 500,
    delays_s: tuple[float, float] = (2.8, 3.6),
    noise: tuple[float, float] = (1.5, 1.5),
    shared: float = 0.0,
    missing: float = 0.1,
    seed: int = 0,
) -> list[Member]:
    """``noise`` of sound and picture per row, infinite for a modality that knows nothing; ``shared`` errs in both."""
    rng = np.random.default_rng(seed)
    views = {"audio": np.kron(np.eye(2), np.ones((1, 3))), "video": np.kron(np.eye(2), -np.ones((1, 3)))}
    members = []
    for k in range(train + dev):
        truth = np.stack([walk(rng, frames), walk(rng, frames)], axis=1)
        seen = truth + shared * np.stack([walk(rng, frames), walk(rng, frames)], axis=1)
        labels = {
            d: np.roll(truth[:, i], round(delays_s[i] / HOP_S)) + rng.normal(0, 0.02, frames)
            for i, d in enumerate(("arousal", "valence"))
        }
        name = f"{'train' if k < train else 'dev'}_{k}"
        paths = {s: folder / f"{s}-{name}-{seed}.parquet" for s in ("labels", "audio", "video")}
        shards.write(paths["labels"], labels)
        audio = view(seen, views["audio"], noise[0], rng)
        windows = {}
        for window_s in WINDOWS_S:
            width = round(window_s / HOP_S)
            padded = np.cumsum(np.pad(audio, ((width, 0), (0, 0))), axis=0)
            windows[f"window_{window_s:g}"] = ((padded[width:] - padded[:-width]) / width).astype(np.float32)
        shards.write(paths["audio"], {**windows, "known": np.arange(frames) >= 5})
        present = rng.uniform(size=frames) >= missing
        features = view(seen, views["video"], noise[1], rng).astype(np.float32) * present[:, None]
        shards.write(paths["video"], {"features": features, "present": present})
        members.append(
            Member(
                name,
                f"s{k}",
                "train" if k < train else "dev",
                paths["labels"],
                {"audio": paths["audio"], "video": paths["video"]},
            )
        )
    return members


def view(truth: np.ndarray, weights: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """What one modality shows of the truth; the noise is slow, so that windows do not average it away."""
    frames, width = len(truth), weights.shape[1]
    own = np.stack([walk(rng, frames, 20) for _ in range(width)], axis=1)
    return own if np.isinf(noise) else truth @ weights + noise * own
