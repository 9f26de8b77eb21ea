"""How loud and how high a speaker usually speaks, learnt while listening, and taken off the functionals.

Only what hangs on a microphone's gain and on the size of a larynx is moved: means and percentiles of loudness and of
pitch, and the sound level. What a speaker does with them, ranges, slopes and all else, stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_emotion.config import SpeakerBaselineSettings
from edge_emotion.errors import BundleError
from edge_emotion.types import F32

_PLACES = ("amean", "percentile20.0", "percentile50.0", "percentile80.0")
MOVED: tuple[str, ...] = (
    *(f"F0semitoneFrom27.5Hz_sma3nz_{what}" for what in _PLACES),
    *(f"loudness_sma3_{what}" for what in _PLACES),
    "equivalentSoundLevel_dBp",
)
"""The functionals that are moved, in the order of the settings' ``reference`` and ``largest``."""
LONGEST_STEP_S = 1.0
"""A reading after a pause counts for no more."""


class SpeakerBaseline:
    """Takes the slow part of a speaker's level and pitch off: what is left is how this moment differs from it.

    A running mean starts at ``reference``, the training speech's, and follows the speaker with the time constant
    ``time_s``; its distance from ``reference``, at most ``largest``, is taken off. So the first reading is not moved,
    and none is by more than ``largest``. Causal; the memory is nine numbers (our choice: the mean part of speaker
    normalisation, as a device can have it).

    Parameters
    ----------
    names
        Of the functionals that come in.

    Raises
    ------
    BundleError
        One of `MOVED` is not among them.
    """

    def __init__(self, settings: SpeakerBaselineSettings, names: Sequence[str]) -> None:
        if missing := [name for name in MOVED if name not in names]:
            raise BundleError(
                f"speaker_baseline needs {missing[0]} among the features: leave it out of the part"
            )
        self._columns = np.array([names.index(name) for name in MOVED])
        self._reference = np.array(settings.reference, np.float64)
        self._largest = np.array(settings.largest, np.float64)
        self._time_s = settings.time_s
        self.reset()

    def reset(self) -> None:
        """Forget the speaker."""
        self._mean: NDArray[np.float64] = self._reference.copy()

    def compute(self, rows: F32, passed_s: float) -> F32:
        """Rows ``float32 (n, width)`` of one moment, of which the first teaches, moved; the input stays as it is.

        ``passed_s`` is the time since the last reading, 0 for the first.
        """
        share = 1.0 - math.exp(-min(max(passed_s, 0.0), LONGEST_STEP_S) / self._time_s)
        self._mean += share * (rows[0, self._columns] - self._mean)
        moved = rows.copy()
        shift = np.clip(self._mean - self._reference, -self._largest, self._largest)
        moved[:, self._columns] -= shift.astype(np.float32)
        return moved
