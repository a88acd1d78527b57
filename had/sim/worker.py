"""The worker of one daemon: the same turns as :class:`had.runtime.worker.Worker`, in virtual time.

Everything that may happen makes a turn at once, unless the worker stands still; then it finds all of it
waiting when it goes on.  The order within a turn, what is done before the snapshot and what after, and what
the next worker gets are the real one's, line by line: read them side by side.

Not modelled: the selector's and the scheduler's delays (a turn takes no time), a descriptor that is not
ready, the log, the output of hooks, the periodic wake-up that only ticks the guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Union

from had.core.actions import (
    Action,
    Alert,
    DiscardQueued,
    EndHook,
    EraseMark,
    Exit,
    Level,
    Note,
    Publish,
    RecordEpoch,
    RunHook,
    Send,
    WriteMark,
)
from had.core.data import clone
from had.core.events import (
    Command,
    Event,
    HookOver,
    LeftoversGone,
    LinkChanged,
    MachineCarrier,
    Tick,
    Word,
    stop_beats_start,
)
from had.core.node import Node
from had.core.settings import SECOND
from had.core.states import State
from had.core.turn import InvariantError
from had.runtime.alerts import AlertQueue
from had.runtime.record import Record
from had.sim import durable, hearing, manners
from had.sim.handover import Shown, Snapshot, shown
from had.sim.machine import CutShort
from had.sim.recorder import Recorder
from had.sim.runner import Leftovers, Runner
from had.sim.scripts import Process
from had.sim.truth import STRANGER

if TYPE_CHECKING:
    from had.sim.guard import Daemon
    from had.sim.machine import Machine

LAST_WORK_NS = 15 * SECOND
READ_LIMIT = 64
WAKES_MAX = 100
"""How often a worker may be woken by its own timers in one second."""
TICK = Tick()


class Worker:
    """One worker, from fork to end."""

    def __init__(self, daemon: Daemon, number: int, before: Optional[Snapshot]) -> None:
        self.daemon, self.number = daemon, number
        self.machine: Machine = daemon.machine
        self.alive = True
        world = self.machine.world
        self._world, self._queue, self._clock = world, world.queue, self.machine.clock
        self._ears = self.machine.ears
        self._dead_ns = daemon.settings.dead_ns
        self._skips = world.skips_ticks
        self._events: list[Event] = []
        self._datagrams: list[tuple[int, bytes]] = []
        self._words: list[Word] = []
        self._told = self._obeyed = 0
        self._asked: dict[int, RunHook] = {}
        self._exit_code: Optional[int] = None
        self._exit_by_ns = 0
        self._links_up = [True] * len(self.machine.settings.links)
        self._carrier: Optional[bool] = None
        self._links_stale = True
        self._recorder_busy = True
        self._dirty = True
        self._heard = False
        self._saved_ns = 0
        self._second, self._wakes = -1, 0
        self._alarm_ns: Optional[int] = None
        self._due_ns = 0
        self._memory = hearing.Memory(self.machine)
        self.shown: Shown = (True, ())
        """What stands in the state file."""
        self._hooks = Runner(self.machine, daemon.life, number)
        self._alerts = AlertQueue(self._hooks, self._state_now, self.log)  # type: ignore[arg-type]
        self._leftovers: Optional[Leftovers] = None
        self._do: dict[type[Action], Callable[..., None]] = {
            Send: self._send,
            RunHook: self._run_hook,
            EndHook: lambda action, now_ns: self._hooks.end(action.run, now_ns),
            Alert: self._alert,
            Note: lambda action, _: world.judge.note(self.machine, action),
            Publish: self._publish,
            RecordEpoch: lambda action, now_ns: self._recorder.record_epoch(action.epoch, now_ns),
            WriteMark: lambda action, now_ns: self._recorder.write_mark(action.epoch, now_ns),
            EraseMark: lambda _, now_ns: self._recorder.erase_mark(now_ns),
            DiscardQueued: lambda *_: self._discard(),
            Exit: lambda action, now_ns: self._exit(action.code, now_ns),
        }
        self._begin(before)

    def _begin(self, before: Optional[Snapshot]) -> None:
        """Begin anew, or go on where another worker was (G5)."""
        machine = self.machine
        now_ns = machine.local_ns()
        if before is None:
            known = machine.disk.load(machine.boot)
            self._recorder = Recorder(self, known)
            settings = self.daemon.settings
            mark = known.mark_epoch is not None
            self.node = Node(settings, None, known.epoch, mark, known.mark_same_boot)
            durable.loaded(machine.world.judge, machine, known)
            self._leftovers = Leftovers(machine, now_ns)
            return
        self._recorder = Recorder(self, Record())
        self.node = Node(self.daemon.settings, clone(before.node))
        self.node.resume(now_ns)
        machine.note_isolation(self.node.data.isolated_ns, now_ns)
        self._hooks.resume(before.hooks, now_ns)
        self._alerts.resume(before.alerts, now_ns)
        self._recorder.resume(before.recorder, now_ns)
        self._obeyed = self._told = before.obeyed
        for action in before.asked:
            self._asked[action.run] = action
            if not self._hooks.knows(action.run):
                self._hooks.start(action, now_ns, look_first=True)
        for group in before.node.groups:
            if group.hook is not None and group.ending:
                self._hooks.end(group.run, now_ns)
        if before.node.leftovers:
            self._leftovers = Leftovers(machine, now_ns)
        if before.node.exit_code is not None:
            self._exit(before.node.exit_code, now_ns)

    def run(self) -> None:
        """Open the links and make the first turn."""
        self._look_at_links()
        for link in list(self.node.data.links_down):
            if self._links_up[link]:
                self._events.append(LinkChanged(link, True))
        self.turn()

    # What happens to it

    def datagram(self, link: int, data: bytes) -> None:
        self._datagrams.append((link, data))
        self.turn()

    def child_ended(self, _process: Optional[Process] = None) -> None:
        if self.alive:
            self.turn()

    def links_changed(self) -> None:
        self._links_stale = True
        self.turn()

    def tell_words_later(self, words: list[tuple[int, Word]]) -> None:
        """Take what the guard tells again to a new worker, which finds it in its first turn."""
        fresh = [(number, word) for number, word in words if number > self._told]
        self._words.extend(word for _, word in fresh)
        self._told = max((number for number, _ in fresh), default=self._told)

    def tell_words(self, words: list[tuple[int, Word]]) -> None:
        self.tell_words_later(words)
        self.turn()

    def goes_on(self) -> None:
        """Stand still no longer: the first turn finds all that waits in the sockets."""
        more = False
        for link, queued in enumerate(self.machine.sockets):
            if queued:
                self._datagrams.extend((link, data) for data in queued[:READ_LIMIT])
                del queued[:READ_LIMIT]
                more = more or bool(queued)
        self.turn()
        if more and self.alive:
            self._queue.later(0, self.goes_on)

    # One turn

    def turn(self) -> None:
        """Take in all that has happened since the last turn."""
        machine = self.machine
        if machine.held or machine.stopped or machine.hung or not self.alive:
            return
        if machine.fuse is not None:
            self._memory.keep(machine)
        try:
            self._turn(self._clock.local(self._queue.now_ns))
        except CutShort:
            if machine.fuse_kind == "kill-worker":
                self._memory.restore(machine)
            machine.blow()
            return
        except InvariantError as error:
            self._world.judge.bug(machine, f"the core found itself wrong: {error}")
            return
        if self._exit_code is not None and self._ended():
            self.alive = False
            self.daemon.worker_ends(self._exit_code)
            return
        self._arm()

    def _turn(self, now_ns: int) -> None:
        data = self.node.data
        wake_ns = data.wake_ns
        if wake_ns is not None and now_ns < wake_ns and now_ns - data.ran_ns <= self._dead_ns and self._skips:
            # A Tick before the moment that the node has named changes nothing: its promise, and a third of
            # all that a run costs.  A test compares runs with every Tick and without.
            data.ran_ns = max(data.ran_ns, now_ns)
        else:
            if now_ns - data.ran_ns > self._dead_ns and data.begun:
                self._stall(now_ns)
            self._step(TICK, now_ns)
        if self._links_stale:
            self._look_at_links()
        overs: list[HookOver] = []
        if self._hooks.runs:
            overs = self._hooks.poll(now_ns)
            for over in overs:
                self._hook_over(over, now_ns)
        if self._recorder_busy or self._leftovers is not None:
            self._look_at_children(now_ns)
        if self._datagrams:
            datagrams, self._datagrams = self._datagrams, []
            for link, datagram in datagrams:
                self._hear(link, datagram, now_ns)
        if self._events or self._words:
            self._take_in(now_ns)
        if self._dirty or self._heard:
            self._save_in_time(overs, now_ns)

    def _look_at_children(self, now_ns: int) -> None:
        """Take in what the recorder answers, and whether left-over hooks are gone."""
        if self._recorder_busy:
            for answer in self._recorder.poll(now_ns):
                self._step(answer, now_ns)
            self._recorder_busy = not self._recorder.idle
            if not self._recorder_busy:
                durable.idle(self._world.judge, self.machine, self.node)
        if self._leftovers is not None:
            self._leftovers.tick(now_ns)
            if self._leftovers.gone:
                self._leftovers = None
                self._events.append(LeftoversGone())

    def _take_in(self, now_ns: int) -> None:
        """Take in what has been noted: links first, then what persons said."""
        events, self._events = self._events, []
        for event in events:
            self._step(event, now_ns)
        self.machine.note_isolation(self.node.data.isolated_ns, now_ns)
        if self._words:
            self._obey(now_ns)

    def _save_in_time(self, overs: list[HookOver], now_ns: int) -> None:
        """Make the snapshot that ends a turn; for a heartbeat alone not each time."""
        if not self._dirty and now_ns - self._saved_ns < self.daemon.settings.heartbeat_ns // 10:
            return
        self._saved_ns = now_ns
        self._save()
        if overs:
            for over in self._alerts.sift(overs, now_ns):
                self._hooks.forget(over.run)
            self._save()

    def _stall(self, now_ns: int) -> None:
        settings = self.daemon.settings
        if self.node.data.exit_code is None:
            listens_ns = min(2 * settings.heartbeat_ns, settings.dead_ns // 2)
            self.machine.stalled_local = now_ns
            self.machine.hears_again_local = now_ns + listens_ns
            self._world.judge.stall(self.machine, now_ns + listens_ns)

    def _step(self, event: Event, now_ns: int) -> None:
        """Give the core one event and do what it says; what touches hooks last, with a snapshot before."""
        actions = self.node.step(event, now_ns)
        if actions:
            self._act(actions, now_ns)

    def _act(self, actions: list[Action], now_ns: int) -> None:
        do, machine = self._do, self.machine
        self._world.judge.stepped(machine, self.node)
        hooks, published = None, False
        for action in actions:
            kind = type(action)
            if kind is RunHook or kind is EndHook:
                hooks = [each for each in actions if isinstance(each, (RunHook, EndHook))]
            else:
                if machine.fuse is not None:
                    machine.burn()
                published = published or kind is Publish
                do[kind](action, now_ns)
        if hooks:
            for action in hooks:
                if isinstance(action, RunHook):
                    self._asked[action.run] = action
            self._save()
            for action in hooks:
                if machine.fuse is not None:
                    machine.burn()
                do[type(action)](action, now_ns)
        self._dirty = True
        if not published:
            self._world.judge.not_published(machine, self)

    def _save(self) -> None:
        """Make a snapshot, where anybody will ever look at it."""
        self._dirty = self._heard = False
        if self.machine.fuse is not None:
            self.machine.burn()
            self.daemon.snapshot = self.snapshot()
            self._memory.keep(self.machine)
            self.machine.burn()

    def unread(self) -> list[bytes]:
        return [data for _, data in self._datagrams]

    def truth_for_file(self) -> Shown:
        """Return what the state file should say now."""
        return shown(self.node, self.machine.local_ns())

    def told_isolated(self) -> bool:
        """Whether the core has been told that all links are down that count for that (H4)."""
        settings = self.machine.settings
        if self._events:
            return False
        if settings.isolation_by_machine:
            return self._carrier is False
        ours = [up for link, up in zip(settings.links, self._links_up) if not link.crossover]
        return bool(ours) and not any(ours)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            clone(self.node.data),
            self._hooks.dump(),
            self._alerts.dump(),
            self._recorder.dump(),
            tuple(self._asked.values()),
            self._obeyed,
        )

    # Events

    def _hear(self, link: int, data: bytes, now_ns: int) -> None:
        """Turn a datagram into a heartbeat; what is none changes nothing."""
        heard = self._world.heard(link, data)
        if heard is None:
            self._world.judge.rejected(self.machine, data)
            return
        source = self._world.index_of.get(heard.name)
        if source is None and heard.name != STRANGER:
            self._world.judge.bug(self.machine, f"takes what is no heartbeat for one of {heard.name!r}")
        if source == self.machine.index:
            return
        if source is not None:
            state = self._world.meant.get(data, heard.states[0])
            hearing.got_through(self.machine, self._ears, source, link, state, now_ns)
        self._heard = True
        actions = self.node.step(heard, now_ns)
        if actions:
            self._act(actions, now_ns)

    def _hook_over(self, over: HookOver, now_ns: int) -> None:
        self._dirty = True
        action = self._asked.pop(over.run, None)
        if action is not None:
            self._world.judge.hook_told(self.machine, action.hook, over.outcome)
            manners.told(self._world.judge, self.machine, action, over.outcome)
            self._step(over, now_ns)

    def _obey(self, now_ns: int) -> None:
        words, self._words = stop_beats_start(self._words), []
        manners.words_come(self._world.judge, self.machine, words)
        for number, word in enumerate(words, 1):
            if number == len(words):
                self._obeyed = self._told
            self._world.judge.word(self.machine, word, self.node)
            self._step(Command(word), now_ns)

    def _look_at_links(self) -> None:
        """Tell which links are up; to the core all begin up (H4)."""
        self._links_stale = False
        for link, up in enumerate(self.machine.carrier):
            if up is not self._links_up[link]:
                self._links_up[link] = up
                self._events.append(LinkChanged(link, up))
        if self.machine.settings.isolation_by_machine:
            carrier = any(self.machine.carrier)
            if carrier is not self._carrier:
                self._carrier = carrier
                self._events.append(MachineCarrier(carrier))

    def _state_now(self) -> State:
        view = self.node.view(self.machine.local_ns())
        return next(line.state for line in view.nodes if line.name == self.machine.name)

    # Actions

    def log(self, level: Level, text: str) -> None:
        self._world.tell(self.machine, f"{level.name.lower()}: {text}")

    def _run_hook(self, action: RunHook, now_ns: int) -> None:
        self._hooks.start(action, now_ns)

    def _alert(self, action: Alert, now_ns: int) -> None:
        self._world.alerted(self.machine, action.state, action.reason)
        manners.alerted(self._world.judge, self.machine, action.state)
        self._alerts.add(action, now_ns)

    def _send(self, action: Send, _now_ns: int) -> None:
        machine = self.machine
        state = action.states[0]
        self._world.judge.sent(machine, state)
        data = self._world.datagram(machine.name, state)
        for link, up in enumerate(self._links_up):
            if up:
                self._world.network.send(machine, link, data)

    def _publish(self, _action: Publish, now_ns: int) -> None:
        if self.node.data.exit_code is None:
            self.shown = shown(self.node, now_ns)

    def _discard(self) -> None:
        self._datagrams.clear()
        for queued in self.machine.sockets:
            queued.clear()

    def _exit(self, code: int, now_ns: int) -> None:
        self._exit_code = code
        self._exit_by_ns = now_ns + LAST_WORK_NS
        self._alerts.clear()

    def _ended(self) -> bool:
        """Whether the daemon may end: only a running alert and the record are waited for (A1)."""
        if self._alerts.busy:
            return False
        if self.machine.local_ns() >= self._exit_by_ns:
            return True
        return (self._recorder.idle or self._recorder.failing) and not self._asked

    # Time

    def _arm(self) -> None:
        """Be woken when the nearest of all deadlines comes."""
        due_ns = self.node.data.wake_ns
        if self._hooks.runs or self._recorder_busy or self._leftovers is not None or self._exit_by_ns:
            if self._recorder_busy or not self._recorder.idle:
                self._recorder_busy = True
            others: list[Union[int, None]] = [
                due_ns,
                self._hooks.next_ns,
                self._recorder.next_ns,
                self._leftovers.next_ns if self._leftovers is not None else None,
                self._exit_by_ns or None if not self._alerts.busy else None,
            ]
            due_ns = min((each for each in others if each is not None), default=None)
        if due_ns is None:
            return
        self._due_ns = due_ns
        true_ns = max(self._clock.true(due_ns), self._queue.now_ns)
        if self._alarm_ns is None or true_ns < self._alarm_ns:
            self._alarm_ns = true_ns
            self._queue.at(true_ns, self._alarm, true_ns)

    def _alarm(self, moment_ns: int) -> None:
        if moment_ns != self._alarm_ns or not self.alive:
            return
        self._alarm_ns = None
        machine = self.machine
        if machine.held or machine.stopped or machine.hung:
            return  # whoever lets it go on makes a turn
        now_ns = self._clock.local(moment_ns)
        if now_ns < self._due_ns:
            self._arm()
            return
        if now_ns // SECOND != self._second:
            self._second, self._wakes = now_ns // SECOND, 0
        self._wakes += 1
        if self._wakes > WAKES_MAX:
            self._world.judge.bug(machine, "it spins: it wants to be woken again and again")
        self.turn()
