"""Peak memory of whole runs in processes of their own, and how it grows with the length of the input."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import material
from benchmarks.harness import Options, Result

WATCHED = """
import sys
from pathlib import Path
from {module} import main
sys.argv = {arguments!r}
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
# ru_maxrss would count the process that this one was forked from.
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024, file=sys.stderr)
"""


def run(options: Options) -> Result:
    """Peak resident memory, MiB."""
    result = Result("memory")
    minutes = (1, 2) if options.smoke else (1, 10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sounds = {count: recording(folder / f"{count}.wav", count * 60.0) for count in minutes}
        for program in ("descriptors", "analyze"):
            out = "--out", str(folder / ("x.csv" if program == "descriptors" else "x.jsonl"))
            peaks = [peak("edge_emotion.cli", [program, str(sounds[count]), *out]) for count in minutes]
            result.add(f"{program}, {minutes[0]} min", peaks[0], "MiB")
            result.add(f"{program}, {minutes[1]} min", peaks[1], "MiB")
            result.add(f"{program}, growth", peaks[1] - peaks[0], "MiB")
    return result


def recording(path: Path, seconds: float) -> Path:
    """Write ``seconds`` of speech-like sound."""
    samples = (material.speech(seconds) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, material.SAMPLE_RATE_HZ, len(samples), "NONE", ""))
        file.writeframes(np.ascontiguousarray(samples).tobytes())
    return path


def peak(module: str, arguments: Sequence[str]) -> float:
    """Peak resident memory of ``module.main`` with ``arguments`` in a process of its own, MiB."""
    program = WATCHED.format(module=module, arguments=["program", *arguments])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stderr.strip().splitlines()[-1])
