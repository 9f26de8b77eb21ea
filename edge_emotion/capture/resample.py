"""Change of the sample rate of a stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr

from edge_emotion.types import F32


class Resampler:
    """Brings a mono stream to another sample rate (soxr, "HQ": linear phase, 20 bits).

    Output sample ``k`` is the input at the time ``k / output_hz`` after its beginning: the filter's delay is
    accounted for, and only makes samples come later, by about 20 ms at 48 kHz. Equal rates pass through.
    """

    def __init__(self, input_hz: int, output_hz: int) -> None:
        self.input_hz = input_hz
        self.output_hz = output_hz
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._stream: Any = (
            None
            if self.input_hz == self.output_hz
            else soxr.ResampleStream(self.input_hz, self.output_hz, 1, dtype="float32", quality="HQ")
        )

    def push(self, samples: F32) -> F32:
        """Take finite samples ``(n,)``, return those that are ready; any split of the input gives the same."""
        return samples if self._stream is None else self._stream.resample_chunk(samples)

    def finish(self) -> F32:
        """End of the input: return the rest. `reset` before another stream."""
        nothing = np.zeros(0, np.float32)
        return nothing if self._stream is None else self._stream.resample_chunk(nothing, last=True)
