"""What a figure was measured on: enough to judge whether two figures can be compared."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = (
    "numpy",
    "numba",
    "onnxruntime",
    "opencv-python-headless",
    "av",
    "soxr",
    "ai-edge-litert",
    "tflite-runtime",
    "torch",
)
# Flags that decide how fast integer and float arithmetic runs.
TELLING_FLAGS = frozenset(
    [
        "avx",
        "avx2",
        "fma",
        "avx512f",
        "avx512_vnni",
        "avx_vnni",
        "amx_int8",
        "neon",
        "asimd",
        "asimddp",
        "i8mm",
        "sve",
    ]
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def fingerprint() -> dict[str, Any]:
    """Describe the machine, the libraries and the code; no host name, no user, no path."""
    cpu = _cpu_info()
    return {
        "cpu": cpu.get("model name") or cpu.get("Model") or platform.processor() or platform.machine(),
        "flags": sorted(TELLING_FLAGS & set((cpu.get("flags") or cpu.get("Features") or "").split())),
        "cores": len(os.sched_getaffinity(0)),
        "board": _text("/proc/device-tree/model"),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "threads": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "commit": commit(),
    }


def condition() -> dict[str, Any]:
    """Read what changes while one measures; ``None`` where the board does not tell."""
    temperature = _text("/sys/class/thermal/thermal_zone0/temp")
    return {
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "frequency_khz": _number(_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")),
        "temperature_c": None if temperature is None else int(temperature) / 1000,
        "throttled": _text("/sys/devices/platform/soc/soc:firmware/get_throttled"),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def commit() -> str | None:
    """Name the checkout's commit, with ``+`` where files differ from it."""
    root = Path(__file__).resolve().parent
    try:
        return subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu_info() -> dict[str, str]:
    pairs = (line.split(":", 1) for line in (_text("/proc/cpuinfo") or "").splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace").strip("\0 \n")
    except OSError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
