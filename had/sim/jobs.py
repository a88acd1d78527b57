"""Many seeds, in one process or in several."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator

from had.sim.parallel import spread
from had.sim.run import Result, run_seed

CHUNK = 25
"""How many seeds are told at once."""


@dataclasses.dataclass
class Total:
    """What many seeds came to."""

    seeds: int = 0
    broken: list[Result] = dataclasses.field(default_factory=list)
    virtual_ns: int = 0
    processor_s: float = 0
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def add(self, result: Result) -> None:
        self.seeds += 1
        self.virtual_ns += result.virtual_ns
        self.processor_s += result.processor_s
        self.counts.update(result.counts)
        if result.broken is not None:
            self.broken.append(result)

    def update(self, other: Total) -> None:
        self.seeds += other.seeds
        self.virtual_ns += other.virtual_ns
        self.processor_s += other.processor_s
        self.counts.update(other.counts)
        self.broken += other.broken


def some(first: int, count: int, every_tick: bool) -> Total:
    """Run seeds one after the other."""
    total = Total()
    for seed in range(first, first + count):
        total.add(run_seed(seed, every_tick=every_tick))
    return total


def some_by_some(first: int, count: int, jobs: int, *, every_tick: bool) -> Iterator[Total]:
    """Run seeds, and tell of them in parts as they are done."""
    parts = [(start, min(CHUNK, first + count - start)) for start in range(first, first + count, CHUNK)]
    yield from spread(parts, lambda part: some(*part, every_tick), jobs)
