"""``python -m benchmarks``: list, run, compare and report; every figure with the machine it was seen on."""

from __future__ import annotations

import json
import shlex
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from benchmarks import harness, machine, subjects
from benchmarks import report as tables
from benchmarks.peers import PROGRAMS
from edge_emotion.cli import run as commands
from edge_emotion.config import Provider
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
    provider: Provider = typer.Option("cpu", help="What runs the models; an absent one is refused."),
    backend: harness.Backend = typer.Option("onnxruntime", help="What runs the face encoder, in its format."),
    peer: list[str] = typer.Option([], help="Measure this peer beside (repeatable)."),
    check: bool = typer.Option(False, "--check", help="Exit with 1 where budgets.toml is broken."),
    passes: int = typer.Option(1, min=1, help="Times that short subjects are measured; medians are kept."),
) -> None:
    """Run subjects one after the other."""
    unknown = [name for name in names if name not in subjects.names()]
    if unknown:
        raise UsageError(f"unknown subject {unknown[0]!r}; there are: {', '.join(subjects.names())}")
    options = harness.Options(rounds, threads, provider, backend, tuple(peer), passes)
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
    rounds: int = 60,
    peers: bool = typer.Option(False, "--peers", help="Also measure every peer that is there (make peers)."),
    check: bool = False,
    passes: int = typer.Option(5, min=1, help="Times that short subjects are measured; medians are kept."),
) -> None:
    """Run every subject."""
    run(
        subjects.names(),
        json_out,
        out,
        rounds,
        1,
        "cpu",
        "onnxruntime",
        list(PROGRAMS) * peers,
        check,
        passes,
    )


@app.command()
def compare(
    a: Path, b: Path, within: float = typer.Option(0.15, help="Largest difference of a duration, in parts.")
) -> None:
    """Set two results side by side; ends with 1 where a duration in yardsticks differs by more than ``within``."""
    left, right = _figures(_load(a)), _figures(_load(b))
    apart: list[str] = []
    judged = 0
    print(f"{'figure':44} {a.stem[:16]:>16} {b.stem[:16]:>16}  {'b / a':>6}")
    for name in [name for name in left if name in right and not name.endswith(f".{harness.YARDSTICK}")]:
        one, two = left[name], right[name]
        by = "yardsticks" if one["yardsticks"] and two["yardsticks"] else "value"
        ratio = two[by] / one[by] if one[by] else float("nan")
        unit = one["unit"] if by == "value" else by
        print(f"{name:44} {one[by]:16.4f} {two[by]:16.4f}  {ratio:6.2f}  {unit}")
        judged += by == "yardsticks"
        if by == "yardsticks" and max(ratio, 1 / ratio) > 1 + within:
            apart.append(f"{name}: {ratio:.2f}")
    print(f"{judged - len(apart)} of {judged} durations agree within {within:.0%}")
    if apart:
        print("beyond: " + "; ".join(apart), file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def budgets(
    results: list[Path] = typer.Argument(help="Results of this machine."),
    margin: float = typer.Option(1.2, help="Room above the slowest of them."),
) -> None:
    """Print the budgets of durations renewed from results, to be put into budgets.toml."""
    figures = [_figures(_load(path)) for path in results]
    for subject, limits in tomllib.loads(BUDGETS.read_text()).items():
        print(f"[{subject}]")
        for name, limit in limits.items():
            seen = [each[key] for each in figures if (key := f"{subject}.{name}") in each]
            spans = [figure["yardsticks"] for figure in seen if figure["yardsticks"]]
            print(f'"{name}" = {f"{margin * max(spans):.3g}" if spans else limit}')
        print()


@app.command()
def report() -> None:
    """Renew the tables and pictures of both READMEs from the committed results."""
    for path in tables.write():
        print(f"renewed: {path.parent.name}/{path.name}")


def measure(names: list[str], options: harness.Options) -> dict[str, Any]:
    """Run the subjects and describe the machine around them.

    A machine may be half as fast for a minute: short subjects are measured in several passes, the long ones between.
    """
    before = machine.condition()
    short = [name for name in names if name in subjects.SHORT]
    long = [name for name in names if name not in subjects.SHORT]
    passes: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for index in range(options.passes):
        asked = options if index == 0 else replace(options, peers=())  # peers take minutes
        for name in [*short, *long[index :: options.passes]]:
            passes[name].append(_measure_one(name, asked))
    return {
        "schema": SCHEMA,
        "command": _command(sys.argv[1:]),
        "machine": machine.fingerprint(),
        "bundle": json.loads((default_bundle_path() / "manifest.json").read_text())["sha256"],
        "before": before,
        "after": machine.condition(),
        "results": [median_pass(taken) for taken in passes.values()],
    }


def _measure_one(name: str, options: harness.Options) -> dict[str, Any]:
    begin = time.monotonic()
    try:
        result = subjects.load(name).run(options)
    except ModuleNotFoundError as fault:
        result = harness.Result(name, not_measured={"all of it": subjects.missing(fault)})
    if options.backend != "onnxruntime" and name not in subjects.WITH_ENCODER:
        result.not_measured[options.backend] = "only the face encoder comes in its format"
    seconds = round(time.monotonic() - begin, 1)
    print(f"{name}: {seconds} s", file=sys.stderr)
    return result.as_dict() | {"seconds": seconds}


def _command(arguments: list[str]) -> str:
    """Return the command line without the place that the result was written to."""
    at = arguments.index("--out") if "--out" in arguments else len(arguments)
    return shlex.join(["python", "-m", "benchmarks", *arguments[:at], *arguments[at + 2 :]])


def median_pass(taken: list[dict[str, Any]]) -> dict[str, Any]:
    """Each figure from the pass in which it was the median one; what only the first pass has, as it is."""
    figures: list[dict[str, Any]] = []
    for first in taken[0]["figures"]:
        same = [figure for one in taken for figure in one["figures"] if figure["name"] == first["name"]]
        by = "value" if first["yardsticks"] is None or first["name"] == harness.YARDSTICK else "yardsticks"
        chosen = sorted(same, key=lambda figure: figure[by])[len(same) // 2]
        if first["name"] not in {figure["name"] for figure in figures}:
            figures.append(chosen)
    return taken[0] | {"figures": figures, "seconds": round(sum(one["seconds"] for one in taken), 1)}


def table(report: dict[str, Any]) -> str:
    """Lay the result out for the terminal."""
    about = report["machine"]
    lines = [f"{about['cpu']}, {about['cores']} cores, Python {about['python']}, commit {about['commit']}"]
    for result in report["results"]:
        heads = " ".join(f"{head:>10}" for head in ("p50", "p95", "p99", "max"))
        lines += ["", f"{result['subject']:40} {heads}   CPU ms; yardsticks; took {result['seconds']} s"]
        for figure in result["figures"]:
            cpu = figure["cpu"]
            if cpu is None:
                lines.append(f"  {figure['name']:38} {figure['value']:10.4g} {figure['unit']}")
                continue
            spread = " ".join(f"{cpu[key]:10.4f}" for key in ("p50", "p95", "p99", "max"))
            lines.append(f"  {figure['name']:38} {spread}   {figure['yardsticks'] or float('nan'):.3f}")
        lines += [f"  {what}: {words}" for what, words in result["notes"].items()]
        for curve in result["curves"]:
            points = ", ".join(f"{x:g}: {y:.4g}" for x, y in zip(curve["x"], curve["y"], strict=True))
            lines.append(f"  {curve['name']} ({curve['y_label']} at {curve['x_label']}): {points}")
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
