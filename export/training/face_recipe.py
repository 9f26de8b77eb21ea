"""The whole way from corpora to the face part of a bundle: what ``edge-emotion-export train face`` does."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from edge_emotion.errors import InputError, UsageError
from edge_emotion.features.crop import CANONICAL
from edge_emotion.model.backend import open_backend
from edge_emotion.model.detector import YuNet
from edge_emotion.types import F32

from ..corpora.duplicates import near_duplicates
from ..corpora.votes import CLASSES
from . import face_report
from .face_affect import FineTuning, RatedFaces, VotedFaces
from .face_conditions import CONDITIONS
from .face_cross_validation import FOLDS, Begin, Begun, OutOfFold, cross_validate
from .face_cycles import cycles, shortened
from .face_data import AffectData, VoteData, affect_data
from .face_networks import FROM_NOTHING, FaceNet, Name, build, part, settings_from
from .face_regressor import AffectSettings, FaceModels, RegressorSettings, fit
from .face_sightings import Sightings, look
from .face_training import CHECKPOINT, Compute, FaceTrainer, FaceTrainingSettings, exit_votes

PRETRAINED = "face_votes.safetensors"
"""Weights after the votes and before any rated face, in half precision; a copy is installed with the package."""


@dataclass(frozen=True, slots=True)
class FaceRecipe:
    """Settings of every step, and the name of the network that comes out.

    Votes are learnt in ``cycles``, each from the averaged weights of the one before, with a fresh optimiser (warm
    restarts: Loshchilov and Hutter, *SGDR*, 2017). A network that is ``taught`` learns from the votes and from the
    installed network's opinion in equal parts.
    """

    network: Name = "small"
    cycles: tuple[FaceTrainingSettings, ...] = field(default_factory=cycles)
    taught: bool = False
    affect: AffectSettings = field(default_factory=AffectSettings)
    folds: int = FOLDS


def shipped_recipe(seed: int = 1, epochs: int | None = None, network: Name = "small") -> FaceRecipe:
    """The shipped recipe, with another seed, number of epochs or network."""
    whole = cycles(network, seed)
    affect = AffectSettings(FineTuning(seed=seed), RegressorSettings(seed=seed))
    chosen = whole if epochs is None else shortened(whole, epochs)
    return FaceRecipe(network, chosen, network == "tiny", affect)


def clean_recipe(seed: int = 1, epochs: int | None = None, network: Name = "tiny") -> FaceRecipe:
    """For rated faces with expressions alone: few, so they are shown often, and a fold has none with a pseudo-label.

    Raises
    ------
    UsageError
        The network cannot be trained from nothing.
    """
    if network not in FROM_NOTHING:
        raise UsageError(
            "without FER+ votes only networks that begin from nothing are trained: --network "
            + " or ".join(FROM_NOTHING)
        )
    cycle = replace(cycles(network, seed)[0], epochs=epochs or 40, batch=32, learning_rate=3e-3)
    affect = AffectSettings(FineTuning(seed=seed), RegressorSettings(seed=seed, pseudo_weights=(0.0,)))
    return FaceRecipe(network, (replace(cycle, calm_epochs=cycle.epochs // 4),), False, affect)


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
    """Train on votes, or go on from the checkpoints in ``folder``; write `PRETRAINED` there and return its network.

    Each cycle has its checkpoint in a folder of its own. Networks that learned together share them: with ``resume``
    they give each of them.

    Raises
    ------
    UsageError
        Of `FaceTrainer.resume`.
    """
    shares = taught_shares(data, compute, progress) if recipe.taught else data.shares
    network: FaceNet | None = None
    history: list[dict[str, Any]] = []
    for number, cycle in enumerate(recipe.cycles, 1):
        trainer = FaceTrainer(cycle, compute, folder / f"cycle_{number}", network)
        if resume and (number == 1 or (trainer.folder / CHECKPOINT).is_file()):
            trainer.resume()
        _learn(trainer, data, shares, compute, f"cycle {number} of {len(recipe.cycles)}", progress)
        history += [{**row, "epoch": len(history) + row["epoch"]} for row in trainer.history]
        network = trainer.averaged()
    assert network is not None
    save_pretrained(part(network, recipe.network), folder / PRETRAINED)
    return load_pretrained(folder / PRETRAINED), history


def _learn(
    trainer: FaceTrainer, data: VoteData, shares: F32, compute: Compute, cycle: str, progress: Progress
) -> None:
    left = trainer.settings.epochs - trainer.epoch
    progress.begin(f"learning votes, {cycle}", trainer.batches(len(data.train)) * left)

    def judge(network: FaceNet) -> dict[str, Any]:
        return judge_votes(network, data, compute)

    for row in trainer.epochs(data.train, shares, judge, progress.step):
        early = f", early head {row['early']:.1%}" if "early" in row else ""
        progress.say(
            f"{cycle}, epoch {row['epoch']:2}  loss {row['loss']:.3f}  FER+ validation, standard protocol: "
            f"{row['direct']:.1%}{early}"
        )


def taught_shares(data: VoteData, compute: Compute, progress: Progress) -> F32:
    """Mean of the votes and of what the installed network says of the faces as published ``(n, 8)``.

    Distillation (Hinton, Vinyals and Dean 2015) without a temperature: votes are soft already.
    """
    progress.begin("asking the teacher", 1)
    opinion = exit_votes(load_pretrained(), data.train.direct, compute)[-1]
    progress.step()
    return np.asarray((data.shares + opinion) / 2, np.float32)


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


def from_votes(start: FaceNet, data: VoteData) -> Begin:
    """Begin with a network that has seen faces with votes only: it may be the same for every fold."""
    begun = Begun(start, VotedFaces(data.train, data.shares))
    return lambda items: begun


def from_expressions(
    rated: RatedFaces, recipe: FaceRecipe, compute: Compute, folder: Path, progress: Progress
) -> Begin:
    """Begin, where no corpus has votes, with a network that learns the expressions of rated faces from nothing."""

    def begin(items: NDArray[np.intp]) -> Begun:
        known = rated.rows(items)
        voted = VotedFaces(known.views, np.eye(CLASSES, dtype=np.float32)[known.expression])
        (cycle,) = recipe.cycles
        trainer = FaceTrainer(cycle, compute, folder / "cycle_1")
        progress.begin(f"learning {len(items)} expressions", trainer.batches(len(items)) * cycle.epochs)
        for _ in trainer.epochs(voted.views, voted.shares, lambda network: {}, progress.step):
            pass
        return Begun(trainer.averaged(), voted)

    return begin


def cross_validate_faces(
    begin: Begin, rated: RatedSet, recipe: FaceRecipe, compute: Compute, progress: Progress
) -> OutOfFold:
    """Fit and judge in folds (`face_cross_validation.cross_validate`)."""
    progress.begin(f"{recipe.folds} folds", recipe.folds * recipe.affect.fine_tuning.steps)
    return cross_validate(
        begin,
        rated.rated,
        rated.sightings,
        rated.groups,
        recipe.affect,
        compute,
        folds=recipe.folds,
        on_step=progress.step,
    )


def fit_all(
    begin: Begin, rated: RatedSet, recipe: FaceRecipe, compute: Compute, progress: Progress
) -> FaceModels:
    """The models of the bundle: fitted as in a fold, on every rated face."""
    everything = np.arange(len(rated.data.corpus))
    start, voted = begin(everything)
    progress.begin("fitting on all rated faces", recipe.affect.fine_tuning.steps)
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
