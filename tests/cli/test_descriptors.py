"""The command ``edge-emotion descriptors``: tables, parts, folders, faults, pictures."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import wave

import numpy as np
import pytest

from edge_emotion.cli import app
from edge_emotion.cli.describe import Request, describe_file
from edge_emotion.cli.run import run
from edge_emotion.features.functionals import compute_descriptors, compute_functionals
from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES

RATE = 16_000


def voice(seconds, hertz=140.0):
    phase = np.cumsum(np.full(round(seconds * RATE), hertz)) / RATE
    return (9000 * np.exp(-12 * (phase % 1.0)) * np.sin(40 * (phase % 1.0))).astype(np.int16)


def save(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture
def file(tmp_path):
    return save(tmp_path / "voice.wav", voice(2.5))


def descriptors(*arguments):
    return run(app, "edge-emotion", ["descriptors", *map(str, arguments)])


def read(path):
    with path.open(newline="") as text:
        return list(csv.reader(text))


def floats(row):
    return np.array(row[3:], np.float32)


def test_one_file_is_one_row_of_88_on_standard_output(file, capsys):
    assert descriptors(file) == 0
    header, row = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["file", "start", "end", *FUNCTIONAL_NAMES]
    assert row[:3] == [str(file), "0", "2.5"]
    assert np.array_equal(floats(row), compute_functionals(voice(2.5), RATE))


def test_lld_is_a_row_each_10_ms(file, tmp_path):
    out = tmp_path / "x.csv"
    assert descriptors(file, "--lld", "--mode", "corrected", "--start", 0.5, "--out", out) == 0
    header, *rows = read(out)
    table = compute_descriptors(voice(2.5)[RATE // 2 :], RATE, "corrected")
    assert header[3:] == list(LLD_NAMES)
    assert np.array_equal([floats(row) for row in rows], table.values)
    assert rows[3][1:3] == ["0.53", "0.55"]
    assert rows[-1][2] == "2.5"


def test_windows_are_full_and_end_at_multiples_of_the_hop(file, tmp_path):
    out = tmp_path / "x.csv"
    assert descriptors(file, "--window", 1.2, "--hop", 0.5, "--out", out) == 0
    assert [row[1:3] for row in read(out)[1:]] == [["0.3", "1.5"], ["0.8", "2"], ["1.3", "2.5"]]


def test_a_file_below_one_window_is_one_row_of_what_there_is(file, tmp_path):
    out = tmp_path / "x.csv"
    assert descriptors(file, "--window", 4, "--out", out) == 0
    assert [row[1:3] for row in read(out)[1:]] == [["0", "2.5"]]


def test_restarted_windows_are_what_each_part_alone_gives(file, tmp_path):
    out = tmp_path / "x.csv"
    assert descriptors(file, "--window", 1, "--restart", "--out", out) == 0
    for row in read(out)[1:]:
        begin, end = (round(float(value) * RATE) for value in row[1:3])
        assert np.array_equal(floats(row), compute_functionals(voice(2.5)[begin:end], RATE))


def test_one_channel_of_two(tmp_path, capsys):
    path, out = tmp_path / "two.wav", tmp_path / "x.csv"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((2, 2, RATE, 0, "NONE", ""))
        sound.writeframes(np.stack([0 * voice(1), voice(1)], axis=1).tobytes())
    assert descriptors(path, "--channel", 1, "--out", out) == 0
    assert np.array_equal(floats(read(out)[1]), compute_functionals(voice(1), RATE))
    assert descriptors(path, "--channel", 2) == 65
    errors = capsys.readouterr().err
    assert "two.wav: there is no channel 2: the sound has 2" in errors
    assert errors.count("\n") == 1


def die(path, request):
    os._exit(9)


def test_a_killed_worker_is_one_line(file, capsys, monkeypatch):
    monkeypatch.setattr("edge_emotion.cli.describe.describe_file", die)
    assert descriptors(file, file, "--jobs", 2) == 1
    assert "a worker process was killed" in capsys.readouterr().err


def test_help_teaches(capsys):
    assert descriptors("--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Examples: edge-emotion descriptors speech.wav" in said
    assert "65 input that cannot be read" in said


def test_too_short_is_a_row_without_values_and_a_word(file, tmp_path, capsys):
    out = tmp_path / "x.csv"
    assert descriptors(file, "--duration", 0.059, "--out", out) == 0
    (row,) = read(out)[1:]
    assert row[1:3] == ["0", "0.059"]
    assert row[3:] == [""] * 88
    assert "voice.wav: 0.059 s of sound is too short" in capsys.readouterr().err
    assert descriptors(file, "--duration", 0.06, "--out", out) == 0
    assert np.isfinite(floats(read(out)[1])).all()


def test_a_folder_with_a_bad_file_by_worker_processes(tmp_path, capsys):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    for k in range(3):
        save(folder / f"{k}.wav", voice(0.5, 100 + 30 * k))
    (folder / "2b.wav").write_text("not sound")
    (folder / "notes.txt").write_text("ignored")
    out = tmp_path / "x.csv"
    assert descriptors(tmp_path / "in", tmp_path / "gone.flac", "--jobs", 2, "--out", out) == 65
    assert [row[0] for row in read(out)[1:]] == [str(folder / f"{k}.wav") for k in range(3)]
    errors = capsys.readouterr().err
    assert "2b.wav: not a media file" in errors
    assert "gone.flac: no such file" in errors
    assert "2 of 5 files could not be read" in errors
    assert "Traceback" not in errors
    assert descriptors(tmp_path / "in", "--pattern", "1.*", "--out", out) == 0
    assert len(read(out)) == 2
    assert descriptors(tmp_path / "in", "--pattern", "*.ogg") == 65


def test_parquet_holds_the_same_numbers(file, tmp_path):
    pytest.importorskip("pyarrow", exc_type=ImportError)
    from pyarrow import parquet

    out = tmp_path / "x.parquet"
    assert descriptors(file, "--out", out) == 0
    table = parquet.read_table(out)
    assert table.column_names == ["file", "start", "end", *FUNCTIONAL_NAMES]
    values = np.array([table[name][0].as_py() for name in FUNCTIONAL_NAMES], np.float32)
    assert np.array_equal(values, compute_functionals(voice(2.5), RATE))
    assert descriptors(file, "--duration", 0.01, "--out", out) == 0
    assert parquet.read_table(out)["loudness_sma3_amean"].to_pylist() == [None]


def test_a_picture_is_drawn(file, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "x.png"
    assert descriptors(file, "--plot", out, "--start", 0.2, "--duration", 1.5) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    silent = save(tmp_path / "silent.wav", np.zeros(RATE, np.int16))
    assert descriptors(silent, "--plot", out) == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--lld", "--window", "2"], "--window"),
        (["--restart"], "--window"),
        (["--window", "inf"], "finite"),
        (["--duration", "inf"], "finite"),
        (["--out", "gone/x.parquet"], "cannot be written (No such file"),
        (["--out", "x.xlsx"], ".parquet"),
        (["--out", "gone/x.csv"], "cannot be written"),
        (["--plot", "gone/x.png"], "cannot be written"),
        (["--plot", "x.nothing"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_refused_with_exit_code_2(file, arguments, word, capsys):
    assert descriptors(file, *arguments) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "arguments", "remedy"),
    [("matplotlib", ["--plot", "x.png"], "[plot]"), ("pyarrow", ["--out", "x.parquet"], "[parquet]")],
)
def test_a_missing_extra_is_named_with_the_remedy(
    file, tmp_path, monkeypatch, capsys, module, arguments, remedy
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    assert descriptors(file, *arguments) == 2
    assert f"pip install 'edge-emotion{remedy}'" in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))


def test_long_files_take_hardly_more_memory_than_short_ones(tmp_path):
    """600 s take at most 10 MB more than 60 s; each in a process of its own."""
    path = save(tmp_path / "long.wav", np.tile(np.concatenate([voice(4), np.zeros(RATE, np.int16)]), 120))
    program = (
        "import resource, sys; from edge_emotion.cli.describe import Request, describe_file;"
        "assert describe_file(sys.argv[1], Request(duration_s=float(sys.argv[2]))).values is not None;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    kilobytes = [
        int(subprocess.run([sys.executable, "-c", program, path, s], capture_output=True, check=True).stdout)
        for s in ("1", "60", "600")  # the first compiles what is not cached yet
    ]
    assert kilobytes[2] - kilobytes[1] < 10_000


def test_a_rate_out_of_range_is_that_files_fault(tmp_path, capsys):
    path = tmp_path / "slow.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 4000, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    assert descriptors(path) == 65
    assert "slow.wav: 4000 Hz" in capsys.readouterr().err


def test_the_same_function_runs_as_a_task_of_a_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    import dask

    paths = [str(save(tmp_path / f"{k}.wav", voice(0.5, 100 + 30 * k))) for k in range(4)]
    patient = {f"distributed.comm.timeouts.{what}": "180s" for what in ("connect", "tcp")}
    with (
        dask.config.set(patient),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster, timeout=180) as client,
    ):
        found = client.gather(client.map(describe_file, paths, request=Request()))
    for rows, path in zip(found, paths, strict=True):
        assert np.array_equal(rows.values, describe_file(path, Request()).values)
