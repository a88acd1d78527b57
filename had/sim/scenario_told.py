"""The short transcript of a scenario: who believed what, and why it acted.

Told are the changes of each node's own state, with the reason; what else a core notes about others and
about itself (who has timed out, holds, marks, pauses); the begins of ``starthasrv``, and of a ``stophasrv``
that does not come with STOPPING at once; deaths and ends; two that may run at a time.  Not told: packets,
what the file itself orders, who was heard for the first time or is late, and what the line before tells.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from had.core.actions import Hook, Reason
from had.core.states import State
from had.sim.clockwork import SECOND
from had.sim.schedule import TOLD

if TYPE_CHECKING:
    from had.sim.machine import Machine

_DULL = frozenset(("peer-new", "peer-late"))
_CODE = re.compile(r" \[([a-z-]+)\]$")
_LEFT_OUT = re.compile(
    r"hears that |[a-z]+hasrv succeeds|monitorhasrv |alerthasrv |(debug|info|notice|warning|error): "
)
AT_ONCE_NS = SECOND // 10
"""A ``stophasrv`` waits a moment for a ``monitorhasrv`` that is told to end."""
_MOVED = re.compile(r"\|\s+[\d.]+ (\S+) ([A-Z]+)\b")


class Scribe:
    """Takes down what happens, by the line of the file that it followed."""

    def __init__(self) -> None:
        self.line = 0
        """Of the command that is being done."""
        self.lines: dict[int, list[str]] = {}
        self._last: dict[str, tuple[int, str, str]] = {}
        """By node: the last reason told, below which command, and the line if it was a note."""
        self._stops: dict[str, int] = {}
        """By node: when it last said STOPPING."""

    def told(self, now_ns: int, machine: Optional[Machine], text: str) -> None:
        """Take down a line of the long transcript, if it is worth it."""
        if machine is None:
            if not text.startswith(("two may run", "settled", "no longer settled")):
                return
            self._write(now_ns, text)
            return
        code = _CODE.search(text)
        if _LEFT_OUT.match(text) or (code is not None and code.group(1) in _DULL):
            return
        stops_ns = self._stops.get(machine.name)
        if text == f"{Hook.STOP.value} begins" and stops_ns is not None and now_ns - stops_ns < AT_ONCE_NS:
            return
        line = _line(now_ns, f"{machine.name}: {text}")
        if code is not None:
            line_before, text_before, note_before = self._last.get(machine.name, (0, "", ""))
            if text == text_before and (not note_before or line_before == self.line):
                return  # said of the move that it led to, or twice
            self._last[machine.name] = (self.line, text, line)
        self.lines.setdefault(self.line, []).append(line)

    def moved(self, now_ns: int, machine: Machine, state: State, reason: Optional[Reason]) -> None:
        """Take down that a node's own state is another now."""
        name, text = machine.name, "" if reason is None else f"{reason.text} [{reason.code}]"
        if state is State.STOPPING:
            self._stops[name] = now_ns
        last = self._last.get(name, (0, "", ""))
        self._last[name] = (self.line, text, "")
        if text and last[:2] == (self.line, text):
            lines = self.lines[self.line]
            if last[2] == _line(now_ns, f"{name}: {text}") and last[2] in lines:
                lines.remove(last[2])  # the note of this very move
            else:
                text = ""  # the reason has just been told
        self._write(now_ns, f"{name} {state.name}: {text}" if text else f"{name} {state.name}")

    def _write(self, now_ns: int, text: str) -> None:
        self.lines.setdefault(self.line, []).append(_line(now_ns, text))


def _line(now_ns: int, text: str) -> str:
    hundredths = (now_ns + SECOND // 200) // (SECOND // 100)
    return f"{TOLD} {hundredths // 100:>5}.{hundredths % 100:02d} {text}"


def states_told(text: str) -> dict[str, list[str]]:
    """Return the sequence of each node's own states in the transcript of a file."""
    states: dict[str, list[str]] = {}
    for line in text.splitlines():
        found = _MOVED.match(line)
        if found and found.group(2) in State.__members__:
            states.setdefault(found.group(1), []).append(found.group(2))
    return states
