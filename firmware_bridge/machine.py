"""What the machine tells about itself: clock, processor time, memory, temperature. Reads files, asks nobody."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass
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


def name_thread() -> None:
    """Show the name of this thread to `top -H` and the like."""
    with contextlib.suppress(OSError):
        task = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        task.write_text(threading.current_thread().name[:15])


def settle() -> None:
    """Give back what only the start needed: free memory that the allocator holds on to, and code of the libraries."""
    gc.collect()
    gc.freeze()  # what lives now lives on: later collections need not look at it
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    release_code()


def release_code(library: str = "", maps: Path = Path("/proc/self/smaps")) -> float:
    """Give resident, unmodified pages of libraries back to the kernel; returns how many MiB those were.

    Most of their code is for the start only, the compiler's above all: a page that is touched again is mapped again
    from the page cache. A mapping with a single page of its own, be it swapped out, is left alone.
    """
    released_kb = 0
    page_out = getattr(mmap, "MADV_DONTNEED", 4)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for mapping in _mappings(maps):
        name = Path(mapping.path).name
        if ".so" not in name or library not in name or "w" in mapping.rights or mapping.changed_kb:
            continue
        if libc.madvise(mapping.begin, mapping.end - mapping.begin, page_out) == 0:
            released_kb += mapping.resident_kb
    return released_kb / 1024


@dataclass(slots=True)
class _Mapping:
    begin: int
    end: int
    rights: str
    path: str
    resident_kb: int = 0
    changed_kb: int = 0


_CHANGED = ("Private_Dirty:", "Shared_Dirty:", "Anonymous:", "Swap:")


def _mappings(maps: Path) -> Iterator[_Mapping]:
    """The mappings of a ``smaps``, one at a time: all of it together would be some megabytes of text."""
    found: _Mapping | None = None
    with contextlib.suppress(OSError), maps.open() as lines:
        for line in lines:
            words = line.split(maxsplit=5)
            if not words[0].endswith(":"):
                if found is not None:
                    yield found
                begin, end = (int(edge, 16) for edge in words[0].split("-"))
                found = _Mapping(begin, end, words[1], words[5].rstrip() if len(words) > 5 else "")
            elif found is not None and words[0] == "Rss:":
                found.resident_kb = int(words[1])
            elif found is not None and words[0] in _CHANGED:
                found.changed_kb += int(words[1])
    if found is not None:
        yield found
