"""Tables of ``evaluate face`` and ``cross-validate face``."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from edge_emotion.cli import run
from edge_emotion.types import DIMENSIONS

from ..training.face_conditions import HELD_OUT


def show(report: dict[str, Any]) -> None:
    """Print what a report holds: affect, accuracy, conditions, faces left out and found."""
    affect = Table("", "CCC", "Pearson r", "RMSE", "n", title="affect")
    for name in DIMENSIONS:
        if row := report.get(name):
            affect.add_row(name, *(f"{row[key]:.3f}" for key in ("ccc", "pearson_r", "rmse")), str(row["n"]))
    if affect.row_count:
        run.stdout.print(affect)
    titles = {"accuracy": "accuracy on FER+ votes", "accuracy_direct": "accuracy without detection"}
    for key, title in titles.items():
        if report.get(key):
            votes = Table("protocol", "accuracy", "n", title=title)
            for name, count in report[key]["n"].items():
                votes.add_row(name, _percent(report[key][name], 2), str(count))
            run.stdout.print(votes)
    if report.get("recall"):
        recall = Table("expression", "recall", title="recall, standard protocol")
        for name, share in report["recall"].items():
            recall.add_row(name, _percent(share))
        run.stdout.print(recall)
    if report.get("calibration_error") is not None:
        run.stdout.print(f"expected calibration error: {report['calibration_error']:.3f}")
    if len(report.get("conditions", {})) > 1:
        run.stdout.print(_conditions(report))
    if report.get("over_seeds"):
        run.stdout.print(_seeds(report))
    for name, row in report.get("labels", {}).items():
        run.stdout.print(f"{name}: {_percent(row['accuracy'])} of {row['n']} expression labels")
    for name, count in report.get("left_out", {}).items():
        if count:
            run.stdout.print(f"{name}: {count} faces left out, the models were trained on them")
    for name, found in report.get("found", {}).items():
        run.stdout.print(f"{name}: {found['faces']} faces found in {found['of']} pictures")


def _seeds(report: dict[str, Any]) -> Table:
    table = Table("", "mean", "spread", title=f"seeds {', '.join(map(str, report['seeds']))}")
    for name, row in report["over_seeds"].items():
        table.add_row(name, _figure(row["mean"]), _figure(row["spread"]))
    return table


def _conditions(report: dict[str, Any]) -> Table:
    """A row for each condition, a column for each figure that any of them has."""
    rows = {name: _row(name, row, report) for name, row in report["conditions"].items()}
    mean = report.get("held_out_mean") or {}
    means = [
        _figure(mean.get("arousal")),
        _figure(mean.get("valence")),
        "",
        "",
        _percent(mean.get("accuracy")),
        "",
        "",
    ]
    titles = ("CCC arousal", "CCC valence", "arousal in 80 %", "valence in 80 %", "accuracy", "ECE", "found")
    shown = [k for k in range(len(titles)) if any(row[k] != "-" for row in rows.values())]
    table = Table(
        title="conditions (* held out from training)", box=SIMPLE, padding=(0, 1, 0, 0), collapse_padding=True
    )
    table.add_column("condition", no_wrap=True)
    for k in shown:
        table.add_column(titles[k], justify="right")
    for name, row in rows.items():
        table.add_row(name + " *" * (name in HELD_OUT), *(row[k] for k in shown))
    if mean:
        table.add_section()
        table.add_row("held-out mean", *(means[k] for k in shown))
    return table


def _row(name: str, row: dict[str, Any], report: dict[str, Any]) -> list[str]:
    coverage = row.get("coverage_80") or (report.get("coverage_80") or {}).get(name) or {}
    found = row.get("found", {}).values()
    share = (
        sum(part["faces"] for part in found) / max(1, sum(part["of"] for part in found)) if found else None
    )
    return [
        *(_figure(row[key]["ccc"] if row.get(key) else None) for key in DIMENSIONS),
        *(_percent(coverage.get(key)) for key in DIMENSIONS),
        _percent((row.get("accuracy") or {}).get("standard")),
        _figure(row.get("calibration_error")),
        _percent(share),
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{share:.{digits}%}"
