"""What one daemon costs in a cluster of many nodes; the others are played by one generator."""

from __future__ import annotations

import time

from bench.cluster import Cluster
from bench.contenders.base import Contender, Timing
from bench.errors import BenchError
from bench.plan import Plan
from bench.processes import private_dirty, processor_ns

NAME = "nodes"
_PATIENCE_S = 60.0


def run(plan: Plan) -> None:
    for contender in plan.contenders:
        for timing in plan.timings(contender, "1 s"):
            for count in plan.amounts.nodes:
                what = f"nodes, {contender.name} at {timing} ms, {count} nodes"
                try:
                    with plan.cluster(contender, timing) as cluster:
                        words = contender.play(cluster, cluster.nodes[1], count - 1)
                        if not words:
                            break
                        plan.say(what)
                        cluster.played = count
                        _measure(plan, contender, timing, cluster, words)
                except BenchError as error:
                    plan.failed(what, error)


def _measure(plan: Plan, contender: Contender, timing: Timing, cluster: Cluster, words: list[str]) -> None:
    watch, real, others = cluster.watch, *cluster.nodes
    playing = others.namespace.start(words)
    cluster.boot(real)
    watch.wait(
        lambda: contender.sees(cluster, real) == cluster.played, _PATIENCE_S, "it doesn't see all nodes"
    )
    watch.rest(2 * timing.heartbeat_ms / 1000)
    watch.forget()
    worker = contender.worker(real)
    before, since = processor_ns(real.namespace.pids()), time.monotonic()
    watch.rest(plan.amounts.nodes_s)
    pids = real.namespace.pids()
    after, seconds = processor_ns(pids), time.monotonic() - since
    if playing.poll() is not None or real.main not in after:
        raise BenchError("the generator or the daemon has ended")
    if contender.worker(real) != worker:
        raise BenchError(f"the worker was replaced: {real.last_words()}")
    common = before.keys() & after.keys()
    heard = sum(frame.node == others.name for frame in watch.frames) / seconds
    if heard < 0.9 * (cluster.played - 1) * 1000 / timing.heartbeat_ms:
        raise BenchError(f"the generator is too slow: {heard:.0f} heartbeats a second")
    used = sum(after[pid] - before[pid] for pid in common) / seconds / 1e7
    # Of each number of nodes, a group of its own.
    group = Timing(f"{cluster.played} nodes", timing.heartbeat_ms, timing.dead_ms)
    note = f"{cluster.played} nodes"
    plan.row(NAME, "one core", "%", contender, group, note).samples.append(used)
    memory = private_dirty(pids) / (1 << 20)
    plan.row(NAME, "private dirty memory", "MiB", contender, group, note).samples.append(memory)
