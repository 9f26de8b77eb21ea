"""What may make sound hard to judge: how much of it is speech, how far above the noise, how loud, clipped or short."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import F32, VoiceActivity

F64 = NDArray[np.float64]

FLOOR_DBFS = -100.0
"""Lowest level that is told apart from silence."""
SNR_LIMITS_DB = (-10.0, 50.0)
SPEECH_BAND_HZ = (300.0, 4300.0)
"""Where the ratio is taken: rumble below the formants is loud and hides little of a voice (our choice)."""
NOISE_MEMORY_S = 10.0
NOISE_PERCENTILE = 10.0
FULL_SCALE = 0.999


class AudioFacts(NamedTuple):
    """Quality of the sound in the current window; a fact that cannot be known is ``None``."""

    voiced: float
    """Share of the window that is speech, 0 to 1 (steps with a speech probability of ``threshold`` or more)."""
    snr_db: float | None
    """Estimated speech-to-noise ratio from 300 to 4300 Hz, -10 to 50 dB; ``None`` without speech in the window."""
    clipped: float
    """Share of samples at full scale (magnitude 0.999 or more) or not finite, 0 to 1."""
    level_dbfs: float
    """Mean power of the window against a constant of 1; -100 or more."""
    fill: float
    """Share of the window that has been heard since the start, 0 to 1."""


class SignalQuality:
    """Sound in, facts about the last ``window_s`` out; causal, no look-ahead, resolution one step (32 ms at 16 kHz).

    The noise power is the 10th percentile of the steps' powers over the last 10 s: speech pauses longer than a step are
    frequent enough to fill a tenth of running speech (after the minimum statistics of Martin 2001; window and
    percentile are our choice). Speech power is the mean power of the window's speech steps less the noise. Without any
    pause the noise is overestimated and the ratio is too low: doubt, not false trust. The band's power comes from
    the Fourier transform of each step under a Hann window.

    Parameters
    ----------
    voice_activity
        Decides on speech; owned by this object from here on.
    sample_rate_hz
        Of the samples.
    step_samples
        Samples for each of the detector's probabilities.
    window_s
        Length of the window that the facts speak of.
    threshold
        Speech probability from which on a step counts as speech.
    """

    def __init__(
        self,
        voice_activity: VoiceActivity,
        *,
        sample_rate_hz: int = 16000,
        step_samples: int = 512,
        window_s: float = 3.0,
        threshold: float = 0.5,
    ) -> None:
        self._voice_activity = voice_activity
        self._step_samples = step_samples
        self._threshold = threshold
        self._window_steps = max(1, round(window_s * sample_rate_hz / step_samples))
        memory = max(self._window_steps, round(NOISE_MEMORY_S * sample_rate_hz / step_samples))
        frequency_hz = np.fft.rfftfreq(step_samples, 1 / sample_rate_hz)
        self._band = slice(*np.searchsorted(frequency_hz, SPEECH_BAND_HZ))
        taper = np.hanning(step_samples)
        self._taper = taper * np.sqrt(2 / (step_samples * np.sum(taper**2)))
        self._power: deque[float] = deque(maxlen=self._window_steps)
        self._in_band: deque[float] = deque(maxlen=memory)
        self._speech: deque[bool] = deque(maxlen=self._window_steps)
        self._clipped: deque[int] = deque(maxlen=self._window_steps)
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._voice_activity.reset()
        self._power.clear()
        self._in_band.clear()
        self._speech.clear()
        self._clipped.clear()
        self._pending = np.zeros(0, np.float32)

    def push(self, samples: F32) -> F32:
        """Take samples (n,), float32, full scale 1; the speech probabilities of the completed steps come back."""
        probabilities = self._voice_activity.push(samples)
        self._speech.extend(bool(p >= self._threshold) for p in probabilities)
        pending = np.concatenate([self._pending, np.asarray(samples, np.float32)])
        steps = len(pending) // self._step_samples
        if steps:
            self._measure(pending[: steps * self._step_samples].reshape(steps, self._step_samples))
        self._pending = pending[steps * self._step_samples :]
        return probabilities

    def _measure(self, steps: F32) -> None:
        """Clipping and powers of completed steps, (n, step_samples)."""
        finite = np.isfinite(steps)
        self._clipped.extend(np.count_nonzero(~finite | (np.abs(steps) >= FULL_SCALE), axis=1).tolist())
        clean = np.where(finite, steps, np.float32(0)).astype(np.float64)
        self._power.extend(np.mean(clean * clean, axis=1).tolist())
        spectrum = np.fft.rfft(clean * self._taper, axis=1)[:, self._band]
        self._in_band.extend(np.sum(spectrum.real**2 + spectrum.imag**2, axis=1).tolist())

    def compute(self) -> AudioFacts:
        """Facts of the window that ends with the last completed step; a pause alone before the first."""
        heard = len(self._clipped)
        if not heard:
            return AudioFacts(0.0, None, 0.0, FLOOR_DBFS, 0.0)
        in_band, speech = np.array(self._in_band), np.array(self._speech)
        return AudioFacts(
            voiced=float(speech.mean()),
            snr_db=_snr_db(in_band, in_band[-heard:][speech]),
            clipped=sum(self._clipped) / (heard * self._step_samples),
            level_dbfs=_decibels(float(np.mean(self._power))),
            fill=heard / self._window_steps,
        )


def _snr_db(power: F64, speech: F64) -> float | None:
    if not len(speech):
        return None
    noise = max(float(np.percentile(power, NOISE_PERCENTILE)), 10 ** (FLOOR_DBFS / 10))
    excess = max(float(speech.mean()) - noise, 1e-12 * noise)
    return float(np.clip(10 * np.log10(excess / noise), *SNR_LIMITS_DB))


def _decibels(power: float) -> float:
    return float(max(10 * np.log10(max(power, 1e-30)), FLOOR_DBFS))
