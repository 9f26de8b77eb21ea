"""Low-level descriptors of the eGeMAPSv02 set as a stream: raw rows each 10 ms, before smoothing and gating."""

from __future__ import annotations

from functools import lru_cache
from numbers import Real
from typing import Literal, NamedTuple

import numpy as np

from edge_emotion.errors import UsageError
from edge_emotion.features.rows import Rows
from edge_emotion.features.signal import silence_faults
from edge_emotion.kernels import formants, harmonics, pitch, spectrum, transform, trellis, voice_quality
from edge_emotion.types import F32

Mode = Literal["compat", "corrected"]

SHORT = (
    "loudness",
    "alphaRatio",
    "hammarbergIndex",
    "slope0-500",
    "slope500-1500",
    "spectralFlux",
    "mfcc1",
    "mfcc2",
    "mfcc3",
    "mfcc4",
    "F1frequency",
    "F2frequency",
    "F3frequency",
    "F1bandwidth",
    "F2bandwidth",
    "F3bandwidth",
    "mean_square",
)
"""Columns of the rows that rest on 20 ms."""

LONG = (
    "f0_semitone",
    "jitterLocal",
    "shimmerLocaldB",
    "HNRdBACF",
    "H1-H2",
    "H1-A3",
    "F1amplitude",
    "F2amplitude",
    "F3amplitude",
)
"""Columns of the rows that rest on 60 ms and on the fundamental."""

_FREQUENCIES = slice(SHORT.index("F1frequency"), SHORT.index("F3frequency") + 1)

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 96_000
MOST_WAITED = trellis.LONGEST_WAIT - 1
"""Frames that the pitch search may hold back, at most."""

_BATCH = 48
_QUIET_RMS = 0.001
_LOWEST_NOTE_HZ = 27.5


def usable_rate(sample_rate_hz: object) -> int:
    """The rate as an ``int``; raises `UsageError` for what is no whole number from 8000 to 96000."""
    rate = float(sample_rate_hz) if isinstance(sample_rate_hz, Real) else 0.0
    if LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ and rate.is_integer():
        return int(rate)
    raise UsageError(
        f"{sample_rate_hz} Hz is no usable sample rate: resample to a whole number "
        f"from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz"
    )


def samples_in(milliseconds: int, sample_rate_hz: int) -> int:
    """A length in samples, rounded half up (section 1)."""
    return (2 * milliseconds * sample_rate_hz + 1000) // 2000


class _Framing:
    """Frames of one length: their window, their transform and the axis that the reference gives them."""

    def __init__(self, milliseconds: int, window: F32) -> None:
        self.length = len(window)
        self.rate_hz = self.length / (milliseconds / 1000.0)
        self.plan = transform.transform_plan(window)
        self.fft_size = 2 * len(self.plan.order)
        self.bins = self.fft_size // 2 + 1


class _Tables(NamedTuple):
    """What rests on rate and mode alone and is never written to."""

    near: _Framing
    far: _Framing
    spectrum: spectrum.SpectrumPlan
    formants: formants.FormantPlan
    pitch: pitch.PitchPlan


@lru_cache(maxsize=4)
def _tables(sample_rate_hz: int, corrected: bool) -> _Tables:
    """Kept for the next stream: they take as long to make as seconds of sound to describe."""
    near = _Framing(20, np.hamming(samples_in(20, sample_rate_hz)).astype(np.float32))
    far = _Framing(60, _gauss(samples_in(60, sample_rate_hz)))
    return _Tables(
        near,
        far,
        spectrum.spectrum_plan(near.fft_size, near.rate_hz),
        formants.formant_plan(near.fft_size, near.rate_hz, corrected),
        pitch.pitch_plan(far.fft_size, far.rate_hz),
    )


class LowLevelStream:
    """Descriptors of mono sound, row by row, as soon as they are certain.

    Row ``k`` rests on the samples from ``k`` hops on: the first 20 ms of them for `short`, 60 ms for `long`. A long row
    exists once the pitch search has released its frame: up to `MOST_WAITED` frames later, mostly 1 to 3.

    Any split of the input gives the same bits. Memory is bounded if the consumer calls `drop_before`.

    Parameters
    ----------
    sample_rate_hz
        A whole number from 8000 to 96000.
    mode
        ``"compat"`` matches the reference set with its quirks. ``"corrected"`` computes what the paper describes: the
        predictor itself and all bins up to 5.5 kHz for the formants, harmonics counted from the fundamental, and 0,
        missing, where a formant or a harmonic was not found or the frame is unvoiced.

    Raises
    ------
    UsageError
        The rate or the mode is none of these.
    """

    def __init__(self, sample_rate_hz: float, *, mode: Mode = "compat") -> None:
        sample_rate_hz = usable_rate(sample_rate_hz)
        if mode not in ("compat", "corrected"):
            raise UsageError(f"descriptor mode {mode!r} is unknown: use 'compat' or 'corrected'")
        self.sample_rate_hz = sample_rate_hz
        self.mode: Mode = mode
        self.hop = samples_in(10, sample_rate_hz)
        self._near, self._far, self._spectrum_plan, self._formant_plan, self._pitch_plan = _tables(
            sample_rate_hz, mode == "corrected"
        )
        self._period_plan = voice_quality.PeriodPlan(
            float(sample_rate_hz), self.hop, -(-sample_rate_hz // 100), self._far.length
        )
        self._samples = Rows(capacity=sample_rate_hz)
        self._short = Rows(len(SHORT))
        self._long = Rows(len(LONG))
        self._magnitude = Rows(self._far.bins, 2 * (_BATCH + MOST_WAITED))
        self._rms = Rows()
        self._buffers = (self._samples, self._short, self._long, self._magnitude, self._rms)
        self._scratch = _Scratch(self._near, self._far, self._pitch_plan, len(self._formant_plan.cosines))
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        for buffer in self._buffers:
            buffer.reset()
        self._roots = formants.new_formant_state()
        self._trellis = trellis.new_trellis()
        self._periods = voice_quality.new_periods()
        self._released: int | None = None
        self.faults = 0
        """Samples that were not finite and taken as silence."""

    @property
    def first_row(self) -> int:
        """Number of the first row of `short` and `long`; more than 0 after `drop_before`."""
        return self._short.first

    @property
    def short(self) -> F32:
        """Rows of 20 ms, ``float32 (n, len(SHORT))``, a view that holds until the next `push`."""
        return self._short.live

    @property
    def long(self) -> F32:
        """Released rows of 60 ms, ``float32 (m, len(LONG))``, ``m <= n``, a view that holds until the next `push`."""
        return self._long.live

    @property
    def released(self) -> int:
        """Long rows released so far, counted from the start; from `finish` on as many as before it."""
        return self._long.end if self._released is None else self._released

    @property
    def frames(self) -> int:
        """Whole frames of 60 ms seen so far."""
        return self._magnitude.end

    def push(self, samples: F32) -> None:
        """Take samples ``float32 (n,)``, full scale 1; rows that are certain now appear in `short` and `long`."""
        clean, faults = silence_faults(samples)
        self.faults += faults
        self._samples.append(clean)
        while self._describe_short():
            pass
        while self._describe_long():
            pass
        self._samples.drop_before(
            min(self._long.end, self._short.end, self._magnitude.end) * self.hop - 2 * self._far.length
        )

    def finish(self) -> None:
        """End of input: release all long rows. No `push` may follow before `reset`."""
        if self._released is not None:
            return
        self._released = self._long.end
        released = self._scratch.released
        self._describe_released(released[: trellis.flush(self._trellis, released)])

    def drop_before(self, row: int) -> None:
        """Forget the rows before ``row``; those not yet released are kept."""
        row = min(row, self._long.end)
        self._short.drop_before(row)
        self._long.drop_before(row)

    def _ready(self, framing: _Framing, done: int) -> int:
        complete = (self._samples.end - framing.length) // self.hop + 1
        return min(max(complete - done, 0), _BATCH)

    def _describe_short(self) -> int:
        done = self._short.end
        count = self._ready(self._near, done)
        if count == 0:
            return 0
        scratch = self._scratch
        magnitude = scratch.near_magnitude[: count + 1]
        real, imaginary = scratch.real[:count], scratch.imaginary[:count]
        rows, resonances = scratch.spectral[:count], scratch.resonances[:count]
        power = scratch.power[:count]
        samples = self._samples.between(done * self.hop, self._samples.end)
        transform.transform(
            samples, self.hop, self._near.plan, scratch.near, real, imaginary, magnitude[1:], power, False
        )
        if done == 0:
            magnitude[0] = magnitude[1]
        spectrum.describe(magnitude, self._spectrum_plan, scratch.squares, scratch.bands, rows)
        formants.formants(real, imaginary, self._formant_plan, self._roots, resonances)
        magnitude[0] = magnitude[count]
        out = self._short.extend(count)
        out[:, : spectrum.DESCRIPTORS] = rows
        out[:, _FREQUENCIES.start : -1] = resonances
        out[:, -1] = power
        return count

    def _describe_long(self) -> int:
        done = self._magnitude.end
        count = self._ready(self._far, done)
        if count == 0:
            return 0
        scratch = self._scratch
        samples = self._samples.between(done * self.hop, self._samples.end)
        magnitude, power = self._magnitude.extend(count), scratch.power[:count]
        none = scratch.none[:count]
        transform.transform(
            samples, self.hop, self._far.plan, scratch.far, none, none, magnitude, power, True
        )
        np.sqrt(power, out=self._rms.extend(count))
        hertz, voicing = scratch.hertz[:count], scratch.voicing[:count]
        pitch.candidates(magnitude, self._pitch_plan, scratch.pitch, hertz, voicing)
        released = trellis.search(hertz, voicing, self._trellis, scratch.released)
        self._describe_released(scratch.released[:released])
        return count

    def _describe_released(self, hertz: F32) -> None:
        count = len(hertz)
        if count == 0:
            return
        done, end = self._long.end, self._long.end + count
        scratch = self._scratch
        hertz[self._rms.between(done, end) <= _QUIET_RMS] = 0.0
        variation, levels = scratch.variation[:count], scratch.levels[:count]
        magnitude, correlation = self._magnitude.between(done, end), scratch.correlation[:count]
        resonances = scratch.formants[:count]
        resonances[:] = self._short.between(done, end)[:, _FREQUENCIES]
        voice_quality.vary(
            self._samples.live,
            self._samples.first,
            done,
            hertz,
            self._period_plan,
            self._periods,
            scratch.similarity,
            variation,
        )
        transform.autocorrelate(magnitude, hertz, self._far.plan, scratch.folded, correlation)
        bin_hz, corrected = self._far.rate_hz / self._far.fft_size, self.mode == "corrected"
        harmonics.describe(
            magnitude, correlation, hertz, resonances, bin_hz, corrected, scratch.peaks, levels
        )
        out = self._long.extend(count)
        out[:, 0] = _semitones(hertz)
        out[:, 1:3] = variation
        out[:, 3:] = levels
        self._magnitude.drop_before(end)
        self._rms.drop_before(end)


class _Scratch:
    """Arrays of one batch that are written anew each time, but for the spectrum before the batch's first."""

    def __init__(self, near: _Framing, far: _Framing, pitch_plan: pitch.PitchPlan, kept_bins: int) -> None:
        def rows(columns: int, extra: int = 0) -> F32:
            return np.zeros((_BATCH + extra, columns), np.float32)

        self.near_magnitude = rows(near.bins, 1)
        self.real, self.imaginary, self.none = rows(kept_bins), rows(kept_bins), rows(0)
        self.power = np.zeros(_BATCH, np.float32)
        self.spectral = rows(spectrum.DESCRIPTORS)
        self.resonances = rows(2 * formants.FORMANTS)
        self.hertz, self.voicing = rows(pitch.CANDIDATES), rows(pitch.CANDIDATES)
        self.released = np.zeros(_BATCH + trellis.LONGEST_WAIT, np.float32)
        self.variation = rows(2, trellis.LONGEST_WAIT)
        self.levels = rows(harmonics.COLUMNS, trellis.LONGEST_WAIT)
        self.formants = rows(formants.FORMANTS, trellis.LONGEST_WAIT)
        self.correlation = rows(far.bins, trellis.LONGEST_WAIT)
        # Room inside the kernels.
        self.near, self.far, self.folded = (transform.transform_scratch(f.plan) for f in (near, far, far))
        self.squares, self.bands = np.zeros(near.bins), np.zeros(spectrum.BANDS)
        self.pitch = pitch.pitch_scratch(pitch_plan)
        self.peaks = np.zeros((harmonics.HARMONICS, 3))
        self.similarity = np.zeros(far.length)


def _gauss(length: int) -> F32:
    middle = (length - 1) / 2
    return np.exp(-0.5 * ((np.arange(length) - middle) / (0.4 * middle)) ** 2).astype(np.float32)


def _semitones(hertz: F32) -> F32:
    """12 log2(f / 27.5 Hz), at least 1 for a sound, 0 for none."""
    notes = np.zeros_like(hertz)
    voiced = hertz > 0.0
    notes[voiced] = np.maximum(12.0 * np.log2(hertz[voiced] / _LOWEST_NOTE_HZ), 1.0)
    return notes
