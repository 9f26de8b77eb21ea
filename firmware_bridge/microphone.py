"""Live sound: PortAudio reads in a thread, the device's own rate, 16 kHz out, opened again whenever it falls silent.

A stream can stay "active" while its device is gone, so life is judged by samples alone, and no read is begun before
its samples are there: the thread cannot hang in the driver.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from edge_emotion.types import AudioBlock
from firmware_bridge.audio_clock import AudioClock, FlatLine
from firmware_bridge.faults import Faults
from firmware_bridge.progress import Stage
from firmware_bridge.settings import Microphone as MicrophoneSettings
from firmware_bridge.worker import Worker

MODEL_RATE_HZ = 16_000
FIRST_SAMPLES_S = 5.0
FAULTS = ("microphone_lost", "microphone_silent", "microphone_flat")


class Device(NamedTuple):
    """An input as PortAudio sees it."""

    number: int
    name: str
    """Stable: without the card's number, which changes with the order of plugging in."""
    channels: int
    sample_rate_hz: int


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what ALSA and JACK write to standard error while PortAudio looks for devices."""
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


@contextlib.contextmanager
def portaudio() -> Iterator[Any]:
    """PortAudio, freshly initialised: it looks for devices only then."""
    import pyaudio

    with _quiet():
        audio = pyaudio.PyAudio()
    try:
        yield audio
    finally:
        audio.terminate()


def devices(audio: Any) -> list[Device]:
    """Every input, by stable name."""
    found = []
    for index in range(audio.get_device_count()):
        about = audio.get_device_info_by_index(index)
        if about["maxInputChannels"] > 0:
            name = re.sub(r" *\(hw:\d+,\d+\)$", "", about["name"])
            found.append(Device(index, name, about["maxInputChannels"], int(about["defaultSampleRate"])))
    return found


def find(audio: Any, name: str) -> Device:
    """The input of a stable name (or a unique beginning of it); ``OSError`` where there is none."""
    inputs = devices(audio)
    if not inputs:
        raise OSError("there is no microphone")
    matches = [device for device in inputs if device.name == name]
    matches = matches or [device for device in inputs if device.name.startswith(name)]
    if not matches and name == "default":
        number = audio.get_default_input_device_info()["index"]
        matches = [device for device in inputs if device.number == number]
    if not matches:
        raise OSError(
            f"no microphone is called {name!r}; there are {', '.join(repr(each.name) for each in inputs)}"
        )
    return matches[0]


class Microphone(Worker):
    """Delivers 16 kHz blocks with the time of capture from a thread of its own.

    Parameters
    ----------
    deliver
        Takes each block; must not wait.
    faults
        Where a lost, silent or flat microphone is told.
    stage
        Marked at each turn, also while the device is away.
    """

    def __init__(
        self,
        settings: MicrophoneSettings,
        deliver: Callable[[AudioBlock], None],
        faults: Faults,
        stage: Stage,
    ) -> None:
        super().__init__(faults, FAULTS, stage)
        self._settings = settings
        self._deliver = deliver
        self.overflows = 0
        self.drift_ppm = 0.0

    def _session(self) -> None:
        with portaudio() as audio:
            self._listen(audio)

    def _failed(self, error: Exception) -> tuple[str, str]:
        reason = error.args[0] if len(error.args) == 1 else getattr(error, "strerror", None) or error
        return "microphone_lost", f"{self._settings.device!r}: {reason}"

    def _listen(self, audio: Any) -> None:
        import pyaudio

        device = find(audio, self._settings.device)
        rate_hz = self._settings.sample_rate_hz or device.sample_rate_hz
        channels = min(device.channels, self._settings.channel + 1)
        block = max(1, round(rate_hz * self._settings.block_s))
        with _quiet():
            stream = audio.open(
                format=pyaudio.paInt16,
                channels=channels,
                rate=rate_hz,
                input=True,
                input_device_index=device.number,
                frames_per_buffer=block,
            )
        self.opened += 1
        converter = _Converter(rate_hz, self._settings.flat_s)
        try:
            self._read(stream, block, rate_hz, channels, converter)
        finally:
            stream.close()

    def _read(self, stream: Any, block: int, rate_hz: int, channels: int, converter: _Converter) -> None:
        last = time.monotonic() + FIRST_SAMPLES_S - self._settings.stale_s
        while not self._closing.is_set():
            self._stage.mark()
            available = stream.get_read_available()
            if available < block:
                if time.monotonic() - last > self._settings.stale_s:
                    raise OSError("the stream is open but brings no samples")
                time.sleep(min(0.1, max(0.002, (block - available) / rate_hz)))
                continue
            now_ns = time.monotonic_ns()
            last = now_ns / 1e9
            try:
                raw = stream.read(block, exception_on_overflow=True)
            except OSError as error:
                if error.errno != -9981:  # paInputOverflowed: samples are lost, the stream is alive
                    raise
                self.overflows += 1
                continue
            samples = np.frombuffer(raw, np.int16).reshape(-1, channels)[:, channels - 1]
            # what waits behind this block was captured before now, too
            sound = converter.push(samples, available - block, now_ns)
            if len(sound.samples):
                self._deliver(sound)
            self.drift_ppm = converter.clock.drift_ppm
            self._faults.one_of(FAULTS, converter.fault, converter.detail)
            if converter.fault is None:
                self._backoff.reset()


class _Converter:
    """Blocks of the device's rate in, 16 kHz blocks with their time of capture out."""

    def __init__(self, rate_hz: int, flat_s: float) -> None:
        self.clock = AudioClock(rate_hz)
        self._flat = FlatLine(rate_hz)
        self._flat_s = flat_s
        self._ratio = rate_hz / MODEL_RATE_HZ
        self._resampler = (
            soxr.ResampleStream(rate_hz, MODEL_RATE_HZ, 1, dtype="float32")
            if rate_hz != MODEL_RATE_HZ
            else None
        )
        self._taken = 0
        self._made = 0
        self.fault: str | None = None
        self.detail = ""

    def push(self, samples: NDArray[np.int16], behind: int, now_ns: int) -> AudioBlock:
        """Convert one block, with ``behind`` newer samples already waiting at ``now_ns``."""
        self._taken += len(samples)
        if self.clock.update(self._taken + behind, now_ns) and self._resampler:
            self._resampler.clear()
            self._made = round(self._taken / self._ratio) - round(len(samples) / self._ratio)
        self._flat.push(samples)
        silent = self._flat.seconds >= self._flat_s
        self.fault = ("microphone_flat" if self._flat.value else "microphone_silent") if silent else None
        self.detail = f"not one bit has changed for {self._flat_s:g} s; is it muted?" if silent else ""
        sound = samples.astype(np.float32) / np.float32(32768)
        if self._resampler:
            sound = self._resampler.resample_chunk(sound)
        # soxr holds back what it has not finished, so sample k of the output lies at k / 16 kHz of the input
        start_ns = self.clock.time_ns(self._made * self._ratio)
        self._made += len(sound)
        return AudioBlock(sound, MODEL_RATE_HZ, start_ns)
