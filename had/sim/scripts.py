"""Hooks as processes, and the service that they start and stop.

The service is *down*, *half* started or *up*.  A process belongs to a machine, not to a daemon: it goes on
when its daemon dies, and ends with the machine.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Optional

from had.core.actions import Hook
from had.sim.clockwork import MS

if TYPE_CHECKING:
    from had.sim.machine import Machine

TERMINATED, KILLED = 15, 9
DYING_NS = 5 * MS
"""How long a process takes to die when it is told to."""


@dataclasses.dataclass(frozen=True)
class Script:
    """How a hook behaves when it is called.

    ``way``: ``works`` (start and stop succeed, the monitor tells the truth), ``fails``, ``hangs``; of the
    monitor also ``lies`` (tells the contrary) and ``flaps`` (fails every other time).  ``half``: a start that
    fails or is ended leaves the service half started.  ``stubborn``: SIGTERM does not end it.
    """

    takes_ns: int
    way: str = "works"
    half: bool = False
    stubborn: bool = False


HONEST = {
    Hook.START: Script(300 * MS),
    Hook.STOP: Script(200 * MS),
    Hook.MONITOR: Script(30 * MS),
    Hook.ALERT: Script(20 * MS),
}


class Process:
    """One run of a hook."""

    __slots__ = ("hook", "life", "machine", "orphaned", "run", "script", "status", "worker")

    def __init__(self, machine: Machine, hook: Hook, run: int, life: int, worker: int) -> None:
        self.machine, self.hook, self.run = machine, hook, run
        self.life = life
        """Of which daemon of this machine it is."""
        self.worker = worker
        """Whose child it is: the number of a worker, or 0 for the guard."""
        self.script = machine.scripts[hook]
        self.status: Optional[int] = None
        """As waitpid gives it; None while it runs."""
        self.orphaned = False
        """It ended when neither its worker nor the guard was there to see it."""
        queue = machine.world.queue
        if self.script.way != "hangs":
            queue.later(self.script.takes_ns, self._ends)
        if hook is Hook.START:
            queue.later(self.script.takes_ns // 2, self._is_half_way)

    def _is_half_way(self) -> None:
        works = self.script.way == "works" or self.script.half
        if self.status is None and works and self.machine.service == "down":
            self.machine.service = "half"

    def _ends(self) -> None:
        """Come to the end of the script."""
        if self.status is not None:
            return
        machine, way = self.machine, self.script.way
        good = way == "works"
        if self.hook is Hook.MONITOR:
            machine.monitored += 1
            flaps = way == "flaps" and machine.monitored % 2 == 0
            good = (machine.service == "up") is not (way == "lies") and way != "fails" and not flaps
        elif self.hook is Hook.START and good:
            machine.service = "up"
        elif self.hook is Hook.STOP and good:
            machine.service = "down"
        self._over(0 if good else 1 << 8)

    def signal(self, number: int) -> None:
        """SIGTERM or SIGKILL to the process group."""
        if self.status is None and (number == KILLED or not self.script.stubborn):
            self.machine.world.queue.later(DYING_NS, self._dies, number)

    def _dies(self, number: int) -> None:
        if self.status is None:
            self._over(number)

    def _over(self, status: int) -> None:
        self.status = status
        self.machine.process_over(self)

    def vanish(self) -> None:
        """Be gone: the machine has lost its power, nobody hears of it any more."""
        self.status = KILLED
