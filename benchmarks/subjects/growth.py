"""How cost grows: the tick with faces, picture size and window, the sound with its hop, memory with the clip."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import material
from benchmarks.harness import Call, Curve, Options, Result, Samples, interleave
from benchmarks.subjects.memory import peak, recording
from benchmarks.subjects.pipeline import ticker
from edge_emotion.config import WindowLengths
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.types import U8

FACES = (1, 2, 3, 4, 5, 6, 7, 8)
WIDTHS_PX = (320, 640, 960, 1280, 1600, 1920)
WINDOWS_S = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
HOPS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
MINUTES = (0.5, 1.0, 2.0, 4.0, 8.0)


def run(options: Options) -> Result:
    """One curve each, with the departure from the line that theory expects."""
    result = Result("growth")
    for curve in (
        _faces(options),
        _frame_size(options),
        _window(options),
        _sound_window(options),
        _hop(options),
        _memory(options),
    ):
        result.curves.append(curve)
        result.add(f"{curve.name}: departure from {curve.expected}", 100 * curve.departure, "%")
    return result


def _faces(options: Options) -> Curve:
    """Eight tiles of one picture, as many of them a face as asked for."""
    bundle = open_bundle()
    detector = bundle.manifest.face.detector
    settings = detector.settings.model_copy(update={"max_faces": max(FACES), "long_side_px": 640})
    wide = _changed(bundle, "face", detector=detector.model_copy(update={"settings": settings}))
    ticks = {
        faces: _tick(wide, options, [_tiles(frame, faces) for frame in material.frames(60)])
        for faces in FACES
    }
    for faces, tick in ticks.items():
        reading = tick()
        seen = 0 if reading is None else 1 + len(reading.others)
        assert seen == faces, f"{faces} faces were shown and {seen} seen"
    # From the third on, faces at rest take turns at being looked at.
    return Curve.fit(
        ("tick, faces", "faces", "CPU ms a tick"),
        list(map(float, FACES)),
        _means(ticks, options),
        "linear",
        bend=2,
    )


def _frame_size(options: Options) -> Curve:
    """The same picture, larger and larger: what looks at pixels grows with them, the network does not."""
    bundle = open_bundle()
    sizes = {width: (width, width * 3 // 4) for width in WIDTHS_PX}
    ticks = {
        width: _tick(bundle, options, [cv2.resize(frame, size) for frame in material.frames(12)])
        for width, size in sizes.items()
    }
    megapixels = [width * height / 1e6 for width, height in sizes.values()]
    return Curve.fit(
        ("tick, picture", "megapixels", "CPU ms a tick"), megapixels, _means(ticks, options), "linear"
    )


def _window(options: Options) -> Curve:
    """Both windows: rows are kept, sums over them are taken anew for each reading."""
    bundle = open_bundle()
    frames = material.frames(60)

    def tick(length_s: float) -> Callable[[], Any]:
        window_s = WindowLengths(arousal=length_s, valence=length_s)
        longer = _changed(_changed(bundle, "face", window_s=window_s), "acoustic", window_s=window_s)
        return _tick(longer, options, frames, seconds=length_s)

    ticks = {length_s: tick(length_s) for length_s in WINDOWS_S}
    return Curve.fit(
        ("tick, window", "window, s", "CPU ms a tick"), list(WINDOWS_S), _means(ticks, options), "linear"
    )


def _sound_window(options: Options) -> Curve:
    """Functionals alone: sums, percentiles and slopes over the rows of the window."""
    calls = {length_s: _hops(length_s, 0.04) for length_s in WINDOWS_S}
    return Curve.fit(
        ("sound, window", "window, s", "CPU ms a hop"), list(WINDOWS_S), _means(calls, options), "linear"
    )


def _hop(options: Options) -> Curve:
    """Functionals of 3 s for each hop: a fixed part, and rows of descriptors for the new sound."""
    calls = {hop_s: _hops(3.0, hop_s) for hop_s in HOPS_S}
    milliseconds = [1000 * hop_s for hop_s in HOPS_S]
    return Curve.fit(
        ("sound, hop", "hop, ms", "CPU ms a hop"), milliseconds, _means(calls, options), "linear"
    )


def _hops(window_s: float, hop_s: float) -> Call:
    """A hop of endless sound whose window is full."""
    sound = material.speech(30.0)
    window = DescriptorWindow(material.SAMPLE_RATE_HZ, (window_s,), hop_s)
    length, steps = round(hop_s * material.SAMPLE_RATE_HZ), count()
    window.push(sound[: round((window_s + 1) * material.SAMPLE_RATE_HZ) // length * length])

    def hop() -> None:
        at = next(steps) % (len(sound) // length) * length
        window.push(sound[at : at + length])

    return hop


def _memory(options: Options) -> Curve:
    """Peak of a process that analyses longer and longer sound."""
    minutes = MINUTES[:2] if options.smoke else MINUTES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peaks = [
            peak(
                "edge_emotion.cli",
                ["analyze", str(recording(folder / "x.wav", 60 * length)), "--out", str(folder / "x.jsonl")],
            )
            for length in minutes
        ]
    return Curve.fit(("memory, clip", "clip, minutes", "peak MiB"), list(minutes), peaks, "constant")


def _tick(bundle: Bundle, options: Options, pictures: list[U8], seconds: float = 3.0) -> Callable[[], Any]:
    """A tick whose windows are full."""
    tick = ticker(bundle, options.execution_of(bundle), material.speech(30.0), pictures)
    for _ in range(40 if options.smoke else round(25 * (seconds + 1))):
        tick()
    return tick


def _means(calls: Mapping[Any, Call], options: Options) -> list[float]:
    """Mean CPU milliseconds of each: faces are searched for on some pictures only."""
    timings = interleave({str(x): call for x, call in calls.items()}, options.rounds)
    return [_mean_ms(samples) for samples in timings.values()]


def _mean_ms(samples: Samples) -> float:
    return float(samples.cpu_ns.mean()) / 1e6


def _changed(bundle: Bundle, part: str, **settings: Any) -> Bundle:
    changed = getattr(bundle.manifest, part).model_copy(update=settings)
    return replace(bundle, manifest=bundle.manifest.model_copy(update={part: changed}))


def _tiles(frame: U8, faces: int) -> U8:
    """Four by two pictures of 320 x 240; those after the first ``faces`` are grey."""
    tile = cv2.resize(frame, (320, 240), interpolation=cv2.INTER_AREA)
    tiles = [tile if index < faces else np.full_like(tile, 128) for index in range(max(FACES))]
    return np.vstack([np.hstack(tiles[:4]), np.hstack(tiles[4:])])
