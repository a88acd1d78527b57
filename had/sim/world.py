"""The simulated world: time, machines, links, and who watches them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from had.core.actions import Hook, Reason
from had.core.events import Heard, Word
from had.core.states import Phase, State
from had.sim import calm, deeds
from had.sim.clockwork import SECOND, Clock, Queue
from had.sim.judge import Judge
from had.sim.machine import Machine
from had.sim.network import Network
from had.sim.schedule import NOW, Schedule, Step, seconds
from had.sim.scripts import HONEST, KILLED
from had.sim.truth import BrokenPromiseError
from had.wire import freeha

if TYPE_CHECKING:
    from had.sim.scenario_told import Scribe

START_LOCAL_NS = 1_000 * SECOND
"""What the clocks of the machines show at the begin; each differs by some hours from the next."""
TIMES = "times in order"
"""What a file breaks whose ``at`` comes too late."""
MEND_NS = 5 * SECOND
"""How often the administrator of the calm looks."""


@dataclasses.dataclass(frozen=True)
class Broken:
    """What went wrong, and when."""

    promise: str
    text: str
    at_ns: int
    line: int = 0
    """Of the schedule's text: what was being done; 0 where it was not read from a text."""


class World:
    """One run of one schedule."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        story: bool = False,
        every_tick: bool = False,
        scribe: Optional[Scribe] = None,
    ) -> None:
        """``story``: keep a transcript.  ``every_tick``: make every Tick; slower, with the same end.
        ``scribe``: who keeps the short transcript of a scenario.
        """
        self.schedule, self.seed = schedule, schedule.seed
        self.skips_ticks = not every_tick
        self.queue = Queue()
        self.judge = Judge(self)
        self.link_count = len(schedule.links)
        self.network = Network(self, self.link_count, [link.travel_ns for link in schedule.links])
        self.machines: list[Machine] = []
        for index, plan in enumerate(schedule.nodes):
            clock = Clock(START_LOCAL_NS + index * 7_777 * SECOND, plan.drift_ppm)
            self.machines.append(Machine(self, index, plan.settings, clock, old=plan.old))
        self.index_of = {machine.name: machine.index for machine in self.machines}
        self.story: Optional[list[str]] = [] if story else None
        self.scribe = scribe
        self.done: list[Step] = []
        """The steps done so far, each with its moment."""
        self.away: list[str] = []
        self.calm_ns: Optional[int] = None
        self.mends = False
        self.settled_ns: Optional[int] = None
        self._decoded: dict[tuple[int, bytes], Optional[Heard]] = {}
        self.meant: dict[bytes, State] = {}
        """What the sender of a datagram meant, whatever is read in it."""
        self._encoded: dict[tuple[str, State], bytes] = {}
        self.judge.begin(len(self.machines))

    # The wire: the real codec.  It is pure, so what it said once need not be asked again.

    def heard(self, link: int, data: bytes) -> Optional[Heard]:
        key = (link, data)
        try:
            return self._decoded[key]
        except KeyError:
            try:
                heartbeat = freeha.decode(data)
                heard: Optional[Heard] = Heard(link, heartbeat.name, (heartbeat.state,))
            except freeha.Rejected:
                heard = None
            self._decoded[key] = heard
            return heard

    def datagram(self, name: str, state: State) -> bytes:
        key = (name, state)
        data = self._encoded.get(key)
        if data is None:
            data = self._encoded[key] = freeha.encode(name, state)
            self.meant[data] = state
        return data

    # The story

    def tell(self, machine: Optional[Machine], text: str, quiet: bool = False) -> None:
        """Write a line of the transcript, if anybody wants one."""
        if self.story is not None and not quiet:
            who = "" if machine is None else f"{machine.name}: "
            self.story.append(f"{seconds(self.queue.now_ns // 1000 * 1000):>12} {who}{text}")
        if self.scribe is not None and not quiet:
            self.scribe.told(self.queue.now_ns, machine, text)

    def command(self, machine: Optional[Machine], text: str) -> None:
        """Write down what is done to the world: in a scenario that stands in the file."""
        scribe, self.scribe = self.scribe, None
        self.tell(machine, text)
        self.scribe = scribe

    def alerted(self, machine: Machine, state: State, reason: Optional[Reason] = None) -> None:
        """Note a change of a node's own state; an old daemon gives no reason."""
        if self.scribe is not None:
            self.scribe.moved(self.queue.now_ns, machine, state, reason)

    # A run

    def run(self) -> Optional[Broken]:
        """Do the whole schedule, and the calm after it; return what broke, or None."""
        steps = self.schedule.steps
        if all(step.at_ns != NOW for step in steps):
            steps = tuple(sorted(steps, key=lambda step: step.at_ns))
        line = 0
        try:
            for step in steps:
                line = step.line
                self._do(step)
            self.go_on(0)
            self._wait_for_calm()
        except BrokenPromiseError as broken:
            return Broken(broken.promise, broken.text, self.queue.now_ns, line)
        return None

    def _do(self, step: Step) -> None:
        """Do a step: at its moment, before what else happens then, or now."""
        if step.at_ns == NOW:
            self._wait_for_calm()
        elif step.at_ns < self.queue.now_ns:
            now = seconds(self.queue.now_ns)
            raise BrokenPromiseError(TIMES, f"at {seconds(step.at_ns)}: it is {now} s already")
        else:
            self.queue.run(step.at_ns - 1)
            self.queue.now_ns = step.at_ns
        if self.scribe is not None:
            self.scribe.line = step.line
        self.done.append(dataclasses.replace(step, at_ns=self.queue.now_ns))
        deeds.do(self, step)

    def go_on(self, span_ns: int) -> None:
        """Let time pass, and all happen that is due until then."""
        self.queue.run(self.queue.now_ns + span_ns)

    def ways(self, words: Sequence[str]) -> list[tuple[int, str, str]]:
        return deeds.ways(words, self.schedule.names, self.link_count)

    def _wait_for_calm(self) -> None:
        if self.calm_ns is not None and self.settled_ns is None:
            calm.wait(self)

    def begin_calm(self, mends: bool, away: list[str]) -> None:
        """Nothing more breaks: links and machines are whole, but those stay off that are ``away``."""
        self.calm_ns, self.mends, self.away = self.queue.now_ns, mends, away
        self.network.clear()
        for machine in self.machines:
            machine.fuse = None
            machine.scripts = dict(HONEST)
            machine.disk.mood = "good"
            machine.release()
            machine.resume()
            if machine.hung:
                machine.hung = False
                if machine.daemon is not None and not machine.frozen:
                    machine.daemon.goes_on()
            for link in range(self.link_count):
                machine.set_carrier(link, True)
            if machine.name in away:
                machine.power_off()
                continue
            machine.power_on()
            if machine.old:
                for process in list(machine.running.values()):
                    process.signal(KILLED)  # it would wait for a script that hangs for ever
            if machine.daemon is None:
                deeds.start(machine)
        if mends:
            self._mend()

    def _mend(self) -> None:
        """Clear what only a person can: stop by hand what may be left, then send SIGUSR2."""
        for machine in self.machines:
            phase = calm.phase_of(machine)
            if machine.old or machine.daemon is None or machine.name in self.away:
                continue
            if phase in (Phase.ERRORED, Phase.BLOCKED) or calm.is_held(machine):
                if phase is Phase.ERRORED and Hook.STOP not in machine.running:
                    machine.service = "down"
                    self.judge.stopped_by_hand(machine)
                self.tell(machine, "the administrator mends it and sends SIGUSR2")
                machine.daemon.say([Word.CLEAR])
        self.queue.later(MEND_NS, self._mend)
