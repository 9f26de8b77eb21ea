"""How good the acoustic model is on people it has never heard: everything refitted per speaker, or a bundle as it
runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from edge_emotion.errors import InputError
from edge_emotion.model.bundle import Bundle
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.types import DIMENSIONS, F32, AudioBlock

from ..corpora.records import Recording
from ..corpora.speech import RATE_HZ
from . import sigma
from .metrics import bootstrap, ccc, score_both
from .sound_conditions import CONDITIONS, SERIES, Condition, apply, generator
from .speech import Fitted, SpeechData, fit, outer_folds, usable_rows, utterance_means
from .speech_windows import Windows

F64 = NDArray[np.float64]
Fitter = Callable[[SpeechData, NDArray[np.bool_]], Fitted]
"""Fits on the recordings of a mask and nothing else; it travels to other processes."""


@dataclass(frozen=True)
class Heard:
    """Windows with speech as those judge them who have never heard the speaker.

    Attributes
    ----------
    predictions, sigmas
        ``float64 (n, 2)``.
    choices
        Hyper-parameters, by the name of the speaker who was left out.
    """

    windows: Windows
    predictions: F64
    sigmas: F64
    choices: dict[str, Mapping[str, Any]]


def leave_speakers_out(
    data: SpeechData,
    trials: Windows,
    *,
    fitter: Fitter = fit,
    jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Heard:
    """Fit without each speaker in turn, hyper-parameters, scale and sigma chosen anew among the others.

    Parameters
    ----------
    data
        Training windows of all recordings.
    trials
        Windows of the same recordings as they are judged. Windows without speech are left out, as the device does.
    fitter
        What is refitted, with its settings.
    progress
        Called with the number of finished and of all folds.
    """
    folds = outer_folds(data)
    tasks = [(data, trials, train, test, fitter) for _, train, test in folds]
    parts = []
    with ProcessPoolExecutor(jobs, initializer=threadpool_limits, initargs=(1,)) as pool:
        for result in pool.map(_fold, tasks):
            parts.append(result)
            if progress is not None:
                progress(len(parts), len(folds))
    rows, predictions, sigmas, choices = zip(*parts, strict=True)
    return Heard(
        trials.take(np.concatenate(rows)),
        np.concatenate(predictions),
        np.concatenate(sigmas),
        {speaker: choice for (speaker, _, _), choice in zip(folds, choices, strict=True)},
    )


def cross_validate(
    data: SpeechData,
    trials: Windows,
    *,
    fitter: Fitter = fit,
    jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Figures of `leave_speakers_out`.

    Parameters
    ----------
    trials
        Their ``copy`` counts `CONDITIONS` and then, where they were asked for, the points of `SERIES`.

    Returns
    -------
    dict
        ``arousal`` and ``valence``: scores of the utterances' means on clean sound, with the 95 % interval of the CCC
        under resampled speakers; ``interval_80``: share of windows within the 80 % interval; ``conditions``: the same
        for each of `CONDITIONS`, and whether it was held out; ``held_out``: the mean CCC of those; ``series``: CCC
        along each of `SERIES`, where ``trials`` have them; ``anger_over_sadness``: share of same-speaker pairs with
        the higher arousal on the angry utterance.
    """
    heard = leave_speakers_out(data, trials, fitter=fitter, jobs=jobs, progress=progress)
    report = _report(data, heard.windows, heard.predictions, heard.sigmas)
    return report | {"speakers": len(heard.choices), "choices": heard.choices}


def judge_bundle(
    bundle: Bundle,
    spoken: Sequence[tuple[Recording, F32]],
    condition: Condition,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Scores of a bundle's readings of rated utterances under ``condition``, and how many had none.

    Raises
    ------
    InputError
        No utterance had a reading.
    """
    sounds = under(spoken, condition, seed=seed)
    said = listen(bundle, sounds, progress)
    truth = np.array([[recording.rating(d) for d in DIMENSIONS] for recording, _ in spoken])
    heard = ~np.isnan(said[:, 0])
    if not heard.any():
        raise InputError("the bundle gave no reading for any utterance: too short, or no speech in them")
    return {**score_both(truth[heard], said[heard]), "without_reading": int((~heard).sum())}


def under(spoken: Sequence[tuple[Recording, F32]], condition: Condition, *, seed: int = 0) -> list[F32]:
    """The sounds under ``condition``; who is heard in the background is somebody else of them."""
    return [
        apply(
            sound,
            condition,
            generator(seed, recording.name, condition),
            [other for talker, other in spoken if talker.speaker != recording.speaker],
        )
        for recording, sound in spoken
    ]


def listen(bundle: Bundle, sounds: Sequence[F32], progress: Callable[[int, int], None] | None = None) -> F64:
    """What a bundle says of whole utterances, (n, 2), through the device's own code; NaN where it gives no reading.

    The mean of the readings from the moment on at which the window is full, or of the last one in a shorter utterance.
    """
    pipeline = EmotionPipeline(bundle)
    said = np.full((len(sounds), 2), np.nan)
    for index, samples in enumerate(sounds):
        pipeline.reset()
        settled_s = min(pipeline.window_s["audio"], len(samples) / RATE_HZ) - 1 / pipeline.rate_hz
        readings = [
            (reading.arousal, reading.valence)
            for reading in replay(pipeline, [AudioBlock(samples, RATE_HZ, 0)])
            if reading.arousal is not None
            and reading.valence is not None
            and reading.time_ns >= settled_s * 1e9
        ]
        if readings:
            said[index] = np.mean(readings, axis=0)
        if progress is not None:
            progress(index + 1, len(sounds))
    return said


def anger_over_sadness(intended: Sequence[str | None], speakers: Sequence[str], arousal: F64) -> float | None:
    """Share of pairs of an angry and a sad utterance of one speaker with more arousal on the angry one."""
    emotion, speaker = np.array([label or "" for label in intended]), np.array(speakers)
    wins = [
        (
            arousal[(emotion == "anger") & (speaker == name)][:, None]
            > arousal[(emotion == "sadness") & (speaker == name)]
        )
        for name in np.unique(speaker)
    ]
    pairs = np.concatenate([win.ravel() for win in wins]) if wins else np.zeros(0)
    return float(pairs.mean()) if len(pairs) else None


def _fold(task: tuple[Any, ...]) -> tuple[NDArray[np.intp], F64, F64, Mapping[str, Any]]:
    data, trials, train, test, fitter = task
    fitted = fitter(data, train)
    rows = usable_rows(trials, test)
    facts = {name: values[rows] for name, values in trials.facts.items()}
    predictions = np.clip(fitted.model.predict(trials.features[rows]), -1.0, 1.0)
    chosen = {name: asdict(choice) for name, choice in fitted.choices.items()}
    return rows, predictions, sigma.evaluate(fitted.sigma, facts, len(rows)), chosen


def _report(data: SpeechData, heard: Windows, predictions: F64, sigmas: F64) -> dict[str, Any]:
    judged = [
        _judge(data, heard, predictions, sigmas, np.flatnonzero(heard.copy == copy))
        for copy in range(int(heard.copy.max()) + 1)
    ]
    clip, means = utterance_means(heard.clip[heard.copy == 0], predictions[heard.copy == 0])
    truth = data.ratings[clip]

    def resampled(k: int) -> list[float]:
        return list(bootstrap(lambda rows: ccc(truth[rows, k], means[rows, k]), data.speakers[clip]))

    intended = [data.recordings[index].intended for index in clip]
    conditions: dict[str, dict[str, Any]] = {
        name: scores | {"held_out": trial.held_out}
        for (name, trial), scores in zip(CONDITIONS.items(), judged, strict=False)
    }
    held_out = [scores for scores in conditions.values() if scores["held_out"]]
    report: dict[str, Any] = {
        **{name: {**judged[0][name], "ccc_95": resampled(k)} for k, name in enumerate(DIMENSIONS)},
        "interval_80": judged[0]["interval_80"],
        "anger_over_sadness": anger_over_sadness(intended, list(data.speakers[clip]), means[:, 0]),
        "conditions": conditions,
        "held_out": {name: float(np.mean([s[name]["ccc"] for s in held_out])) for name in DIMENSIONS},
    }
    if len(judged) > len(CONDITIONS):
        rest = iter(judged[len(CONDITIONS) :])
        report["series"] = {
            axis: {f"{x:g}": _ccc(next(rest)) for x in points} for axis, points in SERIES.items()
        }
    return report


def _ccc(scores: Mapping[str, Any]) -> dict[str, float]:
    return {name: scores[name]["ccc"] for name in DIMENSIONS}


def _judge(
    data: SpeechData, heard: Windows, predictions: F64, sigmas: F64, rows: NDArray[np.intp]
) -> dict[str, Any]:
    clip, means = utterance_means(heard.clip[rows], predictions[rows])
    inside = sigma.coverage(predictions[rows] - data.ratings[heard.clip[rows]], sigmas[rows])
    return {
        **score_both(data.ratings[clip], means),
        "interval_80": dict(zip(DIMENSIONS, inside, strict=True)),
        "mean_sigma": dict(zip(DIMENSIONS, map(float, sigmas[rows].mean(axis=0)), strict=True)),
    }
