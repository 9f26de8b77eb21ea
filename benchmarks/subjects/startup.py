"""Start of a fresh process: imports, first model, first reading, with a warm and with an empty kernel cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks.harness import Options, Result

PROGRAM = """
import json, time
from pathlib import Path
marks = {"interpreter": time.process_time()}
begin = time.perf_counter()
def mark(name):
    marks[name] = time.perf_counter() - begin
import numpy as np
mark("numpy")
from edge_emotion.model.bundle import open_bundle
from edge_emotion.pipeline import EmotionPipeline
from edge_emotion.types import AudioBlock, VideoFrame
mark("edge_emotion imported")
pipeline = EmotionPipeline(open_bundle())
mark("bundle verified, models loaded")
sound = (np.random.default_rng(0).standard_normal(24000) * 0.05).astype(np.float32)
frame = np.zeros((480, 640, 3), np.uint8)
pipeline.push(AudioBlock(sound, 16000, 0))
pipeline.push(VideoFrame(frame, 1_400_000_000))
reading = pipeline.poll(1_500_000_000)
assert reading is not None
mark("first reading")
status = Path("/proc/self/status").read_text()  # ru_maxrss would count the process that this one was forked from
marks["peak memory, MiB"] = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps(marks))
"""


def run(options: Options) -> Result:
    """Time to the first reading in a new process, wall clock, seconds; the median of several starts."""
    result = Result("startup")
    starts = 1 if options.smoke else 5
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        result.add(
            "cold cache: first reading", _start(environment)["first reading"], "s", "compiles every kernel"
        )
        warm = [_start(environment) for _ in range(starts)]
    for name in warm[0]:
        unit = "MiB" if "MiB" in name else "s"
        result.add(
            f"warm cache: {name.removesuffix(', MiB')}", float(np.median([w[name] for w in warm])), unit
        )
    return result


def _start(environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    marks: dict[str, float] = json.loads(done.stdout)
    return marks
