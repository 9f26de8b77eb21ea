"""Tables of ``evaluate face`` and ``cross-validate face``."""

from __future__ import annotations

from typing import Any

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
        recall = Table(*report["recall"], title="recall, standard protocol")
        recall.add_row(*(_percent(share) for share in report["recall"].values()))
        run.stdout.print(recall)
    if report.get("calibration_error") is not None:
        run.stdout.print(f"expected calibration error: {report['calibration_error']:.3f}")
    if len(report.get("conditions", {})) > 1:
        run.stdout.print(_conditions(report))
    for name, row in report.get("labels", {}).items():
        run.stdout.print(f"{name}: {_percent(row['accuracy'])} of {row['n']} expression labels")
    for name, count in report.get("left_out", {}).items():
        if count:
            run.stdout.print(f"{name}: {count} faces left out, the models were trained on them")
    for name, found in report.get("found", {}).items():
        run.stdout.print(f"{name}: {found['faces']} faces found in {found['of']} pictures")


def _conditions(report: dict[str, Any]) -> Table:
    table = Table(title="conditions (* held out from training)")
    table.add_column("condition", no_wrap=True)
    for column in ("arousal CCC", "valence CCC", "in 80 %: arousal", "valence", "accuracy", "ECE", "found"):
        table.add_column(column, justify="right")
    for name, row in report["conditions"].items():
        coverage = row.get("coverage_80") or (report.get("coverage_80") or {}).get(name) or {}
        found = row.get("found", {}).values()
        table.add_row(
            name + " *" * (name in HELD_OUT),
            *(_figure(row[key]["ccc"] if row.get(key) else None) for key in DIMENSIONS),
            *(_percent(coverage.get(key)) for key in DIMENSIONS),
            _percent((row.get("accuracy") or {}).get("standard")),
            _figure(row.get("calibration_error")),
            _percent(sum(part["faces"] for part in found) / max(1, sum(part["of"] for part in found)))
            if found
            else "-",
        )
    mean = report.get("held_out_mean")
    if mean:
        table.add_section()
        means = (_figure(mean["arousal"]), _figure(mean["valence"]))
        table.add_row("held-out mean", *means, "", "", _percent(mean["accuracy"]), "", "")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{share:.{digits}%}"
