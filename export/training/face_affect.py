"""Arousal and valence for the face network: pseudo-labels for FER+ faces, and fine-tuning on rated faces with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from torch import Tensor

from edge_emotion.errors import InputError
from edge_emotion.types import F32

from ..corpora.faces import EXPRESSIONS
from .face_augmentation import Augmentation, augment
from .face_data import FaceViews
from .face_network import to_input
from .face_networks import FaceNet, build
from .face_sface import SFaceNet
from .face_training import Average, Compute, one_cycle, rated_groups

STAND_INS = {"contempt": ("neutral", "disgust")}
"""Expressions that a rated corpus may lack, and those whose mean takes their place (our choice)."""


class RatedFaces(NamedTuple):
    """Faces with arousal and valence ``(n, 2)`` and an expression ``(n,)``."""

    views: FaceViews
    affect: F32
    expression: NDArray[np.int64]

    def rows(self, index: NDArray[np.intp]) -> RatedFaces:
        """The faces at ``index``."""
        return RatedFaces(self.views.take(index), self.affect[index], self.expression[index])


class VotedFaces(NamedTuple):
    """Faces with shares of votes ``(n, 8)``."""

    views: FaceViews
    shares: F32

    def rows(self, index: NDArray[np.intp]) -> VotedFaces:
        """The faces at ``index``."""
        return VotedFaces(self.views.take(index), self.shares[index])


def circumplex(rated: RatedFaces) -> F32:
    """Mean arousal and valence of each expression ``(8, 2)``; contempt, where it is missing, from `STAND_INS`.

    Raises
    ------
    InputError
        The rated faces lack another expression.
    """
    means = np.full((len(EXPRESSIONS), 2), np.nan, np.float32)
    for number in np.unique(rated.expression):
        means[number] = rated.affect[rated.expression == number].mean(0)
    for name, others in STAND_INS.items():
        place = EXPRESSIONS.index(name)
        if np.isnan(means[place, 0]):
            means[place] = means[[EXPRESSIONS.index(other) for other in others]].mean(0)
    missing = [name for name, row in zip(EXPRESSIONS, means, strict=True) if np.isnan(row[0])]
    if missing:
        raise InputError(f"no rated face shows {', '.join(missing)}: pseudo-labels need every expression")
    return means


def pseudo_affect(shares: F32, means: F32) -> F32:
    """Pseudo arousal and valence ``(n, 2)``: the expectation of the circumplex means under the votes."""
    return (shares @ means).astype(np.float32)


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How a network trained on votes learns affect without forgetting the votes.

    ``rated`` and ``voted`` are faces of each kind in a batch; ``head_rate`` is the output layer's learning rate as a
    multiple, since its affect half starts untrained; ``expression_weight`` weighs the votes' cross entropy and
    ``pseudo_weight`` the squared error to pseudo-labels against the loss on ratings.
    """

    steps: int = 120
    rated: int = 64
    voted: int = 64
    learning_rate: float = 5e-5
    head_rate: float = 20.0
    weight_decay: float = 0.05
    expression_weight: float = 1.0
    pseudo_weight: float = 1.0
    crop_share: float = 0.5
    frozen: int = 8
    """First levels of an SFace trunk that stay: what they tell suits affect as it is, and the steps cost a third."""
    average_decay: float = 0.99
    seed: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)


def fine_tune(
    start: FaceNet,
    rated: RatedFaces,
    voted: VotedFaces,
    settings: FineTuning,
    compute: Compute,
    on_step: Callable[[], None] = lambda: None,
) -> FaceNet:
    """A copy of ``start`` trained on ratings, votes and pseudo-labels together, with averaged weights, on the CPU.

    The loss on ratings is one less CCC plus the squared error, mean of arousal and valence. Seeded; everything, the
    pseudo-label map included, comes from the faces that are handed in.
    """
    torch.set_num_threads(compute.threads)
    torch.manual_seed(settings.seed)
    rng = default_rng(settings.seed)
    network = build(start.settings).to(compute.device)
    network.load_state_dict(start.state_dict())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if isinstance(network, SFaceNet):
        network.freeze(settings.frozen)
    average = Average(network, settings.average_decay)
    optimiser = torch.optim.AdamW(rated_groups(network, settings.weight_decay, {"head": settings.head_rate}))
    pseudo = pseudo_affect(voted.shares, circumplex(rated))
    network.train()
    for step in range(settings.steps):
        a = rng.choice(len(rated.views), settings.rated, replace=len(rated.views) < settings.rated)
        b = rng.choice(len(voted.views), settings.voted, replace=len(voted.views) < settings.voted)
        images = torch.cat([_draw(rated.views, a, settings, rng), _draw(voted.views, b, settings, rng)])
        shares = torch.from_numpy(voted.shares[b]).to(compute.device)
        affect = torch.from_numpy(np.concatenate([rated.affect[a], pseudo[b]])).to(compute.device)
        for group in optimiser.param_groups:
            group["lr"] = group["share"] * one_cycle(step / settings.steps, settings.learning_rate)
        with torch.autocast(compute.device, torch.bfloat16, enabled=compute.bfloat16):
            _, votes, guess = network(images.to(compute.device, memory_format=torch.channels_last))
        votes, guess, n = votes.float(), guess.float(), len(a)
        loss = (
            concordance_loss(guess[:n], affect[:n])
            + fn.mse_loss(guess[:n], affect[:n])
            + settings.pseudo_weight * fn.mse_loss(guess[n:], affect[n:])
            - settings.expression_weight * (shares * votes[n:].log_softmax(1)).sum(1).mean()
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update(network)
        on_step()
    tuned = build(start.settings)
    tuned.load_state_dict(average.state)
    return tuned.eval()


def concordance_loss(guess: Tensor, truth: Tensor) -> Tensor:
    """One less the CCC of the batch, mean of the columns of ``(n, 2)``."""
    centred, wanted = guess - guess.mean(0), truth - truth.mean(0)
    covariance = (centred * wanted).mean(0)
    spread = centred.square().mean(0) + wanted.square().mean(0) + (guess.mean(0) - truth.mean(0)).square()
    return (1 - 2 * covariance / (spread + 1e-6)).mean()


def _draw(views: FaceViews, chosen: NDArray[np.int64], settings: FineTuning, rng: Generator) -> Tensor:
    cropped = rng.random(len(chosen)) < settings.crop_share
    pictures = np.where(cropped[:, None, None], views.crops[chosen], views.direct[chosen])
    return to_input(torch.from_numpy(augment(pictures, settings.augmentation, rng)))
