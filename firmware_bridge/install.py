"""Puts the service on a machine and takes it off again. What the user wrote stays: settings, drop-ins and spool."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from edge_emotion.errors import UsageError

UNITS = Path(str(resources.files("firmware_bridge"))) / "units"
NAME = "edge-emotion"

Say = Callable[[str], None]


def program() -> str:
    """Absolute path of ``edge-emotion-daemon`` beside this interpreter."""
    beside = Path(sys.executable).parent / "edge-emotion-daemon"
    found = str(beside) if beside.exists() else shutil.which("edge-emotion-daemon")
    return found or str(beside)


def unit(*, user: bool = False) -> str:
    """The unit file for this installation; ``user`` for the variant of a desktop session."""
    name = f"{NAME}-user.service" if user else f"{NAME}.service"
    return (UNITS / name).read_text().replace("@PROGRAM@", program())


class Place:
    """Where things go: the system, a user's home, or a tree under ``root`` for packagers and tests."""

    def __init__(self, *, user: bool, root: Path = Path("/")) -> None:
        self.user = user
        self.real = root == Path("/")
        if user:
            config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
            self.unit = root / (config / f"systemd/user/{NAME}.service").relative_to("/")
            self.settings = root / (config / NAME / "daemon.toml").relative_to("/")
        else:
            self.unit = root / f"etc/systemd/system/{NAME}.service"
            self.settings = root / f"etc/{NAME}/daemon.toml"
            self.sysusers = root / f"usr/lib/sysusers.d/{NAME}.conf"
        if self.real and not user and os.geteuid() != 0:
            raise UsageError("installing the service needs root: `sudo`, or --user for a service of your own")


def install(place: Place, say: Say) -> None:
    """Write unit and, where there is none, settings; make the user; compile the kernels; tell what is next.

    An upgrade replaces the unit and keeps settings, drop-ins and spool.
    """
    _write(place.unit, unit(user=place.user), say)
    if place.settings.exists():
        say(f"kept     {place.settings}")
    else:
        _write(place.settings, (UNITS / "daemon.toml").read_text(), say)
    if not place.user:
        _write(place.sysusers, (UNITS / f"{NAME}.sysusers").read_text(), say)
    if place.real:
        if not place.user:
            _run(["systemd-sysusers", str(place.sysusers)], say)
            shutil.chown(place.settings.parent, "root", NAME)
            shutil.chown(place.settings, "root", NAME)
            place.settings.parent.chmod(0o750)
            place.settings.chmod(0o640)
        _run(["systemctl", *_scope(place), "daemon-reload"], say)
        _warm_up(place, say)
    say("")
    say(f"next     edit {place.settings}")
    say(f"         edge-emotion-daemon doctor --config {place.settings}")
    say(f"         systemctl {'--user ' if place.user else ''}enable --now {NAME}")


def uninstall(place: Place, say: Say) -> None:
    """Stop and remove the unit; settings and spool stay, with a word on where they are."""
    if place.real:
        _run(["systemctl", *_scope(place), "disable", "--now", NAME], say)
    for path in [place.unit] if place.user else [place.unit, place.sysusers]:
        if path.exists():
            path.unlink()
            say(f"removed  {path}")
    if place.real:
        _run(["systemctl", *_scope(place), "daemon-reload"], say)
    state = "~/.local/state" if place.user else "/var/lib"
    say(f"kept     {place.settings.parent} and {state}/{NAME}; remove them if they are not wanted any more")


def _scope(place: Place) -> list[str]:
    return ["--user"] if place.user else []


def _write(path: Path, text: str, say: Say) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    say(f"written  {path}")


def _warm_up(place: Place, say: Say) -> None:
    """Compile every kernel into the cache of the service, so that its first start is as quick as the others."""
    cache = Path.home() / ".cache" if place.user else Path("/var/cache")
    command = [sys.executable, "-c", "from edge_emotion.kernels._jit import compile_all; compile_all()"]
    folder = cache / NAME / "numba"
    folder.mkdir(parents=True, exist_ok=True)
    say("compiling the kernels, about a minute ...")
    _run(["env", f"NUMBA_CACHE_DIR={folder}", *command], say)
    if not place.user:
        _run(["chown", "-R", f"{NAME}:{NAME}", str(folder.parent)], say)


def _run(command: list[str], say: Say) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        say(f"skipped  {command[0]}: {error.strerror}")
        return
    if done.returncode:
        say(f"failed   {' '.join(command)}: {done.stderr.strip()}")
