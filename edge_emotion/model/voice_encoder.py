"""What a speaker encoder hears in a voice, as features for the regressor: stateful, one step of 40 ms at a time.

Two layers of an LSTM over mel bands, trained to tell speakers apart (Wan et al. 2018); mean and deviation of its second
layer over the window carry arousal and valence better than descriptors do (measured, see ``docs/speech.md``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_emotion.kernels.mel40 import BANDS, mel_bands, mel_plan
from edge_emotion.model.backend import Backend
from edge_emotion.types import F32

SAMPLE_RATE_HZ = 16000
FRAME = 400
HOP = 160
STEP_FRAMES = 4
UNITS = 256
TARGET_POWER = 10 ** (-30 / 10)
QUIET_POWER = 10 ** (-60 / 10)
LEVEL_MEMORY_S = 3.0


class VoiceEncoder:
    """Sound in, 512 features of the last ``window_s`` out; causal, look-ahead none, resolution 40 ms.

    The encoder wants speech at -30 dBFS or more. An utterance's level cannot be known before its end, so that the level
    here is a running mean of the power (all that was heard at first, then with a memory of 3 s; steps below -60 dBFS do
    not count), and quiet sound is raised by it (our choice).

    Parameters
    ----------
    backend
        The graph: inputs ``mel`` (1, frames, 40), ``hidden`` and ``cell`` (2, 1, 256); outputs ``frames`` (1, frames,
        256), ``next_hidden``, ``next_cell``.
    window_s
        What `compute` looks back on.
    """

    feature_count = 2 * UNITS

    def __init__(self, backend: Backend, *, window_s: float = 3.0) -> None:
        self._backend = backend
        self._plan = mel_plan(FRAME, SAMPLE_RATE_HZ)
        # Periodic, as librosa and PyTorch have it.
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
        self._said = np.empty((round(window_s * SAMPLE_RATE_HZ / HOP), UNITS), np.float32)
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._pending = np.zeros(0, np.float32)
        self._state = {name: np.zeros((2, 1, UNITS), np.float32) for name in ("hidden", "cell")}
        self._power = 0.0
        self._heard_steps = 0
        self._frames = 0

    def push(self, samples: F32) -> None:
        """Take samples (n,), float32 at 16 kHz, full scale 1; not-finite values are taken as silence."""
        finite = np.nan_to_num(np.asarray(samples, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        pending = np.concatenate([self._pending, finite])
        span = FRAME + (STEP_FRAMES - 1) * HOP
        begin = 0
        while len(pending) - begin >= span:
            self._step(pending[begin : begin + span].astype(np.float64))
            begin += STEP_FRAMES * HOP
        self._pending = pending[begin:]

    def compute(self) -> F32 | None:
        """Mean and population deviation of each unit over the window, float32 (512,); ``None`` before the first 55
        ms.
        """
        if self._frames == 0:
            return None
        said = self._said[: min(self._frames, len(self._said))].astype(np.float64)
        return np.concatenate([said.mean(axis=0), said.std(axis=0)]).astype(np.float32)

    def _step(self, samples: NDArray[np.float64]) -> None:
        """Four frames through the network."""
        frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP] * self._window
        power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
        mel = np.empty((STEP_FRAMES, BANDS), np.float32)
        mel_bands(np.ascontiguousarray(power), self._plan, mel)
        mel *= np.float32(self._gain(float(np.mean(samples[: STEP_FRAMES * HOP] ** 2))))
        outputs = self._backend.compute({"mel": mel[None], **self._state})
        self._state = {name: outputs[f"next_{name}"] for name in self._state}
        for frame in outputs["frames"][0]:
            self._said[self._frames % len(self._said)] = frame
            self._frames += 1

    def _gain(self, power: float) -> float:
        """Factor of the power that raises the running level to -30 dBFS; never below 1."""
        if power > QUIET_POWER:
            self._heard_steps += 1
            steps = LEVEL_MEMORY_S * SAMPLE_RATE_HZ / (STEP_FRAMES * HOP)
            self._power += (power - self._power) / min(self._heard_steps, steps)
        return max(1.0, TARGET_POWER / self._power) if self._power > 0 else 1.0
