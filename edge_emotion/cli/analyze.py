"""``edge-emotion analyze``: a clip in, readings out, with a summary and a picture of them."""

from __future__ import annotations

import contextlib
import csv
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

from edge_emotion.cli.options import AS_PACKED, BUNDLE, CLIP, DURATION, PROVIDER, RATE_HZ, START
from edge_emotion.cli.program import app
from edge_emotion.cli.run import stderr
from edge_emotion.config import Execution, Provider
from edge_emotion.errors import UsageError
from edge_emotion.reading_json import Origin, encode, reading_message

if TYPE_CHECKING:
    from edge_emotion.capture.file import ClipSource
    from edge_emotion.model.bundle import Bundle
    from edge_emotion.types import Reading

TABLES = (".jsonl", ".csv")
PICTURES = (".png", ".svg", ".pdf")
DEVICE = "file"
"""Says in a reading that it comes from a clip."""


@app.command()
def analyze(
    clip: Path = CLIP,
    out: Path | None = typer.Option(
        None, help="Write the readings here (.jsonl or .csv), not to standard output."
    ),
    plot: Path | None = typer.Option(None, help="Draw arousal and valence over time (.png, .svg or .pdf)."),
    rate_hz: float | None = RATE_HZ,
    bundle: Path | None = BUNDLE,
    start: float = START,
    duration: float | None = DURATION,
    provider: Provider = PROVIDER,
    as_packed: bool = AS_PACKED,
) -> None:
    """Estimate expressed arousal and valence over CLIP: one reading a line (schema edge_emotion.reading/1).

    The same clip gives the same bytes. Readings of further faces follow the primary one's, with their own track.
    """
    from edge_emotion.capture.file import open_clip
    from edge_emotion.model.bundle import open_bundle
    from edge_emotion.pipeline import EmotionPipeline, replay

    _check_outputs(out, plot)
    models = open_bundle(bundle)
    with open_clip(clip, start, duration, models.manifest.acoustic.sample_rate_hz) as source:
        pipeline = EmotionPipeline(
            models, rate_hz=rate_hz, execution=execution_here(models, provider, as_packed)
        )
        began = time.perf_counter()
        kept: list[Reading] = []
        with _table(out, _origin(source, models)) as write:
            for reading in _progress(replay(pipeline, source), source, start, duration):
                write(reading)
                kept.append(reading)
        elapsed_s = time.perf_counter() - began
        for warning in (*source.warnings, *_absent(kept, source)):
            stderr.print(f"[yellow]warning:[/] {clip.name}: {warning}")
        if plot is not None:
            from edge_emotion.cli.analysis_plot import draw

            draw(kept, plot, clip.name, models.manifest)
        _summarise(kept, clip.name, models, elapsed_s, [path for path in (out, plot) if path])


def execution_here(models: Bundle, provider: Provider, as_packed: bool) -> Execution:
    """The provider asked for, with the form of the face encoder that was chosen on this machine; says so."""
    from edge_emotion.model.choice import recall

    choice = None if as_packed else recall(models, provider)
    if choice is not None:
        stderr.print(choice.line)
    return Execution(provider=provider, encoder=choice.engine if choice else None)


def _absent(readings: list[Reading], source: ClipSource) -> Iterator[str]:
    """What was never found though the clip could have had it."""
    for there, flag, what in (
        (source.has_video, "no_face", "face"),
        (source.has_audio, "no_speech", "speech"),
    ):
        if there and readings and all(flag in reading.quality for reading in readings):
            yield f"no {what} was found in it"


def _check_outputs(out: Path | None, plot: Path | None) -> None:
    """Refuse what cannot be written before the work is done."""
    for path, suffixes in ((out, TABLES), (plot, PICTURES)):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise UsageError(f"{path}: its name must end in {' or '.join(suffixes)}")
        writable(path)
    if plot is not None:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            raise UsageError("the picture needs matplotlib: pip install 'edge-emotion[plot]'") from None


def writable(path: Path) -> None:
    """Raise `UsageError` where ``path`` could not be written; nothing that is there is touched."""
    trial = path.with_name(f".{path.name}.part")
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        trial.open("wb").close()
        trial.unlink()
    except OSError as fault:
        raise UsageError(f"{path}: cannot be written ({fault.strerror})") from None


def _origin(source: ClipSource, models: Bundle) -> Origin:
    return Origin(DEVICE, source.sha256[:16], models.manifest.id, models.manifest.sha256)


Write = Callable[["Reading"], None]


@contextlib.contextmanager
def _table(out: Path | None, origin: Origin) -> Iterator[Write]:
    """Where readings go; a file takes its name only once it is whole."""
    if out is None:
        yield _writer(sys.stdout, origin, as_csv=False)
        sys.stdout.flush()
        return
    unfinished = out.with_name(f".{out.name}.part")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            yield _writer(file, origin, as_csv=out.suffix.lower() == ".csv")
        unfinished.replace(out)
    except OSError as fault:
        raise UsageError(f"{out}: cannot be written ({fault.strerror})") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _writer(file: IO[str], origin: Origin, *, as_csv: bool) -> Write:
    rows = csv.writer(file, lineterminator="\n") if as_csv else None
    if rows is not None:
        rows.writerow(_COLUMNS)

    def write(reading: Reading) -> None:
        for each in (reading, *reading.others):
            message = reading_message(each, origin)
            if rows is None:
                file.write(encode(message).decode() + "\n")
            else:
                rows.writerow(_row(message))

    return write


_COLUMNS = (
    "media_time_s", "track", "arousal", "valence", "sigma_arousal", "sigma_valence", "confidence", "valid", "quality",
    "audio_weight", "voiced", "snr_db", "video_weight", "face_px", "score", "age_ms",
)  # fmt: skip


def _row(message: dict[str, Any]) -> list[Any]:
    sigma = message["sigma"] or {}
    audio, video = message["modalities"]["audio"], message["modalities"]["video"]
    flat = message | {
        "sigma_arousal": sigma.get("arousal"),
        "sigma_valence": sigma.get("valence"),
        "valid": str(message["valid"]).lower(),
        "quality": " ".join(message["quality"]),
        "audio_weight": audio["weight"],
        "voiced": audio["voiced"],
        "snr_db": audio["snr_db"],
        "video_weight": video["weight"],
        "face_px": video["face_px"],
        "score": video["score"],
    }
    return [flat[column] for column in _COLUMNS]


def _progress(
    readings: Iterable[Reading], source: ClipSource, start_s: float, duration_s: float | None
) -> Iterator[Reading]:
    """The readings, with a bar on a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    whole_s = None if source.duration_s is None else max(source.duration_s - start_s, 0.0)
    lengths = [length for length in (whole_s, duration_s) if length is not None]
    columns = (
        TextColumn("Analysing"),
        BarColumn(),
        TextColumn("{task.completed:.1f} s of {task.total:.1f} s" if lengths else "{task.completed:.1f} s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=min(lengths) if lengths else None)
        for reading in readings:
            bar.update(task, completed=reading.time_ns / 1e9 - start_s)
            yield reading


def _summarise(
    readings: list[Reading], name: str, models: Bundle, elapsed_s: float, written: list[Path]
) -> None:
    from rich.table import Table

    valid = [reading for reading in readings if reading.valid]
    if not readings:
        stderr.print(f"{name}: too short for a reading")
        return
    span_s = (readings[-1].time_ns - readings[0].time_ns) / 1e9
    stderr.print(
        f"[bold]{name}[/]  {len(readings)} readings, {len(valid)} of them valid; "
        f"{span_s / max(elapsed_s, 1e-9):.1f} times as fast as real time"
    )
    table = Table("estimated expressed", "mean", "least", "most", "sigma", box=None, padding=(0, 2))
    for dimension in ("arousal", "valence"):
        values = [getattr(reading, dimension) for reading in valid]
        sigmas = [getattr(reading, f"sigma_{dimension}") for reading in valid]
        if values:
            figures = (sum(values) / len(values), min(values), max(values))
            table.add_row(dimension, *(f"{x:+.2f}" for x in figures), f"{sum(sigmas) / len(sigmas):.2f}")
        else:
            table.add_row(dimension, "-", "-", "-", "-")
    stderr.print(table)
    if valid:
        mean = sum(reading.confidence or 0.0 for reading in valid) / len(valid)
        half = models.manifest.fusion.confidence_half_width
        stderr.print(f"confidence {mean:.2f} (probability that an estimate is within {half:g} of the truth)")
    flags = Counter(flag for reading in readings for flag in reading.quality)
    if flags:
        shares = (f"{flag} {count / len(readings):.0%}" for flag, count in flags.most_common())
        stderr.print("reasons for doubt: " + ", ".join(shares))
    stderr.print(f"bundle {models.manifest.id} ({models.manifest.sha256[:12]})")
    for path in written:
        stderr.print(f"written: {path}")
