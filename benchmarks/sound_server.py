"""A sound server of our own with a microphone that hears what is played into it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path


class SoundServer:
    """PulseAudio with nothing but a null sink, whose monitor is the default source.

    Parameters
    ----------
    folder
        For its socket.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix:{folder}/pulse.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> list[str]:
        """Programs that it needs and this machine does not have."""
        return [name for name in ("pulseaudio", "paplay", "pactl", "pacat") if shutil.which(name) is None]

    def start(self) -> SoundServer:
        """Start it and wait until it answers."""
        environment = os.environ | {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        self.process = subprocess.Popen(
            [
                "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=1", "--use-pid-file=no",
                "-L", f"module-native-protocol-unix socket={self.folder}/pulse.sock auth-anonymous=1",
                "-L", "module-null-sink sink_name=mic",
            ],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        end = time.monotonic() + 30
        while self.control("info").returncode:
            if time.monotonic() > end:
                raise TimeoutError("pulseaudio does not answer")
            time.sleep(0.05)
        return self

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self.process is not None
        return self.process.pid

    def control(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Call ``pactl``."""
        return subprocess.run(
            ["pactl", *words], env=os.environ | {"PULSE_SERVER": self.address}, capture_output=True
        )

    def stop(self) -> None:
        """End it at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
