"""The state file: what the old daemon wrote, line for line (COMPAT §7), replaced at one stroke."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Optional

from had.core.actions import Level
from had.core.states import State
from had.runtime.files import make_directory, remove, replace, temporary_of, why
from had.runtime.log import MONTHS, Say

WAITING = "Waiting for quorum of nodes to come online\n"
SPELLINGS = {
    State.UNKNOWN: "[invalid state]",
    State.INITIAL: "Initial",
    State.RUNNING: "Running",
    State.STOPPING: "Stopping",
    State.STARTING: "Starting",
    State.STANDBY: "Standby",
    State.ERRORED: "ERRORED",
    State.TIMEDOUT: "TIMEOUT",
}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def ctime(wall_seconds: float) -> str:
    """Return local time in C's ``ctime`` form, English in every locale: ``Sun Nov  2 05:07:09 2026``."""
    t = time.localtime(int(wall_seconds))
    clock = f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"
    return f"{_DAYS[t.tm_wday]} {MONTHS[t.tm_mon - 1]} {t.tm_mday:2d} {clock} {t.tm_year}"


def lines(entries: Iterable[tuple[str, State, float]]) -> str:
    """Return the text for (name, state, wall clock seconds of the last heartbeat), in the order given."""
    return "".join(f"{name} [{SPELLINGS[state]}] {ctime(wall)}\n" for name, state, wall in entries)


class StateFile:
    """Writes the file.  Readers see the old text or the new one, never a part; a failure is told once
    and never stops anything.
    """

    def __init__(self, path: str, say: Say) -> None:
        self._path = path
        self._say = say
        self._failure: Optional[str] = None

    @property
    def failure(self) -> Optional[str]:
        """Why the last write failed, or None."""
        return self._failure and f"{self._path}: {self._failure}"

    def write_waiting(self) -> bool:
        """Write the text that stands there while nodes are waited for."""
        return self._write(WAITING)

    def write(self, entries: Iterable[tuple[str, State, float]]) -> bool:
        """Write one line a node; returns whether it could be done."""
        return self._write(lines(entries))

    def _write(self, text: str) -> bool:
        try:
            try:
                replace(self._path, text.encode("ascii"))
            except FileNotFoundError:  # the directory is not there, or not any more
                make_directory(os.path.dirname(self._path))
                replace(self._path, text.encode("ascii"))
        except OSError as error:
            if self._failure != why(error):
                self._failure = why(error)
                self._say(Level.ERROR, f"{self._path}: the state file cannot be written: {self._failure}")
            return False
        if self._failure is not None:
            self._failure = None
            self._say(Level.NOTICE, f"{self._path}: the state file can be written again")
        return True

    def close(self) -> None:
        """Remove what an interrupted write may have left; the file itself stays, as the old one's did."""
        with contextlib.suppress(OSError):
            remove(temporary_of(self._path))
