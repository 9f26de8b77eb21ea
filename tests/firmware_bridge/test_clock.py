"""Steps of the wall clock, in a real process: only ``ts`` may move."""

import json
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest
from broker import until
from daemons import account, settings

HOUR, TEN_YEARS = 3600, 315_576_000


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    compiler = shutil.which("gcc") or pytest.skip("gcc is not installed")
    library = tmp_path_factory.mktemp("shim") / "step.so"
    source = Path(__file__).with_name("step_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", source, "-o", library, "-ldl"], check=True)
    return library


def test_clock_steps_move_ts_and_nothing_else(make_broker, observe, daemon_process, shim, tmp_path):
    broker = make_broker().start()
    watcher = observe(broker.port)
    step = tmp_path / "step"
    step.write_text("0")
    daemon = daemon_process(settings(broker.port), LD_PRELOAD=str(shim), STEP_FILE=str(step)).start()
    until(lambda: len(watcher.of("/reading")) > 20, 20)
    for seconds in (HOUR, -HOUR, TEN_YEARS, -TEN_YEARS, 0):
        step.write_text(str(seconds))
        seen = len(watcher.of("/reading"))
        until(lambda: len(watcher.of("/reading")) > seen + 10)  # noqa: B023
        moved_s = datetime.fromisoformat(json.loads(watcher.last("/reading"))["ts"]).timestamp() - time.time()
        assert moved_s == pytest.approx(seconds, abs=10)
    # ten years pass while the broker is away: nothing in the spool grows old by that
    broker.kill()
    time.sleep(1)
    step.write_text(str(TEN_YEARS))
    time.sleep(6)
    broker.start()
    until(lambda: daemon.spooled() == {} and len(daemon.acknowledged()) == 1, 30)
    readings = [json.loads(body) for body in watcher.of("/reading")]
    times = [reading["ts_mono_ns"] for reading in readings]
    assert times == sorted(times)
    assert daemon.process.poll() is None
    assert daemon.end() == 0
    assert list(account(daemon, at_risk=0).values()) == [[]]
