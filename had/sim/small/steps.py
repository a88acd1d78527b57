"""What happens at one computer: each step is done by the core once, looked at by the judge, and then known.

A computer is a number here, and so is what comes of it.  Nothing else is asked for than what it is, how long
nothing has happened to it, and what happens now; see :mod:`had.sim.small.picture`.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, Callable, Optional

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
    Outcome,
    Tick,
    Word,
)
from had.core.node import Node
from had.core.settings import MS
from had.core.states import Phase, State
from had.core.turn import InvariantError
from had.sim import hearing, manners
from had.sim.small.computer import GRID_NS, Computer, Running, Stage, as_machine
from had.sim.small.picture import picture
from had.sim.truth import BrokenPromiseError, Ears, Truth

HOOK_NS = 100 * MS
"""How long a hook takes at the most, unless it is slow."""
NEVER = 1 << 40
Deed = tuple[Any, ...]
"""What happens at a computer: a word for it, and what belongs to it."""
CLAIMS = frozenset((Phase.ASKING, Phase.CLAIMING, Phase.STARTING, Phase.RUNNING))
TICK = Tick()


@dataclasses.dataclass(frozen=True)
class Came:
    """What came of a deed."""

    number: int
    """The computer as it is now."""
    sends: tuple[State, ...] = ()
    links: tuple[int, ...] = ()
    """The links that it sends on."""
    claimed: bool = False
    deaf: bool = False
    """What waited for it is thrown away."""
    reborn: bool = False
    began: Optional[Truth] = None
    """What was true of it when its ``starthasrv`` began now."""
    broken: Optional[BrokenPromiseError] = None


class Known:
    """A computer as its neighbours and the clock see it; spans are multiples of :data:`GRID_NS`."""

    def __init__(self, computer: Computer) -> None:
        self.computer = computer
        node, now_ns = computer.node, computer.now_ns
        self.on = node is not None
        self.paused = computer.paused_ns is not None
        self.listens = tuple(self.on and up for up in computer.links_up)
        self.hook = computer.hook
        self.open = computer.truth.open_ns is not None
        self.phase = node.data.groups[0].phase if node is not None and node.data.groups else None
        self.tick_due = self.hook_due = NEVER
        if computer.paused_ns is not None:
            settings = computer.settings
            self.tick_due = _spans(computer.paused_ns + settings.dead_ns + 2 * settings.heartbeat_ns - now_ns)
        elif node is not None:
            if node.data.wake_ns is not None:
                self.tick_due = _spans(node.data.wake_ns - now_ns)
            if computer.hook is not None:
                self.hook_due = _spans(computer.hook.due_ns - now_ns)
        self.due = min(self.tick_due, self.hook_due)
        self.stake = self.open or self.phase in CLAIMS
        """Whether it matters who has heard it since it claimed."""


def _spans(span_ns: int) -> int:
    return max(0, -(-span_ns // GRID_NS))


class Steps:
    """All computers of one place in the cluster's list, and all that can come of them."""

    def __init__(self, stage: Stage, index: int, *, merges: bool = True) -> None:
        """Look up what is known, and take what is alike for one, if this ``merges``."""
        self.stage, self.index, self._merges = stage, index, merges
        self.known: list[Known] = []
        self._numbers: dict[object, int] = {}
        self._came: list[dict[tuple[int, Deed], Came]] = []
        self.first = self.number(stage.blank[index].copy())

    def number(self, computer: Computer) -> int:
        """Return the number of a computer, the same for all that do the same."""
        key = picture(computer) if self._merges else len(self.known)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.known)
            self.known.append(Known(computer))
            self._came.append({})
        return number

    def step(self, number: int, age: int, deed: Deed) -> Came:
        """Let something happen to a computer to which nothing has happened for ``age``."""
        known = self._came[number]
        came = known.get((age, deed))
        if came is None or not self._merges:
            computer = self.known[number].computer.copy()
            computer.now_ns += age * GRID_NS
            came = known[age, deed] = self.come(computer, deed)
        return came

    def come(self, computer: Computer, deed: Deed) -> Came:
        """Let something happen to this very computer."""
        self.stage.acts(computer)
        act = Act(computer)
        try:
            act.do(deed)
        except BrokenPromiseError as error:
            return Came(-1, broken=error)
        except InvariantError as error:
            return Came(-1, broken=BrokenPromiseError("no bug", f"the core found itself wrong: {error}"))
        links = tuple(link for link, up in enumerate(computer.links_up) if up)
        return Came(
            self.number(computer),
            tuple(act.sends),
            links,
            act.claimed,
            act.deaf or computer.node is None,
            act.reborn,
            act.began,
        )


class Act:
    """One deed at one computer, in the order of :class:`had.sim.worker.Worker`."""

    def __init__(self, computer: Computer) -> None:
        self.computer, self.machine = computer, as_machine(computer)
        self.judge = computer.stage.judge
        self.sends: list[State] = []
        self.claimed = self.deaf = self.reborn = False
        self.began: Optional[Truth] = None
        self._answers: list[Event] = []
        self._exit: Optional[int] = None

    def do(self, deed: Deed) -> None:
        """Do it, and what follows at once."""
        claim_local = self.computer.truth.claim_ns
        self.judge.starts.clear()
        acts: dict[str, Callable[..., None]] = {
            "tick": lambda: self._step(TICK),
            "hear": self._hear,
            "hook": self._hook_ends,
            "slow": self._slow,
            "word": self._word,
            "start": self._start,
            "crash": self._crash,
            "kill": self._kill,
            "carrier": self._carrier,
            "pause": self._pause,
            "resume": self._resume,
        }
        acts[deed[0]](*deed[1:])
        while self._answers:
            self._step(self._answers.pop(0))
        computer = self.computer
        if self._exit is not None:
            computer.hook = computer.node = None
            self.judge.daemon_ended(self.machine, self._exit)
        elif computer.node is not None:
            isolated_ns = computer.node.data.isolated_ns
            if computer.isolated_local is not None and isolated_ns is None:
                computer.hears_again_local = max(computer.hears_again_local, computer.now_ns)
            computer.isolated_local = isolated_ns
        self.claimed = computer.truth.claim_ns != claim_local
        self.began = self.judge.starts[0] if self.judge.starts else None

    # Deeds

    def _hear(self, source: int, link: int, state: State) -> None:
        computer = self.computer
        hearing.got_through(self.machine, computer.ears, source, link, state, computer.now_ns)
        self._step(Heard(link, computer.stage.blank[source].name, (state,)))

    def _hook_ends(self, outcome: Outcome) -> None:
        """End a hook; of an honest one the service tells how."""
        computer, running = self.computer, self.computer.hook
        if running is None:
            return
        computer.hook = None
        if running.hook is Hook.MONITOR and outcome is Outcome.OK and computer.service != "up":
            outcome = Outcome.FAILED
        good = outcome is Outcome.OK
        if running.hook is Hook.START:
            computer.service = "up" if good else "half"
        elif running.hook is Hook.STOP and good:
            computer.service = "down"
        process: Any = SimpleNamespace(hook=running.hook, status=0 if good else 1)
        self.judge.hook_ends(self.machine, process)
        self.judge.hook_told(self.machine, running.hook, outcome)
        asked: Any = running
        manners.told(self.judge, self.machine, asked, outcome)
        self._step(HookOver(running.run, outcome))

    def _slow(self) -> None:
        """Let a hook that is due take until its time-out."""
        running, settings = self.computer.hook, self.computer.settings
        if running is None:
            return
        timeouts_ns = {
            Hook.START: settings.start_timeout_ns,
            Hook.STOP: settings.stop_timeout_ns,
            Hook.MONITOR: settings.monitor_timeout_ns,
        }
        due_ns = running.begun_ns + timeouts_ns[running.hook]
        self.computer.hook = dataclasses.replace(running, due_ns=due_ns, slow=True)

    def _word(self, word: Word) -> None:
        node = self.computer.node
        if node is not None:
            self.computer.stage.tell(self.computer, f"gets {word.value}")
            self.judge.word(self.machine, word, node)
            self._step(Command(word))

    def _start(self, force_main: bool) -> None:
        """Start the daemon, and the machine if it is off."""
        computer, truth = self.computer, self.computer.truth
        computer.stage.tell(computer, "the daemon starts" + (" with -m" if force_main else ""))
        self.judge.daemon_starts(self.machine, force_main)
        truth.same_boot = computer.mark and computer.same_boot
        truth.epoch_made = min(truth.epoch_made, computer.epoch)
        computer.ears = Ears(computer.stage.nodes, computer.stage.links)
        settings = dataclasses.replace(computer.settings, force_main=force_main)
        computer.node = Node(settings, None, computer.epoch, computer.mark, truth.same_boot)
        self.reborn = True
        self._step(TICK)
        for link, up in enumerate(computer.links_up):
            if not up:
                self._step(LinkChanged(link, False))
        self._step(LeftoversGone())

    def _crash(self, lost: bool) -> None:
        """Cut the power; the record is kept, or lost with the disk."""
        computer = self.computer
        computer.stage.tell(computer, "the power is cut" + (", and the record is lost" if lost else ""))
        computer.node, computer.hook, computer.paused_ns = None, None, None
        computer.service, computer.same_boot = "down", False
        if lost:
            computer.epoch, computer.mark = 0, False
        self.judge.powered_off(self.machine)

    def _kill(self) -> None:
        """Kill guard and worker: a service lives on; a hook that runs is ended by the next daemon (S5)."""
        computer = self.computer
        computer.stage.tell(computer, "guard and worker are killed")
        computer.node, computer.hook, computer.paused_ns = None, None, None
        self.judge.daemon_killed(self.machine)

    def _carrier(self, link: int, up: bool) -> None:
        computer = self.computer
        ups = list(computer.links_up)
        ups[link] = up
        computer.links_up = tuple(ups)
        if computer.node is not None:
            self._step(LinkChanged(link, up))

    def _pause(self) -> None:
        self.computer.paused_ns = self.computer.now_ns

    def _resume(self) -> None:
        """Go on; the worker sees for how long nothing was done before it does anything else (P1)."""
        computer, node = self.computer, self.computer.node
        computer.paused_ns = None
        if node is None:
            return
        settings, now_ns = computer.settings, computer.now_ns
        if now_ns - node.data.ran_ns > settings.dead_ns:
            listens_ns = min(2 * settings.heartbeat_ns, settings.dead_ns // 2)
            computer.stalled_local = now_ns
            computer.hears_again_local = now_ns + listens_ns
            self.judge.stall(self.machine, now_ns + listens_ns)
        self._step(TICK)

    # The core

    def _step(self, event: Event) -> None:
        """Give the core one event and do what it says, what touches hooks last."""
        computer = self.computer
        node = computer.node
        if node is None or self._exit is not None:
            return
        marked = node.data.mark
        actions = node.step(event, computer.now_ns)
        if not actions:
            return
        self.judge.stepped(self.machine, node)
        if node.data.mark and not marked:
            self._check_mark(node)
        for action in sorted(actions, key=lambda action: isinstance(action, (RunHook, EndHook))):
            self._act(action)

    def _act(self, action: Action) -> None:
        computer = self.computer
        if isinstance(action, Send):
            self.judge.sent(self.machine, action.states[0])
            self.sends.append(action.states[0])
        elif isinstance(action, Alert):
            manners.alerted(self.judge, self.machine, action.state)
        elif isinstance(action, Note):
            self.judge.note(self.machine, action)
        elif isinstance(action, RunHook):
            self.judge.hook_begins(self.machine, action.hook, action.run)
            takes_ns = 0 if action.hook is Hook.MONITOR else HOOK_NS
            now_ns = computer.now_ns
            computer.hook = Running(action.hook, action.run, now_ns, now_ns + takes_ns)
        elif isinstance(action, EndHook) and computer.hook is not None:
            computer.hook = dataclasses.replace(computer.hook, due_ns=computer.now_ns, ending=True)
        elif isinstance(action, RecordEpoch):
            computer.epoch = max(computer.epoch, action.epoch)
            self._answers.append(EpochRecorded(action.epoch))
        elif isinstance(action, (WriteMark, EraseMark)):
            computer.mark = computer.same_boot = isinstance(action, WriteMark)
        elif isinstance(action, DiscardQueued):
            self.deaf = True
        elif isinstance(action, Exit):
            self._exit = action.code

    def _check_mark(self, node: Node) -> None:
        """L1: the mark is for who runs or stops it, is not isolated and hears nobody."""
        computer, phase = self.computer, node.data.groups[0].phase
        heard = [
            now_ns
            for now_ns in computer.ears.heard_local
            if computer.now_ns - now_ns <= computer.settings.dead_ns
        ]
        runs = phase in (Phase.RUNNING, Phase.ABORTING, Phase.STOPPING, Phase.BLOCKED)
        if heard or computer.told_isolated() or not runs:
            why = "a peer is heard" if heard else "isolated" if runs else phase.name
            raise BrokenPromiseError("4 the mark", f"{computer.name} writes the mark ({why})")
