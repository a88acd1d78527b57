"""The end of a daemon whose workers die again and again, while another node can take over (rule G3).

Nothing is heard any more, since what was heard may be what they died of: the services are stopped, and
STOPPING is announced until they are.  All of it runs in the guard, which has nothing else left to do.
"""

from __future__ import annotations

import selectors

from had.core.actions import Hook, Level, Reason, RunHook
from had.core.events import Outcome
from had.core.states import State
from had.runtime.clock import now_ns
from had.runtime.handover import Snapshot
from had.runtime.hooks import HookRunner
from had.runtime.links import LinkFatal, Links
from had.runtime.worker import Shared
from had.wire import freeha

SECOND = 1_000_000_000
LOOK_NS = SECOND // 10


def farewell(shared: Shared, before: Snapshot) -> None:
    """End what runs of the hooks, then run ``stophasrv``, and send STOPPING all the while."""
    settings, log = shared.settings, shared.log
    selector = selectors.DefaultSelector()
    links = Links(settings.links, selector, _ignore, _ignore, _ignore)
    try:
        links.open(now_ns(), resumed=True)
    except LinkFatal as fatal:
        log(Level.ERROR, str(fatal))
    hooks = HookRunner(settings, shared.pipes, log)
    hooks.resume(before.hooks, now_ns())
    for run in before.hooks.runs:
        hooks.end(run.job.run, now_ns())
    numbers = [run.job.run for run in before.hooks.runs] + [action.run for action in before.asked]
    reason = Reason("workers-die", "the workers of had die again and again")
    stop = RunHook(
        max(numbers, default=0) + 1000,
        Hook.STOP,
        settings.core.stop_timeout_ns,
        State.STOPPING,
        State.RUNNING,
        reason,
    )
    datagram = freeha.encode(settings.core.node, State.STOPPING)
    beat_ns = now_ns()
    while True:
        moment_ns = now_ns()
        if moment_ns >= beat_ns:
            links.send(datagram, moment_ns)
            beat_ns = moment_ns + settings.core.heartbeat_ns
        for over in hooks.poll(moment_ns):
            hooks.forget(over.run)
            if over.run == stop.run:
                level = Level.NOTICE if over.outcome is Outcome.OK else Level.ERROR
                log(level, f"stophasrv {over.outcome.value} {over.detail}".rstrip())
                links.close()
                return
        if not hooks.knows(stop.run) and not any(hooks.busy(hook) for hook in Hook):
            hooks.start(stop, moment_ns)
        shared.pipes.discard()
        for key, _ in selector.select(min(LOOK_NS, max(0, beat_ns - moment_ns)) / SECOND):
            key.data()


def _ignore(*_: object) -> None:
    """Ignore what links hear and tell: it is of no more use."""
