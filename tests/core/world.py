"""A small world for the core: nodes, links, hooks, a disk and a clock, all of them obedient to the test.

``World("a", "b")`` has two real nodes; who is only made to speak by the test (:meth:`World.says`,
:meth:`World.hear`) is a puppet.  Time passes in :meth:`World.run` and nowhere else.  All spans are seconds.
Everything that a node did is kept in :attr:`Machine.log`.

The world keeps the runtime's promises (a Tick before every event, one HookOver for each RunHook) and is
strict about the node's: one hook at a time, no waking in the past, no spinning, and no ``starthasrv`` twice
without a ``stophasrv`` between.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import pickle
import random
from typing import Callable, Optional

from had.core.actions import (
    Action,
    Alert,
    DiscardQueued,
    EndHook,
    EraseMark,
    Exit,
    Hook,
    Note,
    RecordEpoch,
    RunHook,
    Send,
    WriteMark,
)
from had.core.events import (
    Command,
    EpochRecorded,
    Event,
    Heard,
    HookOver,
    LeftoversGone,
    LinkChanged,
    MachineCarrier,
    Outcome,
    RecordFailed,
    Tick,
    Word,
)
from had.core.group import state_of
from had.core.node import Node
from had.core.settings import MS, SECOND, Link, Settings
from had.core.states import Phase, State

START_NS = 1_000 * SECOND
"""The clock never begins at zero, so that nothing can hide behind it."""
PACKET_NS = 1 * MS
"""How long a packet travels if nothing else is said."""
ENDED_NS = 20 * MS
"""How long a hook takes to die when it is told to."""
DISK_NS = 10 * MS
WAKES_MAX = 200
"""How often one node may want to be woken in a second of virtual time."""


def ns(span: float) -> int:
    return round(span * SECOND)


def settings(node: str, **changes: object) -> Settings:
    """Settings with which a test is short: dead time 5 s, startup 20 s, two nodes, one link."""
    base = Settings(
        node,
        heartbeat_ns=1 * SECOND,
        warn_ns=3 * SECOND,
        dead_ns=5 * SECOND,
        startup_ns=20 * SECOND,
        startup_quorum_ns=10 * SECOND,
        start_timeout_ns=30 * SECOND,
        stop_timeout_ns=30 * SECOND,
        monitor_timeout_ns=10 * SECOND,
        links=(Link("one"),),
    )
    return dataclasses.replace(base, **changes)


@dataclasses.dataclass
class Script:
    """How a hook behaves: it takes ``takes`` seconds, or hangs if that is longer than its timeout.

    An outcome of ``None`` is that of an honest script: start and stop succeed, the monitor tells whether the
    services run.
    """

    takes: float = 0.05
    outcome: Optional[Outcome] = None


@dataclasses.dataclass(eq=False)
class Ran:
    """One run of a hook."""

    at_ns: int
    run: RunHook
    over_ns: int = 0
    outcome: Optional[Outcome] = None


class Machine:
    """A computer: a node, its services, its disk."""

    def __init__(self, world: World, config: Settings) -> None:
        self.world = world
        self.settings = config
        self.node: Optional[Node] = None
        self.services = False
        self.scripts = {hook: Script() for hook in Hook}
        self.epoch, self.mark = 0, False
        self.disk_full = False
        self.log: list[tuple[int, Action]] = []
        self.hooks: list[Ran] = []
        self.paused_until: Optional[int] = None
        self.inbox: list[Event] = []
        self.clean = True
        """Whether ``stophasrv`` ran since the last ``starthasrv``."""
        self.life = 0
        self._second, self._wakes = 0, 0

    # What a test asks

    @property
    def phase(self) -> Phase:
        return self.group.phase

    @property
    def group(self):
        return self.data.groups[0]

    @property
    def data(self):
        assert self.node is not None, "this machine is off"
        return self.node.data

    @property
    def state(self) -> State:
        return state_of(self.group)

    @property
    def said(self) -> State:
        """What was announced last."""
        return self.sent[-1]

    @property
    def sent(self) -> list[State]:
        """All heartbeats."""
        return [action.states[0] for _, action in self.log if isinstance(action, Send)]

    @property
    def words(self) -> list[State]:
        """What was announced, each change once."""
        return [state for state, _ in itertools.groupby(self.sent)]

    @property
    def alerts(self) -> list[int]:
        return [int(action.state) for _, action in self.log if isinstance(action, Alert)]

    @property
    def scripts_run(self) -> list[str]:
        """The hooks that ran, without the monitor's repetition while RUNNING."""
        runs = [ran.run for ran in self.hooks]
        return [r.hook.value for r in runs if r.hook is not Hook.MONITOR or r.state is not State.RUNNING]

    @property
    def codes(self) -> list[str]:
        """The codes of what people were told."""
        return [action.reason.code for _, action in self.log if isinstance(action, Note)]

    @property
    def exit_code(self) -> Optional[int]:
        return next((action.code for _, action in self.log if isinstance(action, Exit)), None)

    def did(self, kind: type) -> list[Action]:
        return [action for _, action in self.log if isinstance(action, kind)]

    def note(self, code: str) -> Note:
        """The first note with this code."""
        notes = [a for _, a in self.log if isinstance(a, Note) and a.reason.code == code]
        assert notes, f"nobody was told {code}, only {sorted(set(self.codes))}"
        return notes[0]

    def when(self, kind: type, last: bool = False) -> float:
        """When it first (or last) did this, in seconds since the world began."""
        times = [at_ns for at_ns, action in self.log if isinstance(action, kind)]
        return (times[-1 if last else 0] - START_NS) / SECOND

    def when_said(self, state: State) -> float:
        """When it first announced this since the log was last forgotten."""
        times = [at for at, a in self.log if isinstance(a, Send) and a.states[0] is state]
        assert times, f"{state.name} was never announced, only {self.words}"
        return (times[0] - START_NS) / SECOND

    def forget(self) -> None:
        """Look only at what comes from now on."""
        self.log.clear()
        self.hooks[:] = [ran for ran in self.hooks if ran.outcome is None]

    # What happens to it

    def switch_on(self, leftovers: float = 0, same_boot: bool = False) -> None:
        self.life += 1
        self.inbox.clear()
        self.paused_until = None
        self.node = Node(self.settings, None, self.epoch, self.mark, self.mark and same_boot)
        self.happen(Tick())
        self.world.later(ns(leftovers), self.happen_later(LeftoversGone()))

    def happen_later(self, event: Event) -> Callable[[], None]:
        """An event for this life of the daemon only."""
        life = self.life
        return lambda: self.happen(event) if self.life == life else None

    def happen(self, event: Event) -> None:
        """Give an event to the node, now or when it is no longer paused."""
        if self.node is None or self.node.data.exit_code is not None:
            return
        if self.paused_until is not None:
            self.inbox.append(event)
            return
        if not isinstance(event, Tick):
            self._step(Tick())
        if self.node is not None and self.node.data.exit_code is None:
            self._step(event)

    def wake(self) -> None:
        """The moment has come that the node named."""
        assert self.node is not None
        now_ns = self.world.now_ns
        if now_ns // SECOND != self._second:
            self._second, self._wakes = now_ns // SECOND, 0
        self._wakes += 1
        assert self._wakes <= WAKES_MAX, f"{self.settings.node} spins: woken at {now_ns} again and again"
        self.happen(Tick())

    def _step(self, event: Event) -> None:
        node, now_ns = self.node, self.world.now_ns
        assert node is not None
        actions = node.step(event, now_ns)
        assert node.wake_ns is None or node.wake_ns > now_ns, "it wants to be woken in the past"
        for action in actions:
            self.log.append((now_ns, action))
            self._do(action)

    def _do(self, action: Action) -> None:
        world = self.world
        if isinstance(action, Send):
            world.send(self.settings.node, action.states)
        elif isinstance(action, RunHook):
            self._run(action)
        elif isinstance(action, EndHook):
            ran = next(ran for ran in self.hooks if ran.run.run == action.run)
            world.later(ENDED_NS, lambda: self.over(ran, Outcome.ENDED))
        elif isinstance(action, RecordEpoch):
            world.later(DISK_NS, lambda: self._record(action.epoch))
        elif isinstance(action, (WriteMark, EraseMark)):
            self.mark = isinstance(action, WriteMark)
        elif isinstance(action, DiscardQueued):
            self.inbox[:] = [event for event in self.inbox if not isinstance(event, Heard)]
        elif isinstance(action, Exit):
            self.life += 1

    def _record(self, epoch: int) -> None:
        if self.disk_full:
            self.happen(RecordFailed("no space left on device"))
        else:
            self.epoch = max(self.epoch, epoch)
            self.happen(EpochRecorded(epoch))

    def _run(self, run: RunHook) -> None:
        running = [ran for ran in self.hooks if ran.outcome is None]
        assert not running, f"{run.hook.value} beside {running}"
        ran = Ran(self.world.now_ns, run)
        self.hooks.append(ran)
        if run.hook is Hook.START:
            assert self.clean, "starthasrv twice without stophasrv"
            self.clean, self.services = False, True
            self.world.begun(self.settings.node)
        script = self.scripts[run.hook]
        if ns(script.takes) >= run.timeout_ns:
            self.world.later(run.timeout_ns, lambda: self.over(ran, Outcome.TIMED_OUT))
        else:
            self.world.later(ns(script.takes), lambda: self.over(ran, script.outcome))

    def over(self, ran: Ran, outcome: Optional[Outcome]) -> None:
        """A hook is over, whether or not anybody listens."""
        if ran.outcome is not None or ran not in self.hooks:
            return
        hook = ran.run.hook
        if outcome is None:
            good = self.services if hook is Hook.MONITOR else True
            outcome = Outcome.OK if good else Outcome.FAILED
        ran.outcome, ran.over_ns = outcome, self.world.now_ns
        if hook is Hook.STOP:
            self.clean = True
            if outcome is Outcome.OK:
                self.services = False
                self.world.ended(self.settings.node)
        self.happen(HookOver(ran.run.run, outcome, "" if outcome is Outcome.OK else "exit status 1"))

    def pause(self, span: float) -> None:
        """Stop the daemon (not its services) and let it go on later, with what has queued up."""
        self.paused_until = self.world.now_ns + ns(span)
        self.world.later(ns(span), self._unpause)

    def _unpause(self) -> None:
        if self.node is None or self.paused_until is None:
            return
        self.paused_until = None
        self._step(Tick())
        while self.inbox and self.node is not None and self.paused_until is None:
            self.happen(self.inbox.pop(0))

    def replace_worker(self, deaf: float) -> None:
        """Kill the worker; another one goes on with its data ``deaf`` seconds later (G5)."""
        self.paused_until = self.world.now_ns + ns(deaf)

        def resume() -> None:
            if self.node is not None and self.paused_until is not None:
                self.node = Node(self.settings, pickle.loads(pickle.dumps(self.node.data)))
                self.node.resume(self.world.now_ns)
                self._unpause()

        self.world.later(ns(deaf), resume)

    def power_off(self) -> None:
        """Everything ends at once, the services too."""
        self.life += 1
        self.node, self.services, self.clean = None, False, True
        self.hooks.clear()
        self.world.ended(self.settings.node)


class World:
    """Virtual time, and all that is in it."""

    def __init__(self, *names: str, on: bool = True, **changes: object) -> None:
        self.now_ns = START_NS
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._puppets: dict[tuple[str, Optional[int]], int] = {}
        self._cut: set[tuple[str, str, int]] = set()
        self._late: dict[tuple[str, str, int], int] = {}
        self._chance: Optional[tuple[random.Random, float]] = None
        self.running_since: dict[str, int] = {}
        self.overlaps: list[tuple[int, frozenset[str]]] = []
        """When two or more ran the services at once, and which."""
        self.machines = {name: Machine(self, settings(name, **changes)) for name in names}
        if on:
            for machine in self.machines.values():
                machine.switch_on()

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    @property
    def only(self) -> Machine:
        (machine,) = self.machines.values()
        return machine

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return (self.now_ns - START_NS) / SECOND

    def states(self) -> dict[str, State]:
        return {name: machine.state for name, machine in self.machines.items() if machine.node is not None}

    def active(self) -> list[str]:
        return [name for name, state in self.states().items() if state is State.RUNNING]

    # Time

    def later(self, span_ns: int, what: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now_ns + span_ns, self._number, what))

    def run(self, span: float) -> World:
        """Let time pass."""
        until_ns = self.now_ns + ns(span)
        while True:
            wakes = [
                (machine.node.wake_ns, machine)
                for machine in self.machines.values()
                if machine.node is not None and machine.paused_until is None and machine.node.wake_ns
            ]
            wake_ns, sleeper = min(wakes, key=lambda wake: wake[0], default=(until_ns + 1, None))
            if self._queue and self._queue[0][0] <= min(wake_ns, until_ns):
                self.now_ns, _, what = heapq.heappop(self._queue)
                what()
            elif wake_ns <= until_ns:
                assert sleeper is not None
                self.now_ns = max(self.now_ns, wake_ns)
                sleeper.wake()
            else:
                self.now_ns = until_ns
                return self

    def until(self, name: str, state: State, within: float = 60) -> World:
        """Let time pass until a node is in this state."""
        end = self.now + within
        while self[name].state is not state:
            assert self.now < end, f"not {state.name} within {within} s but {self.states()}"
            self.run(0.01)
        return self

    # Who speaks

    def hear(self, name: str, state: State, link: int = 0, to: Optional[str] = None) -> World:
        """One packet of a puppet arrives now, at every machine or at one."""
        for machine in list(self.machines.values()):
            if to in (None, machine.settings.node):
                machine.happen(Heard(link, name, (state,)))
        return self

    def says(self, name: str, state: State, link: Optional[int] = None, every: float = 1) -> World:
        """A puppet says this from now on, on one link or on all that the first machine has."""
        self._number += 1
        number = self._puppets[name, link] = self._number
        first = next(iter(self.machines.values()))
        links = range(len(first.settings.links)) if link is None else [link]

        def speak() -> None:
            if self._puppets.get((name, link)) != number:
                return
            for one in links:
                self._deliver(name, one, (state,))
            self.later(ns(every), speak)

        speak()
        return self

    def silent(self, *names: str, link: Optional[int] = None) -> World:
        """Puppets say nothing more."""
        for name in names:
            self._puppets.pop((name, link), None)
        return self

    def send(self, source: str, states: tuple[State, ...]) -> None:
        for link in range(len(self[source].settings.links)):
            self._deliver(source, link, states)

    def _deliver(self, source: str, link: int, states: tuple[State, ...]) -> None:
        for target, machine in self.machines.items():
            way = (source, target, link)
            if target == source or way in self._cut:
                continue
            if self._chance is not None and self._chance[0].random() < self._chance[1]:
                continue
            life = machine.life
            span_ns = self._late.get(way, PACKET_NS if source in self.machines else 0)

            def arrive(machine: Machine = machine, life: int = life) -> None:
                if machine.life == life:
                    machine.happen(Heard(link, source, states))

            if span_ns:
                self.later(span_ns, arrive)
            else:
                arrive()

    def cut(self, source: str, target: str, link: int = 0, both: bool = True) -> World:
        self._cut.add((source, target, link))
        if both:
            self._cut.add((target, source, link))
        return self

    def heal(self, source: Optional[str] = None, target: Optional[str] = None, link: int = 0) -> World:
        """Undo one cut, or all."""
        if source is None or target is None:
            self._cut.clear()
        else:
            self._cut.discard((source, target, link))
            self._cut.discard((target, source, link))
        return self

    def delay(self, source: str, target: str, span: float, link: int = 0) -> World:
        self._late[source, target, link] = ns(span)
        return self

    def lose(self, share: float, seed: int = 0) -> World:
        """Lose this share of all packets."""
        self._chance = (random.Random(seed), share)
        return self

    # What a person, a cable or the power does

    def word(self, word: Word, *names: str) -> World:
        for name in names or self.machines:
            self[name].happen(Command(word))
        return self

    def hup(self, *names: str) -> World:
        return self.word(Word.STAND_DOWN, *names)

    def usr1(self, *names: str) -> World:
        return self.word(Word.TAKE_OVER, *names)

    def usr2(self, *names: str) -> World:
        return self.word(Word.CLEAR, *names)

    def term(self, *names: str) -> World:
        return self.word(Word.LEAVE, *names)

    def link(self, name: str, up: bool, link: int = 0) -> World:
        """A link goes down or up: its owner is told, and nothing passes while it is down."""
        for other in set(self.machines) | {puppet for puppet, _ in self._puppets}:
            if other != name and up:
                self.heal(name, other, link)
            elif other != name:
                self.cut(name, other, link)
        self[name].happen(LinkChanged(link, up))
        return self

    def carrier(self, name: str, up: bool) -> World:
        self[name].happen(MachineCarrier(up))
        return self

    # What is watched

    def begun(self, name: str) -> None:
        self.running_since[name] = self.now_ns
        if len(self.running_since) > 1:
            self.overlaps.append((self.now_ns, frozenset(self.running_since)))

    def ended(self, name: str) -> None:
        self.running_since.pop(name, None)


def standby(name: str = "a", peer: str = "b", **changes: object) -> World:
    """A node that is STANDBY beside a puppet that runs the services, and has for more than two heartbeats."""
    world = World(name, **changes).says(peer, State.RUNNING)
    if world[name].settings.count > 2:
        world.run(world[name].settings.startup_quorum_ns / SECOND)
    return world.run(3)


def running(name: str = "a", peer: str = "b", **changes: object) -> World:
    """A node that is RUNNING beside a puppet that is STANDBY, both for a good while."""
    world = standby(name, peer, **changes).says(peer, State.ERRORED)
    world.until(name, State.RUNNING).says(peer, State.STANDBY).run(5)
    world[name].forget()
    return world


def lone(name: str = "a", peer: str = "b", **changes: object) -> World:
    """A node that is RUNNING and the sole survivor: its peer, a puppet, is dead."""
    world = running(name, peer, **changes).silent(peer).run(7)
    assert world[name].mark
    world[name].forget()
    return world
