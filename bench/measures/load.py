"""False take-overs while the processors have much too much to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

from bench.cluster import Cluster
from bench.contenders.base import Contender, Timing
from bench.errors import BenchError
from bench.plan import Plan
from bench.watch import Frame

NAME = "load"
_BURN = "while True: pass"
_BURNERS = 4
"""For each processor, where there is no stress-ng."""


def run(plan: Plan) -> None:
    for contender in plan.contenders:
        timing = contender.loaded
        if timing is None or (plan.groups and timing.group not in plan.groups):
            continue
        what = f"load, {contender.name} at {timing} ms"
        plan.say(what)
        try:
            with plan.cluster(contender, timing) as cluster:
                cluster.start()
                _measure(plan, contender, timing, cluster)
        except BenchError as error:
            plan.failed(what, error)


def _measure(plan: Plan, contender: Contender, timing: Timing, cluster: Cluster) -> None:
    watch, active, seconds = cluster.watch, cluster.active, plan.amounts.load_s
    since = len(watch.marks)
    watch.forget()
    begun_ns = time.monotonic_ns()
    burning = [cluster.switch.start(words) for words in burners(seconds)]
    try:
        watch.pump(seconds)
        if any(process.poll() not in (None, 0) for process in burning):
            raise BenchError("the load has ended by itself")
    finally:
        for process in burning:
            _end(cluster, process)
    moves = [mark for mark in watch.marks[since:] if mark.word == "start"]
    note = f"{seconds:.0f} s of {'stress-ng' if shutil.which('stress-ng') else 'own'} load"
    row = plan.row(NAME, "false take-overs", "", contender, timing, note)
    row.samples.append(len(moves))
    row = plan.row(NAME, "longest silence of the active", "ms", contender, timing)
    row.samples.append(
        longest_silence([frame for frame in watch.frames if frame.node == active.name], begun_ns)
    )


def burners(seconds: float) -> list[list[str]]:
    """Return the commands that load the machine; they end by themselves if nobody ends them."""
    if shutil.which("stress-ng"):
        words = ["stress-ng", "--cpu", "8", "--io", "4", "--temp-path", "/run"]
        return [[*words, "--timeout", f"{seconds + 5:.0f}s", "--quiet"]]
    burner = ["timeout", f"{seconds + 5:.0f}", sys.executable, "-I", "-S", "-c", _BURN]
    return [burner] * (_BURNERS * (os.cpu_count() or 1))


def _end(cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    """All that runs in the switch is load."""
    if process.poll() is None:
        cluster.switch.kill_all()


def longest_silence(frames: list[Frame], since_ns: int) -> float:
    """Return the longest pause between two heartbeats, in ms."""
    times = [since_ns, *(frame.ns for frame in frames)]
    return max((later - earlier for earlier, later in zip(times, times[1:])), default=0) / 1e6
