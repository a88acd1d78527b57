"""Guard and worker together: one daemon of ours on a machine.

What :class:`had.runtime.guard.Guard` decides is here as it is there: workers that die are replaced (G1, G5),
those that hang are killed (G2), five deaths in a minute are no accident (G3).  The farewell of G3 is in
:mod:`had.sim.farewell`.  If the guard dies, the worker goes on alone (G4); then its death is the daemon's.

Not modelled: pid file, report to who started the daemon, a fork that fails.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Optional

from had.core.events import Word
from had.core.node import Node
from had.core.settings import Settings
from had.core.states import STATE_OF, State
from had.runtime.guard import _HAS_SERVICES, BACKOFF_MAX_NS, BACKOFF_NS, DEATHS, WITHIN_NS
from had.sim.clockwork import MS, SECOND
from had.sim.farewell import Farewell
from had.sim.handover import Snapshot
from had.sim.scripts import Process
from had.sim.worker import Worker

if TYPE_CHECKING:
    from had.sim.machine import Machine

LOOK_NS = 50 * MS
"""How often a guard that stands still is looked at, to see whether it goes on."""


class Daemon:
    """One life of the daemon on one machine."""

    def __init__(self, machine: Machine, *, force_main: bool) -> None:
        machine.lives += 1
        self.machine, self.life = machine, machine.lives
        self.settings: Settings = machine.settings
        if force_main:
            self.settings = dataclasses.replace(machine.settings, force_main=True)
        self.guard = True
        self.worker: Optional[Worker] = None
        self.farewell: Optional[Farewell] = None
        self.snapshot: Optional[Snapshot] = None
        self._alive = True
        self._workers = 0
        self._up = False
        self._words: collections.deque[tuple[int, Word]] = collections.deque(maxlen=64)
        self._pending: list[Word] = []
        self._word = 0
        self._deaths: collections.deque[int] = collections.deque(maxlen=DEATHS)
        self._backoff_ns = BACKOFF_NS
        self._again = 0
        """Grows when the next worker is asked for; an earlier wish is void then."""
        self._waiting = False
        """Nobody works: the next worker comes after a pause (G3)."""

    def begin(self) -> None:
        self._fork()

    # What happens to it

    @property
    def state(self) -> Optional[State]:
        """What it announces."""
        if self.farewell is not None:
            return State.STOPPING
        if self.worker is None:
            before = self.snapshot
            groups = before.node.groups if before is not None else []
        else:
            groups = self.worker.node.data.groups
        return STATE_OF[groups[0].phase] if groups else None

    @property
    def listening(self) -> bool:
        """Whether anybody has sockets open."""
        return self.worker is not None

    def datagram(self, link: int, data: bytes) -> None:
        if self.worker is not None:
            self.worker.datagram(link, data)

    def child_ended(self, process: Process) -> None:
        """Note that a hook has ended: its parent is told; if that is a guard that is dead, nobody."""
        worker = self.worker
        if not self.guard and (worker is None or process.worker != worker.number):
            process.orphaned = True
        if worker is not None:
            worker.child_ended(process)

    def links_changed(self) -> None:
        if self.worker is not None:
            self.worker.links_changed()

    def say(self, words: list[Word]) -> None:
        """Signals from persons."""
        if self.machine.frozen:
            self._pending.extend(word for word in words if word not in self._pending)
            return
        for word in words:
            self._word += 1
            self._words.append((self._word, word))
        if self.worker is not None:
            self.worker.tell_words(list(self._words))
        elif self._waiting:
            self._fork()

    def goes_on(self) -> None:
        """Stand still no longer."""
        pending, self._pending = self._pending, []
        if self.worker is not None and not self.machine.hung:
            self.worker.goes_on()
        if pending and self._alive:
            self.say(pending)

    def hangs(self) -> None:
        """See a worker that ticks no more: the guard kills it when it has had enough of that (G2)."""
        self.prepare_for_death()
        if self.guard and self.worker is not None:
            patience_ns = max(SECOND, self.settings.dead_ns // 3)
            look_ns = self.machine.guard_dice.whole(0, patience_ns // 4)
            self._later(patience_ns + look_ns, self._kill_hung, self.worker)

    def _kill_hung(self, worker: Worker) -> None:
        if self.worker is worker and self.machine.hung:
            self.machine.world.tell(self.machine, "the guard kills a worker that hangs")
            self.kill_worker()

    def prepare_for_death(self) -> None:
        """From now on snapshots are made: somebody will look at them."""
        if self.worker is not None:
            self.snapshot = self.worker.snapshot()

    def dropped(self) -> None:
        """Guard and worker are gone, without a word."""
        self._alive = False
        if self.worker is not None:
            self.worker.alive = False
            self.worker = None
        if self.farewell is not None:
            self.farewell.alive = False

    def kill_guard(self) -> None:
        """SIGKILL to the guard: the worker goes on alone (G4)."""
        if self.guard and self.worker is not None:
            self.guard = False
            self.machine.world.judge.count("G4")
            self.machine.world.tell(self.machine, "the guard dies; the worker goes on alone")
            for process in self.machine.running.values():
                if process.life == self.life and process.worker != self.worker.number:
                    process.worker = -1
        elif self.guard:
            self.machine.kill_daemon()

    # Workers

    def _later(self, local_ns: int, what: object, *arguments: object) -> None:
        machine = self.machine
        machine.world.queue.later(machine.clock.span(local_ns), self._do, what, arguments)

    def _do(self, what: object, arguments: tuple[object, ...]) -> None:
        """Do something in the guard, as soon as it does not stand still."""
        if not self._alive or not self.guard:
            return
        if self.machine.frozen:
            self.machine.world.queue.later(LOOK_NS, self._do, what, arguments)
        elif callable(what):
            what(*arguments)

    def _fork(self) -> None:
        self._waiting = False
        self._again += 1
        self._later(self.machine.guard_dice.whole(2, 12) * MS, self._forked, self._again)

    def _forked(self, again: int) -> None:
        if again != self._again or self.worker is not None:
            return
        self._waiting = False
        self._workers += 1
        self.machine.new_ears(keep=self.snapshot is not None)
        worker = self.worker = Worker(self, self._workers, self.snapshot)
        worker.tell_words_later(list(self._words))
        worker.run()
        self._up = True

    def kill_worker(self) -> None:
        """SIGKILL to the worker."""
        worker = self.worker
        if worker is None:
            return
        machine = self.machine
        machine.hung = False
        machine.fuse = None
        worker.alive = False
        self.worker = None
        for queued in machine.sockets:
            queued.clear()
        for process in machine.running.values():
            if process.life == self.life and process.worker == worker.number:
                process.worker = 0
        machine.world.tell(machine, "the worker dies; the services are not touched")
        machine.world.judge.worker_died(machine, self.snapshot)
        if not self.guard:
            machine.kill_daemon()
            return
        self._later(MS, self._worker_ended)

    def _worker_ended(self) -> None:
        """Replace the worker, unless it dies too often."""
        now_ns = self.machine.local_ns()
        self._deaths.append(now_ns)
        obeyed = self.snapshot.obeyed if self.snapshot is not None else 0
        while self._words and self._words[0][0] <= obeyed:
            self._words.popleft()
        if len(self._deaths) == DEATHS and now_ns - self._deaths[0] < WITHIN_NS:
            self._give_up_or_wait(now_ns)
        else:
            self._backoff_ns = BACKOFF_NS
            self._fork()

    def _give_up_or_wait(self, now_ns: int) -> None:
        """Decide what to do with workers that die again and again (G3)."""
        machine, before = self.machine, self.snapshot
        if before is None:
            self._ends(1)
            return
        if Node(self.settings, before.node).next_can_take_over(now_ns):
            machine.world.judge.count("G3 farewell")
            machine.world.tell(
                machine, f"{DEATHS} workers died within a minute: another node is to take over"
            )
            if any(STATE_OF[group.phase] in _HAS_SERVICES for group in before.node.groups):
                self.farewell = Farewell(self, before)
                self.farewell.begin()
            else:
                self._ends(1)
            return
        machine.world.judge.count("G3 back-off")
        self._waiting = True
        self._again += 1
        self._later(self._backoff_ns, self._forked, self._again)
        self._backoff_ns = min(2 * self._backoff_ns, BACKOFF_MAX_NS)

    def farewell_over(self) -> None:
        self._ends(1)

    def worker_ends(self, code: int) -> None:
        """End with a worker that has ended on purpose."""
        self.worker = None
        self._ends(code)

    def _ends(self, code: int) -> None:
        self._alive = False
        self.machine.daemon_ends(code)
