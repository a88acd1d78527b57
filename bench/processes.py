"""What processes have used, from /proc."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def parse_schedstat(text: str) -> int:
    """Return the time on a processor in ns, from /proc/PID/task/TID/schedstat."""
    return int(text.split(maxsplit=1)[0])


def parse_stat(text: str) -> int:
    """Utime and stime in ns, from /proc/PID/stat: in ticks of 10 ms, so rough."""
    words = text.rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * _TICK_NS


def parse_rollup(text: str, key: str = "Private_Dirty") -> int:
    """Return a line of /proc/PID/smaps_rollup, in bytes."""
    found = re.search(rf"^{key}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def processor_ns(pids: Iterable[int]) -> dict[int, int]:
    """For each process, the time on a processor (utime and stime) of all its threads."""
    used = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            tasks = Path(f"/proc/{pid}/task").iterdir()
            try:
                used[pid] = sum(parse_schedstat((task / "schedstat").read_text()) for task in tasks)
            except FileNotFoundError:
                used[pid] = parse_stat(Path(f"/proc/{pid}/stat").read_text())
    return used


def private_dirty(pids: Iterable[int]) -> int:
    """Return the bytes that would be free if these processes had not been, swapped ones included."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += parse_rollup(text) + parse_rollup(text, "Swap")
    return total


def dirty(pids: Iterable[int]) -> int:
    """Return the same with what these processes share with each other, each page counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += parse_rollup(text, "Pss_Dirty") + parse_rollup(text, "SwapPss")
    return total


def locked(pids: Iterable[int]) -> int:
    """Return the bytes that are locked in memory: VmLck of /proc/PID/status."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = re.search(r"^VmLck:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            total += int(found[1]) * 1024 if found else 0
    return total
