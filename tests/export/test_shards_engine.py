"""Nothing half-written is taken for done, a lost worker costs nothing but time, a full disk says so."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from edge_emotion_export.training import engine, shards

from edge_emotion.errors import InputError, UsageError


def test_columns_come_back_as_they_were(tmp_path: Path) -> None:
    columns = {
        "f": np.random.default_rng(0).normal(size=(7000, 3)).astype(np.float32),
        "b": np.arange(7000) % 3 == 0,
        "u": np.arange(14000, dtype=np.uint8).reshape(7000, 2),
        "d": np.linspace(0, 1, 7000),
    }
    columns["f"][5] = np.nan
    shards.write(tmp_path / "a.parquet", columns)
    back = shards.read(tmp_path / "a.parquet")
    for name, values in columns.items():
        assert back[name].dtype == values.dtype
        np.testing.assert_array_equal(back[name], values)
    assert list(shards.read(tmp_path / "a.parquet", ["d"])) == ["d"]


def test_made_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def make() -> shards.Columns:
        calls.append(1)
        return {"x": np.zeros(3)}

    for _ in range(2):
        shards.made(tmp_path / "x.parquet", make)
        shards.made_json(tmp_path / "x.json", lambda: {"x": len(calls)})
    assert len(calls) == 1


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with shards.whole_file(tmp_path / "x") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"x.parquet: the disk is full; make room and run"):
        shards.write(tmp_path / "x.parquet", {"x": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        shards.write_json(tmp_path / "file" / "x.json", {})


def test_torn_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(InputError, match=r"x.parquet: not a whole shard .* delete it"):
        shards.read(tmp_path / "x.parquet")


def test_killed_writer_leaves_no_shard(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom edge_emotion_export.training import shards\n"
        "with shards.whole_file(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); print('ready', flush=True); time.sleep(60)\n"
    )
    path = tmp_path / "x.parquet"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGKILL)
    assert not path.exists()
    shards.write(path, {"x": np.zeros(1)})
    assert shards.read(path)["x"].tolist() == [0.0]


@dataclass(frozen=True)
class Square:
    value: int

    def run(self) -> int:
        return self.value**2


@dataclass(frozen=True)
class DiesOnce:
    mark: str

    def run(self) -> str:
        """Again and again where the mark cannot be made."""
        mark = Path(self.mark)
        if mark.exists():
            return "recovered"
        if mark.parent.is_dir():
            mark.touch()
        os._exit(1)


def _run(job: Square | DiesOnce) -> object:
    return job.run()


def test_results_keep_the_order_of_the_jobs() -> None:
    with engine.cluster() as client:
        assert engine.run(client, _run, [Square(k) for k in range(9)], "squares") == [k * k for k in range(9)]


def test_expected_faults_come_back_as_raised() -> None:
    def refuse(_: int) -> None:
        raise InputError("P16.csv:3: x is not a number")

    with engine.cluster() as client, pytest.raises(InputError, match=r"P16\.csv:3"):
        engine.run(client, refuse, [1], "refusals")


def test_lost_worker_is_replaced(tmp_path: Path) -> None:
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with engine.cluster(workers=2) as client:
        jobs = [DiesOnce(str(tmp_path / "mark")), *(Square(k) for k in range(5))]
        assert engine.run(client, _run, jobs, "jobs") == ["recovered", 0, 1, 4, 9, 16]


def test_a_task_that_kills_every_worker_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(engine, "_LOST_WORKERS", 0)
    with (
        engine.cluster(workers=2) as client,
        pytest.raises(UsageError, match=r"jobs: 1 workers died on .*use fewer workers"),
    ):
        engine.run(client, _run, [DiesOnce(str(tmp_path / "no such folder" / "mark"))], "jobs")


def test_no_scheduler_there() -> None:
    with (
        pytest.raises(UsageError, match="no Dask scheduler answers"),
        engine.cluster("tcp://127.0.0.1:9", timeout_s=1),
    ):
        pass
