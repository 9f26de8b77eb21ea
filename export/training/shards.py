"""Shards on disk: one Parquet file per recording and stage, named by the hash of all that it was made from.

A shard exists whole or not at all: it is written beside its place, synced, and moved there. What has been made once is
never made again, whoever was killed in between.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from edge_emotion import __version__
from edge_emotion.errors import InputError, UsageError

Columns = dict[str, NDArray[Any]]

_ROWS_PER_GROUP = 2500
"""Rows compressed together: 100 s at 40 ms."""


def key(*parts: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of the program's version and ``parts`` as canonical JSON."""
    text = json.dumps([__version__, *parts], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def made(path: Path, make: Callable[[], Columns]) -> Path:
    """``path``, made now unless it is there already."""
    if not path.is_file():
        write(path, make())
    return path


def made_json(path: Path, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON object at ``path``, made now unless it is there already; what is made is read back, never used as is."""
    if not path.is_file():
        write_json(path, make())
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a whole result ({error}); delete it, it will be made again") from None
    return data


def digest(arrays: Iterable[NDArray[Any]]) -> str:
    """SHA-256 of the arrays' bytes, one after the other."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def write(path: Path, columns: Columns) -> None:
    """Write columns of equal length, ``(rows,)`` or ``(rows, width)``, whole or not at all.

    Raises
    ------
    UsageError
        The disk is full or the folder cannot be written.
    """
    table = pa.table({name: _to_arrow(values) for name, values in columns.items()})
    with whole_file(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=_ROWS_PER_GROUP)


def read(path: Path, columns: Sequence[str] | None = None) -> Columns:
    """Columns of a shard as they were written; only ``columns`` are read from the disk."""
    try:
        table = pq.read_table(path, columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: not a whole shard ({error}); delete it, it will be made again") from None
    return {name: _to_numpy(table.column(name)) for name in table.column_names}


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    with whole_file(path) as file:
        file.write((json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears at ``path`` only when all of it has been written and synced."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _refused(path, error) from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _refused(path: Path, error: OSError) -> UsageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UsageError(f"{path}: the disk is full; make room and run the same command again")
    return UsageError(f"{path}: cannot be written ({error.strerror or error})")


def _to_arrow(values: NDArray[Any]) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    chunks = column.combine_chunks()
    if pa.types.is_fixed_size_list(column.type):
        flat = np.asarray(chunks.flatten().to_numpy(zero_copy_only=False))
        return flat.reshape(-1, column.type.list_size)
    return np.asarray(chunks.to_numpy(zero_copy_only=False))
