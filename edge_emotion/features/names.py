"""The names of the set eGeMAPSv02, in the reference's order (specification, section 8)."""

from __future__ import annotations

_TEN = (
    "amean",
    "stddevNorm",
    "percentile20.0",
    "percentile50.0",
    "percentile80.0",
    "pctlrange0-2",
    "meanRisingSlope",
    "stddevRisingSlope",
    "meanFallingSlope",
    "stddevFallingSlope",
)
_TWO = ("amean", "stddevNorm")
_MFCC = ("mfcc1", "mfcc2", "mfcc3", "mfcc4")
_SPECTRAL = ("alphaRatio", "hammarbergIndex", "slope0-500", "slope500-1500")
_FORMANTS = tuple(
    f"F{k}{what}" for k in (1, 2, 3) for what in ("frequency", "bandwidth", "amplitudeLogRelF0")
)
_VOICE = ("jitterLocal", "shimmerLocaldB", "HNRdBACF", "logRelF0-H1-H2", "logRelF0-H1-A3", *_FORMANTS)

LLD_NAMES: tuple[str, ...] = (
    *(f"{name}_sma3" for name in ("Loudness", *_SPECTRAL, "spectralFlux", *_MFCC)),
    *(f"{name}_sma3nz" for name in ("F0semitoneFrom27.5Hz", *_VOICE)),
)
"""The 25 low-level descriptors, one value each 10 ms."""


def _with_suffix(name: str, suffix: str) -> str:
    """``slope0-500`` and ``V`` make ``slopeV0-500``; every other name takes its suffix at the end."""
    return name.replace("slope", f"slope{suffix}") if name.startswith("slope") else name + suffix


FUNCTIONAL_NAMES: tuple[str, ...] = (
    *(f"F0semitoneFrom27.5Hz_sma3nz_{what}" for what in _TEN),
    *(f"loudness_sma3_{what}" for what in _TEN),
    *(f"{name}_sma3_{what}" for name in ("spectralFlux", *_MFCC) for what in _TWO),
    *(f"{name}_sma3nz_{what}" for name in _VOICE for what in _TWO),
    *(
        f"{_with_suffix(name, 'V')}_sma3nz_{what}"
        for name in (*_SPECTRAL, "spectralFlux", *_MFCC)
        for what in _TWO
    ),
    *(f"{_with_suffix(name, 'UV')}_sma3nz_amean" for name in (*_SPECTRAL, "spectralFlux")),
    "loudnessPeaksPerSec",
    "VoicedSegmentsPerSec",
    "MeanVoicedSegmentLengthSec",
    "StddevVoicedSegmentLengthSec",
    "MeanUnvoicedSegmentLength",
    "StddevUnvoicedSegmentLength",
    "equivalentSoundLevel_dBp",
)
"""The 88 functionals over a window or an utterance."""
QUALITY_COLUMNS: dict[str, int] = {
    "hnr_db": FUNCTIONAL_NAMES.index("HNRdBACF_sma3nz_amean"),
    "f1_hz": FUNCTIONAL_NAMES.index("F1frequency_sma3nz_amean"),
    "f0_semitones": FUNCTIONAL_NAMES.index("F0semitoneFrom27.5Hz_sma3nz_amean"),
}
"""Functionals that also tell how far a voice is to be trusted, by the fact's name: the harmonics-to-noise ratio falls
with noise and reverberation, the first formant seems to rise where a microphone passes no low tones, and high voices
are judged worse than low ones."""
