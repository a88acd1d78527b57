"""The end of a daemon whose workers die again and again: see :mod:`had.runtime.farewell` (rule G3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from had.core.actions import Hook, Reason, RunHook
from had.core.states import State
from had.runtime.farewell import _NEVER_USED, LOOK_NS
from had.sim.runner import Runner

if TYPE_CHECKING:
    from had.sim.guard import Daemon
    from had.sim.handover import Snapshot


class Farewell:
    """Runs ``stophasrv``, or waits for it where it runs already; sends STOPPING all the while."""

    def __init__(self, daemon: Daemon, before: Snapshot) -> None:
        self._daemon, self._machine = daemon, daemon.machine
        self.alive = True
        self._hooks = Runner(self._machine, daemon.life, 0)
        self._beat_ns = self._machine.local_ns()
        self._stopped = False
        self._stop = self._take_over_hooks(before)

    def _take_over_hooks(self, before: Snapshot) -> RunHook:
        now_ns = self._machine.local_ns()
        self._hooks.resume(before.hooks, now_ns)
        for action in before.asked:
            if not self._hooks.knows(action.run):
                self._hooks.start(action, now_ns, look_first=True)
            if action.hook is Hook.STOP:
                return action
            self._hooks.end(action.run, now_ns)
        number = max((action.run for action in before.asked), default=0) + _NEVER_USED
        reason = Reason("workers-die", "the workers of had die again and again")
        timeout_ns = self._daemon.settings.stop_timeout_ns
        return RunHook(number, Hook.STOP, timeout_ns, State.STOPPING, State.RUNNING, reason)

    def begin(self) -> None:
        self._machine.world.judge.farewell_begins(self._machine)
        self._look()

    def _look(self) -> None:
        """One turn of the guard's loop; it looks ten times a second."""
        machine, queue = self._machine, self._machine.world.queue
        if not self.alive or not machine.powered:
            return
        if not machine.frozen:
            now_ns = machine.local_ns()
            if now_ns >= self._beat_ns and not self._stopped:
                self._send()
                self._beat_ns = now_ns + self._daemon.settings.heartbeat_ns
            for over in self._hooks.poll(now_ns):
                self._hooks.forget(over.run)
                self._stopped = self._stopped or over.run == self._stop.run
            busy = any(self._hooks.busy(hook) for hook in Hook if hook is not Hook.ALERT)
            if not self._stopped and not self._hooks.knows(self._stop.run) and not busy:
                self._hooks.start(self._stop, now_ns)
            if self._stopped and not self._hooks.busy(Hook.ALERT):
                self.alive = False
                self._daemon.farewell_over()
                return
        queue.later(machine.clock.span(LOOK_NS), self._look)

    def _send(self) -> None:
        world, machine = self._machine.world, self._machine
        data = world.datagram(machine.name, State.STOPPING)
        for link, up in enumerate(machine.carrier):
            if up:
                world.network.send(machine, link, data)
