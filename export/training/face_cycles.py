"""How each face network learns votes: the settings of its training, cycle by cycle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .face_augmentation import Augmentation
from .face_networks import Name, trained_settings
from .face_training import FaceTrainingSettings

MILD = Augmentation(rotation=12, zoom=0.12, shift=0.06, light=0.35, erase_share=0.2, spoil_share=0.2)
"""What pictures go through once a network knows faces."""


def cycles(network: Name = "small", seed: int = 1) -> tuple[FaceTrainingSettings, ...]:
    """How the network of this name learns votes: from nothing in one cycle, or from SFace in two."""
    settings = FaceTrainingSettings(seed=seed, network=trained_settings(network))
    if network == "reference":
        return (settings,)
    if network == "tiny":
        mild = replace(settings, epochs=24, calm_epochs=6, augmentation=MILD)
        return (replace(mild, learning_rate=4e-3, weight_decay=0.01),)
    first = replace(
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
    # ReLU has come by now: every level learns on faces of full size, under milder changes.
    second = replace(
        first,
        epochs=10,
        small_epochs=0,
        fading_epochs=0.0,
        full_epochs=10**9,
        frozen=0,
        seed=seed + 10,
        crop_share=0.4,
        augmentation=MILD,
    )
    return first, second


def shortened(whole: tuple[FaceTrainingSettings, ...], epochs: int) -> tuple[FaceTrainingSettings, ...]:
    """Cycles of ``epochs`` epochs together, every stage of them in proportion."""
    ends = np.cumsum([0, *(cycle.epochs for cycle in whole)])
    share = epochs / int(ends[-1])
    return tuple(
        replace(
            cycle,
            epochs=int(count),
            small_epochs=int(cycle.small_epochs * share),
            full_epochs=int(cycle.full_epochs * share),
            calm_epochs=int(cycle.calm_epochs * share),
            fading_epochs=cycle.fading_epochs * share,
        )
        for cycle, count in zip(whole, np.diff(np.rint(ends * share)), strict=True)
        if count
    )
