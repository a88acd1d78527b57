"""How soon a node speaks: from the exec of the daemon, and from the death of its worker."""

from __future__ import annotations

import os
import signal
import time

from bench.cluster import Cluster
from bench.contenders.base import Contender, Timing
from bench.errors import BenchError
from bench.plan import Attempts, Plan
from bench.results import Row

NAME = "start"
_PATIENCE_S = 20.0


def run(plan: Plan) -> None:
    for contender in plan.contenders:
        # The finest timing: the next heartbeat shall not have to wait until it is due.
        timings = plan.timings(contender)[-1:] if contender.speaks_always else []
        for timing in timings:
            what = f"start, {contender.name} at {timing} ms"
            plan.say(what)
            note = "" if plan.hooks.compiled else "with what nsenter takes"
            first = plan.row(NAME, "from exec to the first heartbeat", "ms", contender, timing, note)
            after = None
            if not contender.is_peer:
                quantity = "from the worker's death to the next heartbeat"
                after = plan.row(NAME, quantity, "ms", contender, timing)
            try:
                _measure(plan, contender, timing, [first, *([after] if after else [])], what)
            except BenchError as error:
                plan.failed(what, error)


def _measure(plan: Plan, contender: Contender, timing: Timing, rows: list[Row], what: str) -> None:
    attempts = Attempts(plan, what)
    while len(rows[0].samples) < plan.amounts.start:
        try:
            with plan.cluster(contender, timing) as cluster:
                cluster.start()
                while len(rows[0].samples) < plan.amounts.start:
                    rows[0].samples.append(first_heartbeat(cluster))
                    if len(rows) > 1:
                        rows[1].samples.append(next_heartbeat(cluster))
        except BenchError as error:
            attempts.failed(error)


def first_heartbeat(cluster: Cluster) -> float:
    """Start the standby's daemon anew; in ms."""
    watch, standby = cluster.watch, cluster.standby
    cluster.cut_power(standby)
    watch.forget()
    began_ns = cluster.boot(standby)
    watch.wait(lambda: watch.frame(standby.name, began_ns) is not None, _PATIENCE_S, "no first heartbeat")
    frame, executed = watch.frame(standby.name, began_ns), watch.mark(standby.name, "exec", began_ns)
    assert frame is not None
    if executed is not None:
        began_ns = executed.end_ns
    cluster.settle()
    return (frame.ns - began_ns) / 1e6


def next_heartbeat(cluster: Cluster) -> float:
    """Kill the standby's worker; in ms.  It was started just now, so this is its daemon's first death."""
    watch, standby = cluster.watch, cluster.standby
    pid = cluster.contender.worker(standby)
    if pid is None:
        raise BenchError(f"{standby.name}: no worker is found")
    watch.forget()
    before_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    killed_ns = time.monotonic_ns()
    watch.wait(
        lambda: watch.frame(standby.name, killed_ns) is not None, _PATIENCE_S, "no heartbeat after the worker"
    )
    frame = watch.frame(standby.name, killed_ns)
    assert frame is not None
    return (frame.ns - before_ns) / 1e6
