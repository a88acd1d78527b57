"""Two nodes are cut apart, both run, and the cut heals: how long two go on, or nobody runs."""

from __future__ import annotations

import random
from collections.abc import Iterable

from bench.cluster import Cluster
from bench.contenders.base import Contender, Timing
from bench.errors import BenchError
from bench.plan import Attempts, Plan
from bench.results import Row
from bench.watch import Mark

NAME = "cut"
TWO = "two run after the heal"
NOBODY = "nobody runs after the heal"
_END_S = 60.0


def run(plan: Plan) -> None:
    for contender in plan.contenders:
        for timing in plan.timings(contender):
            what = f"cut, {contender.name} at {timing} ms"
            plan.say(what)
            two = plan.row(NAME, TWO, "ms", contender, timing)
            nobody = plan.row(NAME, NOBODY, "ms", contender, timing)
            try:
                _measure(plan, contender, timing, two, nobody, what)
            except BenchError as error:
                plan.failed(what, error)


def _measure(plan: Plan, contender: Contender, timing: Timing, two: Row, nobody: Row, what: str) -> None:
    attempts = Attempts(plan, what)
    while len(two.samples) < plan.amounts.cut:
        try:
            with plan.cluster(contender, timing) as cluster:
                cluster.start()
                while len(two.samples) < plan.amounts.cut:
                    both_ms, none_ms = quarrel(cluster)
                    two.samples.append(both_ms)
                    nobody.samples.append(none_ms)
        except BenchError as error:
            attempts.failed(error)


def quarrel(cluster: Cluster) -> tuple[float, float]:
    """One cut and heal, in ms: how long two ran after the heal, and how long nobody did."""
    watch, timing, standby = cluster.watch, cluster.timing, cluster.standby
    beat_s = timing.heartbeat_ms / 1000
    watch.forget()
    cluster.cut()
    watch.wait(lambda: cluster.runs(standby), 30 + 10 * timing.dead_ms / 1000, "the cut makes nobody start")
    # Both are to have found their pace again, and the heal is to come at any moment of it.
    watch.pump((6 + random.random()) * beat_s)
    if not all(map(cluster.runs, cluster.nodes)):
        raise BenchError("the cut didn't make both run")
    healed_ns = cluster.heal()

    def over() -> bool:
        return sum(map(cluster.runs, cluster.nodes)) == 1

    watch.wait(over, _END_S, "one runs again after the heal")
    while True:
        count = len(watch.marks)
        watch.pump(cluster.contender.quiet_s(timing))
        if len(watch.marks) == count and over():
            break
        watch.wait(over, _END_S, "one runs again after the heal")
    last_ns = max(healed_ns, *(mark.end_ns for mark in watch.marks))
    names = [node.name for node in cluster.nodes]
    both, none = overlaps([intervals(watch.marks, name) for name in names], healed_ns, last_ns + 1)
    cluster.settle()
    return both / 1e6, none / 1e6


def intervals(marks: Iterable[Mark], node: str) -> list[tuple[int, float]]:
    """When a node ran the service: from the begin of a start hook to the end of the next stop hook."""
    found: list[tuple[int, float]] = []
    began = None
    for mark in marks:
        if mark.node != node or mark.word == "exec":
            continue
        if mark.word == "start" and began is None:
            began = mark.begin_ns
        elif mark.word != "start" and began is not None:
            found.append((began, mark.end_ns))
            began = None
    if began is not None:
        found.append((began, float("inf")))
    return found


def overlaps(nodes: list[list[tuple[int, float]]], begin_ns: int, end_ns: int) -> tuple[float, float]:
    """How long, between two moments, more than one ran, and how long nobody did."""
    moments = {begin_ns, end_ns}
    for node in nodes:
        moments |= {int(moment) for pair in node for moment in pair if begin_ns < moment < end_ns}
    both = none = 0
    ordered = sorted(moments)
    for one, other in zip(ordered, ordered[1:]):
        running = sum(any(began <= one and other <= ended for began, ended in node) for node in nodes)
        both += (running > 1) * (other - one)
        none += (running == 0) * (other - one)
    return both, none
