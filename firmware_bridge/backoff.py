"""Waits between attempts: growing, bounded, and spread at random so that many devices do not knock at once."""

from __future__ import annotations

import random


class Backoff:
    """Decorrelated jitter: each wait lies between the first and three times the one before, bounded by the longest.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, first_s: float, longest_s: float, seed: int | None = None) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._random = random.Random(seed)
        self._last_s = first_s

    def next_s(self) -> float:
        """Seconds to wait before the next attempt."""
        self._last_s = min(self._longest_s, self._random.uniform(self._first_s, 3 * self._last_s))
        return self._last_s

    def reset(self) -> None:
        """Begin with the first wait again: the last attempt succeeded."""
        self._last_s = self._first_s
