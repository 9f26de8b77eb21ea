"""The whole way from corpora to the face part of a bundle: what ``edge-emotion-export train face`` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from edge_emotion.config import CropSettings, DetectorSettings
from edge_emotion.errors import InputError
from edge_emotion.features.crop import CANONICAL
from edge_emotion.model.backend import open_backend
from edge_emotion.model.detector import YuNet
from edge_emotion.types import DIMENSIONS, F32, U8

from ..corpora.duplicates import near_duplicates
from ..corpora.votes import PROTOCOLS
from . import face_report
from .face_affect import FineTuning, RatedFaces, VotedFaces
from .face_conditions import CONDITIONS
from .face_cross_validation import FOLDS, OutOfFold, cross_validate
from .face_data import AffectData, VoteData, affect_data
from .face_networks import FaceNet, Name, build, part, settings_from, trained_settings
from .face_regressor import AffectSettings, FaceModels, RegressorSettings, encode, fit
from .face_sightings import Sightings, look
from .face_training import Compute, FaceTrainer, FaceTrainingSettings, exit_votes, infer

PRETRAINED = "face_votes.safetensors"
"""Weights after the votes and before any rated face, in half precision; a copy is installed with the package."""


@dataclass(frozen=True, slots=True)
class FaceRecipe:
    """Settings of every step, and the name of the network that comes out."""

    network: Name = "small"
    votes: FaceTrainingSettings = field(default_factory=lambda: votes_settings())
    affect: AffectSettings = field(default_factory=AffectSettings)
    folds: int = FOLDS


def votes_settings(network: Name = "small", seed: int = 1) -> FaceTrainingSettings:
    """How the network of this name learns votes: the reference network from nothing, the others from SFace."""
    settings = FaceTrainingSettings(seed=seed, network=trained_settings(network))
    if network == "reference":
        return settings
    return replace(
        settings,
        epochs=11,
        small_epochs=4,
        fading_epochs=1.5,
        full_epochs=6,
        frozen=5,
        calm_epochs=3,
        batch=64,
        learning_rate=4e-4,
        head_rate=5.0,
    )


def shipped_recipe(seed: int = 1, epochs: int | None = None, network: Name = "small") -> FaceRecipe:
    """The shipped recipe, with another seed, number of epochs or network."""
    votes = votes_settings(network, seed)
    affect = AffectSettings(FineTuning(seed=seed), RegressorSettings(seed=seed))
    if epochs is not None:
        share = epochs / votes.epochs
        votes = replace(
            votes,
            epochs=epochs,
            small_epochs=int(votes.small_epochs * share),
            full_epochs=int(votes.full_epochs * share),
            calm_epochs=int(votes.calm_epochs * share),
            fading_epochs=votes.fading_epochs * share,
        )
    return FaceRecipe(network, votes, affect)


@dataclass(frozen=True)
class RatedSet:
    """Rated faces ready for fitting: sightings under every condition, groups of near duplicates."""

    data: AffectData
    rated: RatedFaces
    sightings: Sightings
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Progress:
    """Where a long run reports to: ``begin(what, steps)`` and then ``step()`` for each; ``say`` a line."""

    begin: Callable[[str, int], None] = lambda what, steps: None
    step: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda line: None


def train_votes(
    data: VoteData, recipe: FaceRecipe, compute: Compute, folder: Path, resume: bool, progress: Progress
) -> tuple[FaceNet, list[dict[str, Any]]]:
    """Train on votes, or go on from the checkpoint in ``folder``; write `PRETRAINED` there and return its network.

    Networks that learned together share the checkpoint: with ``resume`` it gives each of them.
    """
    trainer = FaceTrainer(recipe.votes, compute, folder)
    if resume:
        trainer.resume()
    steps = trainer.batches(len(data.train)) * (recipe.votes.epochs - trainer.epoch)
    progress.begin("learning votes", steps)

    def judge(network: FaceNet) -> dict[str, Any]:
        return judge_votes(network, data, compute)

    for row in trainer.epochs(data.train, data.shares, judge, progress.step):
        early = f", early head {row['early']:.1%}" if "early" in row else ""
        progress.say(
            f"epoch {row['epoch']:2}  loss {row['loss']:.3f}  FER+ validation, standard protocol: "
            f"{row['direct']:.1%}{early}"
        )
    save_pretrained(part(trainer.averaged(), recipe.network), folder / PRETRAINED)
    return load_pretrained(folder / PRETRAINED), trainer.history


def judge_votes(network: FaceNet, data: VoteData, compute: Compute) -> dict[str, Any]:
    """Standard-protocol accuracy of each head on the FER+ validation faces as published."""
    heads = exit_votes(network, data.valid.direct, compute)
    names = ("direct",) if len(heads) == 1 else ("early", "direct")
    return {
        name: face_report.accuracy(data.valid_votes, guess)["standard"]
        for name, guess in zip(names, heads, strict=True)
    }


def rated_set(
    folder: Path,
    detector: bytes,
    settings: DetectorSettings | None = None,
    geometry: CropSettings = CANONICAL,
    progress: Progress | None = None,
) -> RatedSet:
    """Rated faces in ``folder`` as the run-time path sees them."""
    progress = progress or Progress()
    data = affect_data(folder)
    progress.begin("looking at rated faces", len(data.corpus))
    sightings = look(
        data.corpus.images,
        YuNet(open_backend(detector), settings),
        geometry,
        tuple(CONDITIONS),
        on_picture=progress.step,
    )
    rated = RatedFaces(data.views, data.affect, data.expression)
    return RatedSet(data, rated, sightings, near_duplicates(data.views.direct))


def cross_validate_faces(
    start: FaceNet,
    rated: RatedSet,
    voted: VotedFaces,
    recipe: FaceRecipe,
    compute: Compute,
    progress: Progress,
) -> OutOfFold:
    """Fit and judge in folds (`face_cross_validation.cross_validate`)."""
    progress.begin(f"{recipe.folds} folds", recipe.folds * recipe.affect.fine_tuning.steps)
    return cross_validate(
        start,
        rated.rated,
        rated.sightings,
        rated.groups,
        voted,
        recipe.affect,
        compute,
        folds=recipe.folds,
        on_step=progress.step,
    )


def fit_all(
    start: FaceNet,
    rated: RatedSet,
    voted: VotedFaces,
    recipe: FaceRecipe,
    compute: Compute,
    progress: Progress,
) -> FaceModels:
    """The models of the bundle: fitted as in a fold, on every rated face."""
    progress.begin("fitting on all rated faces", recipe.affect.fine_tuning.steps)
    everything = np.arange(len(rated.data.corpus))
    return fit(
        start,
        rated.rated,
        rated.sightings,
        rated.groups,
        everything,
        voted,
        recipe.affect,
        compute,
        progress.step,
    )


def judge_models(models: FaceModels, data: VoteData) -> dict[str, Any]:
    """What the encoder as the device runs it reaches on FER+ validation."""
    votes = data.valid_votes

    def probabilities(crops: U8) -> F32:
        return encode(models.encoder, models.network.settings.features, crops).votes

    direct, crops = probabilities(data.valid.direct), probabilities(data.valid.crops)
    mirrored = probabilities(np.ascontiguousarray(data.valid.direct[:, :, ::-1]))
    float_votes = infer(models.network, data.valid.direct)[1]
    table = face_report.confusion(votes, direct)
    return {
        "accuracy": face_report.accuracy(votes, direct),
        "accuracy_float": face_report.accuracy(votes, float_votes),
        "accuracy_aligned_crops": face_report.accuracy(votes, crops),
        "accuracy_flip_average": face_report.accuracy(votes, direct + mirrored),
        "recall": face_report.recall(table),
        "confusion": table.tolist(),
    }


def flat_metrics(judged: Mapping[str, Any], found: OutOfFold) -> dict[str, float]:
    """Figures for the manifest, by flat names that say set, protocol, measure and dimension."""
    flat = {}
    for key, view in (
        ("accuracy", "direct"),
        ("accuracy_float", "direct_float"),
        ("accuracy_aligned_crops", "crop"),
        ("accuracy_flip_average", "flip"),
    ):
        for name in PROTOCOLS:
            if judged[key][name] is not None:
                flat[f"ferplus_valid_{view}_accuracy_{name}"] = judged[key][name]
    report = found.report()
    for condition, scores in report["conditions"].items():
        for dimension in DIMENSIONS:
            flat[f"diffusionfer_cv_{condition}_ccc_{dimension}"] = scores[dimension]["ccc"]
    for dimension in DIMENSIONS:
        flat[f"diffusionfer_cv_coverage_80_{dimension}"] = report["coverage_80"]["all"][dimension]
    return {name: round(float(value), 4) for name, value in flat.items()}


def save_pretrained(network: FaceNet, path: Path) -> None:
    """Write a network's weights in half precision, its settings as metadata."""
    tensors = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"settings": json.dumps(asdict(network.settings))})


def load_pretrained(path: Path | None = None) -> FaceNet:
    """A network from weights that `save_pretrained` wrote; ``None``: those that are installed with the package.

    Raises
    ------
    InputError
        There is no such file.
    """
    path = path or Path(str(resources.files(__package__))) / PRETRAINED
    if not path.is_file():
        raise InputError(f"{path}: no weights trained on votes; run `edge-emotion-export train face` first")
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["settings"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    network = build(settings_from(settings))
    network.load_state_dict({k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()})
    return network.eval()
