"""A node loses its power: how long after last heartbeat + dead time the start hook runs elsewhere."""

from __future__ import annotations

from bench.cluster import Cluster
from bench.contenders.base import Contender, Timing
from bench.errors import BenchError
from bench.plan import Attempts, Plan
from bench.results import Row

NAME = "crash"


def run(plan: Plan) -> None:
    for contender in plan.contenders:
        for timing in plan.timings(contender):
            what = f"crash, {contender.name} at {timing} ms"
            plan.say(what)
            row = plan.row(NAME, "start hook beyond last heartbeat + dead time", "ms", contender, timing)
            try:
                _measure(plan, contender, timing, row, what)
            except BenchError as error:
                plan.failed(what, error)


def _measure(plan: Plan, contender: Contender, timing: Timing, row: Row, what: str) -> None:
    attempts = Attempts(plan, what)
    while len(row.samples) < plan.amounts.crash:
        try:
            with plan.cluster(contender, timing) as cluster:
                cluster.start()
                while len(row.samples) < plan.amounts.crash:
                    row.samples.append(crash(cluster))
        except BenchError as error:
            attempts.failed(error)


def crash(cluster: Cluster) -> float:
    """One crash and take-over, in ms; afterwards the cluster is whole again."""
    active, standby = cluster.active, cluster.standby
    watch, timing = cluster.watch, cluster.timing
    watch.forget()
    watch.pump(1.5 * timing.heartbeat_ms / 1000)
    since_ns = cluster.cut_power(active)
    started = watch.wait_mark(standby.name, "start", since_ns, 30 + 10 * timing.dead_ms / 1000)
    last = watch.last_frame(active.name)
    if last is None:
        raise BenchError(f"no heartbeat of {active.name} was seen")
    cluster.boot(active)
    cluster.settle()
    return (started.begin_ns - last.ns) / 1e6 - timing.dead_ms
