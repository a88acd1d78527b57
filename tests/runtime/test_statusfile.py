"""The status file: what it says, and over every way that a daemon can go."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_tools import CRASH_ONCE, PATIENCE_S, Daemon, daemons, eventually, is_alive, kill

from had.core.actions import Level, Reason
from had.core.node import Status
from had.core.states import State
from had.runtime.statusfile import Answer, StatusFile

SECOND = 1_000_000_000
NOW_NS = 5_000 * SECOND
WALL = 1_763_841_500.5
STANDBY = Status(State.STANDBY, NOW_NS - 10 * SECOND, Reason("standby", "stopped here"), True, None, False)
STOPPED = "stophasrv succeeded: the services are stopped; the daemon ends"

Make = Callable[..., Daemon]


class Bench:
    """A status file, its clock, and what was told about it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wall = WALL
        self.set_by = 0.0
        """By how many seconds somebody has set the clock."""
        self.told: list[tuple[Level, str]] = []
        self.file = StatusFile(
            str(path), "alpha", lambda level, text: self.told.append((level, text)), wall=lambda: self.wall
        )

    def show(self, status: Status = STANDBY, after: float = 0, answer: Answer | None = None) -> str:
        """Show it so many seconds after the beginning; returns what the file says then."""
        self.wall = WALL + self.set_by + after
        self.file.show(status, answer, NOW_NS + int(after * SECOND))
        return self.path.read_text("utf-8") if self.path.is_file() else ""

    def inode(self) -> int:
        """Another one after each write."""
        return self.path.stat().st_ino


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "run" / "status")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with daemons(tmp_path) as made:
        yield made


# --- the file


def test_the_form(bench: Bench) -> None:
    assert bench.show() == "node=alpha\nstate=STANDBY\nsince=1763841490\nreason=stopped here\nready=yes\n"
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o644
    held = dataclasses.replace(STANDBY, ready=False, unfit=Reason("hold", "on hold"))
    answer = Answer("SIGHUP: another node is to run the services", 123_456_789_012)
    assert bench.show(held, answer=answer) == (
        "node=alpha\nstate=STANDBY\nsince=1763841490\nreason=stopped here\nready=no\nnot_ready=on hold\n"
        "answered=123.456789012\nanswer=SIGHUP: another node is to run the services\n"
    )
    bench.file.end(1, "stophasrv failed", answer)
    assert bench.path.read_text() == (
        "node=alpha\nstate=ENDED\nsince=1763841500\nreason=stophasrv failed\n"
        "answered=123.456789012\nanswer=SIGHUP: another node is to run the services\ncode=1\n"
    )
    assert os.listdir(bench.path.parent) == ["status"]


def test_the_documented_keys_are_all_there_are(bench: Bench) -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    table = text.partition("### The status file")[2].partition("###")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    answer = Answer("SIGHUP: yes", SECOND)
    shown = bench.show(dataclasses.replace(STANDBY, ready=False, unfit=Reason("x", "x")), answer=answer)
    bench.file.end(0, "over", answer)
    keys = [line.partition("=")[0] for line in (shown + bench.path.read_text()).splitlines()]
    assert documented == list(dict.fromkeys(keys))


def test_running_says_nothing_of_ready(bench: Bench) -> None:
    assert "ready" not in bench.show(dataclasses.replace(STANDBY, state=State.RUNNING, ready=None))


def test_a_small_fraction_of_a_second_is_written_in_full(bench: Bench) -> None:
    assert "answered=7.000000089\n" in bench.show(answer=Answer("x", 7_000_000_089))


def test_values_are_one_line_without_control_characters(bench: Bench) -> None:
    text = bench.show(dataclasses.replace(STANDBY, reason=Reason("x", "два\nslices\x1b[0m\t\udcff=1")))
    assert text.splitlines()[3] == "reason=два\\x0aslices\\x1b[0m \\udcff=1"
    assert text.count("\n") == 5


def test_nothing_is_written_while_nothing_changes(bench: Bench) -> None:
    bench.show()
    inode = bench.inode()
    keep = bench.path.open()  # so that the number is not given out again
    for tenth in range(1, 100):
        # The two clocks are not read at the same moment, so it is rounded now down, now up.
        bench.set_by = tenth % 10 / 10
        bench.show(after=tenth / 10)
    assert bench.inode() == inode
    keep.close()


def test_a_file_that_was_removed_comes_back(bench: Bench) -> None:
    text = bench.show()
    shutil.rmtree(bench.path.parent)
    assert bench.show(after=0.5) == ""
    assert bench.show(after=1.5) == text


def test_since_follows_a_clock_that_is_set(bench: Bench) -> None:
    bench.show()
    bench.set_by = 3600
    assert "since=1763845090\n" in bench.show()


def test_a_new_state_has_its_own_second(bench: Bench) -> None:
    bench.show()
    status = dataclasses.replace(STANDBY, since_ns=STANDBY.since_ns + SECOND)
    assert "since=1763841491\n" in bench.show(status, after=1)


def test_a_failure_is_told_once_and_tried_again(bench: Bench) -> None:
    bench.path.mkdir(parents=True)
    for tenth in range(30):
        bench.show(after=tenth / 10)
    told = f"{bench.path}: the status file cannot be written: Is a directory"
    assert bench.told == [(Level.ERROR, told)]
    bench.path.rmdir()
    assert bench.show(after=4).startswith("node=alpha\n")
    assert bench.told[1:] == [(Level.NOTICE, f"{bench.path}: the status file can be written again")]


def test_the_end_is_written_after_a_failure_too(bench: Bench) -> None:
    bench.path.mkdir(parents=True)
    bench.show()
    bench.path.rmdir()
    bench.file.end(0, "over", None)
    assert "state=ENDED\n" in bench.path.read_text()


# --- daemons


def uptime() -> float:
    """CLOCK_BOOTTIME as a script sees it."""
    return float(Path("/proc/uptime").read_text().split()[0])


def told(daemon: Daemon, number: int, answer: str) -> dict[str, str]:
    """Signal, and wait for the answer as the initscript does: by another moment than before."""
    before = daemon.shown().get("answered")
    began = uptime()
    daemon.send(number)
    eventually(lambda: daemon.shown().get("answered") != before, f"an answer\n{daemon.log}")
    shown = daemon.shown()
    assert began <= float(shown["answered"]) <= uptime() + 0.01
    assert shown["answer"] == answer
    assert f": {answer}\n" in daemon.log
    return shown


def test_from_the_start_to_a_clean_end(make: Make) -> None:
    daemon = make(nodes="2", startup="2s")
    daemon.up()
    # Looked at once: it was there before the command returned.
    assert daemon.shown() | {"since": ""} == {
        "node": "alpha",
        "state": "INITIAL",
        "since": "",
        "reason": "waiting for 2 nodes",
    }
    assert abs(int(daemon.shown()["since"]) - time.time()) < PATIENCE_S
    daemon.wait_shown(state="INITIAL", ready="no")
    assert daemon.shown()["not_ready"].endswith("still waiting; SIGUSR1 starts the services here")
    told(daemon, signal.SIGUSR1, "SIGUSR1: not waiting any longer")
    shown = daemon.wait_shown(state="RUNNING", reason="services run here: starthasrv succeeded")
    assert "ready" not in shown
    told(daemon, signal.SIGUSR1, "SIGUSR1 changes nothing: already RUNNING")
    told(daemon, signal.SIGUSR1, "SIGUSR1 changes nothing: already RUNNING")
    told(daemon, signal.SIGHUP, "SIGHUP: another node is to run the services")
    shown = daemon.wait_shown(state="STANDBY", reason="the services are stopped here", ready="no")
    assert shown["not_ready"] == "SIGHUP put alpha on hold until another node has had its turn"
    told(daemon, signal.SIGHUP, "SIGHUP changes nothing: the services do not run here (STANDBY)")
    told(daemon, signal.SIGUSR2, "SIGUSR2: no longer on hold")
    daemon.wait_shown(state="RUNNING")
    daemon.terminate()
    # The pid file is gone, so the end is there.
    shown = daemon.shown()
    assert (shown["state"], shown["code"], shown["reason"]) == ("ENDED", "0", STOPPED)
    assert shown["answer"] == "SIGTERM: the services are stopped, then the daemon ends"
    assert sorted(path.name for path in daemon.status_path.parent.iterdir()) == ["state", "status"]
    daemon.running()
    shown = daemon.wait_shown(state="RUNNING")
    assert "answer" not in shown
    assert "code" not in shown


def test_the_reason_is_that_of_the_hooks(make: Make) -> None:
    daemon = make()
    daemon.control("alerthasrv.do", f'echo "$2 $HAD_REASON" >>{daemon.top}/reasons\n')
    hang = daemon.control("starthasrv.hang")
    daemon.up()
    shown = daemon.wait_shown(state="STARTING")
    hang.unlink()
    shown |= daemon.wait_shown(state="RUNNING")
    daemon.settle()
    assert shown["reason"] in (daemon.top / "reasons").read_text()
    assert f"RUNNING {shown['reason']}\n" in (daemon.top / "reasons").read_text()


def test_a_failed_start_is_no_standby(make: Make) -> None:
    daemon = make()
    daemon.control("starthasrv.fail")
    daemon.up()
    shown = daemon.wait_shown(state="ERRORED")
    why = "starthasrv failed (exit status 1)"
    assert shown["reason"] == f"{why}; the services are stopped, and this node stays out until SIGUSR2"
    told(daemon, signal.SIGUSR2, "SIGUSR2: the error is cleared")


def test_a_new_worker_goes_on_with_it(make: Make) -> None:
    daemon = make()
    daemon.running()
    told(daemon, signal.SIGHUP, "SIGHUP: another node is to run the services")
    before = daemon.wait_shown(state="STANDBY")
    daemon.status_path.unlink()
    daemon.kill_worker()
    after = daemon.wait_shown(state="STANDBY")
    assert abs(int(after["since"]) - int(before["since"])) <= 1
    assert after | {"since": ""} == before | {"since": ""}
    told(daemon, signal.SIGUSR2, "SIGUSR2: no longer on hold")


def test_a_word_that_a_dying_worker_had_heard_is_answered(make: Make) -> None:
    daemon = make()
    marker = str(daemon.top / "crashed")
    daemon.prelude = f"{CRASH_ONCE}import had.runtime.worker as w\n"
    daemon.prelude += f"crash_once(w.Worker, '_signalled', marker={marker!r})\n"
    daemon.running()
    told(daemon, signal.SIGHUP, "SIGHUP: another node is to run the services")
    daemon.wait_shown(state="STANDBY")
    assert (daemon.top / "crashed.0").exists()


def test_an_end_while_waiting(make: Make) -> None:
    daemon = make(nodes="2")
    daemon.up()
    daemon.terminate()
    shown = daemon.shown()
    assert (shown["state"], shown["code"]) == ("ENDED", "0")
    assert shown["reason"] == shown["answer"] == "SIGTERM while waiting; the daemon ends"


def test_an_end_by_alone_exit(make: Make) -> None:
    daemon = make(nodes="2", alone="exit")
    guard = daemon.up()
    daemon.wait_end(guard)
    shown = daemon.shown()
    assert (shown["state"], shown["code"]) == ("ENDED", "1")
    assert shown["reason"] == "1 of 2 nodes heard in 1.0 s: giving up (alone = exit)"
    assert "answer" not in shown


def test_an_end_with_a_stop_that_fails(make: Make) -> None:
    daemon = make()
    daemon.running()
    daemon.control("stophasrv.fail")
    hang = daemon.control("stophasrv.hang")
    daemon.send(signal.SIGTERM)
    shown = daemon.wait_shown(state="STOPPING")
    assert shown["reason"] == shown["answer"] == "SIGTERM: the services are stopped, then the daemon ends"
    told(daemon, signal.SIGTERM, "SIGTERM: already on the way out")
    guard = daemon.guard
    hang.unlink()
    daemon.wait_end(guard)
    shown = daemon.shown()
    assert (shown["state"], shown["code"]) == ("ENDED", "1")
    reason = "stophasrv failed (exit status 1): the services may still run here; the daemon ends"
    assert shown["reason"] == reason
    assert f": {reason}\n" in daemon.log


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_that_dies_at_the_very_end_leaves_the_end(make: Make, after: bool) -> None:
    daemon = make()
    marker = daemon.top / "crashed"
    daemon.prelude = f"{CRASH_ONCE}import had.runtime.handover as h\n"
    daemon.prelude += f"crash_once(h.Handover, 'finish', after={after}, marker={str(marker)!r})\n"
    daemon.running()
    daemon.terminate()
    assert (daemon.top / "crashed.0").exists()
    assert (daemon.shown()["state"], daemon.shown()["reason"]) == ("ENDED", STOPPED)


def test_a_killed_daemon_leaves_its_last_state(make: Make) -> None:
    daemon = make()
    daemon.running()
    before = daemon.wait_shown(state="RUNNING")
    pids = (daemon.guard, daemon.worker())
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            kill(pid, number)
    eventually(lambda: not any(map(is_alive, pids)), "both are dead")
    assert daemon.shown() == before
    daemon.up()
    assert daemon.wait_shown(reason="monitorhasrv found the services running here, and nobody else runs them")


def test_the_worker_alone_writes_the_end(make: Make) -> None:
    daemon = make()
    guard = daemon.running()
    worker = daemon.worker()
    kill(guard)
    eventually(lambda: daemon.pid_text() == f"{worker}\n", "the pid file names the worker")
    told(daemon, signal.SIGUSR2, "SIGUSR2 changes nothing: no error and no hold (RUNNING)")
    daemon.terminate()
    shown = daemon.shown()
    assert (shown["state"], shown["code"], shown["reason"]) == ("ENDED", "0", STOPPED)


@pytest.mark.parametrize("runs", [True, False])
def test_G3_the_guard_writes_the_end(make: Make, runs: bool) -> None:
    daemon = make(nodes="alpha, zeta")
    peer = daemon.peer("zeta", State.STANDBY)
    daemon.running()
    if not runs:
        told(daemon, signal.SIGHUP, "SIGHUP: another node is to run the services")
        daemon.wait_shown(state="STANDBY")
        peer.state = State.STANDBY
    guard, worker = daemon.guard, 0
    hang = daemon.control("stophasrv.hang")
    for _ in range(5):
        worker = daemon.worker(but=worker)
        kill(worker)
        eventually(lambda dead=worker: not is_alive(dead), "it is dead")
    if runs:
        shown = daemon.wait_shown(state="STOPPING")
        assert shown["reason"] == "the workers of had die again and again"
    hang.unlink()
    daemon.wait_end(guard)
    shown = daemon.shown()
    assert (shown["state"], shown["code"]) == ("ENDED", "1")
    left = ": another node is to take over"
    if runs:
        left = "; stophasrv succeeded: the services are stopped"
    assert shown["reason"] == f"5 workers died within a minute{left}"


def test_a_start_that_fails_leaves_the_former_end(make: Make) -> None:
    first, second = make(), make()
    second.running()
    second.terminate()
    before = second.shown()
    first.running()
    second.address, second.port = first.address, first.port
    second.configure()
    assert second.start().returncode == 1
    assert second.shown() == before


def test_workers_that_die_at_once_leave_no_state_that_is_not(make: Make) -> None:
    daemon = make()
    daemon.prelude = """
import had.runtime.worker as w
turn = w.Worker._turn
def die(self):
    turn(self)
    raise RuntimeError("planted")
w.Worker._turn = die
"""
    assert daemon.start().returncode == 1
    shown = daemon.shown()
    assert (shown["state"], shown["code"]) == ("ENDED", "1"), daemon.log


@pytest.mark.alone
def test_a_status_file_that_cannot_be_written_stops_nothing(make: Make) -> None:
    daemon = make()
    daemon.status_path.mkdir(parents=True)
    listener = daemon.listen()
    daemon.running()
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    daemon.kill_worker()
    daemon.status_path.rmdir()
    assert daemon.wait_shown(state="STANDBY")["answer"] == "SIGHUP: another node is to run the services"
    lines = re.findall(r"status file cannot be written: Is a directory", daemon.log)
    assert len(lines) <= 2, "once for each worker"
    assert max(listener.gaps()) < 1.0
    daemon.terminate()
    assert daemon.exit_code() == 0
