"""The whole daemon but for the models, as a process: ``python fake_daemon.py SETTINGS``.

$FAKE_RATE: readings a second, without any input. $FAKE_STUCK_S: after so long the inference hangs.
$PRODUCED/<pid>: how many readings there were.
"""

import os
import sys
import time
from pathlib import Path

from fakes import FakePipeline

from firmware_bridge import cli, config_file, parts
from firmware_bridge.daemon import Daemon
from firmware_bridge.engine import Loaded


class FreeRunning(FakePipeline):
    def reset(self):
        super().reset()
        self.start_ns = self.next_due_ns = time.monotonic_ns() + self.period_ns

    def poll(self, now_ns):
        stuck_s = float(os.environ.get("FAKE_STUCK_S", "inf"))
        while now_ns - self.start_ns > stuck_s * 1e9:
            time.sleep(1)
        reading = super().poll(now_ns)
        if reading is not None and "PRODUCED" in os.environ:
            self.count = getattr(self, "count", 0) + 1
            Path(os.environ["PRODUCED"], str(os.getpid())).write_text(str(self.count))
        return reading


if __name__ == "__main__":
    path = Path(sys.argv[1])
    settings = config_file.load(path)
    cli._start_log(settings)
    parts.INFERENCE_BUDGET_S = 1.5
    rate_hz = float(os.environ.get("FAKE_RATE", settings.rate_hz))
    code = Daemon(settings, path, open_one=lambda *_: Loaded(FreeRunning(rate_hz), "fake-1", "0" * 64)).run()
    os._exit(code)
