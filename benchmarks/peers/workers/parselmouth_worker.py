"""parselmouth (Praat): pitch, formants and harmonicity each 10 ms over a whole file."""

import numpy as np
import parselmouth
from loop import serve


def prepare(fixtures):
    sound = parselmouth.Sound(np.load(fixtures["audio"]).astype(float), fixtures["sample_rate_hz"])
    return {
        "pitch": lambda: sound.to_pitch(0.01, 55.0, 1000.0),
        "formants": lambda: sound.to_formant_burg(0.01),
        "harmonicity": lambda: sound.to_harmonicity(0.01),
    }


serve(prepare)
