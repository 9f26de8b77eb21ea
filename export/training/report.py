"""What a run leaves for its reader: ``results.json``, ``table.md`` and the traces as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import DIMENSIONS, Dimension

from . import shards
from .judgement import STAGES, Stage, Verdict, baselines, compare
from .reproduction import Outcome, Reproduction, settings_facts

F64 = NDArray[np.float64]

SYSTEMS = ("audio", "video", "early", "late", "video_tuned", "early_tuned", "late_tuned", "recurrent")
TITLES = {
    "audio": "audio",
    "video": "video",
    "early": "early fusion",
    "late": "late fusion",
    "video_tuned": "video, fine-tuned",
    "early_tuned": "early fusion, fine-tuned",
    "late_tuned": "late fusion, fine-tuned",
    "recurrent": "recurrent (GRU), early",
}
STAGE_TITLES: dict[Stage, str] = {
    "before": "before post-processing",
    "causal": "after, causal (the device's chain)",
    "offline": "after, offline (looks ahead)",
}
PUBLISHED = (
    ("Ortega 2019, audio + video", "0.749", "0.565"),
    ("Allognon 2020, video only", "0.264", "0.516"),
    ("Povolny 2016, with physiology", "0.855", "0.713"),
    ("AVEC 2016 winner (Brady), test", "0.770", "0.687"),
    ("AVEC 2016 baseline, test", "0.702", "0.638"),
)


def write_report(
    outcome: Outcome,
    settings: Reproduction,
    out: Path,
    *,
    corpus: str,
    command: str,
    synthetic: bool,
    costs: Mapping[tuple[str, Dimension], float] | None = None,
) -> None:
    """Write ``results.json``, ``table.md``, ``traces/*.png`` and ``predictions/*.csv`` (dev and test) into ``out``.

    ``costs`` are what a support vector budget took, by system and dimension. The same outcome gives the same bytes.
    """
    facts = results(outcome, settings, corpus=corpus, command=command, synthetic=synthetic)
    facts["support_vector_costs"] = [
        {"system": name, "dimension": d, "ccc": lost} for (name, d), lost in (costs or {}).items()
    ]
    shards.write_json(out / "results.json", facts)
    with shards.whole_file(out / "table.md") as file:
        file.write(table(outcome, facts).encode())
    for member in (*outcome.partition("dev"), *outcome.partition("test")):
        with shards.whole_file(out / "predictions" / f"{member.name}.csv") as file:
            file.write(predictions(outcome, member.name, settings.protocol.hop_s).encode())
    dev = [member.name for member in outcome.partition("dev") if member.labels]
    for name in dev:
        picture(outcome, name, settings.protocol.hop_s, out / "traces" / f"{name}.png", synthetic=synthetic)


def results(
    outcome: Outcome, settings: Reproduction, *, corpus: str, command: str, synthetic: bool
) -> dict[str, Any]:
    """All figures and decisions as one JSON object."""
    counts = {
        name: {"recordings": len(members), "speakers": len({m.speaker for m in members})}
        for name in ("train", "dev", "test")
        if (members := outcome.partition(name))
    }
    return {
        "corpus": corpus,
        "synthetic_pairs": synthetic,
        "command": command,
        "partitions": counts,
        "notes": list(outcome.notes),
        "settings": settings_facts(settings),
        "delays": {d: _delay_facts(outcome, d) for d in DIMENSIONS},
        "plans": [plan.facts() for plan in outcome.plans.values()],
        "searches": [
            {"system": name, "dimension": d, "score": s.score, "tried": len(s.tried)}
            for (name, d), s in outcome.searches.items()
        ],
        "late_weights": [
            {"system": name, "dimension": d, "audio": weight}
            for (name, d), weight in outcome.late_weights.items()
        ],
        "baselines": {d: _baseline(outcome, d)._asdict() for d in DIMENSIONS},
        "verdicts": [verdict.facts() for verdict in _in_order(outcome.verdicts)],
        "comparisons": [row for d in DIMENSIONS for row in _comparisons(outcome, d)],
    }


def table(outcome: Outcome, facts: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    warning = (
        "**Synthetic pairs**: they prove the chain, not accuracy on people.\n\n"
        if facts["synthetic_pairs"]
        else ""
    )
    counts = "; ".join(
        f"{name}: {n['recordings']} recordings of {n['speakers']} speakers"
        for name, n in facts["partitions"].items()
    )
    lines = [
        f"# {facts['corpus']}\n",
        f"{warning}CCC (population variance) on `dev`, all recordings joined, with the 95 % bootstrap interval over "
        f"speakers, and the mean of the per-file CCCs in brackets. {counts}; no speaker in two of them.\n",
    ]
    for stage in STAGES:
        lines += [
            f"\n## {STAGE_TITLES[stage].capitalize()}\n",
            "| system | arousal | valence |",
            "|---|---|---|",
        ]
        for name in _names(outcome):
            cells = [_cell(outcome.verdicts[name, d], stage) for d in DIMENSIONS]
            lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
        lines.append(f"| training mean | {' | '.join(_base_cell(facts, d) for d in DIMENSIONS)} |")
    lines += [
        "\n## Fusions compared (after, causal)\n",
        "| difference | arousal | valence |",
        "|---|---|---|",
    ]
    rows = facts["comparisons"]
    for first, second in dict.fromkeys((row["first"], row["second"]) for row in rows):
        cells = [
            _difference(row)
            for d in DIMENSIONS
            for row in rows
            if (row["first"], row["second"], row["dimension"]) == (first, second, d)
        ]
        lines.append(f"| {TITLES[first]} - {TITLES[second]} | {' | '.join(cells)} |")
    lines += ["", *_decisions(outcome, facts), "", *_costs(facts)]
    lines += [f"Note: {note}\n" for note in facts["notes"]]
    if not facts["synthetic_pairs"]:
        lines += ["\n## Published, for comparison\n", "| system | arousal | valence |", "|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in PUBLISHED]
    return "\n".join(lines) + "\n"


def predictions(outcome: Outcome, name: str, hop_s: float) -> str:
    """The causal late fusion of one recording at the raters' clock, as ``time_s,arousal,valence``."""
    late = _late(outcome)
    traces = [outcome.verdicts[late, d].traces["causal"][name] for d in DIMENSIONS]
    rows = zip(*traces, strict=False)  # windows of unequal sources may end a row apart
    lines = [f"{k * hop_s:.2f},{arousal:.4f},{valence:.4f}\n" for k, (arousal, valence) in enumerate(rows)]
    return "time_s,arousal,valence\n" + "".join(lines)


def picture(outcome: Outcome, name: str, hop_s: float, path: Path, *, synthetic: bool) -> None:
    """Gold standard and the causal late fusion of one recording, with both modalities alone."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 1, figsize=(11, 6), sharex=True, layout="constrained")
    late = _late(outcome)
    alone = ("audio", late.replace("late", "video"))
    for axis, dimension in zip(axes, DIMENSIONS, strict=True):
        truth = outcome.truths[dimension][name]
        axis.plot(np.arange(len(truth)) * hop_s, truth, color="black", linewidth=1.6, label="gold standard")
        for system, colour, width in (
            (alone[0], "tab:blue", 0.7),
            (alone[1], "tab:orange", 0.7),
            (late, "tab:red", 1.4),
        ):
            values = outcome.verdicts[system, dimension].traces["causal"][name]
            axis.plot(
                np.arange(len(values)) * hop_s, values, color=colour, linewidth=width, label=TITLES[system]
            )
        axis.set_ylabel(dimension)
        axis.set_ylim(-1, 1)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("time (s), raters' clock")
    axes[0].set_title(f"{name}{' (synthetic pair)' if synthetic else ''}")
    axes[0].legend(loc="upper right", ncols=4, fontsize="small")
    with shards.whole_file(path) as file:
        figure.savefig(file, format="png", dpi=90, metadata={"Software": None})
    pyplot.close(figure)


def _late(outcome: Outcome) -> str:
    return f"late{outcome.suffix}"


def _names(outcome: Outcome) -> list[str]:
    return [name for name in SYSTEMS if (name, "arousal") in outcome.verdicts]


def _in_order(verdicts: Mapping[tuple[str, Dimension], Verdict]) -> list[Verdict]:
    return sorted(verdicts.values(), key=lambda v: (SYSTEMS.index(v.system), v.dimension))


def _delay_facts(outcome: Outcome, dimension: Dimension) -> dict[str, Any]:
    curves = [
        {
            "source": block.source,
            "window_s": block.window_s,
            "seconds": delay.seconds,
            "scores": list(delay.scores),
        }
        for block, delay in outcome.delays[dimension].items()
    ]
    return {"agreed_s": outcome.agreed_s[dimension], "curves": curves}


def _split_truths(outcome: Outcome, dimension: Dimension) -> tuple[dict[str, F64], dict[str, F64]]:
    of = {
        part: {m.name: outcome.truths[dimension][m.name] for m in outcome.partition(part) if m.labels}
        for part in ("train", "dev")
    }
    return of["train"], of["dev"]


def _baseline(outcome: Outcome, dimension: Dimension) -> Any:
    return baselines(*_split_truths(outcome, dimension))


def _comparisons(outcome: Outcome, dimension: Dimension) -> list[dict[str, Any]]:
    _, truths = _split_truths(outcome, dimension)
    speakers = {member.name: member.speaker for member in outcome.members}
    tuned = ("late_tuned", dimension) in outcome.verdicts
    rows = []
    for first, second in _pairs(tuned=tuned, recurrent=("recurrent", dimension) in outcome.verdicts):
        paired = compare(
            outcome.verdicts[first, dimension],
            outcome.verdicts[second, dimension],
            "causal",
            truths,
            speakers,
        )
        rows.append({"dimension": dimension, "first": first, "second": second, **paired._asdict()})
    return rows


def _pairs(*, tuned: bool, recurrent: bool) -> Sequence[tuple[str, str]]:
    pairs = [("early", "audio"), ("early", "video"), ("late", "audio"), ("late", "video"), ("late", "early")]
    if tuned:
        pairs += [("video_tuned", "video"), ("early_tuned", "early"), ("late_tuned", "late")]
    if recurrent:
        pairs.append(("recurrent", "early"))
    return pairs


def _cell(verdict: Verdict, stage: Stage) -> str:
    f = verdict.figures[stage]
    return f"{f['ccc']:.3f} ({f['interval'].low:.3f} to {f['interval'].high:.3f}) [{f['ccc_per_file']:.3f}]"


def _base_cell(facts: Mapping[str, Any], dimension: Dimension) -> str:
    base = facts["baselines"][dimension]
    return f"{base['ccc']:.3f}; RMSE {base['rmse']:.3f}; majority side {base['majority']:.3f}"


def _difference(row: Mapping[str, Any]) -> str:
    return f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}), p = {row['p_value']:.3f}"


def _costs(facts: Mapping[str, Any]) -> list[str]:
    rows = facts.get("support_vector_costs", [])
    if not rows:
        return []
    most = facts["settings"]["protocol"]["budget"]
    cells = [f"{TITLES[row['system']]}, {row['dimension']}: {row['ccc']:+.3f}" for row in rows]
    return [f"CCC given up for {most} support vectors in each shipped regressor: {'; '.join(cells)}\n"]


def _decisions(outcome: Outcome, facts: Mapping[str, Any]) -> list[str]:
    lines = ["## Decided on training speakers\n"]
    for d in DIMENSIONS:
        lines.append(f"* {d}: raters' delay {facts['delays'][d]['agreed_s']:.1f} s")
        for (name, dimension), plan in outcome.plans.items():
            if dimension == d:
                c = plan.candidate
                windows = " and ".join(f"{block.window_s:g} s" for block in plan.blocks)
                shape = f"gamma {c.gamma:g}, " if c.kernel == "rbf" else ""
                weights = f", block weights {c.weights}" if len(c.weights) > 1 else ""
                kernel = f"{c.kernel}, C {c.c:g}, {shape}epsilon {c.epsilon:g}{weights}"
                lines.append(f"  * {TITLES[name]}: windows {windows}; {kernel}")
        for name, dimension in outcome.verdicts:
            if dimension == d and name.startswith("late"):
                kept = [s.name for s in outcome.verdicts[name, d].chains["causal"].steps if s.kept]
                weight = outcome.late_weights[name, d]
                lines.append(
                    f"  * {TITLES[name]}: {weight:.2f} audio; chain: {', '.join(kept) or 'nothing helped'}"
                )
    lines.append(f"* drawn, and in the bundle, is what {TITLES[f'video{outcome.suffix}']} sees")
    return lines
