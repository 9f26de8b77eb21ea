"""A minute of face and voice with two known steps, made of files that public packages and corpora carry.

A face turns from neutral to a smile while the room is silent; then a speaker turns from calm to excited while the
face is neutral again; then an actress and a talking person. Motion JPEG and PCM: what a camera sends over HTTP and a
microphone hears are the very bytes of the file, so a live run and ``edge-emotion analyze`` see the same.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from edge_emotion_export.corpora.speech import read_sound
from edge_emotion_export.packaged_files import fetch

from benchmarks.material import SAMPLE_RATE_HZ
from edge_emotion.errors import InputError
from edge_emotion.types import F32, U8

FPS = 25
SIZE = (640, 360)
SECONDS = 60
SMILE_S = 10.0
"""From neutral to a smile, seen."""
EXCITED_S = 30.0
"""From calm to excited, heard."""
SPEECH = Path("../shared/data/speech/emotale")
SPEAKER = "EN_005"
_CALM, _EXCITED = ("N", "B"), ("H", "A")
_QUALITY = 95
_ROOM = 3e-4  # of full scale: no microphone is silent to the last bit


def write(path: Path) -> Path:
    """Write the clip; raises `InputError` where its material cannot be had."""
    with av.open(str(path), "w", format="matroska") as container:
        picture: Any = container.add_stream("mjpeg", rate=FPS)
        picture.width, picture.height, picture.pix_fmt = *SIZE, "yuvj420p"
        sound: Any = container.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono")
        samples = (np.clip(_sound(), -1, 1) * 32767).astype("<i2")
        step = SAMPLE_RATE_HZ // FPS
        for index, image in enumerate(islice(_pictures(), SECONDS * FPS)):
            packet = av.Packet(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1].tobytes())
            packet.stream, packet.is_keyframe = picture, True
            packet.pts = packet.dts = index
            packet.time_base = Fraction(1, FPS)
            container.mux(packet)
            block = av.AudioFrame.from_ndarray(
                samples[None, index * step : (index + 1) * step], format="s16", layout="mono"
            )
            block.sample_rate, block.pts = SAMPLE_RATE_HZ, index * step
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    return path


def _pictures() -> Iterator[U8]:
    face = _decode("single_face.mp4")
    neutral, smile = face[:14], face[28:48]
    yield from chain(
        _to_and_fro(neutral, SMILE_S),
        _to_and_fro(smile, 10),
        _to_and_fro(neutral, 20.1),  # faces change between two readings, not at one
        _decode("expression_ramp.mp4")[: 14 * FPS],
        _decode("jwpIntro.mp4"),
    )
    yield from _to_and_fro(neutral, SECONDS)


def _decode(name: str) -> list[U8]:
    """Pictures of a fetched file at our size and rate."""
    with av.open(str(fetch(name))) as container:
        images: dict[int, U8] = {}
        for frame in container.decode(video=0):
            # the newest picture of each of our frames' times
            images[round((frame.time or 0.0) * FPS)] = cv2.resize(frame.to_ndarray(format="bgr24"), SIZE)
    return [images[index] for index in sorted(images)]


def _to_and_fro(images: list[U8], seconds: float) -> Iterable[U8]:
    return islice(cycle(images + images[-2:0:-1]), round(seconds * FPS))


def _sound() -> F32:
    calm, excited = _voice(_CALM, EXCITED_S - 20), _voice(_EXCITED, 24)
    silence = np.zeros(20 * SAMPLE_RATE_HZ, np.float32)
    once = np.concatenate([silence, calm, excited, np.tile(calm, 2)])[: SECONDS * SAMPLE_RATE_HZ]
    noise = np.random.default_rng(0).standard_normal(len(once)).astype(np.float32)
    return np.asarray(once + _ROOM * noise, np.float32)


def _voice(categories: tuple[str, ...], seconds: float) -> F32:
    """Utterances of one speaker one after the other, without the silence around them, for exactly so long."""
    table = SPEECH / "annotations.csv"
    if not table.exists():
        raise InputError(f"{SPEECH}: EmoTale is not there")
    names = [row["file"] for row in csv.DictReader(table.open())]
    parts = [
        _utterance(SPEECH / name)
        for kind in categories
        for name in names
        if name.startswith(f"{SPEAKER}_{kind}_")
    ]
    return np.resize(np.concatenate(parts), round(seconds * SAMPLE_RATE_HZ))


def _utterance(path: Path) -> F32:
    """Speech without the silence before and after it."""
    samples = np.asarray(read_sound(path), np.float32)
    loud = np.flatnonzero(np.abs(samples) > 0.03 * np.abs(samples).max())
    return samples[loud[0] : loud[-1]]
