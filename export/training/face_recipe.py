"""The whole way from corpora to the face part of a bundle: what ``edge-emotion-export train face`` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
from .face_network import FaceCnn, FaceCnnSettings
from .face_regressor import AffectSettings, FaceModels, RegressorSettings, encode, fit
from .face_sightings import Sightings, look
from .face_training import Compute, FaceTrainer, FaceTrainingSettings, infer

PRETRAINED = "face_votes.safetensors"
"""Weights after the votes and before any rated face, in half precision; a copy is installed with the package."""


@dataclass(frozen=True, slots=True)
class FaceRecipe:
    """Settings of every step."""

    votes: FaceTrainingSettings = field(default_factory=FaceTrainingSettings)
    affect: AffectSettings = field(default_factory=AffectSettings)
    folds: int = FOLDS


def shipped_recipe(seed: int = 1, epochs: int | None = None) -> FaceRecipe:
    """The shipped recipe, with another seed or number of epochs."""
    votes = FaceTrainingSettings(seed=seed)
    affect = AffectSettings(FineTuning(seed=seed), RegressorSettings(seed=seed))
    return FaceRecipe(votes if epochs is None else replace(votes, epochs=epochs), affect)


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
) -> tuple[FaceCnn, list[dict[str, Any]]]:
    """Train on votes, or go on from the checkpoint in ``folder``; write `PRETRAINED` there and return its network."""
    trainer = FaceTrainer(recipe.votes, compute, folder)
    if resume:
        trainer.resume()
    steps = trainer.batches(len(data.train)) * (recipe.votes.epochs - trainer.epoch)
    progress.begin("learning votes", steps)

    def judge(network: FaceCnn) -> dict[str, Any]:
        return judge_votes(network, data)

    for row in trainer.epochs(data.train, data.shares, judge, progress.step):
        progress.say(
            f"epoch {row['epoch']:2}  loss {row['loss']:.3f}  FER+ validation, standard protocol: "
            f"as published {row['direct']:.1%}, aligned crops {row['crop']:.1%}"
        )
    save_pretrained(trainer.averaged(), folder / PRETRAINED)
    return load_pretrained(folder / PRETRAINED), trainer.history


def judge_votes(network: FaceCnn, data: VoteData) -> dict[str, Any]:
    """Standard-protocol accuracy on FER+ validation: as published, aligned crops, and flip average of the first."""
    direct = infer(network, data.valid.direct)[1]
    mirrored = infer(network, np.ascontiguousarray(data.valid.direct[:, :, ::-1]))[1]
    crops = infer(network, data.valid.crops)[1]
    views = {"direct": direct, "crop": crops, "flip": direct + mirrored}
    return {name: face_report.accuracy(data.valid_votes, guess)["standard"] for name, guess in views.items()}


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
    start: FaceCnn,
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
    start: FaceCnn,
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
    table = face_report.confusion(votes, direct)
    return {
        "accuracy": face_report.accuracy(votes, direct),
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


def save_pretrained(network: FaceCnn, path: Path) -> None:
    """Write a network's weights in half precision, its settings as metadata."""
    tensors = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"settings": json.dumps(_settings(network))})


def load_pretrained(path: Path | None = None) -> FaceCnn:
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
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    network = FaceCnn(FaceCnnSettings(**given))
    network.load_state_dict({k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()})
    return network.eval()


def _settings(network: FaceCnn) -> dict[str, Any]:
    return {
        key: value
        for key, value in network.description.items()
        if key in FaceCnnSettings.__dataclass_fields__
    }
