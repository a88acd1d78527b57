"""The end of a daemon whose workers die again and again, while another node can take over (rule G3).

Nothing is heard any more, since what was heard may be what they died of: the services are stopped, and
STOPPING is announced until they are.  All of it runs in the guard, which has nothing else left to do.
"""

from __future__ import annotations

import dataclasses
import selectors
import time

from had.core.actions import Hook, Level, Reason, RunHook
from had.core.events import HookOver, Outcome
from had.core.node import Node
from had.core.outcomes import last_stop, told
from had.core.states import State
from had.runtime.clock import now_ns
from had.runtime.handover import Snapshot
from had.runtime.hooks import HookRunner
from had.runtime.links import LinkFatal, Links
from had.runtime.output import OutputReader
from had.runtime.shared import Shared
from had.runtime.statefile import StateFile
from had.wire import freeha

SECOND = 1_000_000_000
LOOK_NS = SECOND // 10
_NEVER_USED = 1000
"""More hooks than the last worker can have begun after its last snapshot."""


def farewell(shared: Shared, before: Snapshot, reaped: dict[int, int]) -> str:
    """Run ``stophasrv``, or wait for it where it runs already; send STOPPING all the while.  Returns what
    came of it.

    Another hook that runs is ended first; an alert is let finish (A1).  ``reaped``: processes that ended
    while no worker lived, with their exit statuses.
    """
    return _Farewell(shared, before, reaped).run()


class _Farewell:
    def __init__(self, shared: Shared, before: Snapshot, reaped: dict[int, int]) -> None:
        self._settings, self._log = shared.settings, shared.log
        self._selector = selectors.DefaultSelector()
        self._links = Links(self._settings.links, self._selector, _ignore, _ignore, _ignore)
        self._output = OutputReader(shared.pipes, self._hook_said, now_ns)
        self._output.register(self._selector)
        standing = shared.fitness.before
        self._hooks = HookRunner(self._settings, shared.pipes, self._log, standing=standing)
        self._stop = self._take_over_hooks(before, reaped)
        self._publish(Node(self._settings.core, before.node))
        self._show(shared, before)

    def _take_over_hooks(self, before: Snapshot, reaped: dict[int, int]) -> RunHook:
        """Go on with the hooks of the dead worker; returns the stop that is to be waited for."""
        moment_ns = now_ns()
        self._hooks.resume(before.hooks, moment_ns)
        for pid, status in reaped.items():
            self._hooks.reaped_elsewhere(pid, status)
        for action in before.asked:
            if not self._hooks.knows(action.run):  # forked after the last snapshot, or not at all
                self._hooks.start(action, moment_ns, look_first=True)
            if action.hook is Hook.STOP:
                return action
            self._hooks.end(action.run, moment_ns)
        return RunHook(
            max((action.run for action in before.asked), default=0) + _NEVER_USED,
            Hook.STOP,
            self._settings.core.stop_timeout_ns,
            State.STOPPING,
            State.RUNNING,
            Reason("workers-die", "the workers of had die again and again"),
        )

    def run(self) -> str:
        """Until the services are stopped, or ``stophasrv`` has failed; returns which."""
        try:
            self._links.open(now_ns(), resumed=True)
        except LinkFatal as fatal:
            self._log(Level.ERROR, str(fatal))
        datagram = freeha.encode(self._settings.core.node, State.STOPPING)
        stopped = ""
        beat_ns = now_ns()
        while not stopped or self._hooks.busy(Hook.ALERT):
            moment_ns = now_ns()
            self._links.tick(moment_ns)
            if moment_ns >= beat_ns and not stopped:
                self._links.send(datagram, moment_ns)
                beat_ns = moment_ns + self._settings.core.heartbeat_ns
            for over in self._hooks.poll(moment_ns):
                self._hooks.forget(over.run)
                if over.run == self._stop.run:
                    stopped = self._tell_stopped(over, moment_ns)
            if not stopped and not self._hooks.knows(self._stop.run) and not self._is_busy():
                self._hooks.start(self._stop, moment_ns)
            self._output.tick(moment_ns)
            wait_ns = LOOK_NS if stopped else min(LOOK_NS, max(0, beat_ns - moment_ns))
            for key, _ in self._selector.select(wait_ns / SECOND):
                key.data()
        self._links.close()
        return stopped

    def _is_busy(self) -> bool:
        return any(self._hooks.busy(hook) for hook in Hook if hook is not Hook.ALERT)

    def _tell_stopped(self, over: HookOver, moment_ns: int) -> str:
        self._output.finish(Hook.STOP, moment_ns)
        good = over.outcome is Outcome.OK
        text = last_stop(good, told(Hook.STOP, over))
        self._log(Level.NOTICE if good else Level.ERROR, text)
        return text

    def _publish(self, node: Node) -> None:
        """Write the state file once more, with ourselves STOPPING: that is our last word (V1)."""
        moment_ns, wall = now_ns(), time.time()
        own = self._settings.core.node
        StateFile(self._settings.state_file, self._log).write(
            (
                line.name,
                State.STOPPING if line.name == own else line.state,
                wall - (moment_ns - line.heard_ns) / SECOND,
            )
            for line in node.view(moment_ns).nodes
        )

    def _show(self, shared: Shared, before: Snapshot) -> None:
        """Write the status file as the state file: STOPPING, and why if that is new."""
        moment_ns = now_ns()
        status = Node(self._settings.core, before.node).status(moment_ns)
        if status.state is not State.STOPPING:
            status = dataclasses.replace(
                status, state=State.STOPPING, since_ns=moment_ns, reason=self._stop.reason
            )
        shared.show(dataclasses.replace(status, ending=True), before.answer, moment_ns)

    def _hook_said(self, hook: Hook, line: str) -> None:
        self._log(Level.INFO, f"{hook.value}: {line}")


def _ignore(*_: object) -> None:
    """Ignore what links hear and tell: it is of no more use."""
