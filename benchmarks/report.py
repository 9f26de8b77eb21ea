"""The committed results as tables and pictures in `benchmarks/README.md` and the project's README: never typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.pictures import draw_comparison, draw_growth

RESULTS = Path(__file__).with_name("results")
HERE = Path(__file__).with_name("README.md")
PROJECT = Path(__file__).resolve().parents[1] / "README.md"
COMPARISON = PROJECT.parent / "docs" / "benchmarks.png"
GROWTH = RESULTS / "growth.png"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"

ESSENCE = (
    ("pipeline.tick", "whole tick: 40 ms of sound, one 640x480 picture, one reading"),
    ("pipeline.openSMILE + fer / ours", "openSMILE + `fer` over the same tick, times ours"),
    ("acoustic.live hop of 40 ms", "88 functionals of a 3 s window, one hop of 40 ms"),
    ("acoustic.opensmile: file / ours (file of 60 s)", "openSMILE over a 60 s file, times ours"),
    ("face.frame with one face, mean", "face path, one picture of 640x480 that is looked at (12.5 a second)"),
    ("regressor.linear: ours, two outputs", "linear regressor, 200 inputs, both outputs"),
    ("regressor.rbf: ours, two outputs", "RBF regressor, 2,000 support vectors x 200 inputs, both outputs"),
    ("mqtt.publish to subscriber, p50", "MQTT over loopback, publish to subscriber, median"),
    ("sweep.encoder: main file, 1 thread", "face network, one crop"),
    (
        "growth.memory, clip: departure from constant",
        "peak memory over clips of half a minute to 8 minutes: largest departure from constant",
    ),
    ("startup.warm cache: first reading", "start of a process to its first reading, warm cache"),
    ("daemon.resident memory", "resident memory of the daemon"),
    ("daemon.processor share", "processor share of the daemon, camera and microphone live"),
)


def write() -> list[Path]:
    """Renew tables and pictures; returns the files written."""
    reports = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    _replace(HERE, "\n\n".join(_machine_table(report) for report in reports))
    _replace(PROJECT, _essence(reports))
    written = [HERE, PROJECT]
    for report in reports[:1]:  # one picture shows one machine
        if draw_comparison(dict(_figures(report)), _machine(report), COMPARISON):
            written.append(COMPARISON)
        curves = [curve for result in report["results"] for curve in result["curves"]]
        if draw_growth(curves, _machine(report), GROWTH):
            written.append(GROWTH)
    return written


def _machine_table(report: dict[str, Any]) -> str:
    rows = [
        f"### {_machine(report)}",
        "",
        f"`{report['command']}`, {sum(result['seconds'] for result in report['results']) / 60:.1f} minutes",
        "",
        "| figure | p50 or value | p95 | p99 | in yardsticks |",
        "|---|---|---|---|---|",
    ]
    for name, figure in _figures(report):
        cpu = figure["cpu"]
        spread = f"{cpu['p95']:.3f} | {cpu['p99']:.3f}" if cpu else " | "
        ratio = f"{figure['yardsticks']:.3f}" if figure["yardsticks"] else ""
        rows.append(f"| {name} | {figure['value']:.4g} {figure['unit']} | {spread} | {ratio} |")
    rows += [
        f"| {result['subject']}, {what} | {words} | | | |"
        for result in report["results"]
        for what, words in result["notes"].items()
    ]
    missing = [
        f"| {result['subject']}: {what} | not measured: {why} | | | |"
        for result in report["results"]
        for what, why in result["not_measured"].items()
    ]
    return "\n".join(rows + missing)


def _essence(reports: list[dict[str, Any]]) -> str:
    rows = ["| what | " + " | ".join(map(_machine, reports)) + " |", "|---|" + "---|" * len(reports)]
    tables = [dict(_figures(report)) for report in reports]
    for name, meaning in ESSENCE:
        cells = [_cell(table[name]) if name in table else "" for table in tables]
        if any(cells):
            rows.append(f"| {meaning} | " + " | ".join(cells) + " |")
    commands = ", ".join(sorted({f"`{report['command']}`" for report in reports}))
    rows += [
        "",
        f"CPU time unless the row says otherwise, one thread. {commands}.",
        "All figures and peers: [benchmarks/README.md](benchmarks/README.md).",
    ]
    return "\n".join(rows)


def _figures(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for result in report["results"]:
        for figure in result["figures"]:
            if figure["name"] != "yardstick":
                yield f"{result['subject']}.{figure['name']}", figure


def _cell(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.3g} {figure['unit']}".strip()


def _machine(report: dict[str, Any]) -> str:
    about = report["machine"]
    return f"{about['board'] or about['cpu']}, {about['cores']} cores, commit {about['commit']}"


def _replace(path: Path, text: str) -> None:
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
