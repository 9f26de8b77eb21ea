"""A bundle's model card: Markdown made from its manifest alone, so that it cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge_emotion.model.manifest import (
    AcousticPart,
    DataSource,
    FacePart,
    FusionPart,
    Manifest,
    Model,
    Training,
)

CARD = "MODEL_CARD.md"

PURPOSE = (
    "Estimates *expressed* arousal and valence, each in [-1, 1] with a standard deviation, from a camera and a "
    "microphone. It does not know what a person feels."
)
NOT_FOR = (
    "Decisions about a person: hiring, grading, policing, credit, insurance, diagnosis.",
    "People at work or in education: inferring their emotions is forbidden in the European Union "
    "(Regulation 2024/1689, article 5(1)(f)), but for medical or safety reasons.",
    "Identifying anyone, or any use without the consent of those who are seen and heard.",
    "People and places unlike the data below without checking first: `edge-emotion-export evaluate`.",
)
GROUPS = (
    "By group: only what is listed above. Most of the data tell neither age nor sex nor skin colour nor mother tongue; "
    "where no figure for a group is given, none is known."
)
_TITLES = {"acoustic": "Sound", "face": "Picture", "fusion": "Fusion"}


def card(manifest: Manifest) -> str:
    """The model card of a bundle, ending with a newline."""
    lines = [
        f"# {manifest.id}",
        "",
        PURPOSE,
        "",
        f"Bundle SHA-256 `{manifest.sha256}`, {manifest.schema_}.",
        "",
    ]
    lines += ["## Where not to use it", "", *(f"- {line}" for line in NOT_FOR), ""]
    for part in (manifest.acoustic, manifest.face, manifest.fusion):
        lines += _part(part)
    return "\n".join([*lines, "## Groups", "", GROUPS, ""])


def _part(part: AcousticPart | FacePart | FusionPart) -> Iterator[str]:
    yield from (f"## {_TITLES[part.part]}", "")
    models = list(_models(part))
    if models:
        yield from ("| model | file | other forms | licence |", "|---|---|---|---|", *models, "")
    if part.training is not None:
        yield from _training(part.training)


def _models(part: AcousticPart | FacePart | FusionPart) -> Iterator[str]:
    for name in type(part).model_fields:
        model = getattr(part, name)
        if isinstance(model, Model):
            forms = ", ".join(f"{form}: {file}" for form, file in model.variants.items()) or "none"
            licence = getattr(model, "licence", "as this bundle")
            yield f"| {name.replace('_', ' ')} | {model.file} | {forms} | {licence} |"


def _training(training: Training) -> Iterator[str]:
    if training.data:
        yield from ("| trained on | items | rights |", "|---|---:|---|")
        yield from (f"| {data.name} | {_items(data)} | {data.licence} |" for data in training.data)
        yield ""
    seed = "" if training.seed is None else f", seed {training.seed}"
    yield from (f"Made by `{training.command}`{seed}.", "")
    if training.metrics:
        yield from ("| figure (set, protocol, measure) | value | 95 % interval | n |", "|---|---:|---|---:|")
        yield from _figures(training.metrics)
        yield ""
    if training.notes:
        yield from (training.notes, "")


def _items(data: DataSource) -> str:
    spoken = ", ".join(f"{count:,} {language}" for language, count in data.languages.items())
    return f"{data.items:,} ({spoken})" if spoken else f"{data.items:,}"


def _figures(metrics: Mapping[str, float]) -> Iterator[str]:
    """A row for each figure; its interval and count stand beside it as ``_low``, ``_high`` and ``_n``."""
    beside = {f"{name}{end}" for name in metrics for end in ("_low", "_high", "_n")}
    for name, value in metrics.items():
        if name in beside:
            continue
        ends = [f"{metrics[name + end]:.3f}" for end in ("_low", "_high") if name + end in metrics]
        count = f"{metrics[name + '_n']:,.0f}" if f"{name}_n" in metrics else ""
        yield f"| {name} | {value:.4g} | {' to '.join(ends)} | {count} |"
