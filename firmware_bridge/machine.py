"""What the machine tells about itself: clock, processor time, memory, temperature. Reads files, asks nobody."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import resource
from pathlib import Path
from typing import Literal

_STA_UNSYNC = 0x0040
_TIMEX_BYTES = 256
_STATUS_OFFSET = 40  # of `status` in struct timex on 64-bit Linux (adjtimex(2))


def clock() -> Literal["synced", "unsynced"]:
    """Whether the wall clock is synchronised: by systemd-timesyncd's mark, otherwise by the kernel's word.

    Where neither can be read, "unsynced": an unknown clock is not trusted.
    """
    if Path("/run/systemd/timesync/synchronized").exists():
        return "synced"
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
            return "unsynced"
    except (OSError, AttributeError):
        return "unsynced"
    status = int.from_bytes(buffer.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], "little")
    return "unsynced" if status & _STA_UNSYNC else "synced"


def cpu_seconds() -> float:
    """Processor time of this process so far, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_mb() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def temperature_c(root: Path = Path("/sys/class/thermal")) -> float | None:
    """The hottest thermal zone in degrees Celsius, or None where there is none."""
    found = []
    for zone in root.glob("thermal_zone*/temp"):
        try:
            found.append(int(zone.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return max(found, default=None)


def throttled(path: Path = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")) -> bool | None:
    """Whether a Raspberry Pi lowers its clock now (undervoltage, cap, heat), or None on other machines."""
    try:
        return bool(int(path.read_text().strip(), 16) & 0xF)
    except (OSError, ValueError):
        return None


def settle() -> None:
    """Give back what only the start needed: the compiler's code, and free memory that the allocator holds on to."""
    gc.collect()
    gc.freeze()  # what lives now lives on: later collections need not look at it
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    release_code("libllvmlite")


def release_code(library: str, maps: Path = Path("/proc/self/smaps")) -> float:
    """Give the resident, unmodified code pages of a library back to the kernel; returns how many MiB those were.

    For what is needed at the start only, such as the compiler: a page that is touched again is read from the file.
    """
    released_kb = 0
    page_out = getattr(mmap, "MADV_DONTNEED", 4)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for head, facts in _mappings(maps):
        span, rights, *_, path = head
        begin, end = (int(edge, 16) for edge in span.split("-"))
        clean = facts.get("Private_Dirty", 1) == 0 and facts.get("Shared_Dirty", 1) == 0
        wanted = library in Path(path).name and "w" not in rights and clean
        if wanted and libc.madvise(begin, end - begin, page_out) == 0:
            released_kb += facts.get("Rss", 0)
    return released_kb / 1024


def _mappings(maps: Path) -> list[tuple[list[str], dict[str, int]]]:
    found: list[tuple[list[str], dict[str, int]]] = []
    try:
        lines = maps.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        words = line.split(maxsplit=5)
        if not words[0].endswith(":"):
            found.append(([*words, ""] if len(words) < 6 else words, {}))
        elif words[-1] == "kB":
            found[-1][1][words[0][:-1]] = int(words[1])
    return found
