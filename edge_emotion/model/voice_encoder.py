"""What a speaker encoder hears in a voice, as features for the regressor: stateful, one step of 40 ms at a time.

Two layers of an LSTM over mel bands, trained to tell speakers apart (Wan et al. 2018); mean and deviation of its second
layer over the window carry arousal and valence better than descriptors do (measured, see ``docs/speech.md``).

The features describe the speaker: they are to stay in memory.
"""

from __future__ import annotations

import numpy as np

from edge_emotion.kernels.mel40 import BANDS, mel_bands, mel_plan
from edge_emotion.kernels.moments import moments
from edge_emotion.model.backend import Backend
from edge_emotion.model.manifest import VOICE_ENCODER_NAMES, VOICE_ENCODER_UNITS
from edge_emotion.types import F32

SAMPLE_RATE_HZ = 16000
FRAME = 400
HOP = 160
STEP_FRAMES = 4
STEP = STEP_FRAMES * HOP
SPAN = FRAME + (STEP_FRAMES - 1) * HOP
_OF_FRAMES = np.arange(FRAME) + HOP * np.arange(STEP_FRAMES)[:, None]
TARGET_POWER = 10 ** (-30 / 10)
QUIET_POWER = 10 ** (-90 / 10)
"""Of a step of digital silence at most: the rounding of 16 bits alone has -101 dBFS."""
LEVEL_STEPS = 75
"""Memory of the running level, 3 s; after a pause as long it is forgotten."""
ONSET = 10 ** (9 / 10)
PAUSE = 10 ** (-20 / 10)
LOUD_QUANTILE = 0.9
"""Of the powers of a window's steps: speech, if there is any; a click does not reach it."""
LOUD_PAUSE = 10 ** (-24 / 10)
"""As `PAUSE`, against the loud steps: those of speech are about 4 dB above its mean."""
LARGEST_CELL = 12.0
"""Speech stays below 10; clipped noise would add up for hours and be remembered as long (our choice)."""


class VoiceEncoder:
    """Sound in, 512 features of the last ``window_s`` out; causal, look-ahead none, resolution 40 ms.

    The encoder wants speech at -30 dBFS or more. An utterance's level cannot be known before its end, so that the level
    here is a running mean of the power (of all that was heard at first, then with a memory of 3 s; never below
    -90 dBFS), and quiet sound is raised by it. A step of 40 ms that is 9 dB above the level is taken for the start of
    speech: level and network begin anew, as they do after 3 s of pause. Steps 24 dB below the window's loud ones are
    pauses, which the features leave out; digital silence is one too. So an utterance after silence has the features
    that it has alone, at any gain (our choice, see ``docs/speech.md``).

    Parameters
    ----------
    backend
        The graph: inputs ``mel`` (1, frames, 40), ``hidden`` and ``cell`` (2, 1, 256); outputs ``frames`` (1, frames,
        256), ``next_hidden``, ``next_cell``.
    window_s
        What `compute` looks back on.
    """

    feature_count = len(VOICE_ENCODER_NAMES)

    def __init__(self, backend: Backend, *, window_s: float = 3.0) -> None:
        self._backend = backend
        self._plan = mel_plan(FRAME, SAMPLE_RATE_HZ)
        # Periodic, as librosa and PyTorch have it.
        self._windowing = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
        self._windowed = np.empty((STEP_FRAMES, FRAME))
        self._mel = np.empty((1, STEP_FRAMES, BANDS), np.float32)
        # Whole steps, so that one never wraps around.
        steps = round(window_s * SAMPLE_RATE_HZ / STEP)
        self._said = np.empty((steps * STEP_FRAMES, VOICE_ENCODER_UNITS), np.float32)
        self._power = np.zeros(steps)
        self._moments = np.empty((2, VOICE_ENCODER_UNITS))
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._pending = np.zeros(0, np.float32)
        self._hidden = np.zeros((2, 1, VOICE_ENCODER_UNITS), np.float32)
        self._cell = np.zeros((2, 1, VOICE_ENCODER_UNITS), np.float32)
        self._level = 0.0
        self._level_steps = 0
        self._pause_steps = 0
        self._count = 0

    def push(self, samples: F32) -> None:
        """Take samples (n,), float32 at 16 kHz; limited to full scale 1, and silence where they are not finite."""
        finite = np.where(np.isfinite(samples), samples, np.float32(0.0))
        pending = np.concatenate([self._pending, np.clip(finite, -1.0, 1.0)], dtype=np.float32)
        begin = 0
        while len(pending) - begin >= SPAN:
            self._step(pending[begin : begin + SPAN])
            begin += STEP
        self._pending = pending[begin:].copy()

    def compute(self) -> F32 | None:
        """Mean and population deviation of each unit over the window's speech, float32 (512,), named
        `VOICE_ENCODER_NAMES`; zeros where the window holds only pauses, ``None`` before the first 55 ms.
        """
        if self._count == 0:
            return None
        kept = min(self._count, len(self._said))
        power = self._power[: kept // STEP_FRAMES]
        loud = round(LOUD_QUANTILE * (len(power) - 1))
        pause = max(QUIET_POWER, LOUD_PAUSE * np.partition(power, loud)[loud])
        spoken = np.repeat(self._power > pause, STEP_FRAMES)
        moments(self._said, spoken, self._count - kept, kept, self._moments)
        return self._moments.ravel().astype(np.float32)

    def _step(self, samples: F32) -> None:
        """Four frames through the network."""
        np.multiply(samples[_OF_FRAMES], self._windowing, out=self._windowed)
        spectrum = np.fft.rfft(self._windowed, axis=1)
        mel_bands(spectrum.real**2 + spectrum.imag**2, self._plan, self._mel[0])
        own = samples[:STEP].astype(np.float64)
        power = float(np.sum(own * own)) / STEP
        self._follow(max(power, QUIET_POWER))
        pause = power <= max(QUIET_POWER, PAUSE * self._level)
        self._pause_steps = self._pause_steps + 1 if pause else 0
        self._mel *= np.float32(max(1.0, TARGET_POWER / self._level))
        outputs = self._backend.compute({"mel": self._mel, "hidden": self._hidden, "cell": self._cell})
        self._hidden = outputs["next_hidden"]
        self._cell = outputs["next_cell"].clip(-LARGEST_CELL, LARGEST_CELL)
        at = self._count % len(self._said)
        self._said[at : at + STEP_FRAMES] = outputs["frames"][0]
        self._power[at // STEP_FRAMES] = power
        self._count += STEP_FRAMES

    def _follow(self, power: float) -> None:
        """Keep the running level; level and network begin anew with a step far above it, and after a long pause."""
        if power > ONSET * self._level or self._pause_steps == LEVEL_STEPS:
            self._hidden[:] = self._cell[:] = 0.0
            self._level_steps, self._level, self._pause_steps = 0, 0.0, 0
        self._level_steps = min(self._level_steps + 1, LEVEL_STEPS)
        self._level += (power - self._level) / self._level_steps
