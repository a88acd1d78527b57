"""Stopping: it waits until the services are stopped, and says the truth about it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from initscript_tools import DONE, FAILED, Machine, MakeMachines
from lab.cluster import HAD
from lab.namespaces import alive, status
from lab.waiting import eventually, throughout

pytestmark = pytest.mark.lab


# --- a stop that takes its time


def test_two_stops_at_once_show_what_they_wait_for(each_machine: Machine) -> None:
    machine = each_machine
    machine.start()
    machine.slow_stop(3)
    results = [run.wait() for run in [machine.begin("stop"), machine.begin("stop")]]
    for result in results:
        assert (result.code, result.err) == (0, ""), result
        assert result.seconds >= 2.5
        assert "\n  STOPPING: SIGTERM: the services are stopped, then the daemon ends\n." in result.out
        assert result.out.endswith(DONE[machine.family])
    assert machine.daemons() == []
    assert not machine.node.serving
    assert not machine.pid_path.exists()
    assert not machine.lock_path.exists()
    assert machine.node.calls("stophasrv") == ["stophasrv", "stophasrv"]  # the clean-up at the start, and one


def test_a_second_stop_goes_on_waiting_where_the_first_gave_up(make_machines: MakeMachines) -> None:
    machine = make_machines(1, "alt", "busybox")[0]
    machine.start()
    pid = machine.node.guard
    machine.node.hook("stophasrv", "hang")
    machine.set(STOP_TIMEOUT=2)
    result = machine("stop")
    assert result.code == 1, result
    assert 1 <= result.seconds < 15  # it counts in whole seconds of the machine's
    assert result.out.endswith(FAILED[machine.family])
    assert f"had: it is not over after 2 s: process {pid} is still there, STOPPING: SIGTERM: " in result.err
    assert "nothing was killed" in result.err
    assert "to go on waiting, type /etc/init.d/had stop once more" in result.err
    assert alive(pid)
    assert machine.lock_path.exists()  # or a shutdown would not wait either
    assert machine.node.calls("stophasrv")[-1] == "stophasrv"

    machine.set()
    run = machine.begin("stop")
    throughout(lambda: not run.over, "the second stop waits", 1)  # longer than a stop without hooks takes
    machine.node.unhook("stophasrv", "hang")
    result = run.wait()
    assert (result.code, result.err) == (0, ""), result
    assert not machine.node.serving
    assert len(machine.node.calls("stophasrv")) == 2  # the clean-up at the start, and one stop
    assert not machine.lock_path.exists()


def test_a_stop_that_is_interrupted_leaves_the_daemon_to_it(machine: Machine) -> None:
    machine.start()
    machine.node.hook("stophasrv", "hang")
    run = machine.begin("stop", before=("env", "--default-signal=INT"))
    eventually(lambda: "STOPPING" in run.out, "it shows that it waits")
    os.kill(run.process.pid, signal.SIGINT)
    result = run.wait()
    assert result.code == 130, result
    assert result.err == "had: interrupted; the daemon goes on with what it does\n"
    machine.node.unhook("stophasrv", "hang")
    eventually(lambda: not machine.daemons(), "it has ended")


def test_a_daemon_that_was_started_while_another_stopped_is_not_touched(machine: Machine) -> None:
    machine.start()
    machine.slow_stop(1)
    run = machine.begin("stop")
    machine.wait_told("STOPPING")
    os.kill(run.process.pid, signal.SIGSTOP)  # it looks away while one goes and the other comes
    eventually(lambda: not machine.pid_path.exists(), "the first one has ended")
    assert machine.node.command(HAD).returncode == 0
    pid = machine.node.guard
    os.kill(run.process.pid, signal.SIGCONT)
    result = run.wait()
    assert (result.code, result.err) == (0, ""), result
    assert result.out.endswith(f"Another one was started meanwhile, as process {pid}.\n")
    machine.wait_told("RUNNING")
    assert machine.daemons() == [pid]


# --- a stop that fails


def test_a_stophasrv_that_fails_is_told(each_machine: Machine) -> None:
    machine = each_machine
    machine.start()
    machine.node.hook("stophasrv", "fail", "1")
    result = machine("stop")
    assert result.code == 1, result
    assert result.out.endswith(FAILED[machine.family])
    assert "had: stophasrv failed (exit status 1): the services may still run here" in result.err
    assert "/etc/had/hasrv/stophasrv" in result.err
    assert machine.node.serving
    assert machine.daemons() == []
    assert not machine.lock_path.exists()
    again = machine("stop")
    assert again.code == 0, again  # there is no daemon to be stopped
    assert "the last one had ended with code 1: stophasrv failed (exit status 1)" in again.err
    status = machine("status")
    assert status.code == 3
    assert "the last one ended with code 1:\n  stophasrv failed (exit status 1)" in status.out


def test_a_stop_that_is_blocked_waits_for_a_person(machine: Machine) -> None:
    machine.configure(stop_failure="block")
    machine.start()
    machine.node.hook("stophasrv", "fail", "1")
    machine.set(STOP_TIMEOUT=3)
    result = machine("stop")
    assert result.code == 1, result
    assert "STOPPING: stophasrv failed (exit status 1): the services may still run, so no node " in result.out
    assert "  It waits for you. Mend that, and type elsewhere: /etc/init.d/had clear\n" in result.out
    assert "had: it waits for you: mend that, and type /etc/init.d/had clear\n" in result.err
    assert machine.daemons() == [machine.node.guard]

    failed = machine("clear")
    assert failed.code == 1, failed
    assert "SIGUSR2: stophasrv runs once more" in failed.out
    assert "mend what keeps stophasrv from succeeding" in failed.err

    machine.set()
    run = machine.begin("stop")
    eventually(lambda: "It waits for you" in run.out, "the second stop shows it too")
    machine.node.unhook("stophasrv", "fail")
    machine("clear")
    result = run.wait()
    assert (result.code, result.err) == (0, ""), result
    assert not machine.node.serving


def test_a_restart_does_not_start_over_a_stop_that_failed(machine: Machine) -> None:
    machine.start()
    machine.node.hook("stophasrv", "fail", "1")
    result = machine("restart")
    assert result.code == 1, result
    assert result.err.endswith("had: it was not started again\n")
    assert machine.daemons() == []


# --- a daemon that is dead, or not where it should be


def test_a_dead_daemon_with_its_pid_file_left(each_machine: Machine) -> None:
    machine = each_machine
    machine.start()
    pid = machine.node.guard
    machine.node.kill_daemon()
    status = machine("status")
    assert status.code == 1, status
    assert f"had is dead, and its pid file /run/had.pid is left (process {pid})" in status.out
    assert "the last that is known of it: RUNNING since " in status.out

    result = machine("stop")
    assert result.code == 1, result
    assert result.out.endswith(FAILED[machine.family])
    assert f"had: process {pid} is gone, and has not stopped its services\n" in result.err
    assert "the last that is known of it: RUNNING: services run here" in result.err
    assert "to look, type /etc/had/hasrv/monitorhasrv; echo $?\n" in result.err
    assert machine.node.serving
    assert not machine.pid_path.exists()
    assert not machine.lock_path.exists()
    assert machine("status").code == 3
    assert machine("stop").code == 0


def test_a_daemon_that_died_is_not_forgotten_by_one_stop(machine: Machine) -> None:
    machine.start()
    machine.node.kill_daemon()
    assert machine("stop").code == 1
    result = machine("stop")
    assert result.code == 0
    assert "the last one died, RUNNING: " in result.err
    assert "its services may still run here" in result.err
    result = machine("status")
    assert result.code == 3
    assert "The last one died, RUNNING: " in result.out
    machine.good("start")
    assert machine.good("stop").err == ""
    assert "died" not in machine("status").text


def test_a_stop_that_looks_in_the_wrong_place_says_what_it_sees(machine: Machine) -> None:
    machine.start()
    machine.set(PIDFILE="/run/had/had.pid")
    for verb, code in (("stop", 0), ("status", 3)):
        result = machine(verb)
        assert result.code == code
        assert f"process {machine.node.guard} is a had with another pid file: " in result.err
        assert result.err.count("another pid file") == 1
    assert machine.node.serving


def test_a_lock_file_that_is_left(make_machines: MakeMachines) -> None:
    machine = make_machines(1, "alt", "dash")[0]
    machine.start()
    machine.node.kill_daemon()
    machine.pid_path.unlink()
    status = machine("status")
    assert (status.code, status.err) == (2, ""), status
    assert "Its lock file /var/lock/subsys/had is left." in status.out
    machine.good("stop")
    assert machine("status").code == 3


@pytest.mark.parametrize("stranger", ["sleep", "had"])
def test_a_pid_file_that_names_a_stranger(machine: Machine, stranger: str) -> None:
    """As after a crash, when the number is another process's: a daemon of another instance even."""
    machine.start()
    machine.node.kill_daemon()
    words = ["sleep", "1000"] if stranger == "sleep" else [HAD, "-f", *machine.other_daemon()]
    process = machine.background(*words)
    eventually(lambda: Path(f"/proc/{process.pid}/comm").read_text() == f"{stranger}\n", "it is there")
    machine.pid_path.write_text(f"{process.pid}\n")
    assert machine("status").code == 1
    for verb in ("standby", "takeover", "clear"):
        assert machine(verb).code == 7
    result = machine("stop")
    assert result.code == 1, result
    assert f"(the number is that of {stranger} now, which is left alone)" in result.err
    assert not machine.pid_path.exists()
    assert alive(process.pid)
    process.terminate()
    process.wait(20)


def test_a_pid_file_with_nonsense(machine: Machine) -> None:
    for text in ("", "nonsense\n", "1 2\n", "-1\n", "0\n", "99999999999999999999\n", "/../self\n"):
        machine.pid_path.write_text(text)
        assert machine("status").code == 1
        assert machine("stop").code == 1
        assert machine("status").code == 3


def test_a_pid_file_that_was_removed_or_spoilt_does_not_hide_the_daemon(machine: Machine) -> None:
    machine.start()
    pid = machine.node.guard
    machine.pid_path.write_text("1\n")
    assert f"(process {pid})" in machine.good("status").out
    machine.pid_path.unlink()
    assert f"(process {pid})" in machine.good("status").out
    assert f"runs already as process {pid}" in machine.good("start").out
    result = machine("stop")
    assert (result.code, result.err) == (0, ""), result
    assert not alive(pid)
    assert not machine.node.serving


def test_the_same_path_in_a_container_is_not_ours(make_machines: MakeMachines) -> None:
    """All processes of a container are seen from its host: a daemon there with /run/had.pid, removed even."""
    host, container = make_machines(2)
    container.good("start")
    for _ in range(2):
        assert host("status").code == 3
        assert "does not run" in host("stop").out
        container.pid_path.unlink(missing_ok=True)
    assert container.daemons() != []


def test_a_worker_that_goes_on_without_its_guard_is_the_daemon(machine: Machine) -> None:
    machine.start()
    guard, worker = machine.node.guard, machine.node.worker
    os.kill(guard, signal.SIGKILL)
    assert f"(process {worker})" in machine.good("status").out
    result = machine("stop")
    assert (result.code, result.err) == (0, ""), result
    assert not alive(worker)
    assert not machine.node.serving


def test_a_guard_that_dies_while_it_stops_is_not_the_end(machine: Machine) -> None:
    machine.start()
    guard, worker = machine.node.guard, machine.node.worker
    machine.slow_stop(3)
    run = machine.begin("stop")
    machine.wait_told("STOPPING")
    os.kill(guard, signal.SIGKILL)
    result = run.wait()
    assert result.code == 0, result
    assert result.seconds >= 3
    assert not alive(worker)
    assert not machine.node.serving


def test_a_daemon_that_is_killed_while_it_stops(machine: Machine) -> None:
    machine.start()
    machine.node.hook("stophasrv", "hang")
    run = machine.begin("stop")
    machine.wait_told("STOPPING")
    machine.node.kill_daemon()
    result = run.wait()
    assert result.code == 1, result
    assert "is gone, and has not stopped its services" in result.err
    machine.node.unhook("stophasrv", "hang")


def test_a_zombie_is_gone(machine: Machine) -> None:
    """In a container, say, where nobody waits for processes that have ended."""
    parent = machine.background("sh", "-c", f"{HAD} -f & exec sleep 1000")
    machine.wait_told("RUNNING")
    pid = machine.node.guard
    result = machine("stop")
    assert (result.code, result.err) == (0, ""), result
    assert status(pid)[0] == "Z"
    assert machine("status").code == 3
    parent.kill()
    parent.wait()


# --- without a status file


def test_a_stop_without_a_status_file(machine: Machine) -> None:
    machine.set(STATUSFILE="/run/nowhere")
    machine.start()
    assert "RUNNING" in machine.good("status").out  # by the state file
    machine.slow_stop(2)
    result = machine("stop")
    assert (result.code, result.err) == (0, ""), result
    assert "\n  STOPPING\n" in result.out
    assert "Whether the services were stopped stands in the log: there is no status file" in result.out


def test_a_status_file_of_another_time_is_not_believed(machine: Machine) -> None:
    shutil.rmtree(machine.run_directory / "had", ignore_errors=True)
    (machine.run_directory / "had").mkdir()
    old = machine.run_directory / "had" / "status"
    old.write_text("node=n1\nstate=ENDED\nsince=1\nreason=stophasrv failed\ncode=1\n")
    os.utime(old, (1, 1))
    machine.configure(places__run="/run/elsewhere")
    machine.set(STATEFILE="/run/elsewhere/state")
    machine.good("start")
    eventually(lambda: "n1 [Running]" in machine.good("status").out, "the state file is read")
    assert "ENDED" not in machine.good("status").out
    result = machine("stop")
    assert (result.code, result.err) == (0, ""), result
