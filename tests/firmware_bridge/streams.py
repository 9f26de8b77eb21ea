"""Real devices for tests: an MJPEG camera on HTTP and a microphone made of a PulseAudio null sink."""

import contextlib
import http.server
import os
import subprocess
import threading
import time
import wave

import cv2
import numpy as np

from benchmarks.sound_server import SoundServer


class MjpegCamera:
    """Serves noise pictures as multipart/x-mixed-replace; can freeze (same picture), stall (silence) and vanish."""

    def __init__(self, fps=25.0, size=(160, 120)):
        self.mode = "live"
        self.count = 0
        self.connections = 0
        camera = self
        random = np.random.default_rng(1)
        self.image = None

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                if camera.mode == "gone":
                    self.send_error(503)
                    return
                camera.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while camera.mode != "gone":
                        if camera.mode == "stall":
                            time.sleep(0.02)
                            continue
                        if camera.mode == "live" or camera.image is None:
                            image = camera.draw(random, size)
                            camera.image = cv2.imencode(".jpg", image)[1].tobytes()
                        camera.count += 1
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(camera.image)}\r\n\r\n"
                        self.wfile.write(head.encode() + camera.image + b"\r\n")
                        time.sleep(1 / fps)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/stream.mjpg"

    def draw(self, random, size):
        return random.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)

    def close(self):
        self.mode = "gone"
        self.server.shutdown()
        self.server.server_close()


class VirtualMicrophone(SoundServer):
    """A sound server of our own that plays what it is told to into its microphone."""

    def play(self, samples, rate=16_000):
        """Begin to play ``float`` samples; returns the process."""
        path = self.folder / f"{time.monotonic_ns()}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        return subprocess.Popen(
            ["paplay", "--latency-msec=50", path], env=os.environ | {"PULSE_SERVER": self.address}
        )
