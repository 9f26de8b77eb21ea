"""A recording as a phonetician looks at it: waveform, spectrogram with pitch and formants, loudness, voiced spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_emotion.capture.audio import read_audio
from edge_emotion.errors import InputError, UsageError
from edge_emotion.features.functionals import LldTable, compute_descriptors
from edge_emotion.types import F32

_TOP_HZ = 5000.0
_RANGE_DB = 55.0
_WINDOW_S = 0.006  # a broad-band spectrogram: pulses of the voice stand side by side, formants are bars
_COLUMNS = 2500
_PITCH_FRAME_S, _ROW_S = 0.060, 0.020
_VOICED, _PITCH, _FORMANTS = "#cfe3f5", "#0b62c4", ("#d1242f", "#e07b00", "#8a5a00")


def draw(
    path: Path,
    out: Path,
    start_s: float = 0.0,
    duration_s: float | None = None,
    *,
    channel: int | None = None,
) -> None:
    """Draw a part of the sound of ``path`` into the picture ``out``; raises `InputError` and `UsageError`.

    Formants are those of the ``corrected`` mode, because the reference's lie off the dark bars of the spectrogram;
    pitch and loudness are the same in both modes.
    """
    samples, rate_hz = read_audio(path, start_s, duration_s, channel=channel)
    table = compute_descriptors(samples, rate_hz, "corrected")
    if table.too_short:
        raise InputError(f"{path}: {len(samples) / rate_hz:.3f} s of sound is too short to be drawn")
    figure = picture(samples, rate_hz, table, path.name, start_s)
    try:
        figure.savefig(out, dpi=150)
    except (OSError, ValueError) as fault:
        raise UsageError(f"{out}: the picture cannot be written ({fault})") from fault


def picture(samples: F32, rate_hz: int, table: LldTable, title: str, start_s: float = 0.0) -> Figure:
    """The figure of mono ``samples`` and their table of descriptors, whose time axis begins at ``start_s``."""
    column = dict(zip(table.names, table.values.T, strict=True))
    semitones = column["F0semitoneFrom27.5Hz_sma3nz"]
    voiced = semitones > 0.0
    time_s = start_s + table.start_s
    thickness = float(
        np.clip(10.0 * rate_hz / len(samples), 0.5, 1.0)
    )  # the longer the sound, the finer the pen
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    wave, spectrum, loud = figure.subplots(3, 1, sharex=True, height_ratios=(1, 3, 1))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")

    wave.plot(
        start_s + np.arange(len(samples)) / rate_hz, samples, color="0.25", linewidth=0.4, rasterized=True
    )
    wave.set_ylabel("amplitude")
    wave.set_ylim(*np.array([-1.05, 1.05]) * max(float(np.abs(samples).max()), 1e-3))

    _draw_spectrogram(spectrum, samples, rate_hz, start_s)
    # The middle of a pitch frame lies two rows after that of the formants' frame of the same number.
    voiced_there = np.concatenate([[False, False], voiced])[: len(voiced)]
    for k, color in enumerate(_FORMANTS, 1):
        hertz = column[f"F{k}frequency_sma3nz"]
        shown = voiced_there & (hertz > 0.0)
        centre_s = time_s[shown] + _ROW_S / 2
        spectrum.scatter(centre_s, hertz[shown], s=5 * thickness, color=color, linewidths=0, label=f"F{k}")
    spectrum.set_ylabel("frequency (Hz)")
    pitch = spectrum.twinx()
    f0 = np.where(voiced, 27.5 * 2.0 ** (semitones / 12.0), np.nan)
    pitch.plot(time_s + _PITCH_FRAME_S / 2, f0, color="white", linewidth=4.5 * thickness)
    pitch.plot(time_s + _PITCH_FRAME_S / 2, f0, color=_PITCH, linewidth=2.2 * thickness, label="pitch")
    pitch.set_ylim(0, max(500.0, 1.2 * np.nanpercentile(f0, 98)) if voiced.any() else 500.0)
    pitch.set_ylabel("pitch (Hz)", color=_PITCH)
    pitch.tick_params(axis="y", colors=_PITCH)
    handles = [*spectrum.get_legend_handles_labels()[0], *pitch.get_legend_handles_labels()[0][-1:]]
    spectrum.legend(handles=handles, loc="upper right", ncols=4, fontsize=8, markerscale=2.5, framealpha=0.9)

    loud.plot(time_s + _ROW_S / 2, column["Loudness_sma3"], color="0.15", linewidth=1.4 * thickness)
    loud.set_ylim(bottom=0.0)
    loud.set_ylabel("loudness")
    loud.set_xlabel("time (s)")
    for begin, end in _spans(voiced):
        for axes in (wave, loud):
            axes.axvspan(time_s[begin] + 0.02, time_s[end - 1] + 0.04, color=_VOICED, linewidth=0, zorder=0)
    loud.set_xlim(start_s, start_s + len(samples) / rate_hz)
    for axes in (wave, loud):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
    figure.text(
        0.995, 0.985, _summary(column, voiced, rate_hz), ha="right", va="top", fontsize=9, color="0.3"
    )
    figure.align_ylabels([wave, spectrum, loud])
    return figure


def _summary(column: dict[str, F32], voiced: NDArray[np.bool_], rate_hz: int) -> str:
    if not voiced.any():
        return f"{rate_hz} Hz   no voice found"
    hertz = 27.5 * 2.0 ** (float(np.median(column["F0semitoneFrom27.5Hz_sma3nz"][voiced])) / 12.0)
    mean = {name: float(values[voiced].mean()) for name, values in column.items()}
    return (
        f"{rate_hz} Hz   voiced (shaded) {voiced.mean():.0%}   median pitch {hertz:.0f} Hz"
        f"   jitter {mean['jitterLocal_sma3nz']:.1%}   shimmer {mean['shimmerLocaldB_sma3nz']:.2f} dB"
        f"   HNR {mean['HNRdBACF_sma3nz']:.1f} dB"
    )


def _spans(hits: NDArray[np.bool_]) -> NDArray[np.intp]:
    """First index and end of each run of true values, shape (runs, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], hits, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2)


def _draw_spectrogram(axes: Any, samples: F32, rate_hz: int, start_s: float) -> None:
    """Grey levels in dB below the loudest point, high frequencies lifted by 6 dB an octave as the ear is used to."""
    length = max(round(_WINDOW_S * 2 * rate_hz), 8)
    hop = max(len(samples) // _COLUMNS, 1)
    padded = np.pad(samples, length // 2)
    frames = sliding_window_view(padded, length)[::hop]
    size = max(512, 1 << (length - 1).bit_length())
    bins = min(int(_TOP_HZ * size / rate_hz) + 1, size // 2 + 1)
    window = np.exp(-12.0 * (np.arange(length) / (length - 1) - 0.5) ** 2)
    lift = np.arange(bins) / bins
    # In pieces: the transforms of a long recording together would not fit into a small machine.
    level = np.concatenate(
        [
            np.abs(np.fft.rfft(part * window, size, axis=1)[:, :bins]) * lift
            for part in np.array_split(frames, 25)
        ]
    )
    decibel = 20.0 * np.log10(np.maximum(level.T, 1e-9))
    top = decibel.max()
    extent = (start_s, start_s + len(samples) / rate_hz, 0.0, bins * rate_hz / size)
    axes.imshow(
        decibel, origin="lower", aspect="auto", extent=extent, cmap="Greys", vmin=top - _RANGE_DB, vmax=top
    )
    axes.set_ylim(0.0, min(_TOP_HZ, rate_hz / 2))
