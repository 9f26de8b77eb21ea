"""``edge-emotion inspect``: a bundle as a model card: what it is made of, trained on, and worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_emotion.cli.program import app
from edge_emotion.cli.run import stdout

if TYPE_CHECKING:
    from edge_emotion.config import SmoothingSettings
    from edge_emotion.model.manifest import (
        AcousticPart,
        FacePart,
        FusionPart,
        Manifest,
        Training,
    )


@app.command()
def inspect(
    bundle: Path = typer.Argument(None, help="Folder of a model bundle; the built-in one by default."),
    as_json: bool = typer.Option(False, "--json", help="The manifest as JSON."),
    as_card: bool = typer.Option(False, "--card", help="The model card as Markdown."),
) -> None:
    """Verify a bundle and show its model card: models, training data and licences, metrics, hashes."""
    from edge_emotion.model.bundle import open_bundle
    from edge_emotion.model.card import card

    opened = open_bundle(bundle)
    manifest = opened.manifest
    if as_card:
        print(card(manifest), end="")
        return
    if as_json:
        print(json.dumps(manifest.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False))
        return
    stdout.print(f"[bold]Bundle {manifest.id}[/]  {manifest.schema_}  {opened.path}")
    stdout.print(f"sha256 {manifest.sha256}")
    stdout.print(
        "Estimates *expressed* arousal and valence in [-1, 1]; it does not know what a person feels.\n"
    )
    _acoustic(manifest.acoustic)
    _face(manifest.face)
    _fusion(manifest.fusion)
    _files(manifest)


def _acoustic(part: AcousticPart) -> None:
    _head("Sound")
    _line("descriptors", f"{len(part.descriptor_names)}, mode {part.mode}, sound at {part.sample_rate_hz} Hz")
    _line("window", f"arousal {part.window_s.arousal:g} s, valence {part.window_s.valence:g} s")
    voice = part.voice_activity
    _line("voice activity", f"{voice.file}, speech from {voice.settings.threshold:g} ({voice.licence})")
    encoder = part.voice_encoder
    if encoder is None:
        _line("voice encoder", "none")
    else:
        features = len(part.feature_names) - len(part.descriptor_names)
        _line(
            "voice encoder",
            f"{encoder.file}, {features} features of {encoder.window_s:g} s ({encoder.licence})",
        )
    _judgement(part)


def _face(part: FacePart) -> None:
    _head("Picture")
    detector = part.detector
    _line("detector", f"{detector.file}, long side {detector.settings.long_side_px} px ({detector.licence})")
    encoder = part.encoder
    _line(
        "encoder",
        f"{encoder.file}, {part.crop.size} x {part.crop.size} {encoder.colour}, {encoder.features} features",
    )
    variants = ", ".join(f"{name}: {file}" for name, file in encoder.variants.items())
    _line("variants", variants or "none")
    _line(
        "window",
        f"arousal {part.window_s.arousal:g} s, valence {part.window_s.valence:g} s, {part.pooling} of frames",
    )
    _judgement(part)


def _judgement(part: AcousticPart | FacePart) -> None:
    _line("regressor", part.regressor.file)
    _line("doubt grows with", ", ".join(term.fact for term in part.sigma.terms) or "nothing")
    _line("calibration", "possible" if part.regressor.neutral else "not possible: no neutral in the bundle")
    _training(part.training)


def _fusion(part: FusionPart) -> None:
    _head("Fusion")
    _line("kind", f"{part.kind}, by inverse variance, error correlation {part.error_correlation:g}")
    if part.early is not None:
        _line(
            "early",
            f"{part.early.file}, {part.early.features} features, while sound and picture are both there",
        )
    _line("confidence", f"probability of an error within {part.confidence_half_width:g}")
    added = part.added_sigma
    for name, sigma in (("sound", added.audio), ("picture", added.video)):
        if sigma.arousal or sigma.valence:
            _line("added sigma", f"{name}: arousal {sigma.arousal:g}, valence {sigma.valence:g}")
    _line("readings", f"{part.rate_hz:g} a second, from {part.minimum_signal_s:g} s of input on")
    _line("smoothing", _smoothing(part.smoothing))
    if part.training is not None:
        _training(part.training)


def _smoothing(settings: SmoothingSettings) -> str:
    steps = []
    for name, chain in (("arousal", settings.arousal), ("valence", settings.valence)):
        scaling = f"x{chain.scale:g} about {chain.centre:+.2f}, {chain.offset:+.2f}"
        steps.append(f"{name}: median {chain.median_s:g} s, mean {chain.mean_s:g} s, {scaling}")
    return "; ".join(steps)


def _training(training: Training) -> None:
    for data in training.data:
        _line("trained on", f"{data.name}, {data.items} items, {data.licence}")
        _line("", f"[dim]items sha256 {data.items_sha256[:16]}[/]")
    _line("command", training.command + (f" (seed {training.seed})" if training.seed is not None else ""))
    for name, value in training.metrics.items():
        _line("metric", f"{name} = {value:.4g}")
    if training.notes:
        _line("notes", training.notes)
    stdout.print()


def _files(manifest: Manifest) -> None:
    _head("Files (all verified)")
    for name, entry in manifest.files.items():
        stdout.print(f"  {entry.sha256[:16]}  {entry.bytes:>10,}  {name}")


def _head(title: str) -> None:
    stdout.print(f"[bold cyan]{title}[/]")


def _line(key: str, value: str) -> None:
    stdout.print(f"  {key:17} {value}")
