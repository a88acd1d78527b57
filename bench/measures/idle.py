"""What a cluster in which nothing happens costs: processor time, memory, bytes on the wire."""

from __future__ import annotations

import os
import subprocess
import time

from bench.cluster import Cluster
from bench.contenders.base import Contender, Timing
from bench.errors import BenchError
from bench.plan import Plan
from bench.processes import dirty, locked, private_dirty, processor_ns

NAME = "idle"
GROUPS = ("1 s", "100 ms")
MIB = 1 << 20
_SETTLE_S = 3.0
_WINDOWS = 3
"""The idle time is cut into so many parts, so that one in which something else happened can be told."""


def run(plan: Plan) -> None:
    for contender in plan.contenders:
        for timing in plan.timings(contender, *GROUPS):
            what = f"idle, {contender.name} at {timing} ms"
            plan.say(what)
            try:
                with plan.cluster(contender, timing) as cluster:
                    cluster.start()
                    cluster.watch.rest(_SETTLE_S)
                    _measure(plan, contender, timing, cluster)
            except BenchError as error:
                plan.failed(what, error)
    _floor(plan)


def _measure(plan: Plan, contender: Contender, timing: Timing, cluster: Cluster) -> None:
    active, standby = cluster.active, cluster.standby
    used: dict[str, list[float]] = {"active": [], "standby": [], "both": []}
    watch, seconds = cluster.watch, plan.amounts.idle_s / _WINDOWS
    watch.forget()
    sent: list[float] = []
    changed = False
    for _ in range(_WINDOWS):
        watch.forget()
        since = time.monotonic()
        before = [processor_ns(node.namespace.pids()) for node in (active, standby)]
        watch.rest(seconds)
        after = [processor_ns(node.namespace.pids()) for node in (active, standby)]
        to_30_s = 30 / (time.monotonic() - since)
        changed |= any(one.keys() != other.keys() for one, other in zip(before, after))
        parts = [
            sum(new[pid] - old[pid] for pid in old.keys() & new.keys()) / 1e6 * to_30_s
            for old, new in zip(before, after)
        ]
        for name, value in zip(used, [*parts, sum(parts)]):
            used[name].append(value)
        sent.append(sum(frame.size for frame in watch.frames) * to_30_s / 30)
    if not cluster.runs(active) or cluster.runs(standby):
        raise BenchError("the service moved in an idle cluster")
    note = "processes came or went; their time is missing" if changed else ""
    for name, samples in used.items():
        plan.row(NAME, f"processor time in 30 s, {name}", "ms", contender, timing, note).samples += samples
    plan.row(NAME, "bytes on the wire each second", "B", contender, timing).samples += sent
    for name, node in (("active", active), ("standby", standby)):
        pids = node.namespace.pids()
        note = f"{len(pids)} processes"
        if locked(pids):
            note += f", {locked(pids) / MIB:.1f} MiB locked"
        row = plan.row(NAME, f"private dirty memory, {name}", "MiB", contender, timing, note)
        row.samples.append(private_dirty(pids) / MIB)
        row = plan.row(NAME, f"dirty memory with what they share, {name}", "MiB", contender, timing)
        row.samples.append(dirty(pids) / MIB)


_BARE = """
import os, sys, time
if sys.argv[1] == "two" and os.fork() == 0:
    os.close(1)
else:
    print(os.getpid(), flush=True)
time.sleep(60)
"""


def _floor(plan: Plan) -> None:
    """Measure the interpreter that does nothing, alone and with a forked copy, as guard and worker are."""
    for contender in plan.contenders:
        if contender.is_peer:
            continue
        for count in ("one", "two"):
            process = subprocess.Popen(
                [contender.python, "-I", "-c", _BARE, count],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                assert process.stdout is not None
                pid = int(process.stdout.readline())
                time.sleep(0.3)
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                    pids = [pid, *map(int, file.read().split())]
                floor = Timing("floor", 0, 0)
                text = f"bare interpreter, {count}"
                row = plan.row(NAME, "private dirty memory, floor", "MiB", contender, floor, text)
                row.samples.append(private_dirty(pids) / MIB)
                row = plan.row(
                    NAME, "dirty memory with what they share, floor", "MiB", contender, floor, text
                )
                row.samples.append(dirty(pids) / MIB)
            finally:
                os.killpg(process.pid, 9)
                process.communicate()
