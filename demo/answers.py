"""What the client saw, and what the services themselves say about when they were up."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SECOND = 1_000_000_000


class Answer(NamedTuple):
    """A request that has ended."""

    ended_ns: int
    asked_ns: int
    node: str
    """Who answered; empty if nobody did."""
    process: int


class Answers:
    """The client's lines, in the order of their ends."""

    def __init__(self) -> None:
        self._all: list[Answer] = []
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what the client has printed, in pieces as they come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            asked, ended, node, process = line.decode("ascii").split()
            answer = Answer(int(ended), int(asked), "" if node == "-" else node, int(process))
            bisect.insort(self._all, answer)

    def between(self, since_ns: int, until_ns: int) -> list[Answer]:
        """Return what ended then."""
        first = bisect.bisect_left(self._all, (since_ns,))
        return self._all[first : bisect.bisect_left(self._all, (until_ns,))]

    def rate(self, now_ns: int) -> tuple[int, int]:
        """Return how many requests of the last second were answered, and how many not."""
        recent = self.between(now_ns - SECOND, now_ns)
        good = sum(1 for answer in recent if answer.node)
        return good, len(recent) - good

    def serving(self, now_ns: int) -> str:
        """Return who answered last within the last second; empty if nobody did."""
        for answer in reversed(self.between(now_ns - SECOND, now_ns)):
            if answer.node:
                return answer.node
        return ""

    def outage_ns(self, since_ns: int, until_ns: int) -> int:
        """Return the longest time from one good answer to the next, or to ``until_ns``.

        The first one that counts is the last before ``since_ns``, if there is one, else ``since_ns``.
        """
        good = [answer.ended_ns for answer in self.between(since_ns, until_ns) if answer.node]
        before = [answer.ended_ns for answer in self.between(since_ns - SECOND, since_ns) if answer.node]
        edges = [before[-1] if before else since_ns, *good, until_ns]
        return max(later - earlier for earlier, later in zip(edges, edges[1:]))

    def forget(self, before_ns: int) -> None:
        """Drop what is no longer asked for: a person may play for hours."""
        del self._all[: bisect.bisect_left(self._all, (before_ns,))]


class Stamp(NamedTuple):
    """A line of the services' journal: ``up``, ``down`` or ``refused``, or the demo's ``killed``."""

    word: str
    node: str
    process: int
    moment_ns: int


def read_stamps(journal: Path) -> list[Stamp]:
    """Return what the journal says so far."""
    try:
        lines = journal.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []
    fields = (line.split() for line in lines)
    return [Stamp(word, node, int(process), int(moment)) for word, node, process, moment in fields]


def two_at_once(stamps: Iterable[Stamp]) -> list[str]:
    """Return a line for each time that two services were up, or wanted to be, at once.

    A service without an end counts as up for ever after.
    """
    stamps = list(stamps)
    complaints = [
        f"{one.node} started a service beside another one" for one in stamps if one.word == "refused"
    ]
    ups = sorted((one for one in stamps if one.word == "up"), key=lambda one: one.moment_ns)
    for i, one in enumerate(ups):
        end_ns = min((end.moment_ns for end in stamps if _ends(end, one)), default=None)
        for other in ups[i + 1 :]:
            if end_ns is None or end_ns > other.moment_ns:
                complaints.append(f"the services on {one.node} and {other.node} were up at once")
    return complaints


def _ends(end: Stamp, up: Stamp) -> bool:
    return end.word in ("down", "killed") and end.process == up.process and end.moment_ns >= up.moment_ns
