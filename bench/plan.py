"""What one run of the bench is to do, and what all measurements share."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.cluster import Cluster
from bench.contenders.base import Contender, Timing
from bench.errors import BenchError
from bench.hooks import Hooks
from bench.results import Results, Row

_FAILURES = 3
"""After so many failed runs of a measurement it is given up."""


@dataclasses.dataclass(frozen=True)
class Amounts:
    """How much of everything; see the options of the command line."""

    crash: int = 20
    planned: int = 20
    cut: int = 10
    start: int = 20
    idle_s: float = 30
    load_s: float = 600
    nodes: Sequence[int] = (2, 10, 50, 100, 200, 500)
    nodes_s: float = 20


QUICK = Amounts(crash=3, planned=3, cut=2, start=3, idle_s=8, load_s=15, nodes=(2, 50, 500), nodes_s=8)


@dataclasses.dataclass
class Plan:
    """Contenders, amounts, and the place for the results."""

    amounts: Amounts
    hooks: Hooks
    scratch: Path
    groups: Sequence[str] = ()
    """Only these groups of timings; all if empty."""
    contenders: Sequence[Contender] = ()
    results: Results = dataclasses.field(default_factory=Results)

    def timings(self, contender: Contender, *groups: str) -> list[Timing]:
        """Return the contender's timings, of these groups or all, as far as they are wanted in this run."""
        return [
            timing
            for timing in contender.timings
            if (not groups or timing.group in groups) and (not self.groups or timing.group in self.groups)
        ]

    def cluster(self, contender: Contender, timing: Timing) -> Cluster:
        return Cluster(contender, timing, self.hooks, self.scratch / "cluster")

    def say(self, text: str) -> None:
        """Show how far it is."""
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def skipped(self, contender: Contender, why: str) -> None:
        """Remember that a contender isn't here."""
        self.say(f"{contender.name} is skipped: {why}")
        self.results.notes.append(f"{contender.name} is skipped: {why}")

    def failed(self, what: str, error: BenchError) -> None:
        """Remember what could not be measured."""
        self.say(f"{what}: {error}")
        self.results.notes.append(f"{what}: {error}")

    def row(
        self, measure: str, quantity: str, unit: str, contender: Contender, timing: Timing, note: str = ""
    ) -> Row:
        """Add an empty row."""
        row = Row(
            measure, quantity, unit, contender.name, str(timing), timing.group, [], contender.is_peer, note
        )
        self.results.add(row)
        return row


class Attempts:
    """Counts failed runs, and says when it is enough."""

    def __init__(self, plan: Plan, what: str) -> None:
        self._plan = plan
        self._what = what
        self._left = _FAILURES

    def failed(self, error: BenchError) -> None:
        """Raise BenchError if that was the last one that is tolerated."""
        self._left -= 1
        self._plan.failed(self._what, error)
        if not self._left:
            raise BenchError(f"given up after {_FAILURES} failed runs")
