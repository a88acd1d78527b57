"""One seed, or one schedule, from begin to end."""

from __future__ import annotations

import collections
import dataclasses
import gc
import time
from typing import Optional
from unittest import mock

import had.core.group as core_group
from had.core.states import TRANSITIONS, Cause, Phase
from had.sim.draw import draw
from had.sim.scenario_told import Scribe
from had.sim.schedule import Schedule, Step
from had.sim.world import Broken, World


class _CountingTable(dict[tuple[Phase, Cause], Phase]):
    """The core's table of transitions, which counts how often each row is used."""

    def __init__(self) -> None:
        super().__init__(TRANSITIONS)
        self.used: collections.Counter[tuple[Phase, Cause]] = collections.Counter()

    def get(self, key, default=None):  # type: ignore[no-untyped-def]
        self.used[key] += 1
        return super().get(key, default)


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a run."""

    seed: int
    broken: Optional[Broken]
    virtual_ns: int
    processor_s: float
    settled_ns: Optional[int]
    counts: collections.Counter[str]
    story: tuple[str, ...]
    done: tuple[Step, ...]
    """The steps, each with the moment at which it was done."""


def run_seed(seed: int, *, story: bool = False, every_tick: bool = False) -> Result:
    return run_schedule(draw(seed), story=story, every_tick=every_tick)


def run_schedule(
    schedule: Schedule, *, story: bool = False, every_tick: bool = False, scribe: Optional[Scribe] = None
) -> Result:
    """Do a schedule; what breaks is in the result."""
    begun_s = time.process_time()
    table = _CountingTable()
    collecting = gc.isenabled()
    gc.disable()  # a run lives for a tenth of a second; what it leaves in circles goes in one sweep after it
    try:
        with mock.patch.object(core_group, "TRANSITIONS", table):
            world = World(schedule, story=story, every_tick=every_tick, scribe=scribe)
            broken = world.run()
    finally:
        if collecting:
            gc.enable()
    counts = world.judge.counts
    for (phase, cause), times in table.used.items():
        counts[f"row {phase.name} {cause.name}"] += times
    for step in schedule.steps:
        counts[f"fault: {step.verb}"] += 1
    return Result(
        schedule.seed,
        broken,
        world.queue.now_ns,
        time.process_time() - begun_s,
        world.settled_ns,
        counts,
        tuple(world.story or ()),
        tuple(world.done),
    )
