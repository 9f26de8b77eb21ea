"""The `fer` package: its Haar detector and its network on one picture."""

import numpy as np
from fer import FER
from loop import serve


def prepare(fixtures):
    frame = np.load(fixtures["frame"])
    program = FER(mtcnn=False)
    return {"frame": lambda: program.detect_emotions(frame)}


serve(prepare)
