"""Speech or not, in steps of 32 ms: Silero VAD over any backend."""

from __future__ import annotations

import numpy as np

from edge_emotion.model.backend import Backend
from edge_emotion.types import F32


class SileroVoiceActivity:
    """Speech probability of each step (implements `edge_emotion.types.VoiceActivity`).

    Silero VAD (Silero Team 2024, MIT) is a small recurrent network at 16 kHz: each step of 512 samples goes in with the
    64 samples before it and the state that the last step left. A step costs about 0.1 ms of a desktop core. Steps are
    run one at a time, so that any split of the input gives the same bits.

    Parameters
    ----------
    backend
        The network: inputs ``input`` (1, context + step), ``state`` (2, 1, 128) and, where it has it, ``sr``.
    step_samples, context_samples
        Of the network, from the bundle's manifest.
    """

    def __init__(self, backend: Backend, *, step_samples: int = 512, context_samples: int = 64) -> None:
        self.step_samples = step_samples
        self.context_samples = context_samples
        self._backend = backend
        self._takes_rate = "sr" in backend.input_names
        self.reset()

    def reset(self) -> None:
        """As just constructed: before silence."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._pending = np.zeros(self.context_samples, np.float32)

    def push(self, samples: F32) -> F32:
        """Probabilities (0 to 1) of the steps that ``samples`` completed, shape (steps,); look-ahead none.

        ``samples`` are float32 at 16 kHz, full scale 1; not-finite values are taken as silence.
        """
        finite = np.nan_to_num(np.asarray(samples, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        pending = np.concatenate([self._pending, finite])
        steps = (len(pending) - self.context_samples) // self.step_samples
        width = self.context_samples + self.step_samples
        speech = np.empty(steps, np.float32)
        for step in range(steps):
            start = step * self.step_samples
            speech[step] = self._compute(pending[None, start : start + width])
        self._pending = pending[steps * self.step_samples :]
        return speech

    def _compute(self, block: F32) -> float:
        inputs = {"input": np.ascontiguousarray(block), "state": self._state}
        if self._takes_rate:
            inputs["sr"] = np.array(16000, np.int64)
        outputs = self._backend.compute(inputs)
        self._state = outputs["stateN"]
        return float(outputs["output"].ravel()[0])
