"""The state file: what the old daemon wrote, line for line (COMPAT §7), replaced at one stroke."""

from __future__ import annotations

import time
from collections.abc import Iterable

from had.core.node import View
from had.core.states import State
from had.runtime.log import MONTHS, Say
from had.runtime.shownfile import ShownFile

SECOND = 1_000_000_000
AGAIN_NS = SECOND * 9 // 10
"""Not a whole second: a heartbeat of one second that is early by a hair shall not be left out."""
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


class StateFile(ShownFile):
    """Writes the file."""

    def __init__(self, path: str, say: Say) -> None:
        super().__init__(path, "state file", say)
        self._shown: object = None
        self._again_ns = 0

    def begin(self, forced: bool) -> bool:
        """Replace the file of an earlier daemon; returns whether it could be done (COMPAT §1)."""
        return self.write(()) if forced else self.write_waiting()

    def publish(self, view: View, now_ns: int) -> None:
        """Write a change at once, and the times of the last heartbeats once a second: they have whole
        seconds, and replacing a file costs as much as all else that a heartbeat does.
        """
        states = (view.seeding, [(line.name, line.state) for line in view.nodes])
        if states == self._shown and now_ns < self._again_ns:
            return
        self._shown, self._again_ns = states, now_ns + AGAIN_NS
        if view.seeding:
            self.write_waiting()
            return
        wall = time.time()
        self.write((line.name, line.state, wall - (now_ns - line.heard_ns) / SECOND) for line in view.nodes)

    def write_waiting(self) -> bool:
        """Write the text that stands there while nodes are waited for."""
        return self.show(WAITING)

    def write(self, entries: Iterable[tuple[str, State, float]]) -> bool:
        """Write one line a node; returns whether it could be done."""
        return self.show(lines(entries))
