"""The benchmarks cannot rot: every subject runs, `--check` sees a slow-down, results can be compared."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from bundles import tiny_bundle

from benchmarks import __main__ as program
from benchmarks import harness, report, step_clip, subjects
from benchmarks.peers import PROGRAMS
from benchmarks.subjects import kernels as kernels_subject
from benchmarks.subjects import sweep
from edge_emotion.errors import EdgeEmotionError, InputError, ProviderError, UsageError
from edge_emotion.kernels import formants, pitch
from edge_emotion.model.bundle import open_bundle

SMOKE = harness.Options(rounds=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", subjects.names())
def test_every_subject_runs_and_gives_finite_figures(name: str) -> None:
    try:
        report = program.measure([name], SMOKE)
    except EdgeEmotionError as reason:
        pytest.skip(f"its material cannot be had: {reason}")
    result = report["results"][0]
    figures = result["figures"]
    if not figures and result["not_measured"] and not step_clip.SPEECH.is_dir():
        pytest.skip(f"its material cannot be had: {result['not_measured']}")
    assert figures
    assert all(math.isfinite(figure["value"]) for figure in figures)
    json.dumps(report, allow_nan=False)


class Clock:
    """Processor and wall time that pass only in calls of known cost, so that no verdict hangs on this machine's load.

    ``uneven``: the machine is half as fast in every other hundred of calls.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, uneven: bool = False) -> None:
        self.now_ns = 0
        self.calls = 0
        self.uneven = uneven
        for name in ("process_time_ns", "perf_counter_ns"):
            monkeypatch.setattr(time, name, lambda: self.now_ns)

    def costs(self, ms: float, call: Callable[..., Any] = lambda: None) -> Callable[..., Any]:
        """``call``, which takes ``ms``."""

        def timed(*arguments: Any) -> Any:
            self.calls += 1
            slow = self.uneven and self.calls // 100 % 2
            self.now_ns += round(ms * 1e6 * (1 + slow))
            return call(*arguments)

        return timed


def test_interleaved_rounds_see_through_a_machine_that_changes_its_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch, uneven=True)
    costs_ms = {harness.YARDSTICK: 1.0, "kernel": 2.0, "the same": 2.0, "slower": 2.6}
    result = harness.Result("planted")
    result.add_timings(harness.interleave({name: clock.costs(ms) for name, ms in costs_ms.items()}, 61))
    found = {figure.name: figure.yardsticks for figure in result.figures}
    assert found == pytest.approx(costs_ms)
    budgets = {"planted": dict.fromkeys(costs_ms, 2.2)}
    broken = program.broken_budgets({"results": [result.as_dict()]}, budgets)
    assert [line.split(":")[0] for line in broken] == ["planted.slower"]


def test_check_catches_a_kernel_slowed_by_three_tenths(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way: subject, table, budgets from an honest run, exit code."""
    clock = Clock(monkeypatch)
    monkeypatch.setattr(kernels_subject, "yardstick", clock.costs(1.0))
    monkeypatch.setattr(formants, "formants", clock.costs(2.0, formants.formants))
    candidates = pitch.candidates
    monkeypatch.setattr(pitch, "candidates", clock.costs(3.0, candidates))
    check = budgeted_check(monkeypatch, tmp_path, capsys, rounds=SMOKE.rounds, margin=1.15)
    assert check() == []
    monkeypatch.setattr(pitch, "candidates", clock.costs(3.9, candidates))
    assert check() == ["kernels.pitch.candidates"]


@pytest.mark.faults
def test_check_catches_a_slowed_kernel_by_the_machines_own_clock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same without any planted clock; wants a machine that does nothing else."""
    check = budgeted_check(monkeypatch, tmp_path, capsys, rounds=60, margin=1.15)
    real = pitch.candidates

    def slower(*arguments: Any) -> None:
        begin = time.process_time_ns()
        real(*arguments)
        end = begin + 1.3 * (time.process_time_ns() - begin)
        while time.process_time_ns() < end:
            pass

    monkeypatch.setattr(pitch, "candidates", slower)
    assert check() == ["kernels.pitch.candidates"]


def budgeted_check(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    rounds: int,
    margin: float,
) -> Callable[[], list[str]]:
    """``run kernels --check`` against budgets from an honest run: names what is over, and holds the exit code to it."""
    honest = program.measure(["kernels"], harness.Options(rounds=rounds))
    (folder / "honest.json").write_text(json.dumps(honest))
    limits = "".join(f'"{name}" = 0\n' for name in ("pitch.candidates", "formants.formants"))
    (folder / "budgets.toml").write_text(f"[kernels]\n{limits}")
    monkeypatch.setattr(program, "BUDGETS", folder / "budgets.toml")
    capsys.readouterr()
    program.budgets([folder / "honest.json"], margin=margin)
    (folder / "budgets.toml").write_text(capsys.readouterr().out)

    def check() -> list[str]:
        code = 0
        try:
            program.run(["kernels"], False, None, rounds, 1, "cpu", "onnxruntime", [], True, 1)
        except typer.Exit as stopped:
            code = stopped.exit_code
        said = capsys.readouterr().err.splitlines()
        broken = [line.split(":")[0] for line in said if "over its budget" in line]
        assert code == (1 if broken else 0)
        return broken

    return check


def test_budgets_are_renewed_from_the_slowest_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [written(tmp_path / f"{speed}.json", smoothing=speed) for speed in (1.0, 1.1)]
    program.budgets(paths, margin=2.0)
    renewed = tomllib.loads(capsys.readouterr().out)
    assert renewed["smoothing"]["update"] == pytest.approx(2.2)
    before = tomllib.loads(program.BUDGETS.read_text())
    assert renewed["memory"] == before["memory"]
    assert renewed.keys() == before.keys()


def test_two_results_agree_within_fifteen_parts_of_a_hundred_or_the_comparison_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path / "a.json", smoothing=1.0)
    program.compare(first, written(tmp_path / "b.json", smoothing=1.14), within=0.15)
    assert "1 of 1 durations agree within 15%" in capsys.readouterr().out
    for other in (1.16, 0.86):
        with pytest.raises(typer.Exit) as stopped:
            program.compare(first, written(tmp_path / "c.json", smoothing=other), within=0.15)
        assert stopped.value.exit_code == 1
        assert "beyond: smoothing.update" in capsys.readouterr().err


def written(path: Path, *, smoothing: float) -> Path:
    """A result with one duration in yardsticks and one plain number."""
    result = harness.Result("smoothing")
    result.add("declared latency", 2.0 * smoothing, "s")
    result.figures.append(harness.Figure("update", "ms", 1.0, yardsticks=smoothing))
    path.write_text(json.dumps({"schema": program.SCHEMA, "results": [result.as_dict()]}))
    return path


def test_of_several_passes_each_figure_is_the_median_one() -> None:
    passes = []
    for update, latency in ((1.0, 9.0), (3.0, 1.0), (2.0, 5.0)):
        result = harness.Result("smoothing")
        result.add("declared latency", latency, "s")
        result.figures.append(harness.Figure("update", "ms", 7.0, yardsticks=update))
        passes.append(result.as_dict() | {"seconds": 1.0})
    merged = program.median_pass(passes)
    found = {figure["name"]: figure for figure in merged["figures"]}
    assert found["update"]["yardsticks"] == 2.0
    assert found["declared latency"]["value"] == 5.0
    assert merged["seconds"] == 3.0


def test_the_backend_picks_the_form_of_the_face_encoder(tmp_path: Path, tiny_bundle_path: Path) -> None:
    both = open_bundle(tiny_bundle(tmp_path / "both", encoders={"int8.tflite": b"any"}))
    options = harness.Options(backend="litert", threads=2)
    engine = options.execution_of(both).for_encoder
    assert (engine.variant, engine.interpreter, engine.threads) == ("int8", "ai-edge-litert", 2)
    assert harness.Options().execution_of(both).for_encoder.variant is None
    with pytest.raises(UsageError, match=r"--backend litert: .* has no such form; it has: encoder\.onnx"):
        options.execution_of(open_bundle(tiny_bundle_path))


def test_subjects_without_an_encoder_say_that_the_backend_is_not_theirs() -> None:
    report = program.measure(["smoothing"], harness.Options(rounds=1, backend="litert"))
    assert "litert" in report["results"][0]["not_measured"]


def test_a_board_without_the_workstations_packages_measures_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "benchmarks.subjects.training", raising=False)
    report = program.measure(["training", "smoothing"], harness.Options(rounds=1))
    assert "torch is not installed" in report["results"][0]["not_measured"]["all of it"]
    assert report["results"][1]["figures"]


def test_an_absent_gpu_is_one_line_and_in_results_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(sweep.material, "frames", lambda count: [np.zeros((480, 640, 3), np.uint8)] * count)
    result = sweep.run(SMOKE)
    assert "onnxruntime-gpu" in result.not_measured["main file, 1 thread, cuda"]
    assert "least processor time" in result.notes["chosen"]
    with pytest.raises(ProviderError, match="provider cuda is not part of the onnxruntime at hand"):
        program.measure(["regressor"], harness.Options(rounds=1, provider="cuda"))


def test_a_curve_knows_how_far_it_is_from_what_theory_expects() -> None:
    x = [1.0, 2.0, 3.0, 4.0]
    straight = harness.Curve.fit(("c", "x", "y"), x, [3.0, 5.0, 7.0, 9.0], "linear")
    assert straight.departure == pytest.approx(0.0, abs=1e-6)
    square = harness.Curve.fit(("c", "x", "y"), x, [1.0, 4.0, 9.0, 16.0], "linear")
    assert square.departure > 0.1
    flat = harness.Curve.fit(("c", "x", "y"), x, [2.0, 2.0, 2.0, 4.0], "constant")
    assert flat.line == [2.5] * 4
    bent = harness.Curve.fit(("c", "x", "y"), x, [1.0, 3.0, 3.5, 4.0], "linear", bend=2)
    assert bent.departure == pytest.approx(0.0, abs=1e-6)
    assert flat.departure == pytest.approx(0.6)


def test_every_peer_is_measured_by_some_subject() -> None:
    asked = {peer for name in subjects.names() for peer in getattr(subjects.load(name), "PEERS", ())}
    assert asked == set(PROGRAMS)


def test_tables_and_pictures_come_from_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = harness.Result("smoothing", notes={"chosen": "the first"}, not_measured={"cuda": "absent"})
    result.curves.append(harness.Curve.fit(("c", "x", "y"), [1.0, 2.0], [3.0, 4.0], "linear"))
    regressor = harness.Result("regressor")
    for name, value in (("ours, two outputs", 0.05), ("scikit-learn, two outputs", 0.75)):
        regressor.figures.append(harness.Figure(f"rbf: {name}", "ms", value))
    results = [each.as_dict() | {"seconds": 6.0} for each in (result, regressor)]
    machine = {"board": "a board", "cpu": "x", "cores": 4, "commit": "abc"}
    whole = {"schema": program.SCHEMA, "command": "run all", "machine": machine, "results": results}
    (tmp_path / "board.json").write_text(json.dumps(whole))
    for name in ("HERE", "PROJECT"):
        (tmp_path / name).write_text(f"before\n{report.BEGIN}old{report.END}\nafter\n")
        monkeypatch.setattr(report, name, tmp_path / name)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "COMPARISON", tmp_path / "comparison.png")
    monkeypatch.setattr(report, "GROWTH", tmp_path / "growth.png")
    assert all(path.stat().st_size > 0 for path in report.write())
    assert (
        (tmp_path / "growth.png").read_bytes()[:4]
        == b"\x89PNG"
        == (tmp_path / "comparison.png").read_bytes()[:4]
    )
    table, essence = (tmp_path / "HERE").read_text(), (tmp_path / "PROJECT").read_text()
    assert "not measured: absent" in table
    assert "the first" in table
    assert "`run all`, 0.2 minutes" in table
    assert "0.05 ms" in essence
    assert "old" not in table + essence


def test_a_budget_without_its_figure_is_broken() -> None:
    report = {"results": [harness.Result("planted").as_dict()]}
    assert program.broken_budgets(report, {"planted": {"kernel": 1.0}})


def test_waiting_counts_in_scheduled_load() -> None:
    calls = iter([0.03, 0.0, 0.0])
    late = harness.on_schedule(lambda: time.sleep(next(calls)), 0.01, 3)
    assert late[1] >= 15e6  # it was due 10 ms after the first, which took 30


def test_results_of_another_program_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "x.json"
    other.write_text('{"schema": "something else"}')
    with pytest.raises(InputError, match="not a result"):
        program.compare(other, other)


def test_an_unknown_subject_is_a_usage_fault() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "run", "nonsense"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 2
    assert "unknown subject" in done.stderr
    assert "Traceback" not in done.stderr
