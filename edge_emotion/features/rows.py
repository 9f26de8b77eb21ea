"""An array that grows at its end and forgets at its front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import F32


class Rows:
    """``float32`` rows, or samples where ``columns`` is 0, in one contiguous block that is reused.

    Rows keep their numbers when earlier ones are dropped. Views from `live` are valid until the next `append`.
    """

    def __init__(self, columns: int = 0, capacity: int = 256) -> None:
        self._width = (columns,) if columns else ()
        self._block: F32 = np.zeros((capacity, *self._width), np.float32)
        self.reset()

    def reset(self) -> None:
        """As just constructed, the block kept."""
        self.first = 0
        self._start = self._end = 0

    @property
    def end(self) -> int:
        """Number of the row that comes next."""
        return self.first + self._end - self._start

    @property
    def live(self) -> F32:
        """All rows not dropped; row ``first`` comes first."""
        return self._block[self._start : self._end]

    def append(self, rows: NDArray[np.float32]) -> None:
        """Add rows at the end."""
        self.extend(len(rows))[:] = rows

    def extend(self, count: int) -> F32:
        """Add ``count`` rows for the caller to fill and return them."""
        if self._end + count > len(self._block):
            self._make_room(count)
        self._end += count
        return self._block[self._end - count : self._end]

    def between(self, begin: int, end: int) -> F32:
        """Rows ``begin`` to ``end``, neither dropped nor still to come."""
        offset = self._start - self.first
        return self._block[begin + offset : end + offset]

    def drop_before(self, row: int) -> None:
        """Forget the rows before ``row``."""
        gone = min(max(row - self.first, 0), self._end - self._start)
        self._start += gone
        self.first += gone

    def _make_room(self, count: int) -> None:
        kept = self._end - self._start
        target = self._block
        if 2 * (kept + count) > len(target):
            target = np.zeros((2 * (kept + count), *self._width), np.float32)
        target[:kept] = self._block[self._start : self._end]
        self._block, self._start, self._end = target, 0, kept
