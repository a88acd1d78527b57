"""A break for people: what happened, in words, and as a schedule for ``python -m had.sim --file``.

The events are played again by a cluster in which nothing is merged or looked up.
"""

from __future__ import annotations

import dataclasses
from typing import Optional

from had.core.actions import Hook
from had.core.events import Outcome
from had.core.settings import MS, SECOND
from had.core.states import State
from had.sim.schedule import LinkPlan, NodePlan, Schedule, Step
from had.sim.small.cluster import Cluster, Event, Moment
from had.sim.small.computer import GRID_NS
from had.sim.small.rest import Rest
from had.sim.small.search import Break
from had.sim.small.worlds import Plan
from had.sim.truth import BrokenPromiseError

TRAVEL_NS = MS
BEGIN_NS = SECOND
"""When the schedule's first event comes."""
CALM_NS = 60 * SECOND
"""How much of a calm is told."""
AFTER_NS = 5 * SECOND
"""For how long it goes on after the last."""
NO_VERB = {
    "double": "a packet that comes twice",
    "delay": "a late packet",
    "reorder": "a packet that others overtake",
}


@dataclasses.dataclass(frozen=True)
class Told:
    """A break, played again."""

    lines: list[str]
    schedule: Schedule
    left_out: list[str]
    """What the schedule can't express."""
    promise: str
    """What broke; nothing if the search was wrong."""


def tell(plan: Plan, opening: tuple[Event, ...], found: Break) -> Told:
    """Play a break again."""
    return Teller(plan).play(opening, found)


class Teller:
    """Plays events and writes down what they are."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cluster = Cluster(plan, merges=False)
        self.lines: list[str] = []
        self.steps: list[Step] = []
        self.left_out: set[str] = set()
        self._spans = 0
        self._order = 0
        """How many events have come at this moment."""
        self._names = [settings.settings.node for settings in self.cluster.stage.blank]

    def play(self, opening: tuple[Event, ...], found: Break) -> Told:
        """Play all of it, and the calm after it, if that is where it broke."""
        moment: Optional[Moment] = self.cluster.off
        broken: Optional[BrokenPromiseError] = None
        for number, event in enumerate((*opening, *found.path)):
            if number == len(opening):
                self.lines.append("--- the world begins")
            if moment is None or broken is not None:
                break
            moment, broken = self._do(moment, event)
        if found.calm and moment is not None and broken is None:
            broken = self._calm(moment, away=found.away)
        if not found.calm:
            self._step("wall", self._names[0], "0", at_ns=self._now_ns() + AFTER_NS)
        links = [LinkPlan(TRAVEL_NS, link.crossover) for link in self.plan.links]
        nodes = tuple(NodePlan(each.settings) for each in self.cluster.stage.blank)
        schedule = Schedule(1, tuple(links), nodes, tuple(sorted(self.steps, key=lambda step: step.at_ns)))
        return Told(self.lines, schedule, sorted(self.left_out), broken.promise if broken else "")

    def _calm(self, moment: Moment, *, away: bool) -> Optional[BrokenPromiseError]:
        """Tell of the calm run."""
        self.lines.append("--- calm: nothing more breaks")
        off = [name for name, known in zip(self._names, self.cluster.known(moment)) if not known.on]
        self._step("calm", *(off if away else ()))
        rest = Rest(self.cluster)
        said: list[str] = []
        self.cluster.stage.story = said
        begun = self._spans
        try:
            now: Optional[Moment] = rest.begin(moment, away=away)
        except BrokenPromiseError as error:
            return error
        finally:
            self.lines += [f"{self._stamp()}     {line}" for line in said]
        while now is not None and (self._spans - begun) * GRID_NS < CALM_NS:
            moment = now
            now, broken = self._do(moment, self.cluster.calm_event(moment), calm=True)
            if broken is not None:
                return broken
        try:
            trouble = rest.unsettled(moment)
        except BrokenPromiseError as error:
            return error
        return BrokenPromiseError("2 someone at all times", trouble) if trouble else None

    def _stamp(self) -> str:
        return f"{(self._spans * GRID_NS) / SECOND:9.2f} "

    def _do(
        self, moment: Moment, event: Event, *, calm: bool = False
    ) -> tuple[Optional[Moment], Optional[BrokenPromiseError]]:
        """Do one event, and tell of it."""
        stage = self.cluster.stage
        said: list[str] = []
        stage.story = said
        text = self._words(moment, event)
        after, broken = self.cluster.follow(moment, event)
        stage.story = None
        stamp = self._stamp()
        if text:
            self.lines.append(f"{stamp} {text}")
        self.lines += [f"{stamp}     {line}" for line in said]
        if not calm:
            self._schedule(event, moment)
        if event[0] == "time":
            self._spans += event[1]
            self._order = 0
        self._order += 1
        return after, broken

    def _words(self, moment: Moment, event: Event) -> str:
        """Say what happens; nothing of what the judge or the core tells itself."""
        kind = event[0]
        if kind == "at":
            return self._deed(event[1], event[2])
        if kind in ("deliver", "lose", "double", "delay", "reorder"):
            link, sender, receiver = self.cluster.ways[event[1]]
            word = State(abs(moment.channels[event[1]][0])).name
            what = {"deliver": "hears", "lose": "does not hear", "double": "hears, not for the last time,"}
            heard = what.get(kind, "will hear later")
            return f"{self._names[receiver]}: {heard} {word} of {self._names[sender]} (link {link + 1})"
        if kind == "late":
            way, late, _ = moment.late[event[1]]
            link, sender, receiver = self.cluster.ways[way]
            heard = f"hears, late, {State(abs(late)).name}"
            return f"{self._names[receiver]}: {heard} of {self._names[sender]} (link {link + 1})"
        if kind == "time":
            return ""
        ways = ", ".join(
            f"link {link + 1} from {self._names[sender]} to {self._names[receiver]}"
            for link, sender, receiver in self.plan.cuts[event[1]]
        )
        return f"{'cut' if kind == 'cut' else 'whole again'}: {ways}"

    def _deed(self, index: int, deed: tuple[object, ...]) -> str:
        name, kind = self._names[index], deed[0]
        if kind in ("tick", "start", "crash", "kill", "word", "hook"):
            return ""  # it tells of itself
        if kind == "carrier":
            return f"{name}: carrier of link {int(str(deed[1])) + 1} {'comes' if deed[2] else 'goes'}"
        if kind == "slow":
            return f"{name}: the hook takes long"
        return f"{name}: {'goes on' if kind == 'resume' else 'stands still'}"

    # The schedule

    def _now_ns(self) -> int:
        """When an event comes in the schedule: each a little later than the one before."""
        return BEGIN_NS + self._spans * GRID_NS + self._order * 2 * TRAVEL_NS

    def _step(self, verb: str, *words: str, at_ns: Optional[int] = None) -> None:
        self.steps.append(Step(max(0, self._now_ns() if at_ns is None else at_ns), verb, words))

    def _schedule(self, event: Event, moment: Moment) -> None:
        """Write the event down, where a schedule has a verb for it."""
        kind = event[0]
        if kind == "at":
            self._schedule_deed(event[1], event[2], moment)
        elif kind in ("cut", "heal"):
            for link, sender, receiver in self.plan.cuts[event[1]]:
                self._step(kind, str(link + 1), self._names[sender], self._names[receiver])
        elif kind == "lose":
            link, sender, receiver = self.cluster.ways[event[1]]
            way = (str(link + 1), self._names[sender], self._names[receiver])
            now_ns = BEGIN_NS + self._spans * GRID_NS
            self._step("cut", *way, at_ns=now_ns - 20 * MS)
            self._step("heal", *way, at_ns=now_ns + 20 * MS)
        elif kind in NO_VERB:
            self.left_out.add(NO_VERB[kind])

    def _schedule_deed(self, index: int, deed: tuple[object, ...], moment: Moment) -> None:
        name, kind = self._names[index], deed[0]
        if kind == "start":
            self._step("power-on", name)
            self._step("start", name, *(["main"] if deed[1] else []))
        elif kind == "crash":
            self._step("power-cut", name)
            if deed[1]:
                self._step("spoil", name, "lost")
        elif kind == "kill":
            self._step("kill-daemon", name)
        elif kind == "word":
            self._step("signal", name, deed[1].value)  # type: ignore[attr-defined]
        elif kind == "carrier":
            self._step("carrier", name, str(int(str(deed[1])) + 1), "up" if deed[2] else "down")
        elif kind in ("pause", "resume"):
            self._step(str(kind), name)
        elif kind == "hook" and deed[1] in (Outcome.FAILED, Outcome.TIMED_OUT):
            self._schedule_hook(index, deed[1] is Outcome.FAILED, moment)

    def _schedule_hook(self, index: int, fails: bool, moment: Moment) -> None:
        """Let a script fail or hang at the call that is over now, and be good again."""
        known, name = self.cluster.known(moment)[index], self._names[index]
        if known.hook is None:
            return
        hook = known.hook.hook
        takes_ns = known.hook.due_ns - known.computer.now_ns
        before_ns = self._now_ns() - max(0, takes_ns) - (200 * MS if hook is not Hook.MONITOR else 30 * MS)
        self._step("script", name, hook.value, "0.1", "fails" if fails else "hangs", at_ns=before_ns)
        self._step("script", name, hook.value, "0.1")
