"""``edge-emotion descriptors``: acoustic descriptors of files and folders as CSV, Parquet or a picture."""

from __future__ import annotations

import concurrent.futures.process
import contextlib
import csv
import math
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from edge_emotion.cli import run
from edge_emotion.cli.program import app
from edge_emotion.errors import EdgeEmotionError, InputError, UsageError

if TYPE_CHECKING:
    from edge_emotion.cli.describe import FileRows, Request

SOUND_SUFFIXES = frozenset({
    ".aac", ".aif", ".aiff", ".au", ".avi", ".flac", ".m4a", ".mka", ".mkv", ".mov", ".mp3", ".mp4", ".mpg",
    ".oga", ".ogg", ".opus", ".wav", ".webm", ".wma",
})  # fmt: skip
"""What a folder is searched for where no pattern is given."""

EXAMPLES = """Examples:

[bold]edge-emotion descriptors speech.wav[/] prints 88 functionals of the whole file.

[bold]edge-emotion descriptors speech.wav --lld --out rows.csv[/] writes 25 descriptors each 10 ms.

[bold]edge-emotion descriptors corpus/ --pattern '*.flac' --jobs 4 --out all.parquet[/] describes a folder.

[bold]edge-emotion descriptors talk.mp4 --window 3 --hop 0.5[/] describes each 3 seconds, twice a second.

[bold]edge-emotion descriptors speech.wav --plot speech.png[/] draws spectrogram, pitch, formants and loudness.

"""


@app.command(epilog=EXAMPLES + run.EXIT_CODES)
def descriptors(
    audio: list[Path] = typer.Argument(
        metavar="AUDIO...", help="Sound or video files, and folders that are searched in depth."
    ),
    mode: Literal["compat", "corrected"] = typer.Option(
        "compat", help="Match the reference program, quirks included, or what the paper describes."
    ),
    lld: bool = typer.Option(
        False, "--lld", help="The 25 descriptors each 10 ms instead of the 88 functionals."
    ),
    window: float | None = typer.Option(
        None, min=0.06, help="Functionals over windows of this many seconds, not of the whole file."
    ),
    hop: float = typer.Option(1.0, min=0.001, help="Seconds from window to window."),
    restart: bool = typer.Option(
        False, "--restart", help="Analyse each window as a recording of its own (slower)."
    ),
    start: float = typer.Option(0.0, min=0.0, help="Second of each file to begin with."),
    duration: float | None = typer.Option(None, min=0.0, help="Seconds of each file to look at."),
    channel: int | None = typer.Option(
        None, min=0, help="Channel to describe, counted from 0; by default the mean of all."
    ),
    out: Path | None = typer.Option(None, help="Write here (.csv or .parquet) instead of standard output."),
    plot: Path | None = typer.Option(
        None, help="Draw one file: waveform, spectrogram, pitch, formants, loudness, voiced spans (.png)."
    ),
    jobs: int = typer.Option(0, min=0, help="Worker processes; 0: one each core, as far as there are files."),
    pattern: str | None = typer.Option(None, help="Files to take from folders, such as '*.flac'."),
) -> None:
    """Describe the voice in AUDIO by the set eGeMAPSv02: one row a file, a window or 10 ms.

    Columns: file, start and end (s), then the reference's names in its order.
    Sound below 60 ms is a row without values.
    A file that cannot be read is named; the others are described all the same.
    """
    from edge_emotion.cli.describe import Request

    if lld and window is not None:
        raise UsageError("--lld has a row each 10 ms and takes no --window")
    if restart and window is None:
        raise UsageError("--restart needs a --window")
    if not all(map(math.isfinite, (start, hop, duration or 0.0, window or 0.0))):
        raise UsageError("times are finite: leave --duration away to look at everything")
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise UsageError(f"{out}: the table can be written as .csv or .parquet")
    files = list(_files(audio, pattern))
    if plot is not None:
        _plot(files, plot, start, duration, channel)
        if out is None:
            return
    request = Request(mode, lld, window, hop, restart, start, duration, channel)
    jobs = min(jobs or os.cpu_count() or 1, len(files))
    faults = 0
    with _table(out, request.names) as table:
        for rows in _progress(_described(files, request, jobs), len(files)):
            if rows.fault is not None:
                if len(files) == 1:
                    raise InputError(rows.fault)
                faults += 1
                print(f"edge-emotion: {rows.fault}", file=sys.stderr)
                continue
            for warning in rows.warnings:
                print(f"edge-emotion: {rows.file}: {warning}", file=sys.stderr)
            if rows.values is None:
                heard = rows.end_s[0] - rows.start_s[0]
                print(f"edge-emotion: {rows.file}: {heard:.3f} s of sound is too short", file=sys.stderr)
            table.write(rows)
    if faults:
        raise InputError(f"{faults} of {len(files)} files could not be read")


def _files(paths: Sequence[Path], pattern: str | None) -> Iterator[Path]:
    """Files as given, and those in folders in order of their names."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = [
            file
            for file in sorted(path.rglob(pattern or "*"))
            if file.is_file() and (pattern or file.suffix.lower() in SOUND_SUFFIXES)
        ]
        if not inside:
            raise InputError(f"{path}: there is no file {pattern or 'of sound'} in this folder")
        yield from inside


def _described(files: Sequence[Path], request: Request, jobs: int) -> Iterator[FileRows]:
    from edge_emotion.cli.describe import describe_file

    describe = partial(describe_file, request=request)
    if jobs <= 1:
        yield from map(describe, files)
        return
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(describe, files)
        except concurrent.futures.process.BrokenProcessPool as fault:
            raise EdgeEmotionError(
                "a worker process was killed, perhaps for want of memory: try fewer --jobs"
            ) from fault


def _progress(rows: Iterator[FileRows], count: int) -> Iterator[FileRows]:
    from rich.progress import track

    shown = run.stderr.is_terminal and count > 1
    yield from track(rows, "Describing", total=count, console=run.stderr, disable=not shown)


class _CsvTable:
    """Rows of text; too short sound is a row whose values are empty."""

    def __init__(self, file: Any, names: Sequence[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._count = len(names)
        self._writer.writerow(("file", "start", "end", *names))

    def write(self, rows: FileRows) -> None:
        empty = [""] * self._count
        for i, (start, end) in enumerate(zip(rows.start_s, rows.end_s, strict=True)):
            values = empty if rows.values is None else [f"{value:.9g}" for value in rows.values[i].tolist()]
            self._writer.writerow((rows.file, f"{start:.9g}", f"{end:.9g}", *values))


class _ParquetTable:
    """The same columns as ``float32``; too short sound is a row of nulls."""

    def __init__(self, file: Any, names: Sequence[str]) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError as fault:
            raise UsageError(
                f"Parquet needs pyarrow ({fault}): pip install 'edge-emotion[parquet]'"
            ) from fault
        self._pa = pa
        times = [("file", pa.string()), ("start", pa.float64()), ("end", pa.float64())]
        self._schema = pa.schema([*times, *((name, pa.float32()) for name in names)])
        self._writer = parquet.ParquetWriter(file, self._schema)

    def write(self, rows: FileRows) -> None:
        count = len(rows.start_s)
        nothing = [[None] * count] * (len(self._schema) - 3)
        values = nothing if rows.values is None else list(rows.values.T)
        columns = [[rows.file] * count, rows.start_s, rows.end_s, *values]
        self._writer.write_table(self._pa.table(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


@contextlib.contextmanager
def _table(out: Path | None, names: Sequence[str]) -> Iterator[_CsvTable | _ParquetTable]:
    """Where rows go; a file takes its name only once it is whole."""
    if out is None:
        yield _CsvTable(sys.stdout, names)
        return
    unfinished = out.with_name(out.name + ".part")
    try:
        if out.suffix == ".parquet":
            with unfinished.open("wb") as binary, contextlib.closing(_ParquetTable(binary, names)) as table:
                yield table
        else:
            with unfinished.open("w", newline="", encoding="utf-8") as file:
                yield _CsvTable(file, names)
        unfinished.replace(out)
    except OSError as fault:
        raise UsageError(f"{out}: cannot be written ({fault.strerror})") from fault
    finally:
        unfinished.unlink(missing_ok=True)


def _plot(
    files: Sequence[Path], out: Path, start_s: float, duration_s: float | None, channel: int | None
) -> None:
    if len(files) != 1:
        raise UsageError(f"--plot draws one file, not {len(files)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as fault:
        raise UsageError("the picture needs matplotlib: pip install 'edge-emotion[plot]'") from fault
    from edge_emotion.cli.descriptor_plot import draw

    draw(files[0], out, start_s, duration_s, channel=channel)
