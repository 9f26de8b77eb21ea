"""Pictures in, tracked and aligned faces out.

A face that is being followed is looked for only in a small window round its last place, upright and at a scale at
which the detector is both quick and exact. The whole picture is searched every `SEARCH_S`, and at once when a
followed face is not found in its window, so that fast motion costs time rather than the face. The primary face and
those in motion are looked at in every picture; the others take turns, so that a crowd costs little more than a couple.
Latency: none, a frame's faces are returned with the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_emotion.config import CropSettings, QualityThresholds
from edge_emotion.features import quality
from edge_emotion.features.crop import CANONICAL, F64, align, view
from edge_emotion.features.quality import FaceFacts
from edge_emotion.features.tracking import OVERLAP, Track, Tracks, centre, distinct, overlap, size
from edge_emotion.types import U8, FaceBox, FaceDetector, QualityFlag, VideoFrame

SEARCH_S, IDLE_SEARCH_S = 0.4, 0.1
"""Time between searches of the whole picture while there are faces in sight, and otherwise."""
WINDOW_PX, WINDOW_FACES = 96, 1.5
"""Side of a followed face's window as the detector sees it, and in face sizes.

Measured on twelve clips: of a face 64 pixels wide that is turned by up to 20 degrees, YuNet's landmarks show half of
the turn (of one 43 wide a third), with an error of 1.5 degrees. The window therefore turns with the face, by what the
landmarks still show.
"""
_DRIFT, _GROWTH, _TURN_DEG = 0.15, 1.25, 3.0  # of the face, before its window is laid anew
_INSIDE = 0.22  # distance from the window's middle up to which a face is seen whole
_LOOKS = 3  # at a new face


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """One face in one picture."""

    id: str
    """Short and stable for as long as the face is followed."""
    box: FaceBox
    crop: U8
    """Aligned grey crop ``(size, size)`` (`edge_emotion.features.crop.align`)."""
    facts: FaceFacts


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """The faces of one picture."""

    time_ns: int
    faces: tuple[TrackedFace, ...]
    """The faces that were looked at and found: the primary one first if it is in sight, then the others by the time
    they have been known. With three or more people, those who rest take turns."""
    primary_id: str | None
    """The face that the readings are about; it may be out of sight for a moment."""
    flags: tuple[QualityFlag, ...]
    """Of ``no_face``, ``multi_face``, ``low_light``, ``blur``, ``off_axis``: ``multi_face`` counts those whose turn
    it was not too; the last three speak of the primary face, ``low_light`` of the picture where there is no face."""

    @property
    def primary(self) -> TrackedFace | None:
        """The primary face if it is in sight."""
        return self.faces[0] if self.faces and self.faces[0].id == self.primary_id else None


@dataclass(frozen=True, slots=True)
class _Window:
    """A square part of the picture, turned so that the face in it is upright."""

    x: float
    """Middle, in pixels of the picture."""
    y: float
    side: float
    roll_deg: float

    @classmethod
    def around(cls, face: FaceBox) -> _Window:
        return cls(*centre(face), WINDOW_FACES * size(face), quality.head_pose(face.landmarks)[1])

    def to_image(self) -> F64:
        """Similarity from the coordinates of the window's view, `WINDOW_PX` wide, to the picture's."""
        angle, scale = math.radians(self.roll_deg), self.side / WINDOW_PX
        turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return np.column_stack([turn, np.array([self.x, self.y]) - turn.sum(axis=1) * WINDOW_PX / 2])

    def still_fits(self, face: FaceBox) -> bool:
        """Whether ``face`` is near enough to the middle, and of the size and turn that the window was laid for."""
        ratio = WINDOW_FACES * size(face) / self.side
        turned_deg = (quality.head_pose(face.landmarks)[1] - self.roll_deg + 180) % 360 - 180
        return self.distance(face) < _DRIFT and 1 / _GROWTH < ratio < _GROWTH and abs(turned_deg) < _TURN_DEG

    def distance(self, face: FaceBox) -> float:
        """Distance of the face from the middle, in sides of the window."""
        x, y = centre(face)
        return math.hypot(x - self.x, y - self.y) / self.side


class FaceStream:
    """Follows the faces of a stream of pictures.

    Parameters
    ----------
    detector
        Finds faces; its own input size is used to search whole pictures.
    geometry
        Of the crops.
    limits
        From where on a fact becomes a flag.
    hold_s
        A lost face keeps its id for this long.
    max_faces
        Further faces are not followed.
    """

    def __init__(
        self,
        detector: FaceDetector,
        geometry: CropSettings = CANONICAL,
        *,
        limits: QualityThresholds | None = None,
        hold_s: float = 1.0,
        max_faces: int = 4,
    ) -> None:
        self._detector = detector
        self._geometry = geometry
        self._limits = limits or QualityThresholds()
        self._max_faces = max_faces
        self._tracks = Tracks(hold_s)
        self.reset()

    def reset(self) -> None:
        """As just constructed."""
        self._tracks.reset()
        self._windows: dict[str, _Window] = {}
        self._facts: dict[str, FaceFacts] = {}
        self._primary_id: str | None = None
        self._searched_ns: int | None = None

    def update(self, frame: VideoFrame) -> FaceFrame:
        """Faces of the next picture; size and colour may differ from the last one's, and gaps in time are allowed."""
        image, time_ns = frame.image, frame.time_ns
        waiting = self._waiting(time_ns)
        found, waiting = self._find(image, time_ns, waiting)
        strangers = self._tracks.assign(found, time_ns, waiting)
        for face in strangers[: max(0, self._max_faces - len(self._tracks.visible))]:
            self._welcome(face, image, time_ns)
        visible = self._tracks.visible
        self._windows = {track.id: self._window(track) for track in visible}
        height, width = image.shape[:2]
        self._primary_id = self._tracks.choose_primary(width, height, time_ns)
        visible.sort(key=lambda track: track.id != self._primary_id)
        faces = tuple(self._describe(track, image) for track in visible if track.seen_ns == time_ns)
        seen = {face.id: face.facts for face in faces}
        self._facts = {track.id: seen.get(track.id) or self._facts[track.id] for track in visible}
        return FaceFrame(time_ns, faces, self._primary_id, self._flags(image))

    def _waiting(self, time_ns: int) -> set[str]:
        """Those who rest and are not the primary face, but for the one that has waited longest."""
        resting = [
            track
            for track in self._tracks.visible
            if track.id != self._primary_id and track.travelled(time_ns) < _DRIFT * WINDOW_FACES
        ]
        resting.sort(key=lambda track: track.seen_ns)
        return {track.id for track in resting[1:]}

    def _find(self, image: U8, time_ns: int, waiting: set[str]) -> tuple[list[FaceBox], set[str]]:
        """Faces in the windows of those who do not wait; if a search is due or one of them is missing, in every window
        and in the whole picture. Who still waits comes with them.
        """
        windows = [window for face_id, window in self._windows.items() if face_id not in waiting]
        followed = [face for window in windows for face in _look(self._detector, image, window)]
        pause_s = SEARCH_S if windows else IDLE_SEARCH_S
        waited_ns = None if self._searched_ns is None else time_ns - self._searched_ns
        due = waited_ns is None or not 0 <= waited_ns < pause_s * 1e9
        if not due:
            found = self._distinct(followed, windows)
            if len(found) >= len(windows):
                return found, waiting
        self._searched_ns = time_ns
        rest = [window for face_id, window in self._windows.items() if face_id in waiting]
        followed += [face for window in rest for face in _look(self._detector, image, window)]
        found = self._distinct(followed, [*windows, *rest])
        return list(distinct([*found, *self._detector.compute(image)])), set()

    @staticmethod
    def _distinct(faces: list[FaceBox], windows: list[_Window]) -> list[FaceBox]:
        """Each face once, as it is seen in its own window: a neighbour's shows it worse."""
        faces.sort(key=lambda face: min(window.distance(face) for window in windows))
        return list(distinct(faces))

    def _welcome(self, face: FaceBox, image: U8, time_ns: int) -> None:
        """Begin to follow a face if it is found again (`look_again`)."""
        again = look_again(self._detector, image, face)
        if again:
            self._tracks.begin(again, time_ns)

    def _window(self, track: Track) -> _Window:
        """The window to look in next: the last one while it fits, so that a resting face is seen alike each time."""
        window = self._windows.get(track.id)
        return window if window and window.still_fits(track.face) else _Window.around(track.face)

    def _describe(self, track: Track, image: U8) -> TrackedFace:
        crop = align(image, track.face.landmarks, self._geometry)
        return TrackedFace(track.id, track.face, crop, quality.measure(track.face, crop))

    def _flags(self, image: U8) -> tuple[QualityFlag, ...]:
        found = quality.flags(list(self._facts.values()), self._limits)
        dark = (
            not self._facts
            and image.size > 0
            and float(image[::16, ::16, ...].mean()) < self._limits.low_light
        )
        return (*found, "low_light") if dark else found


def look_again(detector: FaceDetector, image: U8, face: FaceBox) -> FaceBox | None:
    """``face`` as it is found three times at its window's scale, each time more upright; ``None`` if it is not."""
    for _ in range(_LOOKS):
        found = _look(detector, image, _Window.around(face))
        again = next((other for other in found if overlap(face, other) >= OVERLAP), None)
        if again is None:
            return None
        face = again
    return face


def _look(detector: FaceDetector, image: U8, window: _Window) -> list[FaceBox]:
    """Faces in a window, in the picture's coordinates; a neighbour that the edge cuts is left out."""
    to_image = window.to_image()
    found = [_moved(face, to_image) for face in detector.compute(view(image, to_image, WINDOW_PX))]
    return [face for face in found if window.distance(face) < _INSIDE]


def _moved(face: FaceBox, to_image: F64) -> FaceBox:
    """The face as the similarity moves it; its box stays level."""
    scale = float(np.hypot(to_image[0, 0], to_image[1, 0]))
    x, y = to_image[:, :2] @ centre(face) + to_image[:, 2]
    width, height = face.width * scale, face.height * scale
    landmarks = (face.landmarks @ to_image[:, :2].T + to_image[:, 2]).astype(np.float32)
    return FaceBox(float(x) - width / 2, float(y) - height / 2, width, height, landmarks, face.score)
