"""Virtual time: one queue of what is to happen, and the clocks of the machines, which are not quite right.

*True* time is what the queue counts, in nanoseconds.  *Local* time is what a machine's clock shows.
"""

from __future__ import annotations

import heapq
from typing import Any, Callable

MS = 1_000_000
SECOND = 1_000_000_000
MILLION = 1_000_000


class Queue:
    """What is to happen, in order; of two things at one moment the one asked for first."""

    __slots__ = ("_entries", "_number", "now_ns")

    def __init__(self) -> None:
        self.now_ns = 0
        self._number = 0
        self._entries: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, moment_ns: int, what: Callable[..., None], *arguments: Any) -> None:
        self._number += 1
        heapq.heappush(self._entries, (moment_ns, self._number, what, arguments))

    def later(self, span_ns: int, what: Callable[..., None], *arguments: Any) -> None:
        self._number += 1
        heapq.heappush(self._entries, (self.now_ns + span_ns, self._number, what, arguments))

    def run(self, until_ns: int) -> None:
        """Let everything happen up to this moment, included."""
        entries, pop = self._entries, heapq.heappop
        while entries and entries[0][0] <= until_ns:
            self.now_ns, _, what, arguments = pop(entries)
            what(*arguments)
        self.now_ns = max(self.now_ns, until_ns)


class Clock:
    """The clock that decides: CLOCK_BOOTTIME or the monotonic one.  It drifts, and it may stand still while
    a virtual machine is held by its host (rule P2).
    """

    __slots__ = ("_local_ns", "_ppm", "_rate", "_true_ns")

    def __init__(self, local_ns: int, ppm: int) -> None:
        self._true_ns, self._local_ns = 0, local_ns
        self._ppm = ppm
        self._rate = MILLION + ppm

    def local(self, true_ns: int) -> int:
        if self._rate == MILLION:
            return self._local_ns + true_ns - self._true_ns
        return self._local_ns + (true_ns - self._true_ns) * self._rate // MILLION

    def true(self, local_ns: int) -> int:
        """Return the first true moment at which the clock shows this; only while it goes."""
        span_ns = local_ns - self._local_ns
        if self._rate == MILLION:
            return self._true_ns + span_ns
        return self._true_ns - (-span_ns * MILLION // self._rate)

    def span(self, local_ns: int) -> int:
        """Return how long such a span of this clock takes, in true time."""
        return -(-local_ns * MILLION // (MILLION + self._ppm))

    def stand(self, true_ns: int) -> None:
        self._local_ns, self._true_ns, self._rate = self.local(true_ns), true_ns, 0

    def go(self, true_ns: int) -> None:
        self._local_ns, self._true_ns, self._rate = self.local(true_ns), true_ns, MILLION + self._ppm
