"""The guard: its own death, and workers that die again and again (rules G3, G4, S5)."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_tools import Daemon, daemons, eventually, is_alive, kill, status

from had.core.states import State

Make = Callable[..., Daemon]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with daemons(tmp_path) as made:
        yield made


def orphan(daemon: Daemon) -> int:
    """kill -9 the guard; returns the worker's number once the pid file has it."""
    guard, worker = daemon.guard, daemon.worker()
    kill(guard)
    eventually(lambda: daemon.pid_text() == f"{worker}\n", f"the pid file names the worker\n{daemon.log}")
    return worker


def die(daemon: Daemon, times: int) -> None:
    """Let so many workers die, one after another."""
    worker = 0
    for _ in range(times):
        worker = daemon.worker(but=worker)
        kill(worker)
        eventually(lambda dead=worker: not is_alive(dead), "it is dead")


# --- G4


@pytest.mark.alone
def test_G4_the_worker_stands_in_for_a_dead_guard(make: Make) -> None:
    daemon = make()
    listener = daemon.listen()
    daemon.running()
    daemon.settle()
    begun = time.time()
    worker = orphan(daemon)
    daemon.wait_log("the guard has died")
    again = daemon.start()
    assert again.returncode == 1
    assert f"runs already as process {worker}" in again.stderr
    assert daemon.moves() == ["stophasrv", "starthasrv"]
    # it takes the signals
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    daemon.send(signal.SIGUSR1)
    daemon.wait_state("Running")
    assert max(listener.gaps(begun)) < 1.0
    daemon.terminate()
    assert daemon.moves() == ["stophasrv", "starthasrv"] * 2 + ["stophasrv"]
    daemon.wait_gone()
    daemon.running()  # and the next one starts


@pytest.mark.parametrize("hook", ["starthasrv", "stophasrv"])
def test_G4_kill_9_of_the_guard_in_the_middle_of_a_hook(make: Make, hook: str) -> None:
    daemon = make()
    if hook == "starthasrv":
        hang = daemon.control("starthasrv.hang")
        daemon.up()
    else:
        daemon.running()
        daemon.settle()
        hang = daemon.control("stophasrv.hang")
        daemon.send(signal.SIGHUP)
    daemon.wait_call(hook, 1 if hook == "starthasrv" else 2)
    orphan(daemon)
    hang.unlink()
    daemon.wait_state("Running" if hook == "starthasrv" else "Standby")
    expected = ["stophasrv", "starthasrv"] + ([] if hook == "starthasrv" else ["stophasrv"])
    assert daemon.moves() == expected


def test_G4_a_word_told_to_the_guard_just_before_its_death(make: Make) -> None:
    daemon = make()
    guard = daemon.running()
    worker = daemon.worker()
    kill(worker, signal.SIGSTOP)
    kill(guard, signal.SIGHUP)
    time.sleep(0.2)  # the guard passes it on
    kill(guard)
    kill(worker, signal.SIGCONT)
    daemon.wait_state("Standby")
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]


def test_G4_a_pid_file_that_was_removed_is_made_anew(make: Make) -> None:
    daemon = make()
    daemon.running()
    guard, worker = daemon.guard, daemon.worker()
    daemon.pid_path.unlink()
    kill(guard)
    eventually(lambda: daemon.pid_text() == f"{worker}\n", "the pid file names the worker", 10)
    assert daemon.start().returncode == 1
    daemon.terminate()


# --- S5: both dead


def test_S5_a_left_over_hook_is_ended_first(make: Make) -> None:
    daemon = make()
    hang = daemon.control("starthasrv.hang")
    daemon.up()
    daemon.wait_call("starthasrv")
    pids = (daemon.guard, daemon.worker())
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            kill(pid, number)
    eventually(lambda: not any(map(is_alive, pids)), "both are dead")
    left = len(daemon.processes())
    assert left, "the hook lives on"
    assert daemon.pid_text() == f"{pids[0]}\n"
    daemon.up()
    daemon.wait_log(f"was left by process {pids[0]}")
    daemon.wait_call("starthasrv", 2)
    hang.unlink()
    daemon.wait_state("Running")
    eventually(lambda: daemon.alerts()[-1] == "2", "the last alert")
    lines = [line for line in daemon.journal_path.read_text().splitlines() if "alert" not in line]
    words = [" ".join((*line.split()[:2], *line.split()[3:])) for line in lines]
    assert words == [
        "monitorhasrv begin",
        "monitorhasrv end 3",
        "stophasrv begin",
        "stophasrv end 0",
        "starthasrv begin",
        "starthasrv end 143",  # ended before anything else
        "monitorhasrv begin",
        "monitorhasrv end 3",
        "stophasrv begin",
        "stophasrv end 0",
        "starthasrv begin",
        "starthasrv end 0",
    ]


def test_S5_services_that_are_up_stay_up_over_the_death_of_both(make: Make) -> None:
    daemon = make()
    daemon.running()
    daemon.settle()
    pids = (daemon.guard, daemon.worker())
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            kill(pid, number)
    eventually(lambda: not any(map(is_alive, pids)), "both are dead")
    daemon.running()
    assert daemon.moves() == ["stophasrv", "starthasrv"]


# --- G3


def test_G3_with_a_peer_that_can_take_over_the_services_are_stopped(make: Make) -> None:
    daemon = make(nodes="alpha, zeta")
    listener = daemon.listen()
    daemon.peer("zeta", State.STANDBY)
    process = daemon.run_foreground(start_new_session=True)
    daemon.wait_state("Running")
    daemon.settle()
    daemon.control("stophasrv.do", "echo the last stop; sleep 1\n")
    die(daemon, 5)
    daemon.wait_call("stophasrv", 2)
    listener.beats.clear()
    assert process.wait(30) == 1
    # STOPPING is announced until it is over
    assert listener.states() == [State.STOPPING]
    assert len(listener.beats) >= 5
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    assert not (daemon.top / "service").exists()
    assert not daemon.pid_path.exists()
    assert daemon.state() != "Running", "the state file is true"
    assert "stophasrv: the last stop" in daemon.log, "its output is not lost"
    daemon.wait_gone()


def test_G3_never_runs_two_hooks_at_once(make: Make) -> None:
    # The fifth worker dies right after it forked starthasrv, which nobody has noted yet.
    daemon = make(nodes="alpha, zeta")
    daemon.prelude = f"""
import os
import had.runtime.hookchild as hookchild
fork = hookchild.fork
def crashing(command):
    pid = fork(command)
    if command.path.endswith("starthasrv") and os.path.exists({str(daemon.top / "armed")!r}):
        os.kill(os.getpid(), 9)
    return pid
hookchild.fork = crashing
"""
    daemon.peer("zeta", State.STANDBY)
    process = daemon.run_foreground(start_new_session=True)
    daemon.wait_state("Running")
    daemon.settle()
    die(daemon, 4)
    daemon.wait_log("has died", 4)
    daemon.worker()
    daemon.control("armed")
    daemon.control("starthasrv.do", "sleep 2\n")
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    daemon.send(signal.SIGUSR1)
    assert process.wait(30) == 1, daemon.log
    daemon.wait_gone()
    lines = daemon.journal_path.read_text().splitlines()
    running: set[str] = set()
    for line in lines:
        hook, word, *_ = line.split()
        if hook in ("starthasrv", "stophasrv"):
            assert word == "end" or not running, f"two at once: {lines}"
            (running.add if word == "begin" else running.discard)(hook)
    # starthasrv may have been ended before it could write that it begins
    assert [move for move in daemon.moves()[3:] if move != "starthasrv"] == ["stophasrv"]
    assert "starthasrv was ended" in daemon.log
    assert not (daemon.top / "service").exists()


def test_G3_a_stop_that_runs_already_is_waited_for(make: Make) -> None:
    daemon = make(nodes="alpha, zeta")
    daemon.peer("zeta", State.STANDBY)
    process = daemon.run_foreground(start_new_session=True)
    daemon.wait_state("Running")
    daemon.settle()
    hang = daemon.control("stophasrv.hang")
    daemon.send(signal.SIGHUP)
    daemon.wait_call("stophasrv", 2)
    die(daemon, 5)
    daemon.wait_log("another node is to take over")
    time.sleep(0.3)
    hang.unlink()
    assert process.wait(30) == 1
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    assert " 143\n" not in daemon.journal_path.read_text()  # nothing was ended


def test_G3_alone_the_services_stay_and_the_guard_tries_again(make: Make) -> None:
    daemon = make()
    process = daemon.run_foreground(start_new_session=True)
    daemon.wait_state("Running")
    daemon.settle()
    die(daemon, 7)
    daemon.wait_log("trying again in 4 s")
    assert re.findall(r"trying again in (\d+) s", daemon.log) == ["1", "2", "4"]
    assert daemon.moves() == ["stophasrv", "starthasrv"]
    assert daemon.find_worker() == 0
    # a person's word does not wait for the end of the pause
    told = time.monotonic()
    daemon.send(signal.SIGTERM)
    assert process.wait(30) == 0
    took = time.monotonic() - told
    print(f"SIGTERM in the pause: over after {took:.2f} s")
    assert took < 3.0
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]


def test_G3_deaths_now_and_then_are_no_reason_to_give_up(make: Make) -> None:
    daemon = make()
    daemon.prelude = "import had.runtime.guard as g\ng.WITHIN_NS = 100_000_000\n"
    daemon.running()
    for count in range(1, 8):
        daemon.kill_worker()
        daemon.wait_log("goes on after", count)
        time.sleep(0.05)
    assert "within a minute" not in daemon.log
    assert daemon.state() == "Running"


def test_the_guard_needs_no_descriptor_that_is_not_there(make: Make) -> None:
    # No pair of sockets for the next worker just now: that must not be the end of the guard.
    daemon = make()
    trouble = daemon.top / "trouble"
    daemon.prelude = f"""
import errno, os
import had.runtime.guard as g
pair = g.pair
def failing():
    if os.path.exists({str(trouble)!r}):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return pair()
g.pair = failing
"""
    guard = daemon.running()
    trouble.touch()
    kill(daemon.worker())
    daemon.wait_log("no worker can be forked: Too many open files")
    trouble.unlink()
    assert daemon.worker()
    assert daemon.guard == guard
    daemon.wait_log("goes on after")
    assert daemon.moves() == ["stophasrv", "starthasrv"]


def test_a_fork_that_fails_at_the_start_ends_it(make: Make) -> None:
    daemon = make()
    daemon.prelude = """
import errno, os
import had.runtime.guard as g
class Os:
    def __getattr__(self, name): return getattr(os, name)
    def fork(self): raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
g.os = Os()
"""
    done = daemon.start()
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "no worker can be forked" in done.stderr
    assert not daemon.pid_path.exists()
    daemon.wait_gone()


def test_the_guard_is_had_in_the_process_list(make: Make) -> None:
    daemon = make()
    daemon.running()
    for pid in (daemon.guard, daemon.worker()):
        found = status(pid)
        assert found is not None
        assert Path(f"/proc/{pid}/comm").read_text() == "had\n"
    assert os.getpgid(daemon.worker()) == os.getpgid(daemon.guard)
