"""The worker's death, hang and end, as processes see them (rules G1, G2, G5, M5, M7, M8, A1)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_tools import (
    CRASH_ONCE,
    Daemon,
    children_of,
    daemons,
    eventually,
    is_alive,
    kill,
    proc_status,
    status,
)

from had.core.states import State

Make = Callable[..., Daemon]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with daemons(tmp_path) as made:
        yield made


# --- G1: killed at any moment


@pytest.mark.alone
@pytest.mark.parametrize("seed", [1, 2])
def test_G1_kill_9_at_random_moments(make: Make, seed: int) -> None:
    chance = random.Random(seed)
    daemon = make()
    daemon.prelude = CRASH_ONCE
    for hook in ("starthasrv", "stophasrv"):
        daemon.control(f"{hook}.do", "sleep 0.1\n")
    listener = daemon.listen()
    daemon.running()
    daemon.settle()
    begun, kills, cycles = time.time(), 0, 3
    for _ in range(cycles):
        for number, state in ((signal.SIGHUP, "Standby"), (signal.SIGUSR1, "Running")):
            daemon.send(number)
            for pause in (0, chance.uniform(0, 0.05), chance.uniform(0, 0.2)):
                time.sleep(pause)
                kill(daemon.worker())
                kills += 1
            daemon.wait_state(state)
    daemon.settle(4 * (cycles + 1))
    assert daemon.log.count("has died") >= kills - 2, "hardly any was killed twice"
    assert daemon.moves() == ["stophasrv", "starthasrv"] * (cycles + 1), daemon.log
    assert daemon.alerts() == ["3", "5", "4", "2"] * (cycles + 1), daemon.log
    assert "already" not in daemon.log
    assert "lost" not in daemon.log
    gaps = sorted(listener.gaps(begun))
    print(f"{kills} kills: longest silences {[round(gap, 3) for gap in gaps[-4:]]} s")
    assert gaps[-1] < 1.0, "a peer would take it for dead"
    daemon.terminate()
    assert daemon.exit_code() == 0


@pytest.mark.parametrize("hook", ["starthasrv", "stophasrv", "monitorhasrv", "alerthasrv"])
def test_G1_kill_9_in_the_middle_of_a_hook(make: Make, hook: str) -> None:
    daemon = make(hooks__monitor_interval="200ms")
    daemon.running()
    daemon.settle()
    moves, alerts = daemon.moves(), daemon.alerts()
    if hook == "starthasrv":
        daemon.send(signal.SIGHUP)
        daemon.wait_state("Standby")
        daemon.settle(6)
        moves, alerts = [*moves, "stophasrv"], [*alerts, "3", "5"]
    count = len(daemon.journal(hook))
    hang = daemon.control(f"{hook}.hang")
    if hook != "monitorhasrv":
        daemon.send(signal.SIGUSR1 if hook == "starthasrv" else signal.SIGHUP)
    daemon.wait_call(hook, count + 1)
    for _ in range(2):
        daemon.kill_worker()
    assert len(daemon.journal(hook)) == count + 1, "it runs once"
    hang.unlink()
    if hook == "monitorhasrv":
        daemon.wait_call(hook, count + 2)
        assert (daemon.moves(), daemon.alerts()) == (moves, alerts)
        assert daemon.state() == "Running"
        return
    daemon.wait_state("Running" if hook == "starthasrv" else "Standby")
    daemon.settle(len(alerts) + 2)
    assert daemon.moves() == [*moves, "starthasrv" if hook == "starthasrv" else "stophasrv"]
    assert daemon.alerts() == [*alerts, *(("4", "2") if hook == "starthasrv" else ("3", "5"))]
    assert "lost" not in daemon.log


def test_G1_a_failed_hook_is_failed_for_the_next_worker_too(make: Make) -> None:
    daemon = make()
    daemon.control("starthasrv.fail")
    hang = daemon.control("starthasrv.hang")
    daemon.up()
    daemon.wait_call("starthasrv")
    daemon.kill_worker()
    hang.unlink()
    daemon.wait_state("ERRORED")
    daemon.wait_log("starthasrv failed (exit status 1)")
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]


def test_G1_a_hook_that_times_out_after_the_death(make: Make) -> None:
    daemon = make(hooks__start_timeout="1500ms")
    daemon.control("starthasrv.hang")
    daemon.up()
    daemon.wait_call("starthasrv")
    daemon.kill_worker()
    daemon.wait_state("ERRORED")
    daemon.wait_log("starthasrv timed out")
    assert daemon.journal("starthasrv", word="end") == ["starthasrv"]
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]


def test_M5_a_new_worker_does_not_force_again(make: Make) -> None:
    daemon = make(nodes="2")
    listener = daemon.listen()
    daemon.up("-m")
    eventually(lambda: State.STARTING in listener.states(), "it announces itself")
    daemon.kill_worker()
    daemon.wait_state("Running")
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    daemon.kill_worker()
    time.sleep(1.5)  # nothing happens, for longer than the announcement takes
    assert daemon.moves() == ["starthasrv", "stophasrv"]


def test_G5_a_hold_outlives_the_worker(make: Make) -> None:
    daemon = make()
    daemon.running()
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    daemon.kill_worker()
    time.sleep(0.5)  # nothing happens: alone, it would start at once if the hold were gone
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    daemon.send(signal.SIGUSR2)
    daemon.wait_state("Running")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace")
def test_G5_a_link_that_came_back_while_nobody_looked(make: Make) -> None:
    daemon = make(dead="3s", isolated="stop")

    def lo(state: str) -> None:
        words = ["nsenter", "-t", str(daemon.guard), "-n", "ip", "link", "set", "lo", state]
        subprocess.run(words, check=True)

    enter = ["unshare", "-n", "/bin/sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    try:
        subprocess.run([*enter, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace can be made here")
    subprocess.run([*enter, *daemon.words()], env=daemon.environment(), check=True)
    daemon.wait_state("Running")
    lo("down")
    daemon.wait_log("it is isolated")
    worker = daemon.worker()
    kill(worker, signal.SIGSTOP)
    lo("up")
    kill(worker)
    daemon.worker(but=worker)
    daemon.wait_log("no longer isolated")
    assert daemon.moves() == ["stophasrv", "starthasrv"]


# --- G2: hung


@pytest.mark.alone
def test_G2_a_hung_worker_is_replaced(make: Make) -> None:
    daemon = make(dead="3s")
    listener = daemon.listen()
    daemon.running()
    daemon.settle()
    moves, worker, begun = daemon.moves(), daemon.worker(), time.time()
    kill(worker, signal.SIGSTOP)
    stopped = time.monotonic()
    daemon.worker(but=worker)
    took = time.monotonic() - stopped
    # dead / 3; the guard looks four times as often
    assert 0.7 < took < 2.9, took
    daemon.wait_log("goes on after")
    eventually(lambda: listener.beats[-1].time > begun + took, "it speaks again")
    gap = max(listener.gaps(begun))
    print(f"replaced after {took:.2f} s, longest silence {gap:.2f} s")
    assert gap < 3.0
    assert daemon.moves() == moves
    assert not is_alive(worker)
    assert "did not run for" not in daemon.log


@pytest.mark.alone
def test_G2_a_guard_that_slept_does_not_blame_the_worker(make: Make) -> None:
    daemon = make(dead="3s")
    listener = daemon.listen()
    guard = daemon.running()
    worker, begun = daemon.worker(), time.time()
    kill(guard, signal.SIGSTOP)
    again = daemon.start()
    assert again.returncode == 1
    assert f"process {guard}" in again.stderr
    kill(guard, signal.SIGHUP)  # waits for it
    time.sleep(1.5)
    assert daemon.moves() == ["stophasrv", "starthasrv"]
    kill(guard, signal.SIGCONT)
    daemon.wait_state("Standby")
    assert daemon.worker() == worker
    assert max(listener.gaps(begun)) < 1.0
    assert "hung" not in daemon.log


def test_G5_a_worker_that_hung_for_a_dead_time_listens_first(make: Make) -> None:
    daemon = make(nodes="alpha, zeta")
    peer = daemon.peer("zeta", State.STANDBY)
    daemon.running()
    worker = daemon.worker()
    kill(worker, signal.SIGSTOP)
    peer.state = State.RUNNING  # it takes over, as it must
    daemon.worker(but=worker)
    daemon.wait_state("Standby")
    assert "zeta has taken over while this node was stopped" in daemon.log
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]


# --- what a worker's life and death leave behind


def test_thirty_deaths_leave_nothing_behind(make: Make) -> None:
    daemon = make()
    daemon.prelude = CRASH_ONCE
    guard = daemon.running()
    daemon.settle()

    def figures() -> tuple[int, int]:
        memory = int(proc_status(guard, "VmRSS").split()[0])
        return len(os.listdir(f"/proc/{guard}/fd")), memory

    worker = daemon.kill_worker()
    daemon.wait_log("goes on after", 1)
    opened, memory = figures()
    mine = len(os.listdir(f"/proc/{worker}/fd"))
    for count in range(2, 31):
        worker = daemon.kill_worker()
        daemon.wait_log("goes on after", count)
    eventually(lambda: len(os.listdir(f"/proc/{worker}/fd")) <= mine, "the worker's descriptors are as many")
    grown = figures()
    print(f"guard after 30 deaths: descriptors {opened} -> {grown[0]}, memory {memory} -> {grown[1]} KiB")
    assert grown[0] == opened
    assert grown[1] - memory < 1500
    eventually(lambda: [each for each in children_of(guard) if each.state == "Z"] == [], "no zombies stay")
    assert len(daemon.processes()) == 2
    assert daemon.moves() == ["stophasrv", "starthasrv"]


def test_services_are_the_guards_children_and_no_zombies_stay(make: Make) -> None:
    # a service that a hook leaves running, also when nobody listens to it, and one that ends by itself
    daemon = make()
    daemon.control(
        "starthasrv.do",
        "(sleep 0.3) & (trap '' PIPE; while :; do echo tick of the service; sleep 0.05; done) & "
        f"echo $! >{daemon.top}/service.pid\n",
    )
    guard = daemon.running()
    service = int((daemon.top / "service.pid").read_text())
    daemon.kill_worker()
    found = status(service)
    assert found is not None
    assert found.parent == guard
    said = daemon.log.count("tick of the service")
    daemon.wait_log("tick of the service", said + 3)
    eventually(lambda: [each for each in children_of(guard) if each.state == "Z"] == [], "no zombie")
    daemon.terminate()
    assert is_alive(service), "what a hook started on purpose lives on"


def test_an_idle_daemon_sleeps(make: Make) -> None:
    daemon = make(heartbeat="1s", dead="30s", startup="30s")
    guard = daemon.running()
    daemon.settle()
    worker = daemon.worker()

    def wakeups() -> list[int]:
        return [int(proc_status(pid, "voluntary_ctxt_switches")) for pid in (guard, worker)]

    before, begun = wakeups(), time.monotonic()
    time.sleep(4)
    took = time.monotonic() - begun
    rates = [(after - earlier) / took for earlier, after in zip(before, wakeups())]
    print(f"wake-ups a second: guard {rates[0]:.1f}, worker {rates[1]:.1f}")
    # guard: patience / 4; worker: one heartbeat, heard again, and the repetition of the state file
    assert rates[0] < 2
    assert rates[1] < 12


# --- M7, M8: the end


def foreground(daemon: Daemon) -> subprocess.Popen[bytes]:
    """Start in the foreground, so that the exit code can be seen."""
    return daemon.run_foreground(start_new_session=True)


def ends(daemon: Daemon, process: subprocess.Popen[bytes]) -> int:
    code = process.wait(30)
    assert not daemon.pid_path.exists()
    assert "Traceback" not in daemon.log
    assert "bug" not in daemon.log
    return code


def test_M7_term_while_initial_runs_no_hook(make: Make) -> None:
    daemon = make(nodes="2")
    process = foreground(daemon)
    eventually(daemon.state_path.exists, "a state file")
    daemon.send(signal.SIGTERM)
    assert ends(daemon, process) == 0
    assert daemon.journal() == []
    assert daemon.state_path.read_text().startswith("Waiting")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_M7_term_while_running(make: Make, number: int) -> None:
    daemon = make()
    process = foreground(daemon)
    daemon.wait_state("Running")
    daemon.send(number)
    assert ends(daemon, process) == 0
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    # the last word is STOPPING (V1), and what the state file shows is a state
    assert daemon.state() == "Stopping"


def test_M7_term_after_a_stop_that_fails(make: Make) -> None:
    daemon = make()
    process = foreground(daemon)
    daemon.wait_state("Running")
    daemon.control("stophasrv.fail")
    daemon.send(signal.SIGTERM)
    assert ends(daemon, process) == 1


def test_M7_term_during_a_start_lets_it_finish_then_stops(make: Make) -> None:
    daemon = make()
    hang = daemon.control("starthasrv.hang")
    process = foreground(daemon)
    daemon.wait_call("starthasrv")
    daemon.send(signal.SIGTERM)
    daemon.send(signal.SIGTERM)
    daemon.wait_state("Stopping")
    daemon.kill_worker()
    assert daemon.journal("starthasrv", word="end") == []
    hang.unlink()
    assert ends(daemon, process) == 0
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]


def test_M7_term_during_a_stop_waits_for_it(make: Make) -> None:
    daemon = make()
    process = foreground(daemon)
    daemon.wait_state("Running")
    hang = daemon.control("stophasrv.hang")
    daemon.send(signal.SIGHUP)
    daemon.wait_call("stophasrv", 2)
    daemon.send(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    hang.unlink()
    assert ends(daemon, process) == 0
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]


def test_M7_term_on_standby_and_on_errored(make: Make) -> None:
    held, errored = make(), make()
    errored.control("starthasrv.fail")
    processes = [foreground(held), foreground(errored)]
    held.wait_state("Running")
    held.send(signal.SIGHUP)
    held.wait_state("Standby")
    errored.wait_state("ERRORED")
    for daemon, process in zip((held, errored), processes):
        daemon.send(signal.SIGTERM)
        assert ends(daemon, process) == 0
    assert held.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    assert held.state() == "Standby"
    assert errored.moves() == ["stophasrv", "starthasrv", "stophasrv", "stophasrv"]


def test_M7_term_while_the_monitor_is_asked_at_the_start(make: Make) -> None:
    daemon = make()
    daemon.control("monitorhasrv.hang")
    process = foreground(daemon)
    daemon.wait_call("monitorhasrv")
    daemon.send(signal.SIGTERM)
    assert ends(daemon, process) == 0
    assert daemon.moves() == []
    daemon.wait_gone()


def test_M8_killall_reaches_guard_and_worker(make: Make) -> None:
    daemon = make()
    process = foreground(daemon)
    daemon.wait_state("Running")
    for number, state, alerts in ((signal.SIGHUP, "Standby", 6), (signal.SIGUSR1, "Running", 8)):
        for pid in (daemon.guard, daemon.worker(), daemon.guard):
            kill(pid, number)
        daemon.wait_state(state)
        daemon.settle(alerts)
    for pid in (daemon.worker(), daemon.guard):
        kill(pid, signal.SIGTERM)
    assert ends(daemon, process) == 0
    assert daemon.moves() == ["stophasrv", "starthasrv"] * 2 + ["stophasrv"]


def test_M8_a_word_in_the_last_moment_changes_no_exit_code(make: Make) -> None:
    daemon = make()
    process = foreground(daemon)
    daemon.wait_state("Running")
    guard = daemon.guard
    while process.poll() is None:
        kill(guard, signal.SIGTERM)
        time.sleep(0.001)
    assert ends(daemon, process) == 0
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]


def test_M8_stop_beats_start(make: Make) -> None:
    daemon = make()
    daemon.running()
    worker = daemon.worker()
    kill(worker, signal.SIGSTOP)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        kill(worker, number)
    kill(worker, signal.SIGCONT)
    daemon.wait_state("Standby")
    time.sleep(0.3)
    assert daemon.state() == "Standby"


def test_A1_at_exit_a_running_alert_is_waited_for(make: Make) -> None:
    daemon = make()
    process = foreground(daemon)
    daemon.wait_state("Running")
    daemon.settle()
    hang = daemon.control("alerthasrv.hang")
    daemon.send(signal.SIGTERM)
    daemon.wait_log("the daemon ends")
    daemon.kill_worker()  # the next one knows that the daemon is to end
    time.sleep(0.5)
    assert process.poll() is None
    hang.unlink()
    assert ends(daemon, process) == 0
    assert daemon.alerts() == ["3", "5", "4", "2", "3"]
    assert daemon.journal("alerthasrv", word="end") == ["alerthasrv"] * 5


def test_A1_waiting_for_an_alert_at_exit_costs_no_processor(make: Make) -> None:
    daemon = make()
    daemon.prelude = "import had.runtime.worker as w\nw.LAST_WORK_NS = 100_000_000\n"
    process = foreground(daemon)
    daemon.wait_state("Running")
    daemon.settle()
    hang = daemon.control("alerthasrv.hang")
    daemon.send(signal.SIGTERM)
    daemon.wait_log("the daemon ends")
    worker = daemon.worker()
    time.sleep(0.3)

    def used() -> int:
        fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(1)
    ticks = used() - before
    hang.unlink()
    assert ends(daemon, process) == 0
    assert ticks < os.sysconf("SC_CLK_TCK") / 4, f"{ticks} ticks in a second"
