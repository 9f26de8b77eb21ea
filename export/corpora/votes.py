"""FER+ votes: the protocols that turn ten votes into a class, and the distribution that the network learns."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import F32

from .faces import EXPRESSIONS

Protocol = Literal["standard", "plurality", "majority"]
PROTOCOLS: tuple[Protocol, ...] = ("standard", "plurality", "majority")
CLASSES = len(EXPRESSIONS)


def label(votes: F32, protocol: Protocol) -> NDArray[np.int64]:
    """Class of each face under a protocol, ``-1`` where the protocol leaves the face out.

    Parameters
    ----------
    votes
        ``(n, 10)`` in the order of `VOTE_COLUMNS`.
    protocol
        ``standard``: single votes are dropped, then one column holds more than half of what remains (Barsoum et al.
        2016, majority voting). ``plurality``: one column alone has the most of the raw votes. ``majority``: one column
        holds more than half of all raw votes. In each the winner must be one of the eight expressions.
    """
    counts = without_single_votes(votes) if protocol == "standard" else votes
    top, winner, total = counts.max(1), counts.argmax(1), counts.sum(1)
    wins = (counts == top[:, None]).sum(1) == 1 if protocol == "plurality" else 2 * top > total
    return np.where(wins & (top > 0) & (winner < CLASSES), winner, -1)


def without_single_votes(votes: F32) -> F32:
    """Votes with every count of 1 set to 0: one annotator alone is taken for a slip (Barsoum et al. 2016)."""
    return np.where(votes <= 1, 0, votes).astype(np.float32)


def distribution(votes: F32) -> tuple[F32, NDArray[np.bool_]]:
    """Share of each expression among the votes ``(n, 8)``, rows summing to 1, and which faces have any.

    Single votes are dropped; faces whose votes go mostly to "unknown" or "not a face" are marked unusable (our choice).
    """
    counts = without_single_votes(votes)
    seen = counts[:, :CLASSES].sum(1)
    usable = seen > counts[:, CLASSES:].sum(1)
    shares = counts[:, :CLASSES] / np.maximum(seen, 1)[:, None]
    return shares.astype(np.float32), usable
