"""An RTSP camera over TCP, with a real server; and when its pictures were taken."""

import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from broker import free_port, until

from firmware_bridge.camera import Camera
from firmware_bridge.faults import Faults
from firmware_bridge.progress import Progress
from firmware_bridge.settings import Camera as CameraSettings
from firmware_bridge.stream_clock import STEADY_S, SenderClock, StreamClock

SERVER = Path(__file__).with_name("rtsp_server.py")
PYTHON = Path("/usr/bin/python3")  # GStreamer's bindings are the system's
NEEDS = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
    "Gst.init(None); 1 / bool(Gst.ElementFactory.find('x264enc'))"
)
PLANTED_S = 0.5


class RtspServer:
    def __init__(self, delay_s):
        self.port = free_port()
        self.delay_s = delay_s
        self.url = f"rtsp://127.0.0.1:{self.port}/camera"
        self.process = None

    def start(self):
        command = [PYTHON, SERVER, str(self.port), str(self.delay_s)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"serving\n"
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def serve():
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", NEEDS], capture_output=True).returncode:
        pytest.skip(
            "GStreamer's RTSP server is not installed (apt-get install gir1.2-gst-rtsp-server-1.0 python3-gst-1.0 "
            "gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly)"
        )
    servers = []

    def begin(delay_s=0.0):
        servers.append(RtspServer(delay_s).start())
        return servers[-1]

    yield begin
    for server in servers:
        server.kill()


@pytest.fixture
def watch():
    opened = []

    def begin(**settings):
        faults, frames, progress = Faults(), [], Progress()
        camera = Camera(
            CameraSettings(**settings),
            lambda frame: frames.append((frame, time.monotonic_ns())),
            faults,
            progress.stage("camera", 20),
        )
        camera.start()
        opened.append(camera)
        return camera, faults, frames, progress

    yield begin
    for camera in opened:
        assert camera.close()


def late_s(frames):
    return np.array([(arrived_ns - frame.time_ns) / 1e9 for frame, arrived_ns in frames])


def test_an_rtsp_camera_that_dies_and_returns(serve, watch):
    server = serve()
    camera, faults, frames, progress = watch(source=server.url, fps=25, stale_s=1)
    until(lambda: len(frames) > 50, 20)
    steps_s = np.diff([frame.time_ns for frame, _ in frames[25:]]) / 1e9
    assert frames[0][0].image.shape == (240, 320, 3)
    assert steps_s.mean() == pytest.approx(0.04, rel=0.1)
    assert np.abs(steps_s - 0.04).max() < 0.02, "stamped when taken, however unevenly they arrive"
    assert faults.held() == {}
    server.kill()
    until(lambda: "camera_lost" in faults.held(), 20)
    assert progress.stuck() == []
    seen = len(frames)
    server.start()
    until(lambda: len(frames) > seen + 10 and faults.held() == {}, 40)
    assert camera.opened >= 2


def test_a_planted_delay_is_flagged_by_the_cameras_own_clock(serve, watch):
    _, faults, frames, _ = watch(source=serve(PLANTED_S).url)
    until(lambda: "camera_desync" in faults.held(), 30)
    told_s = float(re.search(r"arrive ([\d.]+) s", faults.held()["camera_desync"])[1])
    assert PLANTED_S - 0.05 <= told_s <= PLANTED_S + 0.4
    assert np.median(late_s(frames[-20:])) < 0.2, "not believed unasked"


def test_a_planted_delay_is_recovered_where_the_cameras_clock_is_trusted(serve, watch):
    _, faults, frames, _ = watch(source=serve(PLANTED_S).url, clock="sender")
    until(lambda: len(frames) > 5 and late_s(frames[-5:]).min() > PLANTED_S - 0.05, 30)
    assert np.median(late_s(frames[-5:])) < PLANTED_S + 0.4
    assert faults.held() == {}


def test_what_is_delayed_on_the_way_keeps_its_time():
    clock, delay_ns = StreamClock(), 30_000_000
    stamps = []
    for n in range(500):
        taken_ns = 40_000_000 * n
        jam_ns = 500_000_000 if 200 <= n < 300 else 0
        stamps.append(clock.time_ns(taken_ns + 7, taken_ns + delay_ns + jam_ns) - taken_ns - delay_ns)
    assert np.abs(stamps).max() < 5_000_000


def test_clocks_that_drift_are_followed_and_a_new_stream_begins_anew():
    for drift in (-2e-4, 2e-4):
        clock = StreamClock()
        for n in range(25 * 600):
            arrival_ns = 40_000_000 * n
            error_ns = clock.time_ns(round(arrival_ns * (1 + drift)), arrival_ns) - arrival_ns
        assert abs(error_ns) < 1_000_000
        assert clock.time_ns(0, arrival_ns) == arrival_ns


def test_a_clock_that_is_not_ours_is_not_believed():
    for offset_s, told_s in ((0.5, 0.5), (3600.0, None)):
        clock = SenderClock()
        for n in range(int(25 * STEADY_S) + 2):
            clock.push(n / 25, n / 25 + offset_s + 0.1 * (n % 3))
        assert clock.delay_s == (told_s and pytest.approx(told_s))
