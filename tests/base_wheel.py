"""Try the base wheel as a user would who installed nothing else: run by `.ci/run` outside the checkout, offline.

It is a program, not a test module: the environment that it runs in has no pytest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np

PROGRAM = [str(Path(sys.executable).with_name("edge-emotion"))]


def clip(path: Path) -> None:
    """Three seconds of a vowel-like tone over a grey picture with a bright square."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = 320, 240, "yuv420p"
        sound = container.add_stream("aac", rate=16000)
        t = np.arange(48000) / 16000
        wave = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12)) * 0.2
        for index in range(75):
            image = np.full((240, 320, 3), 90, np.uint8)
            image[60:180, 100:220] = 200
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(picture.encode(frame))
        for start in range(0, 48000, 1024):
            block = av.AudioFrame.from_ndarray(
                wave[None, start : start + 1024].astype(np.float32), "fltp", "mono"
            )
            block.sample_rate, block.pts, block.time_base = 16000, start, Fraction(1, 16000)
            container.mux(sound.encode(block))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))


def main() -> None:
    """Analyse and describe a clip; check what is and what is not there."""
    assert int(np.__version__.split(".")[0]) >= 2, np.__version__
    present = [name for name in ("torch", "sklearn", "onnx", "skl2onnx", "matplotlib") if find_spec(name)]
    assert not present, f"the base wheel brought {present}"
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "clip.mp4", Path(folder) / "readings.jsonl"
        clip(path)
        subprocess.run([*PROGRAM, "analyze", str(path), "--out", str(out)], check=True, cwd=folder)
        readings = [json.loads(line) for line in out.read_text().splitlines()]
        assert len(readings) >= 10, len(readings)
        assert all(reading["schema"] == "edge_emotion.reading/1" for reading in readings)
        subprocess.run(
            [*PROGRAM, "descriptors", str(path), "--out", str(Path(folder) / "d.csv")], check=True, cwd=folder
        )
        header = (Path(folder) / "d.csv").read_text().splitlines()[0].split(",")
        assert len(header) == 3 + 88, header
        subprocess.run([*PROGRAM, "inspect"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    print(
        f"base wheel on NumPy {np.__version__}: {len(readings)} readings, {len(header) - 3} descriptors: passed"
    )


if __name__ == "__main__":
    main()
