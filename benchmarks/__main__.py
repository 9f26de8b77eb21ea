"""``python -m benchmarks``: list, run, compare and report; every figure with the machine it was seen on."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import typer

from benchmarks import harness, machine, subjects
from benchmarks import report as tables
from edge_emotion.cli import run as commands
from edge_emotion.errors import InputError, UsageError
from edge_emotion.model.bundle import default_bundle_path

SCHEMA = "edge_emotion.benchmark/1"
BUDGETS = Path(__file__).with_name("budgets.toml")

app = typer.Typer(no_args_is_help=True, help="Latency, memory and accuracy of the code in this checkout.")


@app.command("list")
def list_subjects() -> None:
    """Name the subjects and what each measures."""
    for name, line in subjects.summaries():
        print(f"{name:12} {line}")


@app.command()
def run(
    names: list[str] = typer.Argument(help="Subjects, see `list`."),
    json_out: bool = typer.Option(False, "--json", help="Print the result as JSON instead of a table."),
    out: Path = typer.Option(None, "--out", help="Also write the JSON here."),
    rounds: int = typer.Option(200, min=1, help="Timed rounds of each entry; 3 only proves that it works."),
    threads: int = typer.Option(1, min=1, help="Threads of the inference engine."),
    provider: str = typer.Option("cpu", help="cpu, cuda or tensorrt."),
    backend: str = typer.Option("onnxruntime", help="onnxruntime, litert or tflite-runtime."),
    peer: list[str] = typer.Option([], help="Measure this peer beside (repeatable)."),
    check: bool = typer.Option(False, "--check", help="Exit with 1 where budgets.toml is broken."),
) -> None:
    """Run subjects one after the other."""
    unknown = [name for name in names if name not in subjects.names()]
    if unknown:
        raise UsageError(f"unknown subject {unknown[0]!r}; there are: {', '.join(subjects.names())}")
    options = harness.Options(rounds, threads, provider, backend, tuple(peer))
    report = measure(names, options)
    if out:
        out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1) if json_out else table(report))
    if check:
        broken = list(broken_budgets(report, tomllib.loads(BUDGETS.read_text())))
        for line in broken:
            print(line, file=sys.stderr)
        if broken:
            raise typer.Exit(1)


@app.command("all")
def run_all(
    json_out: bool = typer.Option(False, "--json"),
    out: Path = typer.Option(None),
    rounds: int = 100,
    check: bool = False,
) -> None:
    """Run every subject, peers apart."""
    run(subjects.names(), json_out, out, rounds, 1, "cpu", "onnxruntime", [], check)


@app.command()
def compare(a: Path, b: Path) -> None:
    """Set two results side by side, figure by figure, in yardsticks where both have them."""
    left, right = _figures(_load(a)), _figures(_load(b))
    print(f"{'figure':44} {a.stem[:16]:>16} {b.stem[:16]:>16}  {'b / a':>6}")
    for name in [name for name in left if name in right]:
        one, two = left[name], right[name]
        by = "yardsticks" if one["yardsticks"] and two["yardsticks"] else "value"
        ratio = two[by] / one[by] if one[by] else float("nan")
        unit = one["unit"] if by == "value" else by
        print(f"{name:44} {one[by]:16.4f} {two[by]:16.4f}  {ratio:6.2f}  {unit}")


@app.command()
def report() -> None:
    """Renew the tables of both READMEs from the committed results."""
    for path in tables.write():
        print(path.name, "renewed:", path.parent.name)


def measure(names: list[str], options: harness.Options) -> dict[str, Any]:
    """Run the subjects and describe the machine around them."""
    before = machine.condition()
    results = [subjects.load(name).run(options).as_dict() for name in names]
    return {
        "schema": SCHEMA,
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "machine": machine.fingerprint(),
        "bundle": json.loads((default_bundle_path() / "manifest.json").read_text())["sha256"],
        "before": before,
        "after": machine.condition(),
        "results": results,
    }


def table(report: dict[str, Any]) -> str:
    """Lay the result out for the terminal."""
    about = report["machine"]
    lines = [f"{about['cpu']}, {about['cores']} cores, Python {about['python']}, commit {about['commit']}"]
    for result in report["results"]:
        heads = " ".join(f"{head:>10}" for head in ("p50", "p95", "p99", "max"))
        lines += ["", f"{result['subject']:40} {heads}   CPU ms; yardsticks"]
        for figure in result["figures"]:
            cpu = figure["cpu"]
            if cpu is None:
                lines.append(f"  {figure['name']:38} {figure['value']:10.4g} {figure['unit']}")
                continue
            spread = " ".join(f"{cpu[key]:10.4f}" for key in ("p50", "p95", "p99", "max"))
            lines.append(f"  {figure['name']:38} {spread}   {figure['yardsticks'] or float('nan'):.3f}")
        lines += [f"  not measured: {what}: {why}" for what, why in result["not_measured"].items()]
    return "\n".join(lines)


def broken_budgets(report: dict[str, Any], budgets: dict[str, dict[str, float]]) -> list[str]:
    """One line for each figure above its budget, or missing though it has one."""
    figures = _figures(report)
    lines = []
    for subject in (result["subject"] for result in report["results"]):
        for name, limit in budgets.get(subject, {}).items():
            figure = figures.get(f"{subject}.{name}")
            if figure is None:
                lines.append(f"{subject}.{name}: has a budget of {limit} and was not measured")
                continue
            value = figure["value"] if figure["yardsticks"] is None else figure["yardsticks"]
            if value > limit:
                lines.append(f"{subject}.{name}: {value:.3f} is over its budget of {limit}")
    return lines


def _figures(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{result['subject']}.{figure['name']}": figure
        for result in report["results"]
        for figure in result["figures"]
    }


def _load(path: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a result ({error})") from error
    if report.get("schema") != SCHEMA:
        raise InputError(
            f"{path}: not a result of this program: schema {report.get('schema')!r}, not {SCHEMA!r}"
        )
    return report


if __name__ == "__main__":
    raise SystemExit(commands.run(app, "python -m benchmarks"))
