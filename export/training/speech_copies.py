"""Which copies of whose speech are described for training and for trials, and whose voices are heard behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from ..corpora.records import Recording, require_speakers
from ..corpora.speech import SpeechCorpus, rated
from .sound_conditions import CLEAN, Condition
from .speech import SpeechData
from .speech_frames import Frames, read_frames
from .speech_windows import Windows, copy_conditions, read_windows

Bar = Callable[[int, int], None]
Progress = Callable[[str], AbstractContextManager[Bar]]
"""A bar for something that has a name."""


@contextmanager
def silent(_name: str) -> Iterator[Bar]:
    """Progress that nobody sees."""
    yield lambda done, total: None


@dataclass(frozen=True)
class Copies:
    """Sounds that are made of recordings: the same for windows as for frames.

    Attributes
    ----------
    purpose
        What they are for, as progress shows it.
    conditions
        By the recording's name; the number of a copy is its place there.
    talkers
        Who may be heard in the background of others.
    """

    purpose: str
    recordings: Sequence[Recording]
    conditions: Callable[[str], Sequence[Condition]]
    talkers: Sequence[Recording]
    seed: int

    def windows(self, *, jobs: int, progress: Progress = silent) -> Windows:
        """As `read_windows`."""
        with progress(f"describing {self.purpose}") as bar:
            return read_windows(
                self.recordings,
                self.conditions,
                seed=self.seed,
                jobs=jobs,
                talkers=self.talkers,
                progress=bar,
            )

    def frames(self, *, progress: Progress = silent) -> dict[tuple[int, int], Frames]:
        """As `read_frames`."""
        with progress(f"frames of {self.purpose}") as bar:
            return read_frames(
                self.recordings, self.conditions, seed=self.seed, talkers=self.talkers, progress=bar
            )


def training_copies(
    recordings: Sequence[Recording], *, seed: int, chosen: Sequence[int] | None = None
) -> Copies:
    """All training copies of rated speech, or those of the numbers ``chosen``; other speech as it is.

    Nobody who is left out in a fold may be heard in the background of the others: only unrated speech is.
    """
    names = {recording.name for recording in recordings if recording.rated}

    def conditions(name: str) -> list[Condition]:
        if name not in names:
            return [CLEAN]
        drawn = copy_conditions(name, seed)
        return drawn if chosen is None else [drawn[number] for number in chosen]

    others = [recording for recording in recordings if recording.name not in names]
    return Copies("training speech", recordings, conditions, others, seed)


def trial_copies(recordings: Sequence[Recording], asked: Sequence[Condition], *, seed: int) -> Copies:
    """Rated speech under each of the conditions ``asked``, drawn apart from the training copies."""
    judged = [recording for recording in recordings if recording.rated]
    names = {recording.name for recording in judged}
    return Copies("test speech", recordings, lambda name: asked if name in names else [], judged, seed + 1)


def speech_of(corpora: Sequence[SpeechCorpus], *, speakers: int) -> list[Recording]:
    """Every recording; `InputError` where fewer than ``speakers`` people were rated."""
    require_speakers(rated(corpora), speakers, "splitting rated speech by speaker")
    return [recording for corpus in corpora for recording in corpus.recordings]


def training_data(
    corpora: Sequence[SpeechCorpus],
    features: str,
    *,
    speakers: int,
    seed: int,
    jobs: int,
    progress: Progress = silent,
) -> SpeechData:
    """Windows of all training copies with one of `FEATURES`; `InputError` as of `speech_of`."""
    recordings = speech_of(corpora, speakers=speakers)
    windows = training_copies(recordings, seed=seed).windows(jobs=jobs, progress=progress)
    return SpeechData(recordings, windows.columns(features))


def trial_windows(
    data: SpeechData,
    features: str,
    asked: Sequence[Condition],
    *,
    seed: int,
    jobs: int,
    progress: Progress = silent,
) -> Windows:
    """Windows of the rated speech of ``data`` under each of the conditions ``asked``."""
    copies = trial_copies(data.recordings, asked, seed=seed)
    return copies.windows(jobs=jobs, progress=progress).columns(features)
