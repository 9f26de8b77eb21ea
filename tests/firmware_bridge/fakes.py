"""A pipeline with the interface of the real one and no models: readings at a rate, whatever comes in."""

import time

from edge_emotion.types import ModalityReport, Reading


def make_reading(
    seq=1, arousal=0.31, valence=-0.12, sigma=(0.18, 0.25), confidence=0.64, quality=(), time_ns=0, **more
):
    valid = arousal is not None
    return Reading(
        time_ns=time_ns,
        seq=seq,
        arousal=arousal,
        valence=valence,
        sigma_arousal=sigma[0] if valid else None,
        sigma_valence=sigma[1] if valid else None,
        confidence=confidence if valid else None,
        audio=ModalityReport(valid, 0.6 if valid else 0.0, {"voiced": 0.42, "snr_db": 14.0}),
        video=ModalityReport(valid, 0.4 if valid else 0.0, {"face_px": 86.0, "score": 0.93}),
        quality=quality,
        window_s={"audio": 3.0, "video": 2.0},
        age_ns=143_000_000,
        waited_ns=0,
        track="a3" if valid else None,
        **more,
    )


class FakePipeline:
    """Polls like `EmotionPipeline`; ``stuck`` makes it hang in `push`."""

    def __init__(self, rate_hz=20.0):
        self.period_ns = round(1e9 / rate_hz)
        self.items = []
        self.stuck = False
        self.reset()

    def reset(self):
        self.next_due_ns = None
        self.resets = getattr(self, "resets", -1) + 1

    def push(self, item):
        while self.stuck:
            time.sleep(0.05)
        self.items = [*self.items[-999:], item]
        if self.next_due_ns is None:
            self.next_due_ns = (getattr(item, "time_ns", None) or item.start_ns) + self.period_ns

    def poll(self, now_ns):
        if self.next_due_ns is None or now_ns < self.next_due_ns:
            return None
        time_ns = self.next_due_ns
        self.next_due_ns += self.period_ns * (1 + (now_ns - time_ns) // self.period_ns)
        return make_reading(time_ns=time_ns)
