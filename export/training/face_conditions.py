"""The ways in which a camera, its cable or a person spoils a picture of a face: one table of seeded conditions.

All work on a picture with a face at full size, before detection, and are placed and scaled by the face's landmarks;
lengths are in eye distances, so a condition means the same at any resolution. Shapes are drawn and turned heads are
bent flat pictures: they show what the models do not depend on, they do not replace recordings (our choice).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np
from numpy.random import Generator

from edge_emotion.types import F32, U8

from .face_occlusion import BOX_WIDTH, Place, drawn, glasses, hand, mask, microphone, outline


class Shown(NamedTuple):
    """A picture and where the face's landmarks ``(5, 2)`` lie in it."""

    picture: U8
    landmarks: F32


Spoil = Callable[[U8, Place, float, Generator], U8]
Move = Callable[[Shown, float, Generator], Shown]


@dataclass(frozen=True, slots=True)
class Condition:
    """One way of spoiling a picture.

    Attributes
    ----------
    change
        From picture and landmarks, severity and generator to new ones; the picture keeps its shape.
    low, high
        Severity, drawn anew for each picture, its logarithm evenly where ``low`` is above 0.
    unit
        What the severity counts.
    held_out
        Never trained or fitted on: it tells how the models do on what they have not met.
    blunders
        The picture stays; the severity is the detector's error, as deviation of the landmarks in eye distances.
    """

    change: Move
    low: float
    high: float
    unit: str
    held_out: bool = False
    blunders: bool = False

    def at(self, severity: float) -> Condition:
        """The same condition with this severity and no other."""
        return replace(self, low=severity, high=severity)

    def show(self, picture: U8, landmarks: F32, rng: Generator) -> Shown:
        """The spoiled picture, ``uint8`` grey ``(h, w)`` or BGR ``(h, w, 3)`` as given, and its true landmarks."""
        shown = Shown(picture, landmarks)
        return shown if self.blunders else self.change(shown, self._severity(rng), rng)

    def report(self, landmarks: F32, rng: Generator) -> F32:
        """Landmarks ``(5, 2)`` that were found, as the detector would report them under this condition."""
        if not self.blunders:
            return landmarks
        deviation = self._severity(rng) * Place.of(landmarks).eyes_px
        return (landmarks + deviation * rng.standard_normal(landmarks.shape)).astype(np.float32)

    def _severity(self, rng: Generator) -> float:
        if self.low > 0:
            return float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
        return float(rng.uniform(self.low, self.high))


def _as_it_is(shown: Shown, severity: float, rng: Generator) -> Shown:
    return shown


def _in_place(spoil: Spoil) -> Move:
    """A change that leaves the face where it is."""

    def change(shown: Shown, severity: float, rng: Generator) -> Shown:
        return shown._replace(picture=spoil(shown.picture, Place.of(shown.landmarks), severity, rng))

    return change


def _far(shown: Shown, face_px: float, rng: Generator) -> Shown:
    """Shrunk until the face is so wide, in a plain picture of the old size and the mean colour."""
    picture = shown.picture
    share = min(face_px / (BOX_WIDTH * Place.of(shown.landmarks).eyes_px), 1.0)
    height, width = picture.shape[:2]
    size = max(1, round(width * share)), max(1, round(height * share))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    out = np.empty_like(picture)
    out[:] = np.rint(picture.mean(axis=(0, 1)))
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    scale = np.divide(size, (width, height), dtype=np.float32)
    return Shown(out, shown.landmarks * scale + np.array([left, top], np.float32))


def _motion_blur(picture: U8, place: Place, length: float, rng: Generator) -> U8:
    """The camera or the head moves along a straight line while the shutter is open."""
    reach = length * place.eyes_px / 2
    side = 2 * int(np.ceil(reach)) + 1
    angle, middle = rng.uniform(0, np.pi), side // 2
    step = reach * np.array([np.cos(angle), np.sin(angle)])
    kernel = np.zeros((side, side), np.float32)
    start, end = (np.rint(16 * (middle + sign * step)).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA, 4)
    return _filtered(picture, kernel)


def _focus_blur(picture: U8, place: Place, radius: float, rng: Generator) -> U8:
    """Out of focus: each point becomes a disc."""
    reach = radius * place.eyes_px
    side = 2 * int(np.ceil(reach)) + 1
    y, x = np.mgrid[:side, :side] - side // 2
    # The rim's pixels count by how far the disc reaches into them.
    return _filtered(picture, np.clip(reach + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32))


def _filtered(picture: U8, kernel: F32) -> U8:
    return cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _dark(picture: U8, place: Place, light: float, rng: Generator) -> U8:
    """A share of the light, with a sensor's reading and shot noise."""
    return _sensed(picture * np.float32(light), rng.uniform(1, 8), rng)


def _sensed(light: F32, reading: float, rng: Generator) -> U8:
    deviation = np.sqrt(np.float32(reading**2) + 0.3 * np.maximum(light, 0))
    noisy = light + deviation * rng.standard_normal(light.shape, np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _back_light(picture: U8, place: Place, light: float, rng: Generator) -> U8:
    """A bright window behind the head: the face keeps a share of its light, and the lens flares over it."""
    head = drawn(picture, outline(place.at((0, 0.35)), place, 1.25, 1.75))
    head = cv2.GaussianBlur(head, (0, 0), 0.08 * place.eyes_px)
    flare = 40 * cv2.GaussianBlur(1 - head, (0, 0), 0.6 * place.eyes_px)
    window = rng.uniform(215, 255) * (1 - head) + flare
    mask = head if picture.ndim == 2 else head[..., None]
    window = window if picture.ndim == 2 else window[..., None]
    return _sensed((light * picture * mask + window).astype(np.float32), 2.0, rng)


def _jpeg(picture: U8, place: Place, quality: float, rng: Generator) -> U8:
    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    flag = cv2.IMREAD_GRAYSCALE if picture.ndim == 2 else cv2.IMREAD_COLOR
    return np.asarray(cv2.imdecode(packed, flag), np.uint8)


def _h264(picture: U8, place: Place, factor: float, rng: Generator) -> U8:
    """The last of five pictures of a drifting camera, as x264 leaves it at a high constant rate factor."""
    height, width = (side - side % 2 for side in picture.shape[:2])
    layout = "gray" if picture.ndim == 2 else "bgr24"
    encoder, decoder = av.CodecContext.create("libx264", "w"), av.CodecContext.create("h264", "r")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "crf": f"{factor:.1f}"}
    drift = rng.uniform(-0.02, 0.02, 2) * place.eyes_px
    frames: list[av.VideoFrame] = []
    for number in range(5):
        matrix = np.column_stack([np.eye(2), (number - 4) * drift])
        moved = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(moved, layout)
        frame.pts = number
        for packet in encoder.encode(frame):
            frames += decoder.decode(packet)
    for packet in encoder.encode(None):
        frames += decoder.decode(packet)
    frames += decoder.decode(None)
    out = picture.copy()
    out[:height, :width] = frames[-1].to_ndarray(format=layout)
    return out


def _rotated(shown: Shown, degrees: float, rng: Generator) -> Shown:
    """Turned in the picture's plane, either way."""
    angle = np.radians(degrees) * rng.choice([-1, 1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = Place.of(shown.landmarks).at((0, 0.5))[0]
    matrix = np.column_stack([turn, middle - turn @ middle])
    size = shown.picture.shape[1::-1]
    picture = cv2.warpAffine(shown.picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return Shown(picture, (shown.landmarks @ turn.T + matrix[:, 2]).astype(np.float32))


def _turned(shown: Shown, degrees: float, rng: Generator) -> Shown:
    """Turned to a side, either way: the picture is laid over a bent face with a nose and seen from aside.

    What a real head would show of its near side was never taken, and light stays where it was.
    """
    angle = np.radians(degrees) * rng.choice([-1, 1])
    place = Place.of(shown.landmarks)
    height, width = shown.picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    across, along = place.coordinates(np.stack([x, y], -1))
    source = across
    for _ in range(8):  # across = source cos + depth(source) sin, solved by iteration
        source = (source + (across - _depth(source, along) * np.sin(angle)) / np.cos(angle)) / 2
    shift = ((source - across)[..., None] * place.right).astype(np.float32)
    picture = cv2.remap(
        shown.picture,
        x + shift[..., 0],
        y + shift[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    u, v = place.coordinates(shown.landmarks)
    seen = u * np.cos(angle) + _depth(u, v) * np.sin(angle)
    return Shown(picture, place.at(*np.stack([seen, v], -1)))


def _depth(across: F32, along: F32) -> F32:
    """Depth before the eyes of a bent face with a nose, all in eye distances."""
    nose = 0.44 * np.exp(-((across / 0.25) ** 2) - ((along - 0.5) / 0.35) ** 2)
    return np.asarray(nose - 0.42 * np.minimum(across**2, 1.2), np.float32)


CONDITIONS: dict[str, Condition] = {
    "clean": Condition(_as_it_is, 0, 0, "nothing"),
    "far": Condition(_far, 26, 90, "width of the face in pixels"),
    "face_24px": Condition(_far, 24, 24, "width of the face in pixels"),
    "face_18px": Condition(_far, 18, 18, "width of the face in pixels"),
    "motion_blur": Condition(_in_place(_motion_blur), 0.1, 0.5, "length in eye distances"),
    "focus_blur": Condition(_in_place(_focus_blur), 0.04, 0.3, "radius in eye distances"),
    "dark": Condition(_in_place(_dark), 0.05, 0.4, "share of the light"),
    "hand": Condition(_in_place(hand), 0.6, 1.1, "size in eye distances"),
    "glasses": Condition(_in_place(glasses), 0.0, 0.6, "light that the lenses take"),
    "rotated": Condition(_rotated, 5, 25, "degrees"),
    "turned": Condition(_turned, 5, 25, "degrees"),
    "jitter": Condition(_as_it_is, 0.03, 0.12, "deviation in eye distances", blunders=True),
    "face_12px": Condition(_far, 12, 12, "width of the face in pixels", held_out=True),
    "jpeg": Condition(_in_place(_jpeg), 10, 20, "quality", held_out=True),
    "h264": Condition(_in_place(_h264), 36, 44, "constant rate factor", held_out=True),
    "back_light": Condition(
        _in_place(_back_light), 0.1, 0.35, "share of the light on the face", held_out=True
    ),
    "mask": Condition(_in_place(mask), 0.25, 0.6, "its edge below the eyes in eye distances", held_out=True),
    "microphone": Condition(_in_place(microphone), 0.3, 0.6, "radius in eye distances", held_out=True),
    "rotated_far": Condition(_rotated, 25, 45, "degrees", held_out=True),
    "turned_far": Condition(_turned, 25, 45, "degrees", held_out=True),
}
"""Every condition by name, those that are trained on first."""
TRAINED = tuple(name for name, condition in CONDITIONS.items() if not condition.held_out)
HELD_OUT = tuple(name for name, condition in CONDITIONS.items() if condition.held_out)
