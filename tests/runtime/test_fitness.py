"""What the daemon asks of the kernel for itself, and that hooks get none of it: seen on real processes.

Where this machine refuses something, the log has to say so, and the process has to run without it.
"""

from __future__ import annotations

import os
import re
import resource
import signal
from types import SimpleNamespace

import pytest
from daemon_tools import daemons, eventually, kill, proc_status

from had.runtime.fitness import Fitness

STANDING = """
import os
rt = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, os.getpriority(os.PRIO_PROCESS, 0)
score = int(open("/proc/self/oom_score_adj").read())
lock = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmLck")]
print("standing", *rt, score, *lock, len(os.sched_getaffinity(0)), flush=True)
"""
SCORES = """
import had.runtime.fitness as fitness
fitness.GUARD_SCORE, fitness.WORKER_SCORE = 100, 200  # more is given to everybody, less to few
"""


@pytest.fixture
def make(tmp_path):
    with daemons(tmp_path) as made:
        yield made


def score(pid):
    with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as file:
        return int(file.read())


def standing(pid):
    return os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority


def may_be_realtime():
    pid = os.fork()
    if pid == 0:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def may_lock():
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return os.geteuid() == 0 or soft == resource.RLIM_INFINITY


def probing(make, prelude="", **settings):
    """Start a daemon whose start hook tells how it stands."""
    daemon = make(**settings)
    path = daemon.top / "standing.py"
    path.write_text(STANDING)
    daemon.control("starthasrv.do", f"{os.path.realpath('/proc/self/exe')} -I -S {path}\n")
    daemon.prelude = prelude
    daemon.running()
    found = eventually(lambda: re.search(r"starthasrv: standing (.*)", daemon.log), daemon.log)
    return daemon, [int(word) for word in found[1].split()]


@pytest.mark.parametrize(("policy", "priority"), [(os.SCHED_RR, 5), (os.SCHED_FIFO, 7)])
def test_a_priority_that_was_given_is_not_lowered(policy, priority):
    """Under ``chrt``: whoever has as much must not keep the daemon from its heartbeats."""
    if not may_be_realtime():
        pytest.skip("SCHED_RR may not be had here")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.sched_setscheduler(0, policy, os.sched_param(priority))
            fitness = Fitness(SimpleNamespace(realtime=True, oom_protection=False))
            os.write(writing, f"{fitness.of_guard()}, {fitness.of_worker()}, {standing(0)}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(pid, 0)
    assert text.count(f"SCHED_RR {priority}") == 2
    assert text.endswith(f"({os.SCHED_RR}, {priority})")


def test_both_are_real_time_the_guard_above_the_worker_and_hooks_are_not(make):
    if not may_be_realtime():
        pytest.skip("SCHED_RR may not be had here")
    daemon, hook = probing(make)
    assert standing(daemon.guard) == (os.SCHED_RR, 2)
    assert standing(daemon.worker()) == (os.SCHED_RR, 1)
    assert "guard: realtime: SCHED_RR 2; " in daemon.log
    assert "worker: realtime: SCHED_RR 1; " in daemon.log
    assert hook[:3] == [*standing(0), os.getpriority(os.PRIO_PROCESS, 0)]
    assert hook[5] == len(os.sched_getaffinity(0))
    daemon.kill_worker()
    assert standing(daemon.worker()) == (os.SCHED_RR, 1)


def test_the_oom_score_is_the_daemons_and_not_the_hooks(make):
    daemon, hook = probing(make, SCORES)
    assert (score(daemon.guard), score(daemon.worker())) == (100, 200)
    assert "worker: realtime: " in daemon.log
    assert "; oom_protection: 200" in daemon.log
    assert hook[3] == score("self")


def test_what_is_refused_is_said_and_does_without(make):
    daemon = make()
    daemon.prelude = "import had.runtime.fitness as f; f.WORKER_SCORE = 5000; f.WORKER_PRIORITY = 5000"
    daemon.running()
    line = "worker: realtime: no, Invalid argument; oom_protection: no, Invalid argument"
    eventually(lambda: line in daemon.log, daemon.log)


def test_everything_can_be_switched_off(make):
    daemon = make(process__realtime="no", process__oom_protection="no")
    daemon.running()
    for pid in (daemon.guard, daemon.worker()):
        assert standing(pid) == standing(0)
        assert score(pid) == score("self")
    assert "guard: realtime: no, switched off; oom_protection: no, switched off" in daemon.log
    assert "worker: lock_memory: no, switched off" in daemon.log
    assert proc_status(daemon.worker(), "VmLck") == "0 kB"


def test_the_worker_can_be_locked_and_hooks_are_not(make):
    if not may_lock():
        pytest.skip("memory may not be locked here")
    daemon, hook = probing(make, process__lock_memory="yes")
    eventually(lambda: "worker: lock_memory: yes" in daemon.log, daemon.log)
    assert int(proc_status(daemon.worker(), "VmLck").split()[0]) > 5_000
    assert proc_status(daemon.guard, "VmLck") == "0 kB"
    assert hook[4] == 0


def test_memory_that_may_not_be_locked_is_said(make):
    daemon = make(process__lock_memory="yes")
    daemon.prelude = "import had.runtime.fitness as f; f._MCL_CURRENT = 1024"  # no such flag
    daemon.running()
    eventually(lambda: "worker: lock_memory: no, " in daemon.log, daemon.log)


@pytest.mark.parametrize("way", ["spin", "stop"])
def test_a_worker_that_spins_or_stands_still_is_killed(make, way):
    """A worker at real-time priority that spins must not keep the guard from ending it (G2)."""
    daemon = make()
    spin = daemon.top / "spin"
    daemon.prelude = f"""
import os
import had.runtime.worker as w
def spinning(self, turn=w.Worker._turn):
    if os.path.exists({str(spin)!r}):
        os.unlink({str(spin)!r})
        while True:
            pass
    turn(self)
w.Worker._turn = spinning
"""
    daemon.running()
    worker = daemon.worker()
    if way == "spin":
        spin.touch()
    else:
        kill(worker, signal.SIGSTOP)
    assert daemon.worker(but=worker) != worker
    assert re.search(rf"worker {worker} has hung for 1\.[0-9] s: it is killed", daemon.log), daemon.log
