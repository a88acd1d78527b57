"""A planned move: from the end of the stop hook on one node to the begin of the start hook on the other."""

from __future__ import annotations

import time

from bench.cluster import Cluster
from bench.contenders.base import Contender, Timing, Way
from bench.errors import BenchError
from bench.plan import Attempts, Plan
from bench.results import Row

NAME = "planned"
GAP = "from the end of the stop hook to the start hook"
WHOLE = "from the word to the start hook"


def run(plan: Plan) -> None:
    for contender in plan.contenders:
        for timing in plan.timings(contender):
            for name, way in contender.ways().items():
                what = f"planned, {contender.name} at {timing} ms, {name}"
                plan.say(what)
                gap = plan.row(NAME, GAP, "ms", contender, timing, name)
                whole = plan.row(NAME, WHOLE, "ms", contender, timing, name)
                try:
                    _measure(plan, contender, timing, way, gap, whole, what)
                except BenchError as error:
                    plan.failed(what, error)


def _measure(
    plan: Plan, contender: Contender, timing: Timing, way: Way, gap: Row, whole: Row, what: str
) -> None:
    attempts = Attempts(plan, what)
    while len(gap.samples) < plan.amounts.planned:
        try:
            with plan.cluster(contender, timing) as cluster:
                cluster.start()
                while len(gap.samples) < plan.amounts.planned:
                    without, with_stop = move(cluster, way)
                    gap.samples.append(without)
                    whole.samples.append(with_stop)
        except BenchError as error:
            attempts.failed(error)


def move(cluster: Cluster, way: Way) -> tuple[float, float]:
    """One move, in ms: the gap, and all from the word on.  Afterwards the cluster is whole again."""
    cluster.contender.arrange(cluster)
    active, standby = cluster.active, cluster.standby
    watch, seconds = cluster.watch, 30 + 10 * cluster.timing.dead_ms / 1000
    watch.forget()
    since_ns = time.monotonic_ns()
    way(cluster)
    started = watch.wait_mark(standby.name, "start", since_ns, seconds)
    stopped = watch.wait_mark(active.name, "stop", since_ns, seconds)
    # Where the way is to end the daemon, it is started again.
    if active.has_ended:
        cluster.cut_power(active)
        cluster.boot(active)
    cluster.settle()
    if cluster.active is not standby:
        raise BenchError("the service has moved back")
    return (started.begin_ns - stopped.end_ns) / 1e6, (started.begin_ns - since_ns) / 1e6
