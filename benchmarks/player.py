"""``python -m benchmarks.player CLIP``: a clip as a network camera and a microphone, everything at its time.

Motion JPEG over HTTP, sound into the sound server of $PULSE_SERVER. Prints the camera's address; until a line with a
time of the monotonic clock in nanoseconds comes on standard input, the first pictures go to and fro and the room is
silent. At the end of the clip the same again, until standard input is closed.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain, cycle, islice
from pathlib import Path

import av
import numpy as np

IDLE_PICTURES = 12
BLOCK_S = 0.02
PIPE_BYTES = 4096
"""0.13 s of sound can wait in it, not the usual 2 s."""
_HEAD = "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"


class Player:
    """The clip, as bytes that only wait for their time."""

    def __init__(self, clip: Path) -> None:
        with av.open(str(clip)) as container:
            packets = [packet for packet in container.demux() if packet.size]
            sound = container.streams.audio[0]
            self.rate_hz: int = sound.codec_context.sample_rate
            self.sound = b"".join(bytes(p) for p in packets if p.stream is sound)
            self.pictures = [bytes(p) for p in packets if p.stream is not sound]
            self.period_s = float(1 / (container.streams.video[0].average_rate or 25))
        self.start_s = float("inf")

    def serve(self) -> int:
        """Begin to serve the pictures; returns the port."""
        player = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None: ...

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(OSError):
                    for picture in player.paced_pictures():
                        self.wfile.write(_HEAD.format(len(picture)).encode() + picture + b"\r\n")

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    def paced_pictures(self) -> Iterator[bytes]:
        """Each picture at its time."""
        return self._paced(self.pictures, self._idle_pictures(), self.period_s, 0.0)

    def paced_sound(self) -> Iterator[bytes]:
        """Each block at its end, which is when a sound card has it."""
        size = round(BLOCK_S * self.rate_hz) * 2
        blocks = [self.sound[begin : begin + size] for begin in range(0, len(self.sound), size)]
        hiss = np.random.default_rng(0).standard_normal(size // 2) * 10
        return self._paced(blocks, cycle([hiss.astype("<i2").tobytes()]), BLOCK_S, BLOCK_S)

    def _idle_pictures(self) -> Iterator[bytes]:
        first = self.pictures[:IDLE_PICTURES]
        return cycle(first + first[-2:0:-1])

    def _paced(
        self, items: list[bytes], idle: Iterator[bytes], period_s: float, delay_s: float
    ) -> Iterator[bytes]:
        due_s = time.monotonic()
        while due_s < self.start_s + delay_s - period_s / 2:
            yield next(idle)
            # a little slow, so that nothing is left waiting in a pipe when the clip begins
            due_s = max(due_s, time.monotonic()) + 1.25 * period_s
            _sleep_until(min(due_s, self.start_s + delay_s))
        for index, item in enumerate(chain(items, idle)):
            _sleep_until(self.start_s + delay_s + index * period_s)
            yield item

    def speak(self) -> None:
        """Write the sound into the sound server for as long as this process lives."""
        words = [
            "pacat",
            "--raw",
            "--format=s16le",
            f"--rate={self.rate_hz}",
            "--channels=1",
            "--latency-msec=20",
            "--process-time-msec=5",
        ]
        with subprocess.Popen(words, stdin=subprocess.PIPE) as sink:
            assert sink.stdin is not None
            fcntl.fcntl(sink.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            for block in self.paced_sound():
                sink.stdin.write(block)
                sink.stdin.flush()


def _sleep_until(due_s: float) -> None:
    while (left := due_s - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))


def main(clip: Path) -> None:
    """Serve and play until standard input is closed."""
    player = Player(clip)
    print(f"http://127.0.0.1:{player.serve()}/camera.mjpg", flush=True)
    threading.Thread(target=player.speak, daemon=True).start()
    for line in islice(sys.stdin, 1):
        player.start_s = int(line) / 1e9
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
