"""This machine's root, its changes thrown away, booted under a real systemd in a container."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

BOOT = """
mount --make-rprivate /
mount --bind / {root}
exec systemd-nspawn -q -D {root} --volatile=overlay --boot --register=no --keep-unit --private-network {binds} \
    systemd.wants={unit} systemd.mask=systemd-timesyncd.service
"""

# the interpreter may live in a home folder here
VISIBLE = f"""
ProtectHome=tmpfs
BindReadOnlyPaths={sys.base_prefix} {REPOSITORY} {sys.prefix}
"""


class Container:
    """``observed`` is a folder of this machine that is ``/observed`` inside."""

    def __init__(self, process, observed, console):
        self.process, self.observed, self.console = process, observed, console

    def said(self):
        assert self.process.poll() is None, self.console.read_text(errors="replace")[-2000:]
        log = self.observed / "log"
        return log.read_text(errors="replace") if log.exists() else ""


@contextlib.contextmanager
def booted(folder, unit, files, more_binds=None):
    """Boot with ``files`` (path inside: text) and wait for nothing; ``unit`` is started."""
    if os.geteuid() != 0 or not shutil.which("systemd-nspawn") or not Path("/lib/systemd/systemd").exists():
        pytest.skip("needs root, systemd-nspawn (systemd-container) and systemd on this machine")
    root, observed = folder / "root", folder / "observed"
    root.mkdir()
    observed.mkdir(exist_ok=True)
    for each in (observed, *observed.parents):
        if each.is_relative_to("/tmp/pytest-of-root"):
            each.chmod(0o755)
    observed.chmod(0o777)
    binds = dict(more_binds or {})
    for n, (inside, text) in enumerate(files.items()):
        (folder / f"file-{n}").write_text(text)
        binds[folder / f"file-{n}"] = inside
    words = " ".join(f"--bind-ro={source}:{target}" for source, target in binds.items())
    script = BOOT.format(root=root, unit=unit, binds=f"{words} --bind={observed}:/observed")
    with (folder / "console").open("wb") as console:
        process = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", script],
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield Container(process, observed, folder / "console")
    finally:
        # killing systemd-nspawn alone would leave the container running: end its first process
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        process.wait(30)
        time.sleep(0.1)
