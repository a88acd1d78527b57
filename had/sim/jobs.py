"""Many seeds, in one process or in several."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import pickle
import selectors
import signal
from collections.abc import Iterator
from typing import BinaryIO

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
    starts = [(start, min(CHUNK, first + count - start)) for start in range(first, first + count, CHUNK)]
    if jobs <= 1:
        for start, size in starts:
            yield some(start, size, every_tick)
        return
    selector = selectors.DefaultSelector()
    children = []
    for job in range(min(jobs, len(starts))):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _be_a_job(starts[job::jobs], every_tick, writing)
        os.close(writing)
        children.append(child)
        selector.register(os.fdopen(reading, "rb"), selectors.EVENT_READ)
    try:
        yield from _read_all(selector)
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)


def _be_a_job(starts: list[tuple[int, int]], every_tick: bool, writing: int) -> None:
    """Run the seeds of one process; never returns."""
    code = 1
    try:
        with os.fdopen(writing, "wb") as pipe:
            for start, size in starts:
                pickle.dump(some(start, size, every_tick), pipe)
                pipe.flush()
            pickle.dump(None, pipe)
        code = 0
    finally:
        os._exit(code)


def _read_all(selector: selectors.BaseSelector) -> Iterator[Total]:
    """Read what the processes tell, until all are done.

    :raises RuntimeError: one has ended before it was done.
    """
    while selector.get_map():
        for key, _ in selector.select():
            pipe = key.fileobj
            part = _read_one(pipe)  # type: ignore[arg-type]
            if part is None:
                selector.unregister(pipe)
                pipe.close()  # type: ignore[union-attr]
            else:
                yield part


def _read_one(pipe: BinaryIO) -> Total | None:
    try:
        part = pickle.load(pipe)  # noqa: S301  # from a process of our own
    except EOFError:
        raise RuntimeError("a process with seeds has died") from None
    return part if isinstance(part, Total) else None
