"""An old daemon (``freehad`` of FreeHA 1.0) on a simulated machine.

A port of what COMPAT.md says of it, defects included: scripts block it, it knows itself only by its own
broadcasts, its time-outs go by the wall clock in whole seconds, it never yields to another running node.
It is one sequential program, so it is written as one: a generator that hands out what it waits for.

Not modelled: short datagrams (D16), overruns (D17), the state file.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Optional, Union

from had.core.actions import Hook
from had.core.events import Word
from had.core.states import State
from had.sim.clockwork import SECOND
from had.sim.scripts import Process
from had.wire import freeha

if TYPE_CHECKING:
    from had.sim.machine import Machine

ALIVE = frozenset(State) - {State.UNKNOWN, State.TIMEDOUT}
BUSY = frozenset((State.RUNNING, State.STARTING, State.STOPPING))
TURNS = 200
"""For how many seconds its start waits for the other nodes."""

Wait = Union[int, Hook]
"""What the program waits for: a span in nanoseconds, or the end of a script."""
Program = Generator[Wait, int, None]


class _Entry:
    def __init__(self, name: str) -> None:
        self.name = name
        self.state = State.UNKNOWN
        self.heard_s = 0


class _Quit(Exception):  # noqa: N818  # the end of the program, no error
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class OldDaemon:
    """One life of an old daemon."""

    listening = True
    worker = None

    def __init__(self, machine: Machine, *, force_main: bool) -> None:
        machine.lives += 1
        self.machine, self.life = machine, machine.lives
        self.state = State.INITIAL
        self._force_main = force_main
        self._table: list[_Entry] = []
        self._last_alert: Optional[State] = None
        self._stop_wanted = self._start_wanted = self._quit_wanted = self._error = False
        self._alive = True
        self._begun = False
        self._runs = 0
        self._script: Optional[Process] = None
        self._sleep = 0
        """Grows with every sleep; the end of an earlier one is void."""
        self._sleeping = False
        self._settings = machine.settings
        self._program = self._main()

    def begin(self) -> None:
        self._go_on(0)

    # What happens to it

    def datagram(self, link: int, data: bytes) -> None:
        self.machine.sockets[link].append(data)

    def child_ended(self, process: Process) -> None:
        if process is self._script:
            if self.machine.frozen:
                self.machine.world.queue.later(SECOND // 20, self.child_ended, process)
                return
            self._script = None
            self._go_on(process.status or 0)

    def say(self, words: list[Word]) -> None:
        """Signals: handlers set flags, and a sleep ends."""
        for word in words:
            if word is Word.STAND_DOWN:
                self._stop_wanted = True
            elif word is Word.TAKE_OVER:
                self._start_wanted, self._error = True, False
            elif word is Word.CLEAR:
                self._error = False
                if self.state is State.ERRORED:
                    self.state = State.STANDBY
            else:
                self._quit_wanted = self._stop_wanted = True
        if self._sleeping and not self.machine.frozen:
            self._wake(self._sleep)

    def goes_on(self) -> None:
        if self._sleeping:
            self._wake(self._sleep)

    def links_changed(self) -> None:
        """Do nothing: it does not look at its links."""

    def hangs(self) -> None:
        """Do nothing: it has no worker."""

    def prepare_for_death(self) -> None:
        """Do nothing: it leaves nothing to anybody."""

    def kill_worker(self) -> None:
        self.machine.kill_daemon()

    def kill_guard(self) -> None:
        self.machine.kill_daemon()

    def dropped(self) -> None:
        self._alive = False

    def sees(self) -> dict[str, str]:
        """Return what its state file says of each node."""
        return {entry.name: entry.state.name for entry in self._table}

    # The program

    def _go_on(self, answer: int) -> None:
        """Let the program run until it waits for something."""
        if not self._alive:
            return
        try:
            wait = self._program.send(answer) if self._begun else next(self._program)
            self._begun = True
        except _Quit as end:
            self._alive = False
            self.machine.daemon_ends(end.code)
            return
        machine = self.machine
        if isinstance(wait, Hook):
            self._runs += 1
            self._script = machine.fork_hook(wait, self._runs, self.life, 1)
        else:
            self._sleep += 1
            self._sleeping = True
            machine.world.queue.later(machine.clock.span(wait), self._wake, self._sleep)

    def _wake(self, sleep: int) -> None:
        if sleep != self._sleep or not self._sleeping or not self._alive or self.machine.frozen:
            return
        self._sleeping = False
        self._go_on(0)

    def _main(self) -> Program:
        if self._force_main:
            yield from self._announce(State.STARTING)
            yield SECOND
            self._send()
            yield from self._start_services()
        else:
            yield from self._seed()
            yield from self._first_look()
        while True:
            yield from self._round()
            yield self._settings.heartbeat_ns

    def _seed(self) -> Program:
        for _ in range(TURNS):
            self._send()
            self._read()
            if self._count() == self._settings.count:
                return
            if self._quit_wanted:
                raise _Quit(0)
            yield SECOND
        if self._count() < self._settings.quorum:
            raise _Quit(1)

    def _first_look(self) -> Program:
        if (yield Hook.MONITOR) == 0:
            self.state = State.RUNNING
            yield from self._alert(State.RUNNING)
            return
        yield from self._announce(State.STOPPING)
        self._stop_wanted = self._start_wanted = False  # but not the wish to quit: a defect (D6)
        yield Hook.STOP
        self.state = State.STANDBY
        yield from self._alert(State.STANDBY)

    def _round(self) -> Program:
        self._send()
        self._read()
        self._time_out()
        if self.state is State.RUNNING and (yield Hook.MONITOR) != 0:
            self.state = State.ERRORED
            yield from self._alert(State.ERRORED)
            self._error = self._stop_wanted = True
        if self._stop_wanted:
            yield from self._stop()
        elif self._start_wanted or self._elected():
            yield from self._announce(State.STARTING)
            yield from self._start_services()

    def _announce(self, state: State) -> Program:
        self.state = state
        yield from self._alert(state)
        self._send()

    def _alert(self, state: State) -> Program:
        if state is not self._last_alert:
            self._last_alert = state
            self.machine.world.alerted(self.machine, state)
            yield Hook.ALERT

    def _start_services(self) -> Program:
        self._start_wanted = False
        self.state = State.RUNNING if (yield Hook.START) == 0 else State.ERRORED
        yield from self._alert(self.state)

    def _stop(self) -> Program:
        """Stop, as is wanted.  On STANDBY it stays wanted for ever (D5)."""
        if self.state is State.STANDBY:
            if self._quit_wanted:
                raise _Quit(0)
            self._send()
            return
        yield from self._announce(State.STOPPING)
        self._send()
        self._stop_wanted = self._start_wanted = False
        leaving = self._quit_wanted
        yield Hook.STOP
        if leaving or self._quit_wanted:
            raise _Quit(0)
        self.state = State.ERRORED if self._error else State.STANDBY
        yield from self._alert(self.state)
        self._send()

    # Its world

    def _send(self) -> None:
        world = self.machine.world
        data = world.datagram(self.machine.name, self.state)
        for link in range(len(self.machine.carrier)):
            world.network.send(self.machine, link, data)

    def _read(self) -> None:
        for queued in self.machine.sockets:
            for data in queued:
                try:
                    heard = freeha.decode(data)
                except freeha.Rejected:
                    continue
                self._hear(heard)
            queued.clear()

    def _hear(self, heard: freeha.Heartbeat) -> None:
        entry = next((each for each in self._table if each.name == heard.name), None)
        if entry is None:
            entry = _Entry(heard.name)
            self._table.append(entry)
            self._table.sort(key=lambda each: each.name.lower())
        entry.state, entry.heard_s = heard.state, self.machine.wall_s()

    def _time_out(self) -> None:
        now_s, dead_s = self.machine.wall_s(), self._settings.dead_ns // SECOND
        for entry in self._table:
            if entry.name != self.machine.name and now_s - entry.heard_s > dead_s:
                entry.state = State.TIMEDOUT

    def _count(self) -> int:
        return sum(entry.state in ALIVE for entry in self._table)

    def _elected(self) -> bool:
        settings, table = self._settings, self._table
        if self._force_main or self.state is not State.STANDBY:
            return False
        if settings.count > 2 and self._count() < settings.quorum:
            return False
        if any(entry.state in BUSY for entry in table):
            return False
        candidates = (entry for entry in table if entry.state in (State.INITIAL, State.STANDBY))
        first = next(candidates, None)
        if first is None or first.state is not State.STANDBY:
            return False
        return first.name.lower() == self.machine.name.lower()
