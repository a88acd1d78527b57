"""The file that says which hook runs: ``RUN_DIRECTORY/hook-starthasrv``.

The hook's own process writes it before it becomes the script, so there is no moment in which a hook runs
that nobody could find again: neither the worker that comes after one that was killed right after the
fork (rule G1), nor the next daemon (rule S5).
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Optional

from had.core.actions import Hook
from had.runtime.files import open_regular, read_small, remove, write_all
from had.runtime.processes import boot_id

_TITLE = "had-hook 1"
_NUMBER = re.compile(r"[0-9]{1,18}")
_MAX_ERROR = 4095


@dataclasses.dataclass(frozen=True)
class HookFile:
    """What such a file says."""

    run: int
    pid: int
    started: int
    """Start time of the process, in clock ticks since boot."""
    boot: str
    failed: int = 0
    """Error number, if the script could not be run; at most 4095, the kernel's highest."""


def path_of(run_directory: str, hook: Hook) -> str:
    return os.path.join(run_directory, f"hook-{hook.value}")


def claim(path: str, run: int, started: int) -> None:
    """Say that this process is the hook; it appears whole or not at all, and never in another's place.

    :raises OSError: FileExistsError when another one is there.
    """
    pid = os.getpid()
    text = f"{_TITLE}\nrun {run}\npid {pid}\nstarted {started}\nboot {boot_id()}\n"
    temporary = f"{path}.{pid}"
    remove(temporary)
    descriptor = open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        try:
            write_all(descriptor, text.encode("ascii"))
        finally:
            os.close(descriptor)
        os.link(temporary, path)
    finally:
        os.unlink(temporary)


def add_failure(path: str, number: int) -> None:
    """Add that the script could not be run, and why.

    :raises OSError:
    """
    descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND)
    try:
        write_all(descriptor, f"failed {number}\n".encode("ascii"))
    finally:
        os.close(descriptor)


def read(path: str) -> Optional[HookFile]:
    """Return what the file says, or None where it is missing, unreadable or not such a file."""
    try:
        return understand(read_small(path))
    except OSError:
        return None


def understand(data: bytes) -> Optional[HookFile]:
    """Return what these bytes say, or None where they are no such file."""
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError:
        return None
    if not lines or lines[0] != _TITLE:
        return None
    said = dict(line.split(" ", 1) for line in lines[1:] if " " in line)
    try:
        found = HookFile(
            _run_number(said["run"]),
            _number(said["pid"]),
            _number(said["started"]),
            said["boot"],
            _number(said.get("failed", "0")),
        )
    except (KeyError, ValueError):
        return None
    return found if found.pid > 1 and found.failed <= _MAX_ERROR else None


def _run_number(text: str) -> int:
    """Read the number of a run: those of alerts are below zero.

    :raises ValueError:
    """
    return -_number(text[1:]) if text.startswith("-") else _number(text)


def _number(text: str) -> int:
    """Read a number as :func:`claim` writes it; int() takes signs, underscores and any length as well.

    :raises ValueError:
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return int(text)
