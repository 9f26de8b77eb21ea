"""``python -m benchmarks.parity``: how close the descriptors come to the reference program, name by name.

Compared are the golden signals (kept figures, no other program needed) and, where the ``opensmile`` wheel is
importable or in ``.peers/opensmile``, real utterances of every speaker, other sample rates and short cuts. A value is
within tolerance where it differs by at most 1e-3 of the reference or of 0.1, whichever is larger.
"""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import typer
from numpy.typing import NDArray

from benchmarks.peers import ENVIRONMENTS, WORKERS
from edge_emotion.capture.audio import read_audio
from edge_emotion.cli.run import run
from edge_emotion.errors import InputError
from edge_emotion.features.functionals import compute_descriptors, compute_functionals
from edge_emotion.features.lld import samples_in
from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES

F64 = NDArray[np.float64]

GOLDEN = Path(__file__).parents[1] / "tests" / "data" / "golden_egemaps"
SPEECH = Path(__file__).parents[2] / "shared" / "data" / "speech"
TOLERANCE, FLOOR = 1e-3, 0.1
ROW_TOLERANCE = 1e-4
RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
CUTS_MS = (60, 61, 65, 69, 70, 75, 80, 90, 100, 110, 120, 150, 200, 300, 400, 450, 500, 700, 1000)
_FORMANT_BOUND = re.compile(r"F[123]|H1-A3")


def kind(name: str) -> str:
    """Which of the three promises a descriptor or functional falls under: ``formant``, ``hnr`` or ``plain``."""
    if _FORMANT_BOUND.search(name.replace("F0semitoneFrom", "").replace("logRelF0", "")):
        return "formant"
    return "hnr" if name.startswith("HNR") else "plain"


def distance(values: NDArray[np.float32], reference: F64) -> F64:
    """Difference as a share of the reference or of 0.1, whichever is larger."""
    return np.abs(values - reference) / np.maximum(np.abs(reference), FLOOR)


@dataclass(frozen=True, slots=True)
class Signal:
    """Sound (``int16``, mono) to be described by both sides."""

    name: str
    samples: NDArray[np.int16]
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Compared:
    """Distances of one signal: ``functionals`` (88,), ``lld`` (rows, 25); of the latter also the plain differences and
    the magnitude of the reference.
    """

    name: str
    functionals: F64
    lld: F64
    difference: F64
    magnitude: F64


def compare(signal: Signal, functionals: F64, lld: F64) -> Compared:
    """Distances of our figures for ``signal`` from the reference's; raises where the tables differ in length."""
    ours = compute_functionals(signal.samples, signal.rate_hz)
    table = compute_descriptors(signal.samples, signal.rate_hz)
    if ours is None or table.values.shape != lld.shape:
        raise ValueError(
            f"{signal.name}: {table.values.shape} rows and columns, the reference has {lld.shape}"
        )
    return Compared(
        signal.name,
        distance(ours, functionals),
        distance(table.values, lld),
        np.abs(table.values - lld),
        np.abs(lld).astype(np.float64),
    )


def golden(folder: Path = GOLDEN) -> Iterator[Compared]:
    """The synthetic signals whose figures are kept beside them."""
    for name, *figures in _rows(folder / "functionals.csv"):
        with wave.open(str(folder / f"{name}.wav")) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            signal = Signal(name, samples, file.getframerate())
        lld = np.array([row[1:] for row in _rows(folder / f"{name}_lld.csv")], np.float64)
        yield compare(signal, np.array(figures, np.float64), lld)


def against_wheel(signals: Iterable[Signal], python: Path) -> Iterator[Compared]:
    """Signals described by the wheel that ``python`` can import, and by us."""
    signals = list(signals)
    for signal, (functionals, lld) in zip(signals, reference(signals, python), strict=True):
        yield compare(signal, functionals, lld)


def reference(signals: Sequence[Signal], python: Path) -> Iterator[tuple[F64, F64]]:
    """Functionals (88,) and descriptors (rows, 25) of each signal by the wheel that ``python`` can import."""
    with tempfile.TemporaryDirectory() as folder:
        given, answers = Path(folder, "given.npz"), Path(folder, "answers.npz")
        sounds: dict[str, Any] = {f"{k}@{s.rate_hz}": s.samples for k, s in enumerate(signals)}
        np.savez(given, **sounds)
        subprocess.run([python, WORKERS / "opensmile_reference.py", given, answers], check=True)
        with np.load(answers) as found:
            for k, signal in enumerate(signals):
                key = f"{k}@{signal.rate_hz}"
                yield found[f"{key}/functionals"][0], found[f"{key}/lld"]


def wheel() -> Path | None:
    """An interpreter that can import the reference, if there is one."""
    if importlib.util.find_spec("opensmile") is not None:
        return Path(sys.executable)
    python = ENVIRONMENTS / "opensmile" / "bin" / "python"
    return python if python.exists() else None


def utterances(folder: Path = SPEECH, each_speaker: int = 5) -> Iterator[Signal]:
    """Some utterances of every speaker of both corpora, chosen by a fixed rule."""
    speakers: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/*.flac")):
        speaker = path.name[:2] if path.parent.name == "emodb" else path.name[:6]
        speakers.setdefault(f"{path.parent.name}/{speaker}", []).append(path)
    if not speakers:
        raise InputError(f"{folder}: there are no utterances (emodb/*.flac, emotale/*.flac) in it")
    for paths in speakers.values():
        for place in np.unique(np.linspace(0, len(paths) - 1, each_speaker).astype(int)):
            yield signal_of(paths[place])


def resampled(signal: Signal) -> Iterator[Signal]:
    """``signal`` at rates from 8 to 96 kHz."""
    for rate_hz in RATES_HZ:
        samples = soxr.resample(signal.samples.astype(np.float64), signal.rate_hz, rate_hz, "VHQ")
        clipped = np.clip(np.round(samples), -32767, 32767).astype(np.int16)
        yield Signal(f"{signal.name} at {rate_hz} Hz", clipped, rate_hz)


def cuts(signal: Signal) -> Iterator[Signal]:
    """Pieces of ``signal`` from 60 ms on, begun in its first, second and third quarter."""
    for quarter in (1, 2, 3):
        start = len(signal.samples) * quarter // 4
        for length_ms in CUTS_MS:
            piece = signal.samples[start : start + samples_in(length_ms, signal.rate_hz)]
            yield Signal(f"{signal.name}, {length_ms} ms", piece, signal.rate_hz)


def report(title: str, compared: Sequence[Compared], *, details: bool = True) -> None:
    """Print the share within tolerance, median, p99 and worst distance of each name, then of the three kinds."""
    functionals = np.array([one.functionals for one in compared])
    lld = np.concatenate([one.lld for one in compared])
    for names, distances, unit in ((FUNCTIONAL_NAMES, functionals, "files"), (LLD_NAMES, lld, "rows")):
        print(f"\n{title}: {len(names)} names, {len(distances)} {unit}")
        if details:
            print(f"{'name':48} {'within 1e-3':>11} {'within 2 %':>10} {'median':>8} {'p99':>8} {'worst':>8}")
            for name, column in zip(names, distances.T, strict=True):
                print(f"{name:48} {_line(column)}")
        for wanted in ("plain", "hnr", "formant"):
            shares = distances[:, [kind(name) == wanted for name in names]]
            least = [(shares <= tolerance).mean(axis=0).min() for tolerance in (TOLERANCE, 0.02)]
            print(
                f"  {wanted:8} {shares.shape[1]:3} names: {_line(shares)}"
                f"   least of a name {least[0]:.4f}, within 2 % {least[1]:.4f}"
            )

    _report_rows(compared)


def _report_rows(compared: Sequence[Compared]) -> None:
    """Rows within 1e-4 of their value or of the descriptor's mean magnitude, and how far formants are off in Hz."""
    difference = np.concatenate([one.difference for one in compared])
    magnitude = np.concatenate([one.magnitude for one in compared])
    within = difference <= ROW_TOLERANCE * np.maximum(magnitude, magnitude.mean(axis=0))
    share, name = min(
        (float(column.mean()), name)
        for name, column in zip(LLD_NAMES, within.T, strict=True)
        if kind(name) != "formant"
    )
    print(f"  rows within {ROW_TOLERANCE} of their value or mean magnitude: least {share:.5f} ({name})")
    for k, name in enumerate(LLD_NAMES):
        if "frequency" in name:
            median, p99 = np.percentile(difference[:, k], (50, 99))
            print(f"  {name}: median {median:.3f} Hz, p99 {p99:.1f} Hz")


def _line(distances: F64) -> str:
    within = [(distances <= tolerance).mean() for tolerance in (TOLERANCE, 0.02)]
    levels = [np.median(distances), np.percentile(distances, 99), distances.max()]
    return f"{within[0]:11.4f} {within[1]:10.4f} " + " ".join(f"{level:8.1e}" for level in levels)


def signal_of(path: Path) -> Signal:
    """The sound of a file as ``int16``, as both sides take it."""
    samples, rate_hz = read_audio(path)
    return Signal(path.stem, np.round(samples * 32767).astype(np.int16), rate_hz)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def main(
    data: Path = typer.Option(SPEECH, help="Folder with emodb/ and emotale/."),
    each_speaker: int = typer.Option(5, min=1, help="Utterances of each speaker."),
) -> None:
    """Print how close the descriptors come to the reference."""
    report("golden signals", list(golden()), details=False)
    python = wheel()
    if python is None:
        print(
            "\nreal speech: not compared, the opensmile wheel is neither importable nor in .peers (make peers)"
        )
        return
    speech = list(utterances(data, each_speaker))
    report("real speech", list(against_wheel(speech, python)))
    some = speech[:: max(len(speech) // 4, 1)]
    rates = [other for signal in speech[:: max(len(speech) // 20, 1)] for other in resampled(signal)]
    report("8 to 96 kHz", list(against_wheel(rates, python)), details=False)
    pieces = [piece for signal in some for piece in cuts(signal)]
    report("cuts from 60 ms", list(against_wheel(pieces, python)), details=False)


app = typer.Typer(add_completion=False)
app.command()(main)

if __name__ == "__main__":
    raise SystemExit(run(app, "parity"))
