"""What passes from worker to worker, and between guard and worker (rules G1, G2, G5)."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_tools import CRASH_ONCE, Daemon, daemons, kill

from had.core.data import GroupWord, LinkWord, NodeData, Peer
from had.core.states import State
from had.runtime import channel as messages
from had.runtime.alerts import AlertData
from had.runtime.channel import pair
from had.runtime.clock import now_ns
from had.runtime.handover import Handover, Snapshot
from had.runtime.hooks import RunnerData
from had.runtime.record import RecorderData

Make = Callable[..., Daemon]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with daemons(tmp_path) as made:
        yield made


def snapshot(obeyed: int, node: NodeData | None = None) -> Snapshot:
    return Snapshot(
        node or NodeData(), RunnerData((), ()), AlertData((), None, 0, 0), RecorderData((), ()), (), obeyed
    )


# --- the shared memory


def test_G5_the_newest_snapshot_is_loaded() -> None:
    handover = Handover()
    assert handover.load() is None
    for number in range(1, 6):
        handover.save(snapshot(number))
        loaded = handover.load()
        assert loaded is not None
        assert loaded.obeyed == number


def test_G5_a_snapshot_goes_from_process_to_process() -> None:
    handover = Handover()
    for number in range(1, 5):
        pid = os.fork()
        if pid == 0:
            before = handover.load()
            handover.save(snapshot(1 if before is None else before.obeyed + 1))
            handover.tick(number)
            os._exit(0)
        os.waitpid(pid, 0)
        loaded = handover.load()
        assert loaded is not None
        assert loaded.obeyed == number
        assert handover.last_tick_ns() == number


@pytest.mark.parametrize("offset", [8, 12, 16, 100])
def test_G5_a_snapshot_that_was_cut_short_does_not_count(offset: int) -> None:
    handover = Handover()
    handover.save(snapshot(1))
    handover.save(snapshot(2))
    memory = handover._memory
    # the second one is in the first slot, behind the head
    start = 16
    assert struct.unpack_from("=Q", memory, start)[0] == 2
    for place in range(start + offset, start + offset + 4):
        memory[place] ^= 0xFF
    loaded = handover.load()
    assert loaded is not None
    assert loaded.obeyed == 1
    # whatever was there: the next one is written and found
    handover.save(snapshot(3))
    again = handover.load()
    assert again is not None
    assert again.obeyed == 3


def test_G5_a_slot_with_nothing_in_it_does_not_count() -> None:
    # an empty text has a right checksum: 0
    handover = Handover()
    handover.save(snapshot(1))
    struct.pack_into("=QII", handover._memory, 16, 9, 0, 0)
    loaded = handover.load()
    assert loaded is not None
    assert loaded.obeyed == 1


def test_G5_a_killed_writer_leaves_a_whole_snapshot() -> None:
    handover = Handover()
    handover.save(snapshot(0))
    big = NodeData(told_ns={f"complaint {number}": number for number in range(2000)})
    last = 0
    for number in range(25):
        pid = os.fork()
        if pid == 0:
            handover.load()
            while True:
                last += 1
                handover.save(snapshot(last, big))
        time.sleep(0.002 + number * 0.0007)
        kill(pid)
        os.waitpid(pid, 0)
        loaded = handover.load()
        assert loaded is not None
        assert loaded.obeyed >= last
        last = loaded.obeyed


def test_G5_the_largest_cluster_fits() -> None:
    node = NodeData()
    for number in range(1000):
        name = f"node-with-a-long-name-{number:09d}"
        words = {link: LinkWord(2**60, [GroupWord(State.STANDBY, 3, 2**60)]) for link in range(4)}
        node.peers[name] = Peer(name, 2**60, 2**60, words, conflict_ns={0: 2**60})
    node.met = list(node.peers)
    handover = Handover()
    handover.save(snapshot(1, node))
    loaded = handover.load()
    assert loaded is not None
    assert len(loaded.node.peers) == 1000


def test_the_end_on_purpose_is_told_from_a_death() -> None:
    handover = Handover()
    assert handover.finished() is None
    for code in (0, 1, 3):
        handover.finish(code)
        assert handover.finished() == code


# --- the channel


def test_messages_arrive_whole_and_in_order() -> None:
    ours, theirs = pair()
    assert theirs.take() is None
    assert not theirs.closed
    for number in range(50):
        assert ours.tell(messages.SIGNAL, signal.SIGHUP, number)
    assert ours.tell(messages.REAPED, 2**40, 2**63)
    assert ours.tell(messages.FAILED, text="warum? " + "ж" * 5000)
    for number in range(50):
        assert theirs.take() == (messages.SIGNAL, signal.SIGHUP, number, "")
    assert theirs.take() == (messages.REAPED, 2**40, 2**63, "")
    last = theirs.take()
    assert last is not None
    assert last.text.startswith("warum? жж")
    ours.close()
    theirs.close()


def test_what_was_told_before_the_end_is_still_heard() -> None:
    ours, theirs = pair()
    theirs.tell(messages.FAILED, text="no")
    theirs.close()
    message = ours.take()
    assert message is not None
    assert message.text == "no"
    assert not ours.closed
    assert ours.take() is None
    assert ours.closed
    assert not ours.tell(messages.SIGNAL, 1, 1)
    ours.close()


def test_a_side_that_does_not_read_holds_nobody_up() -> None:
    ours, theirs = pair()
    begun = time.monotonic()
    told = sum(ours.tell(messages.SIGNAL, 1, number) for number in range(5000))
    assert 64 < told < 5000
    assert time.monotonic() - begun < 5
    ours.close()
    theirs.close()


def test_the_clock_counts_the_time_of_a_suspended_machine() -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert now_ns() >= before
    assert abs(now_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < 10**9


# --- a worker that is killed at a chosen moment

SITES = {
    "snapshots": """
from had.runtime.handover import Handover
crash_once(Handover, "save", after=False, times=5, marker=TOP + "/before-save")
crash_once(Handover, "save", times=5, marker=TOP + "/after-save")
""",
    "forks": """
import had.runtime.hookchild as hookchild
crash_once(hookchild, "fork", after=False, times=5, marker=TOP + "/before-fork")
crash_once(hookchild, "fork", times=5, marker=TOP + "/after-fork")
""",
    "results": """
from had.runtime.hooks import HookRunner
from had.runtime.worker import Worker
crash_once(Worker, "_hook_over", after=False, times=4, marker=TOP + "/before-over")
crash_once(Worker, "_hook_over", times=4, marker=TOP + "/after-over")
crash_once(HookRunner, "forget", after=False, times=3, marker=TOP + "/before-forget")
crash_once(HookRunner, "forget", times=3, marker=TOP + "/after-forget")
""",
    "alerts": """
from had.runtime.alerts import AlertQueue
crash_once(AlertQueue, "add", after=False, times=4, marker=TOP + "/before-add")
crash_once(AlertQueue, "add", times=4, marker=TOP + "/after-add")
""",
    "actions": """
from had.runtime.links import Links
from had.runtime.record import Recorder
from had.runtime.statefile import StateFile
crash_once(Links, "open", times=2, marker=TOP + "/after-open")
crash_once(Links, "send", times=3, marker=TOP + "/after-send")
crash_once(Recorder, "_begin", times=3, marker=TOP + "/after-record")
crash_once(StateFile, "write", times=4, marker=TOP + "/after-write")
""",
    "ends": """
from had.runtime.handover import Handover
from had.runtime.worker import Worker
crash_once(Worker, "_exit", times=1, marker=TOP + "/after-exit")
crash_once(Worker, "_close", after=False, times=2, marker=TOP + "/before-close")
crash_once(Handover, "finish", after=False, times=1, marker=TOP + "/before-finish")
crash_once(Handover, "finish", times=1, marker=TOP + "/after-finish")
""",
}


@pytest.mark.parametrize("site", SITES)
def test_G1_each_hook_runs_once_wherever_the_worker_dies(make: Make, site: str) -> None:
    daemon = make()
    daemon.prelude = CRASH_ONCE + f"TOP = {str(daemon.top)!r}\n" + SITES[site]
    guard = daemon.up()
    daemon.wait_state("Running")
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    daemon.send(signal.SIGUSR1)
    daemon.wait_state("Running")
    daemon.settle(8)
    daemon.send(signal.SIGTERM)
    daemon.wait_end(guard)
    assert daemon.exit_code() == 0
    daemon.wait_gone()
    assert daemon.moves() == ["stophasrv", "starthasrv"] * 2 + ["stophasrv"], daemon.log
    # the last one may still have waited when the daemon ended (A1)
    assert daemon.alerts() in (["3", "5", "4", "2"] * 2, ["3", "5", "4", "2"] * 2 + ["3"]), daemon.log
    assert "lost" not in daemon.log
    assert "already" not in daemon.log, "no word was obeyed twice"
    crashes = daemon.log.count("has died")
    assert crashes >= 3, "it did crash"


@pytest.mark.parametrize("after", [False, True])
def test_G1_a_monitor_that_was_told_to_end_has_not_failed(make: Make, after: bool) -> None:
    # SIGHUP ends it; the worker dies right before or after it has done so
    daemon = make()
    daemon.prelude = CRASH_ONCE + "from had.runtime.hooks import HookRunner\n"
    daemon.prelude += f"crash_once(HookRunner, 'end', after={after}, marker={str(daemon.top / 'end')!r})\n"
    daemon.running()
    daemon.settle()
    daemon.control("monitorhasrv.hang")
    calls = len(daemon.journal("monitorhasrv"))
    daemon.kill_worker()  # the next one asks at once
    daemon.wait_call("monitorhasrv", calls + 1)
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby", "ERRORED")
    assert daemon.state() == "Standby", daemon.log
    assert daemon.log.count("has died") == 2
    daemon.settle(6)
    assert daemon.alerts() == ["3", "5", "4", "2", "3", "5"]


def test_G5_a_word_that_came_just_before_the_death_is_not_lost(make: Make) -> None:
    # It was read, but not yet obeyed, when a snapshot was made for a hook that was due at the same moment.
    daemon = make(hooks__monitor_interval="200ms")
    daemon.prelude = f"""
import os, time
from had.runtime.worker import Worker
hear, run = Worker._hear_guard, Worker._run_hook
def slowly(self):
    hear(self)
    if self._words:
        time.sleep(0.5)
def crashing(self, action):
    if self._words and not os.path.exists({str(daemon.top / "crashed")!r}):
        open({str(daemon.top / "crashed")!r}, "x").close()
        os.kill(os.getpid(), 9)
    run(self, action)
Worker._hear_guard, Worker._run_hook = slowly, crashing
"""
    daemon.running()
    daemon.send(signal.SIGHUP)
    daemon.wait_log("has died")
    daemon.wait_state("Standby")
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]


def test_G5_a_word_that_was_obeyed_is_not_obeyed_again(make: Make) -> None:
    daemon = make()
    daemon.prelude = f"""
import os
from had.runtime.worker import Worker
run = Worker._run_hook
def crashing(self, action):
    if self._obeyed and not os.path.exists({str(daemon.top / "crashed")!r}):
        open({str(daemon.top / "crashed")!r}, "x").close()
        os.kill(os.getpid(), 9)
    run(self, action)
Worker._run_hook = crashing
"""
    daemon.running()
    daemon.send(signal.SIGHUP)
    daemon.wait_log("has died")
    daemon.wait_state("Standby")
    daemon.send(signal.SIGUSR2)  # ends the hold; a second SIGHUP after it would begin another one
    daemon.wait_state("Running")
    daemon.settle(8)
    assert daemon.moves() == ["stophasrv", "starthasrv"] * 2
    assert "already stopping" not in daemon.log


def test_G2_a_new_worker_needs_no_file_of_the_program(make: Make) -> None:
    # It must come up within milliseconds, also when the disk with the program is gone.
    daemon = make(nodes="alpha, zeta")
    daemon.peer("zeta", State.STANDBY)
    daemon.prelude = f"""
import sys
from had.runtime.guard import Guard
be = Guard._be_worker
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        with open({str(daemon.top / "loaded")!r}, "ab") as file:
            file.write(name.encode() + b"\\n")
def watched(self, *channels):
    sys.meta_path.insert(0, Finder)
    be(self, *channels)
Guard._be_worker = watched
"""
    daemon.control("starthasrv.do", "echo привет\n")
    daemon.running()
    daemon.kill_worker()
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    daemon.terminate()
    loaded = daemon.top / "loaded"
    assert not loaded.exists(), loaded.read_text()
