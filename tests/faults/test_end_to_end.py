"""A minute of camera and microphone through the daemon to a subscriber, held to benchmarks/budgets.toml."""

import tomllib

import pytest

from benchmarks import __main__ as program
from benchmarks import harness

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_a_minute_of_camera_and_microphone_keeps_the_budgets(capsys):
    report = program.measure(["daemon"], harness.Options())
    missing = report["results"][0]["not_measured"]
    if missing:
        pytest.skip("; ".join(missing.values()))
    with capsys.disabled():
        print("\n" + program.table(report))
    figures = {figure["name"]: figure["value"] for figure in report["results"][0]["figures"]}
    assert figures["readings"] == pytest.approx(5, rel=0.01)
    assert program.broken_budgets(report, tomllib.loads(program.BUDGETS.read_text())) == []
