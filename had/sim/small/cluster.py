"""The whole cluster: its state as plain numbers, and every event that may come next."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional

from had.core.actions import Hook
from had.core.events import Outcome
from had.core.states import BUSY_STATES, Phase, State
from had.sim.small.computer import Stage, as_machine
from had.sim.small.steps import NEVER, Came, Deed, Known, Steps
from had.sim.small.worlds import KINDS, Plan
from had.sim.truth import BrokenPromiseError

LATE = 30
"""How many spans of the clock's grid a packet may be late: 1.5 heartbeats."""
FAULTS: tuple[tuple[str, Deed], ...] = (
    ("crash", ("crash", False)),
    ("lost", ("crash", True)),
    ("kill", ("kill",)),
    ("pause", ("pause",)),
)
PACKET_FAULTS = (("lose", "lose"), ("double", "double"), ("late", "delay"), ("reorder", "reorder"))
IDLE = 20
"""How far time goes on where nobody is there."""
KIND = {name: number for number, name in enumerate(KINDS)}

Event = tuple[Any, ...]
"""``at`` a computer a deed happens; or something happens to a channel, the links, the time."""


class Moment(NamedTuple):
    """A cluster at a moment."""

    numbers: tuple[int, ...]
    """Each computer; see :class:`had.sim.small.steps.Steps`."""
    ages: tuple[int, ...]
    """For how long nothing has happened to it."""
    channels: tuple[tuple[int, ...], ...]
    """Packets on their way, by link, sender, receiver: states; below zero if sent before the last claim."""
    late: tuple[tuple[int, int, int], ...]
    """Packets that others overtake: channel, word, and for how long yet."""
    slow: tuple[tuple[int, int], ...]
    """Channels whose packets may wait, and for how long yet."""
    cuts: int
    """Which channels are cut, a bit each."""
    heard: int
    """By receiver and sender, a bit each: heard busy since the sender claimed."""
    budget: tuple[int, ...]


Then = tuple[Optional[Moment], Optional[BrokenPromiseError]]
"""A cluster after an event, and what the event broke."""
May = tuple[str, Event]
"""What of the budget an event needs, if any."""
Next = tuple[Event, Optional[Moment], Optional[BrokenPromiseError]]


class Cluster:
    """A small world: its first state, and what may follow any."""

    def __init__(self, plan: Plan, *, merges: bool = True) -> None:
        self.plan, self.nodes, self.links = plan, plan.nodes, len(plan.links)
        self.stage = Stage([plan.node_settings(index) for index in range(plan.nodes)], self.links)
        self.places = [Steps(self.stage, index, merges=merges) for index in range(plan.nodes)]
        ways = range(self.links * self.nodes * self.nodes)
        self.ways = [(way // self.nodes**2, way // self.nodes % self.nodes, way % self.nodes) for way in ways]
        self.cuts = [sum(1 << self.ways.index(way) for way in cut) for cut in plan.cuts]
        """What each cut cuts, as bits."""
        self.into = [
            sum(1 << (one * self.nodes + two) for two in range(plan.nodes)) for one in range(plan.nodes)
        ]
        self.of = [
            sum(1 << (two * self.nodes + one) for two in range(plan.nodes)) for one in range(plan.nodes)
        ]
        self.budget = tuple(plan.budget.get(kind, 0) for kind in KINDS)
        self._follow: dict[str, Callable[..., Then]] = {
            "at": self.at,
            "deliver": self._deliver,
            "lose": self._lose,
            "double": self._double,
            "delay": self._delay,
            "reorder": self._reorder,
            "late": self._late,
            "time": self._pass,
            "cut": self._cut,
            "heal": self._heal,
        }
        self.off = Moment(
            tuple(place.first for place in self.places),
            (0,) * self.nodes,
            ((),) * len(self.ways),
            (),
            (),
            0,
            0,
            self.budget,
        )

    def known(self, moment: Moment) -> list[Known]:
        return [place.known[number] for place, number in zip(self.places, moment.numbers)]

    # What happens

    def at(self, moment: Moment, index: int, deed: Deed) -> Then:
        """Let something happen at one computer."""
        came = self.places[index].step(moment.numbers[index], moment.ages[index], deed)
        if came.broken is not None:
            return None, came.broken
        return self.after(moment, index, came)

    def after(self, moment: Moment, index: int, came: Came) -> Then:
        """Return the cluster when this has come of it at one computer."""
        numbers = (*moment.numbers[:index], came.number, *moment.numbers[index + 1 :])
        ages = (*moment.ages[:index], 0, *moment.ages[index + 1 :])
        heard = moment.heard
        if came.claimed:
            heard &= ~self.of[index]
        if came.reborn:
            heard &= ~self.into[index]
        broken = None
        if came.began is not None:
            broken = self._check_start(moment, index, came)
        channels, late, slow = moment.channels, moment.late, moment.slow
        if came.claimed and (late or any(channels)):
            channels = tuple(
                tuple([-abs(word) for word in packets]) if self.ways[way][1] == index else packets
                for way, packets in enumerate(channels)
            )
            late = tuple(
                (way, -abs(word) if self.ways[way][1] == index else word, left) for way, word, left in late
            )
        if came.deaf:
            channels = tuple(
                () if self.ways[way][2] == index else packets for way, packets in enumerate(channels)
            )
            late = tuple(each for each in late if self.ways[each[0]][2] != index)
            slow = tuple(each for each in slow if self.ways[each[0]][2] != index)
        if came.sends:
            channels = self._send(moment, index, came, channels)
        return Moment(numbers, ages, channels, late, slow, moment.cuts, heard, moment.budget), broken

    def _send(
        self, moment: Moment, index: int, came: Came, channels: tuple[tuple[int, ...], ...]
    ) -> tuple[tuple[int, ...], ...]:
        """Put packets on their way to all that listen."""
        filled = list(channels)
        for link in came.links:
            base = (link * self.nodes + index) * self.nodes
            for other, place in enumerate(self.places):
                way = base + other
                listens = place.known[moment.numbers[other]].listens[link]
                if other != index and listens and not moment.cuts >> way & 1:
                    filled[way] += came.sends
        return tuple(filled)

    def _check_start(self, moment: Moment, index: int, came: Came) -> Optional[BrokenPromiseError]:
        """Promise 1: see who may still run the service when a start begins here."""
        judge, begins = self.stage.judge, came.began
        reorder = KIND["reorder"]
        judge.reordered = moment.budget[reorder] < self.budget[reorder]
        for other, place in enumerate(self.places):
            known = place.known[moment.numbers[other]]
            if other == index or not known.open or begins is None:
                continue
            starter = self.places[index].known[came.number].computer.copy()
            since = bool(moment.heard >> (index * self.nodes + other) & 1)
            if judge.excuse(as_machine(starter), begins, as_machine(known.computer), since) is None:
                name, holder = starter.name, known.computer.name
                return BrokenPromiseError(
                    "1 one at a time",
                    f"{name} begins starthasrv while the service of {holder} may be up",
                )
        return None

    def _give(self, moment: Moment, way: int, word: int) -> Then:
        """Give a packet to its receiver; ``moment`` has it no more."""
        link, sender, receiver = self.ways[way]
        since_claim, word = word > 0, State(abs(word))
        if since_claim and word in BUSY_STATES and self.places[sender].known[moment.numbers[sender]].stake:
            moment = moment._replace(heard=moment.heard | 1 << (receiver * self.nodes + sender))
        return self.at(moment, receiver, ("hear", sender, link, word))

    def follow(self, moment: Moment, event: Event) -> Then:
        """Let an event happen."""
        return self._follow[event[0]](moment, *event[1:])

    def _deliver(self, moment: Moment, way: int) -> Then:
        packets = moment.channels[way]
        return self._give(self._lose(moment, way)[0] or moment, way, packets[0])

    def _double(self, moment: Moment, way: int) -> Then:
        """Deliver a packet of which another copy follows."""
        return self._give(moment, way, moment.channels[way][0])

    def _lose(self, moment: Moment, way: int) -> Then:
        channels = moment.channels
        rest = channels[way][1:]
        slow = moment.slow
        if slow and not rest:
            slow = tuple(each for each in slow if each[0] != way)
        return moment._replace(channels=(*channels[:way], rest, *channels[way + 1 :]), slow=slow), None

    def _delay(self, moment: Moment, way: int) -> Then:
        """Let a packet, and those behind it, wait; until the last of them has come."""
        return moment._replace(slow=(*moment.slow, (way, LATE))), None

    def _reorder(self, moment: Moment, way: int) -> Then:
        """Let others overtake a packet."""
        word = moment.channels[way][0]
        lost = self._lose(moment, way)[0] or moment
        return lost._replace(late=(*moment.late, (way, word, LATE))), None

    def _late(self, moment: Moment, place: int) -> Then:
        way, word, _ = moment.late[place]
        taken = moment._replace(late=(*moment.late[:place], *moment.late[place + 1 :]))
        return self._give(taken, way, word)

    def _pass(self, moment: Moment, spans: int) -> Then:
        """Let time go on; a computer that is off has none."""
        ages = tuple(age + spans if each.on else 0 for each, age in zip(self.known(moment), moment.ages))
        late = tuple((way, word, max(0, left - spans)) for way, word, left in moment.late)
        slow = tuple((way, max(0, left - spans)) for way, left in moment.slow)
        return moment._replace(ages=ages, late=late, slow=slow), None

    def _cut(self, moment: Moment, number: int) -> Then:
        return moment._replace(cuts=moment.cuts | self.cuts[number]), None

    def _heal(self, moment: Moment, number: int) -> Then:
        return moment._replace(cuts=moment.cuts & ~self.cuts[number]), None

    # What may happen

    def nexts(self, moment: Moment) -> list[Next]:
        """Return every event that may come next and what it leads to, in an order that never changes."""
        known = self.known(moment)
        found: list[May] = []
        busy = False
        for index, one in enumerate(known):
            if one.on:
                busy = self._own(moment, index, one, found) or busy
        busy = self._packets(moment, known, found) or busy
        if not busy:
            self._time(moment, known, found)
        for index, one in enumerate(known):
            self._faults_at(moment, index, one, found)
        self._faults_of_links(moment, found)
        follow = self._follow
        return [
            (event, *follow[event[0]](_spend(moment, kind) if kind else moment, *event[1:]))
            for kind, event in found
        ]

    def calm_event(self, moment: Moment) -> Event:
        """Return the first that may come where nothing breaks: what is due, a packet, or the time."""
        found: list[May] = []
        known = self.known(moment)
        for index, one in enumerate(known):
            if one.on and not found:
                self._own(moment, index, one, found)
        if not found:
            self._packets(moment, known, found)
        if not found:
            self._time(moment, known, found)
        return found[0][1] if found else ("time", IDLE)

    def _own(self, moment: Moment, index: int, one: Known, found: list[May]) -> bool:
        """Look for a tick and the end of a hook; return whether time has to wait for it."""
        age, budget = moment.ages[index], moment.budget
        if one.paused:
            found.append(("", ("at", index, ("resume",))))
            return one.due <= age
        busy = False
        if one.tick_due <= age:
            busy = True
            found.append(("", ("at", index, ("tick",))))
        hook = one.hook
        if hook is None:
            return busy
        due = one.hook_due <= age
        if hook.ending:
            found.append(("", ("at", index, ("hook", Outcome.ENDED))))
        elif hook.slow and due:
            found.append(("", ("at", index, ("hook", Outcome.TIMED_OUT))))
        else:
            found.append(("", ("at", index, ("hook", Outcome.OK))))
            if budget[KIND["fail"]] and not (hook.hook is Hook.MONITOR and one.phase is not Phase.RUNNING):
                found.append(("fail", ("at", index, ("hook", Outcome.FAILED))))
            if due and budget[KIND["slow"]]:
                found.append(("slow", ("at", index, ("slow",))))
        return busy or due

    def _packets(self, moment: Moment, known: list[Known], found: list[May]) -> bool:
        """Look at the first packet of each channel: it comes, is lost, comes twice, or late."""
        busy = False
        budget, slow = moment.budget, dict(moment.slow)
        for way, packets in enumerate(moment.channels):
            if not packets or known[self.ways[way][2]].paused:
                continue
            busy = busy or not slow.get(way)
            found.append(("", ("deliver", way)))
            for kind, event in PACKET_FAULTS:
                if budget[KIND[kind]] and not (kind == "late" and way in slow):
                    found.append((kind, (event, way)))
        for place, (way, _, left) in enumerate(moment.late):
            if not known[self.ways[way][2]].paused:
                busy = busy or left == 0
                found.append(("", ("late", place)))
        return busy

    def _time(self, moment: Moment, known: list[Known], found: list[May]) -> None:
        """Time may go on to the next deadline."""
        left = [each.due - age for each, age in zip(known, moment.ages) if each.on]
        left += [each[2] for each in moment.late if each[2]]
        left += [each[1] for each in moment.slow if each[1]]
        spans = min(left, default=NEVER)
        if spans < NEVER:
            found.append(("", ("time", spans)))

    def _faults_at(self, moment: Moment, index: int, one: Known, found: list[May]) -> None:
        """Look for what may break at one computer, and what persons do."""
        budget = moment.budget
        if not one.on:
            found.append(("", ("at", index, ("start", False))))
            if budget[KIND["main"]]:
                found.append(("main", ("at", index, ("start", True))))
            return
        for kind, deed in FAULTS:
            if budget[KIND[kind]] and not (kind == "pause" and one.paused):
                found.append((kind, ("at", index, deed)))
        if one.paused:
            return
        if budget[KIND["word"]]:
            found.extend(("word", ("at", index, ("word", word))) for word in self.plan.words)
        for link, up in enumerate(one.computer.links_up):
            if not up:
                found.append(("", ("at", index, ("carrier", link, True))))
            elif budget[KIND["carrier"]]:
                found.append(("carrier", ("at", index, ("carrier", link, False))))

    def _faults_of_links(self, moment: Moment, found: list[May]) -> None:
        for number, bits in enumerate(self.cuts):
            if moment.cuts & bits == bits:
                found.append(("", ("heal", number)))
            elif moment.budget[KIND["cut"]] and not moment.cuts & bits:
                found.append(("cut", ("cut", number)))

    def quiet(self, moment: Moment) -> bool:
        """Whether time is about to go on: nothing is due, and no packet on its way."""
        known, slow = self.known(moment), dict(moment.slow)
        for way, packets in enumerate(moment.channels):
            if packets and not slow.get(way) and not known[self.ways[way][2]].paused:
                return False
        if any(each[2] == 0 for each in moment.late):
            return False
        return all(not each.on or each.due > age for each, age in zip(known, moment.ages))


def _spend(moment: Moment, kind: str) -> Moment:
    place, budget = KIND[kind], moment.budget
    return moment._replace(budget=(*budget[:place], budget[place] - 1, *budget[place + 1 :]))


def happened(after: Optional[Moment], broken: Optional[BrokenPromiseError]) -> Moment:
    """Return what came of an event.

    :raises BrokenPromiseError: it broke a promise.
    """
    if broken is not None or after is None:
        raise broken or ValueError("nothing came of it")
    return after
