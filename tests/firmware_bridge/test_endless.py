"""Many ticks at full speed through pipeline, reporter and history: memory stays flat, and nothing is compiled."""

import gc

import numpy as np
import pytest
import scenes

from edge_emotion.kernels._jit import compilations
from edge_emotion.types import AudioBlock, VideoFrame
from firmware_bridge import machine
from firmware_bridge.config_file import parse
from firmware_bridge.engine import open_pipeline, warm_up
from firmware_bridge.faults import Faults
from firmware_bridge.history import History
from firmware_bridge.reporter import Reporter

HOP_NS = 40_000_000


class Acknowledged:
    """An output whose broker acknowledges at once."""

    def __init__(self):
        self.kept = History(None)
        self.count = 0

    def reading(self, reading, body):
        self.count += 1

    def history(self, body, now_ns):
        self.kept.push(body, now_ns)
        self.kept.acknowledge(self.kept.take())

    def message(self, kind, body, *, retained):
        pass

    def state(self, state, reasons):
        pass


@pytest.mark.parametrize(
    ("ticks", "warm", "allowed_mb"),
    [
        (1_500, 750, 3.0),
        pytest.param(20_000, 2_000, 1.0, marks=[pytest.mark.faults, pytest.mark.timeout(3600)]),
    ],
)
def test_memory_is_flat_and_nothing_is_compiled(tiny_bundle_path, capsys, ticks, warm, allowed_mb):
    settings = parse({"purpose": "demo", "rate_hz": 25, "history": {"rate_hz": 25}})
    pipeline = open_pipeline(settings, tiny_bundle_path).pipeline
    warm_up(pipeline)
    compiled = compilations()
    output = Acknowledged()
    reporter = Reporter(settings, "boot", [output], Faults())
    sound = scenes.voice(60.0)
    pictures = [scenes.picture([(80 + n, 64)], shade=n / 20) for n in range(20)]
    resident = {}
    for tick in range(ticks + 1):
        now_ns = tick * HOP_NS
        at = tick * 640 % (len(sound) - 640)
        pipeline.push(AudioBlock(sound[at : at + 640], 16_000, now_ns))
        pipeline.push(VideoFrame(pictures[tick % 20], now_ns))
        if (reading := pipeline.poll(now_ns)) is not None:
            reporter.reading(reading, now_ns)
            reporter.summary()
        if tick in (warm, ticks):
            gc.collect()
            resident[tick] = machine.resident_mb()
    grown = resident[ticks] - resident[warm]
    with capsys.disabled():
        print(f"\n{ticks} ticks: {grown:+.2f} MiB after the first {warm}", end=" ")
    assert output.count >= ticks - 2
    assert output.kept.waiting == 0
    assert grown < allowed_mb
    assert compilations() == compiled
    assert np.isfinite(reporter.newest_age_ms)
