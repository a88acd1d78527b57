"""Breadth first through all states of a small world, so that the first break found is a shortest one."""

from __future__ import annotations

import dataclasses
import gc
import time
from typing import Optional

from had.core.settings import MS, SECOND
from had.sim.small.cluster import Cluster, Event, Moment, happened
from had.sim.small.computer import GRID_NS
from had.sim.small.rest import Rest
from had.sim.small.worlds import Plan
from had.sim.truth import BrokenPromiseError

LOOK = 32
"""After how many states the clock is looked at."""


@dataclasses.dataclass(frozen=True)
class Break:
    """A broken promise, and the events that lead to it."""

    promise: str
    text: str
    path: tuple[Event, ...]
    calm: bool
    """It broke in the calm run after the events."""
    away: bool = False
    """In that run those that were off stayed off."""


@dataclasses.dataclass
class Found:
    """What came of a search."""

    plan: Plan
    states: int = 0
    transitions: int = 0
    depth: int = 0
    """Every schedule of so many events has been gone through."""
    finished: bool = False
    """There are no more states, however many events."""
    calm_runs: int = 0
    computers: int = 0
    """How many different computers were met."""
    longest_s: float = 0.0
    """The longest that a calm run took to settle."""
    seconds: float = 0.0
    """Of processor time."""
    broken: Optional[Break] = None


class Search:
    """One world."""

    def __init__(self, plan: Plan) -> None:
        self.cluster = Cluster(plan)
        self.rest = Rest(self.cluster)
        self.found = Found(plan)
        self.opening: tuple[Event, ...] = ()
        """What happened before the world began."""
        self._before: dict[Moment, Optional[tuple[Moment, Event]]] = {}

    def first(self) -> Moment:
        """Return the state in which the world begins."""
        if not self.cluster.plan.booted:
            return self.cluster.off
        moment, self.opening = opening(self.cluster)
        return moment

    def run(self, depth: Optional[int], until_s: Optional[float]) -> Found:
        """Go through the world to a depth, or until a moment of the monotonic clock."""
        found, begun_s = self.found, time.process_time()
        collecting = gc.isenabled()
        gc.disable()  # millions of tuples that all stay: looking through them takes half the time
        try:
            self._run(depth, until_s)
        finally:
            if collecting:
                gc.enable()
            found.states = len(self._before)
            found.calm_runs = self.rest.runs
            found.computers = sum(len(place.known) for place in self.cluster.places)
            found.longest_s = self.rest.longest * GRID_NS / SECOND
            found.seconds = time.process_time() - begun_s
        return found

    def _run(self, depth: Optional[int], until_s: Optional[float]) -> None:
        found, before = self.found, self._before
        try:
            first = self.first()
        except BrokenPromiseError as error:
            self._note(error, (), calm=True)
            return
        before[first] = None
        level = [first]
        while level:
            if depth is not None and found.depth >= depth:
                return
            following: list[Moment] = []
            for number, state in enumerate(level):
                if number % LOOK == 0 and until_s is not None and time.monotonic() > until_s:
                    return
                if self._expand(state, following):
                    return
            found.depth += 1
            level = following
        found.finished = True

    def _expand(self, state: Moment, following: list[Moment]) -> bool:
        """Look at all that may come next; return whether a promise broke."""
        before, found = self._before, self.found
        for event, after, broken in self.cluster.nexts(state):
            found.transitions += 1
            if broken is not None or after is None:
                if broken is not None:
                    self._note(broken, (*self.path(state), event), calm=False)
                return True
            if after not in before:
                before[after] = (state, event)
                following.append(after)
        return self.cluster.quiet(state) and self._never_rests(state)

    def _never_rests(self, state: Moment) -> bool:
        """Follow the calm runs: with everybody, and without those that are off."""
        on = [known.on for known in self.cluster.known(state)]
        for away in (False, True) if any(on) and not all(on) else (False,):
            try:
                self.rest.check(state, away=away)
            except BrokenPromiseError as error:
                self._note(error, self.path(state), calm=True, away=away)
                return True
        return False

    def path(self, state: Moment) -> tuple[Event, ...]:
        """Return the events that led to a state."""
        events: list[Event] = []
        step = self._before[state]
        while step is not None:
            events.append(step[1])
            step = self._before[step[0]]
        return tuple(reversed(events))

    def _note(
        self, error: BrokenPromiseError, path: tuple[Event, ...], *, calm: bool, away: bool = False
    ) -> None:
        self.found.broken = Break(error.promise, error.text, path, calm, away)


def opening(cluster: Cluster) -> tuple[Moment, tuple[Event, ...]]:
    """Start all daemons, each at its offset, and let all go well until nothing changes any more.

    :raises BrokenPromiseError: it does not go well.
    """
    moment = cluster.off._replace(budget=(0,) * len(cluster.budget))
    events: list[Event] = []
    spent = 0
    offsets = [cluster.plan.offsets_ms[index] * MS // GRID_NS for index in range(cluster.nodes)]
    met: set[Moment] = set()
    while True:
        event: Event
        if spent in offsets:
            index = offsets.index(spent)
            offsets[index] = -1
            event = ("at", index, ("start", False))
            moment = happened(*cluster.at(moment, index, event[2]))
        else:
            event = cluster.calm_event(moment)
            later = [each for each in offsets if each > spent]
            if event[0] == "time" and later and spent + event[1] > min(later):
                event = ("time", min(later) - spent)
                ages = tuple(age + event[1] for age in moment.ages)
                moment = moment._replace(ages=ages)
            else:
                moment = happened(*cluster.follow(moment, event))
            spent += event[1] if event[0] == "time" else 0
        events.append(event)
        if cluster.quiet(moment) and max(offsets) < 0:
            if moment in met:
                return moment._replace(budget=cluster.budget), tuple(events)
            met.add(moment)
