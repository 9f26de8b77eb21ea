"""Sound through a codec and back, by PyAV in memory."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

from .noises import RATE_HZ

FloatArray = NDArray[np.float64]

CodecName = Literal["telephone", "opus", "aac"]


@dataclass(frozen=True, slots=True)
class Codec:
    """How sound is written."""

    container: str
    encoder: str
    rate_hz: int
    bit_rate: int | None = None
    delay: int = 0
    """Samples at 16 kHz by which the sound comes back late."""


CODECS: dict[CodecName, Codec] = {
    "telephone": Codec("wav", "pcm_mulaw", 8000),
    "opus": Codec("ogg", "libopus", 16000, 12000),
    "aac": Codec("adts", "aac", 16000, 24000, 1024),
}
"""The telephone is G.711 without its band; `conditions` adds that."""


def code(sound: FloatArray, codec: Codec) -> FloatArray:
    """Sound (n,), full scale 1, 16 kHz, as it comes back from ``codec``; as long and not delayed."""
    padded = np.pad(sound, (0, codec.delay))
    coded = np.rint(np.clip(padded, -1.0, 1.0) * 32767).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(coded, format="s16", layout="mono")
    frame.sample_rate = RATE_HZ
    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as container:
        stream: Any = container.add_stream(codec.encoder, rate=codec.rate_hz, layout="mono")
        if codec.bit_rate is not None:
            stream.bit_rate = codec.bit_rate
        container.mux([*stream.encode(frame), *stream.encode(None)])
    file.seek(0)
    with av.open(file, "r") as coded_file:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
        frames = [out for frame in coded_file.decode(audio=0) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    samples = np.concatenate([frame.to_ndarray().ravel() for frame in frames])[codec.delay :]
    return np.pad(samples[: len(sound)].astype(np.float64), (0, max(0, len(sound) - len(samples))))
