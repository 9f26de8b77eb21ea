"""Rating and feature tables as corpora publish them: delimited text and ARFF, with their oddities.

Every fault is an `InputError` that names the file and the line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_emotion.errors import InputError
from edge_emotion.types import Dimension

from .records import F64, Traces

NOT_FEATURES = frozenset({"name", "class", "frametime", "timestamp", "instance_name"})
"""ARFF attributes that are no descriptors (lower case); the AVEC editions name them differently."""


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank, without their ends; a byte-order mark and CRLF are tolerated."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line


def rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Numbered rows of a delimited file with a header, keys and cells stripped of blanks and quotes."""
    lines = text_lines(path)
    try:
        _, header = next(lines)
    except StopIteration:
        raise InputError(f"{path}:1: empty, a header line was expected") from None
    names = _cells(header, delimiter)
    for number, line in lines:
        cells = _cells(line, delimiter)
        if len(cells) != len(names):
            raise InputError(f"{path}:{number}: {len(cells)} cells, the header has {len(names)}")
        yield number, dict(zip(names, cells, strict=True))


def numbers(path: Path, delimiter: str) -> tuple[list[str], F64]:
    """Header and body of a table of finite numbers, ``float64 (rows, columns)``."""
    names: list[str] = []
    body: list[list[float]] = []
    for number, row in rows(path, delimiter):
        names = names or list(row)
        body.append([_finite(cell, path, number, name) for name, cell in row.items()])
    if not body:
        raise InputError(f"{path}:2: no rows under the header")
    return names, np.array(body)


def rating_table(path: Path, delimiter: str = ";") -> Traces:
    """Raters' traces: first column the time in seconds, then one column per rater."""
    names, body = numbers(path, delimiter)
    if len(names) < 2:
        raise InputError(f"{path}:1: a time column and one or more raters were expected, found {names}")
    _increasing(body[:, 0], path)
    return Traces(time_s=body[:, 0], raters=tuple(names[1:]), values=body[:, 1:])


def read_arff(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Attribute names and numbered data rows (cells as text) of an ARFF file.

    Keywords in any case, any number of header lines, quotes, blank lines, ``%`` comments and CRLF are tolerated.
    """
    names: list[str] = []
    data: list[tuple[int, list[str]]] = []
    in_data = False
    for number, line in text_lines(path):
        content = line.strip()
        if content.startswith("%"):
            continue
        if in_data:
            cells = _cells(content, ",")
            if len(cells) != len(names):
                raise InputError(f"{path}:{number}: {len(cells)} cells, {len(names)} attributes are declared")
            data.append((number, cells))
        elif content.lower().startswith("@data"):
            in_data = True
        elif content.lower().startswith("@attribute"):
            names.append(_attribute_name(content, path, number))
    if not in_data:
        raise InputError(f"{path}: no @data line: not an ARFF file, or cut short")
    return names, data


def arff_gold(path: Path) -> tuple[F64, F64]:
    """Times and gold standard of an AVEC rating file: column ``frameTime`` (any case), and the last column."""
    names, data = read_arff(path)
    if not data:
        raise InputError(f"{path}: no rows under @data")
    lower = [name.lower() for name in names]
    time_at = next((lower.index(name) for name in ("frametime", "timestamp") if name in lower), None)
    if time_at is None:
        raise InputError(f"{path}: no frameTime attribute among {names}")
    time_s = np.array([_finite(cells[time_at], path, number, "frameTime") for number, cells in data])
    gold = np.array([_finite(cells[-1], path, number, names[-1]) for number, cells in data])
    _increasing(time_s, path)
    return time_s, gold


def arff_features(path: Path) -> tuple[tuple[str, ...], F64]:
    """Descriptor names and values ``float64 (rows, descriptors)``; ``?`` becomes NaN, missing to whoever fills it."""
    names, data = read_arff(path)
    keep = [index for index, name in enumerate(names) if name.lower() not in NOT_FEATURES]
    values = np.empty((len(data), len(keep)))
    for row, (number, cells) in enumerate(data):
        for column, index in enumerate(keep):
            values[row, column] = _number_or_missing(cells[index], path, number, names[index])
    return tuple(names[index] for index in keep), values


def column(row: dict[str, str], name: str, path: Path, line: int) -> str:
    """The cell of a named column, `InputError` where the column is absent."""
    try:
        return row[name]
    except KeyError:
        raise InputError(f"{path}:{line}: no column {name!r}; found {', '.join(row)}") from None


def unit_value(text: str, path: Path, line: int, name: str) -> float:
    """A number in [-1, 1]."""
    value = _finite(text, path, line, name)
    if not -1.0 <= value <= 1.0:
        raise InputError(f"{path}:{line}: {name} {value:g} lies outside [-1, 1]")
    return value


def same_length(traces: dict[Dimension, Traces], name: str) -> None:
    """Refuse a recording whose dimensions were rated for different numbers of frames (more than one apart)."""
    lengths = {dimension: len(trace.time_s) for dimension, trace in traces.items()}
    if lengths and max(lengths.values()) - min(lengths.values()) > 1:
        raise InputError(f"{name}: ratings of unequal length: {lengths}")


def _cells(line: str, delimiter: str) -> list[str]:
    quote = "'" if "'" in line and '"' not in line else '"'
    cells = next(csv.reader([line], delimiter=delimiter, quotechar=quote, skipinitialspace=True))
    return [cell.strip() for cell in cells]


def _attribute_name(line: str, path: Path, number: int) -> str:
    declared = line.split(maxsplit=1)
    if len(declared) < 2:
        raise InputError(f"{path}:{number}: an @attribute without a name")
    text = declared[1].strip()
    if text[0] in "'\"":
        return text[1:].split(text[0], 1)[0]
    return text.split()[0]


def _finite(text: str, path: Path, line: int, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{path}:{line}: {name}: {text!r} is not a number; ratings may have no holes")
    return value


def _number_or_missing(text: str, path: Path, line: int, name: str) -> float:
    if text == "?":
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}:{line}: {name}: {text!r} is neither a number nor '?'") from None


def _increasing(time_s: F64, path: Path) -> None:
    backwards = np.flatnonzero(np.diff(time_s) <= 0)
    if len(backwards):
        raise InputError(f"{path}: time does not increase after {time_s[backwards[0]]:g} s")
