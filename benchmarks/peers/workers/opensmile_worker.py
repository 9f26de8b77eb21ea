"""openSMILE, eGeMAPSv02 functionals: a whole file, a 3 s window per call, and its own frame mode every 40 ms."""

import tempfile
from pathlib import Path

import numpy as np
import opensmile
from loop import serve

FRAME_MODE = "frameMode = fixed\nframeSize = 3\nframeStep = 0.04\nframeCenterSpecial = left\n"


def prepare(fixtures):
    sound = np.load(fixtures["audio"])
    rate = fixtures["sample_rate_hz"]
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )
    frame_mode = Path(tempfile.mkdtemp()) / "frame_mode.conf"
    frame_mode.write_text(FRAME_MODE)
    native = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.Functionals,
        options={"frameModeFunctionalsConf": str(frame_mode)},
    )
    window = sound[: 3 * rate]
    return {
        "file": lambda: smile.process_signal(sound, rate),
        "window": lambda: smile.process_signal(window, rate),
        "frame_mode": lambda: native.process_signal(sound, rate),
    }


serve(prepare)
