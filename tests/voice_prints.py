"""Search what a program wrote for features of a voice encoder: they describe the speaker, and are to stay in memory."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from edge_emotion.model.voice_encoder import VoiceEncoder

RUN = 4
"""Neighbouring features in a row that are a find: fewer agree by chance."""
DIGITS = 3
_NUMBER = re.compile(rb"-?\d+\.\d+(?:e-?\d+)?|-?\d+e-?\d+")


@contextmanager
def overheard() -> Iterator[list[np.ndarray]]:
    """Every feature vector that any encoder of this process gives meanwhile."""
    kept: list[np.ndarray] = []
    compute = VoiceEncoder.compute

    def listen(self: VoiceEncoder) -> np.ndarray | None:
        said = compute(self)
        if said is not None and said.any():
            kept.append(said.copy())
        return said

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VoiceEncoder, "compute", listen)
        yield kept


def found_in(written: bytes, features: list[np.ndarray]) -> list[str]:
    """How features occur in ``written``: as bytes (float32, float64, hexadecimal, base64), as decimals, by name."""
    found = ["name"] if b"voiceEncoder" in written else []
    for said in features:
        for kind in (np.float32, np.float64):
            raw = said.astype(kind)[: 3 * RUN].tobytes()
            forms = {"bytes": raw, "hexadecimal": raw.hex().encode(), "base64": base64.b64encode(raw)}
            found += [f"{form} of {kind.__name__}" for form, piece in forms.items() if piece in written]
    numbers = np.round([float(text) for text in _NUMBER.findall(written)], DIGITS).tolist()
    seen = set(zip(*(numbers[k:] for k in range(RUN)), strict=False))
    for said in features:
        rounded = np.round(said.astype(np.float64), DIGITS).tolist()
        rows = [row for row in zip(*(rounded[k:] for k in range(RUN)), strict=False) if any(row)]
        found += ["decimals"] if any(row in seen for row in rows) else []
    return sorted(set(found))
