"""Which face is whose: identities over time by motion and size, and which of them the readings are about."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from edge_emotion.types import FaceBox

REACH = 1.0
"""How far a face may be from where its track expects it: distance in face sizes, plus the logarithm of the size
ratio."""
OVERLAP = 0.3
"""Intersection over union from which two detections are one face."""
COAST_S = 0.5
"""A face that is out of sight is expected to keep its speed for this long, and then to rest."""
TAKEOVER_RATIO, TAKEOVER_S = 1.3, 0.5
"""Another face becomes the primary one once it has been this many times as prominent for this long."""
_SPEED_WEIGHT = 0.5  # of the newest step in the running mean of a track's speed


@dataclass(slots=True)
class Track:
    """One person's face; ``face`` is where it was last seen, at ``seen_ns``."""

    id: str
    face: FaceBox
    seen_ns: int
    visible: bool = True
    speed: tuple[float, float] = (0.0, 0.0)
    """Pixels a second."""

    def cost(self, face: FaceBox, time_ns: int) -> float:
        """How ill ``face`` fits this track's expectation; comparable with `REACH`."""
        elapsed = min((time_ns - self.seen_ns) / 1e9, COAST_S)
        x, y = centre(self.face)
        was, now = size(self.face), size(face)
        off_x = centre(face)[0] - x - self.speed[0] * elapsed
        off_y = centre(face)[1] - y - self.speed[1] * elapsed
        return math.hypot(off_x, off_y) / was + abs(math.log(now / was))

    def travelled(self, time_ns: int) -> float:
        """How far the face may have gone since it was seen, in face sizes, at the speed that it had."""
        return math.hypot(*self.speed) * (time_ns - self.seen_ns) / 1e9 / size(self.face)

    def see(self, face: FaceBox, time_ns: int) -> None:
        """Take ``face`` for this track's."""
        elapsed = (time_ns - self.seen_ns) / 1e9
        if elapsed > 0:
            (x0, y0), (x1, y1) = centre(self.face), centre(face)
            step = ((x1 - x0) / elapsed, (y1 - y0) / elapsed)
            # After a gap the step is a mean over a time in which anything may have happened.
            weight = _SPEED_WEIGHT if self.visible else 1.0
            self.speed = (
                self.speed[0] + weight * (step[0] - self.speed[0]),
                self.speed[1] + weight * (step[1] - self.speed[1]),
            )
        self.face, self.seen_ns, self.visible = face, time_ns, True


class Tracks:
    """The faces seen of late.

    Parameters
    ----------
    hold_s
        A face that is lost keeps its identity for this long. One that comes back later, or elsewhere, is a new one.
    """

    def __init__(self, hold_s: float) -> None:
        self._hold_ns = round(hold_s * 1e9)
        self.reset()

    def reset(self) -> None:
        """As just constructed: identities begin anew."""
        self._tracks: list[Track] = []
        self._born = 0
        self._primary: str | None = None
        self._challenge: tuple[str, int] | None = None

    @property
    def visible(self) -> list[Track]:
        """Tracks that were seen when they were last looked for, oldest first."""
        return [track for track in self._tracks if track.visible]

    def assign(self, faces: Sequence[FaceBox], time_ns: int, waiting: Collection[str] = ()) -> list[FaceBox]:
        """Give each face to the track that it fits best; return those that fit none.

        Tracks without a face turn invisible, but for those that were not looked for (``waiting``: their ids); after
        ``hold_s`` they are forgotten.
        """
        self._tracks = [track for track in self._tracks if 0 <= time_ns - track.seen_ns <= self._hold_ns]
        pairs = sorted(
            (cost, t, f)
            for t, track in enumerate(self._tracks)
            for f, face in enumerate(faces)
            if (cost := track.cost(face, time_ns)) < REACH
        )
        free_tracks, free_faces = set(range(len(self._tracks))), set(range(len(faces)))
        for _, t, f in pairs:
            if t in free_tracks and f in free_faces:
                self._tracks[t].see(faces[f], time_ns)
                free_tracks.remove(t)
                free_faces.remove(f)
        for t in free_tracks:
            track = self._tracks[t]
            track.visible = track.visible and track.id in waiting
        return [faces[f] for f in sorted(free_faces)]

    def begin(self, face: FaceBox, time_ns: int) -> Track:
        """Start a track: ids are a0, a1, ... a9, b0, ..., z9, a10, ..."""
        hundreds, rest = divmod(self._born, 260)
        letter, digit = divmod(rest, 10)
        track = Track(f"{chr(ord('a') + letter)}{hundreds or ''}{digit}", face, time_ns)
        self._born += 1
        self._tracks.append(track)
        return track

    def choose_primary(self, width: int, height: int, time_ns: int) -> str | None:
        """Id of the face that the readings are about, which may be out of sight for a moment; ``None`` when there is
        none.

        The most prominent face, large and central in the ``width`` x ``height`` picture. It stays so until it has
        been gone for ``hold_s``, or until another has been clearly more prominent for a while.
        """
        prominence = {track.id: _prominence(track.face, width, height) for track in self.visible}
        if all(track.id != self._primary for track in self._tracks):
            self._primary = max(prominence, key=lambda id_: prominence[id_]) if prominence else None
            self._challenge = None
        elif self._primary in prominence:
            self._challenge = self._rival(prominence, prominence[self._primary], time_ns)
            if self._challenge and time_ns - self._challenge[1] >= TAKEOVER_S * 1e9:
                self._primary, self._challenge = self._challenge[0], None
        return self._primary

    def _rival(self, prominence: dict[str, float], primary: float, time_ns: int) -> tuple[str, int] | None:
        """The clearly more prominent face, and since when it has been that."""
        best = max(prominence, key=lambda id_: prominence[id_])
        if prominence[best] < TAKEOVER_RATIO * primary:
            return None
        return self._challenge if self._challenge and self._challenge[0] == best else (best, time_ns)


def distinct(faces: Sequence[FaceBox]) -> Iterator[FaceBox]:
    """The faces without those that overlap an earlier one."""
    kept: list[FaceBox] = []
    for face in faces:
        if all(overlap(face, other) < OVERLAP for other in kept):
            kept.append(face)
            yield face


def overlap(one: FaceBox, other: FaceBox) -> float:
    """Intersection over union of two boxes."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


def centre(face: FaceBox) -> tuple[float, float]:
    """Middle of the box."""
    return face.x + face.width / 2, face.y + face.height / 2


def size(face: FaceBox) -> float:
    """Side of the square that has the box's area, at least 1."""
    return max(1.0, math.sqrt(face.width * face.height))


def _prominence(face: FaceBox, width: int, height: int) -> float:
    """Size of the face, halved at the picture's corners."""
    x, y = centre(face)
    off = math.hypot(x - width / 2, y - height / 2) / math.hypot(width / 2, height / 2)
    return size(face) * (1 - min(off, 1.0) / 2)
