"""Exact at short times, quick where it matters, and cheap where nothing happens: on real daemons on loopback.

How fast it is compared with others is not measured here but by ``bench/``.
"""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

import pytest
from daemon_tools import Daemon, Listener, daemons, eventually, kill

from had.core.states import State

ORDER = """
import had.runtime.hooks as hooks, had.runtime.statefile as statefile, had.runtime.statusfile as statusfile
def note(what):
    with open({path!r}, "a") as file:
        file.write(what + "\\n")
def noting(owner, name, tell):
    def call(self, *args, old=getattr(owner, name), **kwargs):
        note(tell(*args))
        return old(self, *args, **kwargs)
    setattr(owner, name, call)
noting(hooks.HookRunner, "start", lambda action, *_: action.hook.value)
noting(statefile.StateFile, "show", lambda text: "state " + text.split()[1])
noting(statusfile.StatusFile, "show", lambda status, *_: "status " + status.state.name)
"""


@pytest.fixture
def make(tmp_path):
    with daemons(tmp_path) as made:
        yield made


def pair(make, **settings):
    """Two daemons of one cluster, alpha and beta, of which one has come to run the services."""
    alpha, beta = make(), make()
    beta.name, beta.port = "beta", alpha.port
    for daemon in (alpha, beta):
        daemon.configure(nodes="alpha, beta", startup="30s", **settings)
        daemon.up()
    for daemon in (alpha, beta):
        eventually(lambda daemon=daemon: daemon.shown().get("state") in ("RUNNING", "STANDBY"), daemon.log)
    eventually(lambda: {d.shown().get("state") for d in (alpha, beta)} == {"RUNNING", "STANDBY"}, alpha.log)
    return alpha, beta


@pytest.mark.alone
def test_heartbeats_of_10_ms_are_exact_and_lose_nobody(make):
    alpha, beta = pair(make, heartbeat="10ms", dead="50ms")
    listener = Listener(alpha.port, "alpha")
    try:
        eventually(lambda: len(listener.beats) > 300, "heartbeats")
        gaps = listener.gaps()
    finally:
        listener.close()
    assert abs(statistics.median(gaps) - 0.010) < 0.002, gaps
    late = sorted(abs(gap - 0.010) for gap in gaps)
    assert late[len(late) * 3 // 4] < 0.002, late
    for daemon in (alpha, beta):
        if "realtime: SCHED_RR 1" in daemon.log:  # else a machine with other work is allowed to be late
            assert "timed out" not in daemon.log


def test_what_comes_often_at_short_times_is_told_once_a_minute(make):
    """A machine that is too slow for its dead time says so, and doesn't fill the log with it (P1)."""
    daemon = make(heartbeat="10ms", dead="100ms")
    daemon.prelude = """
import time
from pathlib import Path
import had.runtime.worker as w
def slow(self, turn=w.Worker._turn):
    turn(self)
    time.sleep(0.06)
w.Worker._turn = slow
"""
    daemon.running()
    time.sleep(2)  # some thirty times late
    assert len(re.findall("this node was late by", daemon.log)) == 1


def test_hooks_come_before_the_files_for_people(make):
    """A disk may take milliseconds to replace a file, which a start would be late by."""
    daemon = make()
    order = daemon.top / "order"
    daemon.prelude = ORDER.format(path=str(order))
    daemon.running()
    steps = order.read_text().splitlines()
    begins = steps.index("starthasrv")
    assert begins < steps.index("state [Starting]")
    assert begins < steps.index("status STARTING")


def test_the_state_file_is_replaced_once_a_second_and_at_each_change(make):
    daemon = make(heartbeat="20ms", nodes="2", startup="1h", dead="1s")
    peer = daemon.peer("beta", State.RUNNING)
    daemon.up()
    daemon.wait_state("Standby")
    seen, until = set(), time.monotonic() + 3
    while time.monotonic() < until:
        seen.add(daemon.state_path.stat().st_mtime_ns)
        time.sleep(0.005)
    assert 2 <= len(seen) <= 5
    begin = time.monotonic()
    for state, word in ((State.STOPPING, "Stopping"), (State.RUNNING, "Running")) * 2:
        peer.state = state
        eventually(lambda word=word: f"beta [{word}]" in daemon.state_path.read_text(), word)
    assert time.monotonic() - begin < 2, "four changes"


def test_the_guard_sleeps_while_the_worker_is_well(make):
    daemon = make(dead="3s")
    daemon.running()
    before = switches(daemon)
    time.sleep(4)
    assert switches(daemon) - before <= 8, "once in its patience of a second, and once more for each accident"


def switches(daemon: Daemon) -> int:
    """How often the guard has gone to sleep."""
    text = Path(f"/proc/{daemon.guard}/status").read_text()
    return int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", text)[1])


@pytest.mark.alone
def test_a_dead_workers_place_is_taken_within_milliseconds(make):
    daemon = make(heartbeat="20ms", dead="1s")
    daemon.running()
    listener = Listener(daemon.port, "alpha")
    try:
        for _ in range(5):
            beats = len(listener.beats)
            eventually(lambda beats=beats: len(listener.beats) > beats + 10, "heartbeats")
            old = daemon.worker()
            kill(old)
            daemon.worker(but=old)
            time.sleep(0.2)
        gaps = sorted(listener.gaps())[-5:]
    finally:
        listener.close()
    assert statistics.median(gaps) < 0.1, gaps  # 20 ms of it are the heartbeat's own
    assert "has died" in daemon.log


def test_garbage_is_collected_in_between(make):
    """The interpreter's own collections are off, and what they would free is freed."""
    daemon = make()
    told = daemon.top / "told"
    daemon.prelude = f"""
import gc
import had.runtime.worker as w
class Ring:
    def __init__(self):
        self.ring = self
    def __del__(self):
        with open({str(told)!r}, "a") as file:
            file.write("enabled\\n" if gc.isenabled() else "freed\\n")
def littering(self, turn=w.Worker._turn):
    turn(self)
    for _ in range(500):
        Ring()
w.Worker._turn = littering
"""
    daemon.running()
    eventually(lambda: told.exists() and told.read_text().count("freed") > 2000, daemon.log)
