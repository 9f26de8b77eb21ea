"""librosa: what of the set it has, MFCC, spectral flux and pYIN pitch, over a whole file."""

import librosa
import numpy as np
from loop import serve


def prepare(fixtures):
    sound = np.load(fixtures["audio"])
    rate = fixtures["sample_rate_hz"]
    hop = rate // 100
    return {
        "mfcc": lambda: librosa.feature.mfcc(
            y=sound, sr=rate, n_mfcc=5, n_fft=512, hop_length=hop, n_mels=26
        ),
        "pyin": lambda: librosa.pyin(sound, sr=rate, fmin=55, fmax=1000, frame_length=1024, hop_length=hop),
    }


serve(prepare)
