"""The C reference decoder as a microcontroller at the other end of a pseudo-terminal."""

import os
import shutil
import subprocess
import tty
from pathlib import Path

import pytest

import firmware_bridge

HERE = Path(__file__).parent
C = Path(firmware_bridge.__file__).parent / "units/c"


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """The C decoder, warnings being errors."""
    compiler = shutil.which("gcc") or pytest.skip("gcc is not installed")
    program = tmp_path_factory.mktemp("c") / "decode"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-pedantic", "-O1"]
    flags += ["-fsanitize=address,undefined"]
    subprocess.run(
        [compiler, *flags, "-c", f"-I{C}", C / "edge_emotion_link.c", "-o", f"{program}.o"], check=True
    )
    subprocess.run(
        [compiler, "-O1", "-fsanitize=address,undefined", "-D_GNU_SOURCE", f"-I{C}", HERE / "decode_stdin.c",
         f"{program}.o", "-o", program], check=True,
    )  # fmt: skip
    return program


@pytest.fixture
def line():
    """A pseudo-terminal: our end, and the path of the daemon's end."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def listen(stream, seen):
    for text in stream:
        seen.append(text.decode())


def board(ours, program):
    """The C decoder as a microcontroller at our end of the line."""
    return subprocess.Popen(
        ["bash", "-c", f"exec {program} answer 3>&0"],
        stdin=ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
