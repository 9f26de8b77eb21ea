"""Does a voice's language matter? Trained on one and tested on another, nobody heard in both; and a language that
nobody rated, by the order of what its speakers were asked to express.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_emotion.types import DIMENSIONS

from ..corpora.records import require_speakers
from .metrics import ccc
from .speech import SpeechData, fit, usable_rows, utterance_means
from .speech_comparison import speaker_folds
from .speech_copies import Progress, silent
from .speech_regressors import LANDMARKS, Index, Mask, Material
from .speech_windows import Windows
from .statistics import ccc_interval

F64 = NDArray[np.float64]

RAISED, CALM = ("anger", "fear", "happiness"), ("sadness", "boredom", "neutral")
"""Acted emotions of much and of little arousal."""
PLEASANT, UNPLEASANT = ("happiness",), ("anger", "disgust", "fear", "sadness")


def judge(material: Material, *, seed: int = 0, progress: Progress = silent) -> dict[str, Any]:
    """Train on each language that was rated, test on each, every speaker left out once.

    Raises
    ------
    InputError
        Fewer than three people were rated in one of the languages.

    Returns
    -------
    dict
        ``rated``: by the language of training and of the test, for each dimension ``ccc``, ``ccc_95`` (speakers drawn
        anew) and ``n`` of utterance means in clean sound. ``unrated``: by language, trained on all rated speech:
        ``arousal`` and ``valence``, mean by intended emotion, and the shares of pairs of one speaker's utterances
        that are ``raised_over_calm`` in arousal and ``pleasant_over_unpleasant`` in valence.
    """
    data, trials = material.data, material.trials
    language = np.array([recording.language for recording in data.recordings])
    report: dict[str, Any] = {"rated": {}, "unrated": {}}
    for trained in np.unique(language[data.rated]):
        spoken = [
            recording for recording in data.recordings if recording.rated and recording.language == trained
        ]
        require_speakers(spoken, 3, f"leaving speakers of {trained} out")
        with progress(f"trained on {trained}") as bar:
            said = np.full((len(trials), len(DIMENSIONS)), np.nan)
            folds = speaker_folds(data, None, seed)
            for number, (train, test) in enumerate(folds):
                rows = _clean(trials, material.heard(test))
                known = train & data.rated & (language == trained)
                said[rows] = _predict(data, known, trials, rows, seed)
                bar(number + 1, len(folds))
        report["rated"][str(trained)] = {
            str(tested): _scores(data, trials, said, language == tested)
            for tested in np.unique(language[data.rated])
        }
    for unrated in np.unique(language[~data.rated]):
        heard = usable_rows(data.windows, ~data.rated & (language == unrated))
        rows = _clean(data.windows, heard)
        said = _predict(data, data.rated, data.windows, rows, seed)
        report["unrated"][str(unrated)] = _order(data, *utterance_means(data.windows.clip[rows], said))
    return report


def _clean(windows: Windows, rows: Index) -> Index:
    return rows[windows.copy[rows] == 0]


def _predict(data: SpeechData, known: Mask, windows: Windows, rows: Index, seed: int) -> F64:
    model = fit(data, known, budget=LANDMARKS, seed=seed).model
    return np.clip(model.predict(windows.features[rows]), -1.0, 1.0)


def _scores(data: SpeechData, trials: Windows, said: F64, asked: Mask) -> dict[str, Any]:
    rows = np.flatnonzero(asked[trials.clip] & ~np.isnan(said[:, 0]))
    clip, means = utterance_means(trials.clip[rows], said[rows])
    truth, speakers = data.ratings[clip], data.speakers[clip]
    names = np.unique(speakers)
    found: dict[str, Any] = {}
    for k, name in enumerate(DIMENSIONS):
        t, p = ([values[speakers == one, k] for one in names] for values in (truth, means))
        interval = ccc_interval(t, p, names.tolist())
        found[name] = {"ccc": ccc(truth[:, k], means[:, k]), "ccc_95": list(interval), "n": len(clip)}
    return found


def _order(data: SpeechData, clip: Index, means: F64) -> dict[str, Any]:
    intended = np.array([data.recordings[index].intended or "" for index in clip])
    speakers = data.speakers[clip]
    emotions = [str(name) for name in np.unique(intended)]
    return {
        **{
            dimension: {name: float(means[intended == name, k].mean()) for name in emotions}
            for k, dimension in enumerate(DIMENSIONS)
        },
        "raised_over_calm": above(means[:, 0], intended, speakers, RAISED, CALM),
        "pleasant_over_unpleasant": above(means[:, 1], intended, speakers, PLEASANT, UNPLEASANT),
    }


def above(
    values: F64,
    intended: NDArray[np.str_],
    speakers: NDArray[np.str_],
    high: tuple[str, ...],
    low: tuple[str, ...],
) -> float:
    """Share of one speaker's pairs of an utterance of ``high`` and one of ``low`` in which the former has more; NaN
    where nobody has such a pair.
    """
    upper, lower = np.isin(intended, high), np.isin(intended, low)
    pairs = [
        (values[upper & (speakers == name)][:, None] > values[lower & (speakers == name)]).ravel()
        for name in np.unique(speakers)
    ]
    joined = np.concatenate(pairs)
    return float(joined.mean()) if len(joined) else float("nan")


def table(report: dict[str, Any]) -> str:
    """The report as Markdown, as docs/speech.md shows it."""
    languages = list(report["rated"])
    counts = [report["rated"][languages[0]][name]["arousal"]["n"] for name in languages]
    heads = [f"tested on {name} ({n})" for name, n in zip(languages, counts, strict=True)]
    lines = [f"| trained on | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for trained, row in report["rated"].items():
        cells = [", ".join(_cell(row[tested][d]) for d in DIMENSIONS) for tested in languages]
        lines.append(f"| {trained} | {' | '.join(cells)} |")
    for name, found in report["unrated"].items():
        for dimension in DIMENSIONS:
            said = sorted(found[dimension].items(), key=lambda pair: -pair[1])
            lines += ["", f"{name}, {dimension}: " + ", ".join(f"{what} {mean:+.2f}" for what, mean in said)]
        lines += [
            "",
            f"{name}: more arousal on anger, fear or happiness than on sadness, boredom or neutral in "
            f"{found['raised_over_calm']:.1%} of one speaker's pairs; more valence on happiness than on a negative "
            f"emotion in {found['pleasant_over_unpleasant']:.1%}",
        ]
    return "\n".join(lines)


def _cell(found: dict[str, Any]) -> str:
    low, high = found["ccc_95"]
    return f"{found['ccc']:.3f} ({low:.3f} to {high:.3f})"
