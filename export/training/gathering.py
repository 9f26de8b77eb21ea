"""From a corpus's recordings to the protocol's members: checks, shards of sound, faces and labels, face features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from edge_emotion.errors import InputError
from edge_emotion.model.bundle import open_bundle

from ..corpora.records import Recording, require_speakers
from . import shards
from .blocks import Member, read_labels
from .evidence import EvidenceJob
from .extraction import EncodeJob, FacesJob, SoundJob, write_labels

LEAST_TRAINING_SPEAKERS = 3

FrameTimes = tuple[float, ...] | None
"""Published times of a film's frames in seconds; ``None`` where the file's own hold."""


class Job(Protocol):
    """Work that travels: a record of paths and settings."""

    def run(self) -> Any:
        """Do it, here or on any worker."""
        ...


Map = Callable[[Sequence[Job], str], list[Any]]
"""Runs jobs wherever there is room, results in their order; the text says what they are."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A face network as encoding jobs need it."""

    file: Path
    features: int
    normalisation: tuple[float, float]

    @classmethod
    def of(cls, bundle: Path | None) -> Encoder:
        """The one of a bundle; ``None`` is the embedded default."""
        opened = open_bundle(bundle)
        part = opened.manifest.face.encoder
        return cls(
            opened.file("face", part), part.features, (part.normalisation.mean, part.normalisation.scale)
        )


def gather(
    recordings: Iterable[Recording],
    run: Map,
    *,
    bundle: Path | None,
    windows_s: tuple[float, ...],
    hop_s: float,
    keep: Path,
) -> tuple[list[Member], list[str]]:
    """Extract sound and faces of every recording; members with ``audio`` and ``faces``, and notes on what is short.

    Raises
    ------
    InputError
        A recording without sound, picture or partition; no rated development recording; too few training speakers; a
        speaker on both sides. Nothing is extracted before all of that is clear.
    """
    bare: list[Member] = []
    jobs: list[Job] = []
    for recording in recordings:
        member, sound, film, times = _checked(recording, hop_s, keep)
        bare.append(member)
        jobs += [
            FacesJob(film, times, bundle, hop_s, keep),
            SoundJob(sound, bundle, windows_s, hop_s, keep),
        ]
    _require_split(bare)
    found = run(jobs, "extract")
    members = [
        replace(member, features={"faces": faces, "audio": audio})
        for member, faces, audio in zip(bare, found[::2], found[1::2], strict=True)
    ]
    notes = [note for member in members if (note := _shortness(member, hop_s))]
    return members, notes


def gather_evidence(
    recordings: Iterable[Recording], run: Map, *, bundle: Path | None, hop_s: float, keep: Path
) -> list[Member]:
    """Members with ``evidence``, the shard of `EvidenceJob`; refuses what `gather` refuses."""
    bare: list[Member] = []
    jobs: list[Job] = []
    for recording in recordings:
        member, sound, film, times = _checked(recording, hop_s, keep)
        bare.append(member)
        jobs.append(EvidenceJob(sound, film, times, bundle, keep))
    _require_split(bare)
    return [
        replace(member, features={"evidence": shard})
        for member, shard in zip(bare, run(jobs, "listen and watch"), strict=True)
    ]


def encode(
    members: Sequence[Member],
    encoders: Mapping[str, Path],
    like: Encoder,
    run: Map,
    keep: Path,
    *,
    training_only: bool = False,
) -> list[Member]:
    """Members with the features of each encoder, under its name; all have the widths and input of ``like``."""
    wanted = [
        (index, source)
        for source in encoders
        for index, member in enumerate(members)
        if member.partition == "train" or not training_only
    ]
    jobs = [
        EncodeJob(members[k].features["faces"], encoders[source], like.normalisation, like.features, keep)
        for k, source in wanted
    ]
    added: list[dict[str, Path]] = [{} for _ in members]
    for (index, source), path in zip(wanted, run(jobs, "encode faces"), strict=True):
        added[index][source] = path
    return [replace(m, features={**m.features, **more}) for m, more in zip(members, added, strict=True)]


def _checked(recording: Recording, hop_s: float, keep: Path) -> tuple[Member, Path, Path, FrameTimes]:
    """The member without features, its media, and the published times of its frames."""
    if recording.audio is None or recording.video is None:
        missing = "sound" if recording.audio is None else "picture"
        raise InputError(f"{recording.name}: its {missing} is missing; every recording needs both")
    if recording.partition is None:
        raise InputError(f"{recording.name}: no partition; say which speakers are train and dev")
    labels = write_labels(recording, hop_s, keep)
    times = recording.frame_times_s
    published = None if times is None else tuple(float(t) for t in times)
    member = Member(recording.name, recording.speaker, recording.partition, labels, {})
    return member, recording.audio, recording.video, published


def _require_split(members: Sequence[Member]) -> None:
    """Refuse members that cannot be trained and judged on: too few speakers, no dev recording, a speaker in both."""
    rated = [member for member in members if member.labels is not None]
    train = [member for member in rated if member.partition == "train"]
    dev = [member for member in rated if member.partition == "dev"]
    require_speakers([Recording(m.name, m.speaker) for m in train], LEAST_TRAINING_SPEAKERS, "training")
    if not dev:
        raise InputError("no rated recording in the dev partition: there is nothing to judge on")
    both = {member.speaker for member in train} & {member.speaker for member in dev}
    if both:
        raise InputError(
            f"speakers in both train and dev: {', '.join(sorted(both))}; splits must be disjoint"
        )


def _shortness(member: Member, hop_s: float) -> str | None:
    if member.labels is None:
        return None
    rated = len(read_labels(member, "arousal"))
    heard = len(shards.read(member.features["audio"], ["known"])["known"])
    if rated >= 0.95 * heard:
        return None
    return f"{member.name}: ratings cover {rated * hop_s:.0f} of {heard * hop_s:.0f} s; the rest is left out"
