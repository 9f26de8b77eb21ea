"""Other people's programs, measured beside ours: each in its own environment, as a worker pinned to the same core.

``make peers`` builds the environments in ``.peers/``. A peer that is not there is reported with the reason, never
left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import RemoteCall, Result
from edge_emotion.closing import Closing

WORKERS = Path(__file__).resolve().parent / "workers"
ENVIRONMENTS = WORKERS.parents[2] / ".peers"


@dataclass(frozen=True, slots=True)
class PeerProgram:
    """A published program: what to install, and the script here that drives it."""

    requirements: tuple[str, ...]
    worker: str


PROGRAMS = {
    "opensmile": PeerProgram(("opensmile==2.6.0",), "opensmile_worker.py"),
    "librosa": PeerProgram(("librosa==0.11.0",), "librosa_worker.py"),
    "parselmouth": PeerProgram(("praat-parselmouth==0.4.6",), "parselmouth_worker.py"),
    "haar": PeerProgram(("opencv-python-headless==4.11.0.86",), "haar_worker.py"),
    "mediapipe": PeerProgram(("mediapipe==0.10.14",), "mediapipe_worker.py"),
    "fer": PeerProgram(
        ("fer==22.5.1", "tensorflow-cpu==2.16.2", "moviepy<2", "setuptools<81"),
        "fer_worker.py",
    ),
}


class PeerUnavailableError(Exception):
    """A peer that cannot be measured here, and why."""


@dataclass(frozen=True, slots=True)
class PeerCall:
    """One call of a running worker."""

    peer: Peer
    name: str

    def time(self) -> tuple[int, int]:
        """CPU and wall nanoseconds, taken in the worker."""
        taken = self.peer.ask({"call": self.name})
        return taken["cpu_ns"], taken["wall_ns"]


class Peer(Closing):
    """A running worker; its calls are timed in its own process.

    Parameters
    ----------
    name
        A key of `PROGRAMS`.
    fixtures
        Paths and numbers for the worker's ``prepare``.
    """

    def __init__(self, name: str, fixtures: Mapping[str, Any]) -> None:
        if name not in PROGRAMS:
            raise PeerUnavailableError(f"unknown peer; there are: {', '.join(PROGRAMS)}")
        python = ENVIRONMENTS / name / "bin" / "python"
        if not python.exists():
            raise PeerUnavailableError(_reason(name))
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the worker
        self._process = subprocess.Popen(
            [python, WORKERS / PROGRAMS[name].worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        )
        self.calls: tuple[str, ...] = tuple(self.ask(fixtures)["calls"])

    def call(self, name: str) -> PeerCall:
        """One of `calls`, for the harness to interleave with ours."""
        return PeerCall(self, name)

    def close(self) -> None:
        """End the worker."""
        self._process.communicate(timeout=60)
        self._complaints.close()

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send one line, take one line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(message), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait()
            self._complaints.seek(0)
            raise PeerUnavailableError((self._complaints.read().splitlines() or ["its worker ended"])[-1])
        answered: dict[str, Any] = json.loads(answer)
        return answered


@contextmanager
def measured_peers(
    names: Sequence[str], among: Sequence[str], fixtures: Mapping[str, Any], result: Result
) -> Iterator[dict[str, RemoteCall]]:
    """Start the workers of ``names`` that do what the subject is ``among``; their calls as ``peer: call``.

    The reason for each that is not there goes into ``result``.
    """
    with ExitStack() as stack:
        calls: dict[str, RemoteCall] = {}
        for name in (name for name in names if name in among or name not in PROGRAMS):
            try:
                peer = stack.enter_context(Peer(name, fixtures))
            except PeerUnavailableError as reason:
                result.not_measured[name] = str(reason)
                continue
            calls |= {f"{name}: {call}": peer.call(call) for call in peer.calls}
        yield calls


def build(names: list[str]) -> dict[str, str | None]:
    """Make the environments; the reason for each that failed, kept beside the others for later runs."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    return {name: _build(name) for name in names}


def _build(name: str) -> str | None:
    folder, failure = ENVIRONMENTS / name, ENVIRONMENTS / f"{name}.failed"
    failure.unlink(missing_ok=True)
    make = [sys.executable, "-m", "venv", str(folder)]
    install = [str(folder / "bin" / "pip"), "install", "-q", *PROGRAMS[name].requirements]
    for step in (make, install):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = next((x for x in reversed(done.stderr.splitlines()) if "ERROR" in x), "pip failed")
            failure.write_text(reason)
            return reason
    return None


def _reason(name: str) -> str:
    failure = ENVIRONMENTS / f"{name}.failed"
    return failure.read_text() if failure.exists() else "its environment is not there; `make peers` builds it"
