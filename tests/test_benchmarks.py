"""The benchmarks cannot rot: every subject runs, `--check` sees a slow-down, results can be compared."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as program
from benchmarks import harness, subjects
from edge_emotion.errors import EdgeEmotionError, InputError

SMOKE = harness.Options(rounds=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", subjects.names())
def test_every_subject_runs_and_gives_finite_figures(name: str) -> None:
    try:
        report = program.measure([name], SMOKE)
    except EdgeEmotionError as reason:
        pytest.skip(f"its material cannot be had: {reason}")
    figures = report["results"][0]["figures"]
    assert figures
    assert all(math.isfinite(figure["value"]) for figure in figures)
    json.dumps(report, allow_nan=False)


def test_a_slow_down_of_a_third_breaks_a_budget_with_a_tenth_to_spare() -> None:
    work = np.random.default_rng(0).standard_normal((64, 4096))

    def kernel() -> None:
        np.sort(work, axis=1)

    def slower() -> None:
        begin = time.process_time_ns()
        kernel()
        taken = time.process_time_ns() - begin
        while time.process_time_ns() < begin + taken * 1.4:
            pass

    timings = harness.interleave(
        {harness.YARDSTICK: harness.yardstick, "kernel": kernel, "slower": slower}, 60
    )
    result = harness.Result("planted")
    result.add_timings(timings)
    honest = next(f.yardsticks for f in result.figures if f.name == "kernel")
    assert honest is not None
    budgets = {"planted": {"kernel": honest * 1.1, "slower": honest * 1.1}}
    broken = program.broken_budgets({"results": [result.as_dict()]}, budgets)
    assert [line.split(":")[0] for line in broken] == ["planted.slower"]


def test_a_budget_without_its_figure_is_broken() -> None:
    report = {"results": [harness.Result("planted").as_dict()]}
    assert program.broken_budgets(report, {"planted": {"kernel": 1.0}})


def test_two_interleaved_rounds_of_the_same_call_agree() -> None:
    timings = harness.interleave({"a": harness.yardstick, "b": harness.yardstick}, 60)
    a, b = (float(np.median(timings[name].cpu_ns)) for name in "ab")
    assert a / b == pytest.approx(1.0, abs=0.15)


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
