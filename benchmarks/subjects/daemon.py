"""The daemon as a process: time to the first reading, processor share and memory while a clip plays in real time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edge_emotion_export.packaged_files import fetch

from benchmarks.harness import Options, Result

SETTINGS = """
purpose = "demo"
output = "stdout"
rate_hz = {rate_hz}
[replay]
file = "{clip}"
loop = true
"""
RATE_HZ = 5


def run(options: Options) -> Result:
    """Run ``edge-emotion-daemon`` over the demo clip in a loop and watch it in /proc."""
    result = Result("daemon")
    seconds = 4.0 if options.smoke else 30.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = folder / "daemon.toml"
        settings.write_text(SETTINGS.format(rate_hz=RATE_HZ, clip=fetch("jwpIntro.mp4")))
        begin = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge.cli", "run", "--config", str(settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"XDG_STATE_HOME": name},
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), "the daemon said nothing"
            result.add("start to first reading", time.monotonic() - begin, "s", "the clip plays in real time")
            time.sleep(seconds / 4)  # windows fill
            cpu, wall = _cpu_s(process.pid), time.monotonic()
            resident = _resident_mib(process.pid)
            while time.monotonic() - wall < seconds:
                process.stdout.readline()
            share = (_cpu_s(process.pid) - cpu) / (time.monotonic() - wall)
            result.add("processor share", 100 * share, "% of a core", "clip decoding included")
            result.add("resident memory", _resident_mib(process.pid), "MiB")
            result.add(
                "resident memory, growth", _resident_mib(process.pid) - resident, "MiB", f"in {seconds:.0f} s"
            )
        finally:
            process.terminate()
            process.communicate(timeout=20)
    return result


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
