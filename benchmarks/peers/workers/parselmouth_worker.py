"""parselmouth (Praat): pitch, formants and harmonicity each 10 ms over a whole file."""

import numpy as np
import parselmouth
from loop import serve


def prepare(fixtures):
    sound = parselmouth.Sound(np.load(fixtures["audio"]).astype(float), fixtures["sample_rate_hz"])
    return {
        "pitch": lambda: sound.to_pitch(time_step=0.01, pitch_floor=55.0, pitch_ceiling=1000.0),
        "formants": lambda: sound.to_formant_burg(time_step=0.01),
        "harmonicity": lambda: sound.to_harmonicity(time_step=0.01),
    }


serve(prepare)
