"""The status file: what this daemon is doing and why, and what it last answered to a signal.

For programs that send signals (the initscript) and for people; docs/operations.md has the format.  The
state file can't tell it, being the old daemon's line for line.  Who ends the daemon writes the end.
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Callable, Optional

from had.core.node import Status
from had.runtime.log import Say, printable
from had.runtime.shownfile import ShownFile

SECOND = 1_000_000_000
LOOK_NS = SECOND
"""How soon a write that failed is tried again, or a file that somebody has removed is missed."""
ENDED = "ENDED"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What was last said to a person's signal, and when by the clock that decides."""

    text: str
    given_ns: int


class StatusFile:
    """Writes the file, if there is anything new."""

    def __init__(self, path: str, node: str, say: Say, *, wall: Callable[[], float] = time.time) -> None:
        self._file = ShownFile(path, "status file", say)
        self._node = node
        self._wall = wall
        self._text = ""
        self._good = False
        self._look_ns = 0
        self._since_ns = self._since = 0

    def show(self, status: Status, answer: Optional[Answer], now_ns: int) -> None:
        """Write how things are now."""
        since = int(self._wall() - (now_ns - status.since_ns) / SECOND)
        # The same moment is not written differently for being rounded differently; but a clock may be set.
        if status.since_ns != self._since_ns or abs(since - self._since) > 1:
            self._since_ns, self._since = status.since_ns, since
        pairs = [("state", status.state.name), ("since", str(self._since)), ("reason", status.reason.text)]
        if status.ready is not None:
            pairs.append(("ready", "yes" if status.ready else "no"))
        if status.unfit is not None:
            pairs.append(("not_ready", status.unfit.text))
        self._write([*pairs, *_answered(answer)], now_ns)

    def end(self, code: int, reason: str, answer: Optional[Answer]) -> None:
        """Write that the daemon ends, with which exit code, and why."""
        pairs = [("state", ENDED), ("since", str(int(self._wall()))), ("reason", reason)]
        self._look_ns = 0
        self._write([*pairs, *_answered(answer), ("code", str(code))], 0)
        self._file.close()

    def _write(self, pairs: list[tuple[str, str]], now_ns: int) -> None:
        text = "".join(f"{key}={printable(value)}\n" for key, value in [("node", self._node), *pairs])
        if text == self._text:
            if now_ns < self._look_ns:
                return
            self._look_ns = now_ns + LOOK_NS
            if self._good and os.path.lexists(self._file.path):
                return
        self._text, self._look_ns = text, now_ns + LOOK_NS
        self._good = self._file.show(text)


def _answered(answer: Optional[Answer]) -> list[tuple[str, str]]:
    if answer is None:
        return []
    seconds, rest = divmod(answer.given_ns, SECOND)
    return [("answered", f"{seconds}.{rest:09d}"), ("answer", answer.text)]
