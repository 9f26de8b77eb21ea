"""The face path: detection, tracking, crop and network on a 640x480 stream, with one face and with several."""

from __future__ import annotations

from itertools import count

import numpy as np

from benchmarks import material
from benchmarks.harness import YARDSTICK, Call, Options, RemoteCall, Result, interleave, yardstick
from benchmarks.peers import measured_peers
from edge_emotion.config import Execution
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.model.encoder import FaceNetwork
from edge_emotion.model.trial import drawn_faces
from edge_emotion.pipeline.picture import Pictures
from edge_emotion.pipeline.spans import Spans
from edge_emotion.types import U8, VideoFrame

PEERS = ("fer", "haar", "mediapipe")


def run(options: Options) -> Result:
    """CPU time a frame, and of the network alone."""
    result = Result("face")
    bundle = open_bundle()
    execution = options.execution_of(bundle)
    one = material.frames(60)
    part, engine = bundle.manifest.face, execution.for_encoder
    backend = open_backend(bundle.file("face", part.encoder, engine.variant), engine)
    network = FaceNetwork(backend, part.encoder.normalisation, part.encoder.features)
    result.notes["network"] = f"{engine} on {backend.description}"
    crop = drawn_faces(part)[:1]
    calls: dict[str, Call | RemoteCall] = {
        YARDSTICK: yardstick,
        "frame with one face": _stream(bundle, execution, one),
        "frame with four faces": _stream(bundle, execution, [_four(frame) for frame in one]),
        "network, one crop": lambda: network.compute(crop),
    }
    with measured_peers(options.peers, PEERS, material.fixtures(frame=one[0]), result) as peers:
        timings = interleave(calls | peers, options.rounds)
    result.add_timings(timings)
    for name in ("frame with one face", "frame with four faces"):
        # The mean is what a stream costs: the whole picture is searched on some frames only.
        result.add(f"{name}, mean", float(timings[name].cpu_ns.mean() / 1e6), "ms")
    return result


def _stream(bundle: Bundle, execution: Execution, frames: list[U8]) -> Call:
    """Frames no faster than the bundle looks at, so that none is passed over."""
    pictures = Pictures(bundle, execution, Spans())
    period_ns = round(1e9 / bundle.manifest.face.max_rate_hz)
    steps = count()

    def step() -> None:
        index = next(steps)
        pictures.take(VideoFrame(frames[index % len(frames)], index * period_ns))

    for _ in range(30):
        step()
    return step


def _four(frame: U8) -> U8:
    return np.tile(frame[::2, ::2], (2, 2, 1))
