"""The daemon's own death is not the service's (promise 5, rules G)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

import pytest

from .cluster import Lab, Node
from .namespaces import alive
from .waiting import eventually, throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]


def replaced(node: Node, killed: int) -> int:
    """Wait for a worker other than the killed one."""
    return eventually(lambda: (node.worker != killed) and node.worker, f"{node.name} has a new worker")


@pytest.mark.alone
def test_kill_9_of_the_worker_moves_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    lab.settle(first)  # a worker that dies right after it said RUNNING may leave that to the next one
    calls = [node.moves() for node in lab.nodes]
    recorder = lab.record()
    begun = time.monotonic()
    for node in lab.nodes:
        replaced(node, node.kill_worker())
    # nothing happens, for two dead times
    throughout(lambda: [node.moves() for node in lab.nodes] == calls, "no hook runs", 2)
    assert recorder.longest_silence("n1", begun) < 0.8
    assert {state for _, state in recorder.of("n1")} == {"Running"}
    assert first.states() == second.states() == {"n1": "Running", "n2": "Standby"}
    # the new workers do what the old ones did
    first.send(signal.SIGHUP)
    second.wait("Running")


@pytest.mark.parametrize("hook", ["starthasrv", "stophasrv", "monitorhasrv"])
def test_kill_9_of_the_worker_in_the_middle_of_a_hook(make_lab: MakeLab, hook: str) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    if hook == "starthasrv":
        first.hook(hook, "hang")
        first.start()
        second.start()
    else:
        lab.start()
        first.hook(hook, "hang")
        if hook == "stophasrv":
            first.send(signal.SIGHUP)
    count = 2 if hook == "stophasrv" else 1
    begun = eventually(
        lambda: len(lab.journal.calls("n1", hook)) > len(lab.journal.calls("n1", hook, word="end")),
        "it hangs",
    )
    assert begun
    shown = first.state()
    replaced(first, first.kill_worker())
    # nothing happens while the hook runs on, for two dead times
    throughout(lambda: second.calls("starthasrv") == [], "nothing moves", 2)
    assert first.state() == shown
    first.unhook(hook, "hang")
    if hook == "stophasrv":
        second.wait("Running")
        assert first.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    else:
        first.wait("Running")
        throughout(lambda: lab.running() == [first], "the services stay", 1)
        assert first.moves() == ["stophasrv", "starthasrv"]
    assert count == len(first.calls(hook)) or hook == "monitorhasrv"


def test_a_hook_that_ends_while_no_worker_lives_is_not_lost(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.hook("starthasrv", "hang")
    node.start()
    node.wait_call("starthasrv")
    worker = node.worker
    os.kill(worker, signal.SIGSTOP)
    node.unhook("starthasrv", "hang")
    eventually(lambda: lab.journal.calls("n1", "starthasrv", word="end"), "the hook ends")
    os.kill(worker, signal.SIGKILL)
    node.wait("Running")
    assert node.moves() == ["stophasrv", "starthasrv"]


def test_a_service_may_write_on_when_the_worker_died(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.hook("starthasrv", "leave")
    lab.start()
    service = int((node.control / "starthasrv.left").read_text())
    node.wait_log("tick 2 of the service")
    replaced(node, node.kill_worker())
    said = node.log.count("of the service")
    eventually(lambda: node.log.count("of the service") > said + 5, "the log goes on")
    assert alive(service)


def test_a_hung_worker_is_replaced(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(dead="3s")
    calls = [node.moves() for node in lab.nodes]
    hung = first.kill_worker(signal.SIGSTOP)
    replaced(first, hung)
    # nothing happens, for a dead time
    throughout(lambda: [node.moves() for node in lab.nodes] == calls, "no hook runs", 3)
    assert second.state(first) == "Running"


def test_kill_9_of_the_guard_leaves_the_worker_in_charge(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    calls = [node.moves() for node in lab.nodes]
    guard, worker = first.daemon()
    os.kill(guard, signal.SIGKILL)
    eventually(lambda: first.guard == worker, "the pid file names the worker")
    throughout(lambda: [node.moves() for node in lab.nodes] == calls, "no hook runs", 2)
    # it takes the signals itself
    os.kill(first.guard, signal.SIGHUP)
    second.wait("Running")
    os.kill(first.guard, signal.SIGTERM)
    eventually(lambda: not (first.run_directory / "had.pid").exists(), "it leaves and removes the pid file")


def test_kill_9_of_the_guard_in_the_middle_of_a_start(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.hook("starthasrv", "hang")
    node.start()
    node.wait_call("starthasrv")
    os.kill(node.guard, signal.SIGKILL)
    node.unhook("starthasrv", "hang")
    node.wait("Running")
    assert node.moves() == ["stophasrv", "starthasrv"]


def test_after_the_death_of_both_the_peer_takes_over_and_the_restarted_one_stops(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="the daemon was killed whole while its service lives on (promise 1)")
    first, second = lab.start()
    first.kill_daemon()
    second.wait("Running")
    first.start()
    first.wait("Standby")
    assert lab.running() == [second]
    assert second.moves() == ["stophasrv", "starthasrv"]


def test_a_left_over_hook_of_a_killed_daemon_is_ended_before_anything_else(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.hook("starthasrv", "hang")
    node.start()
    node.wait_call("starthasrv")
    hook = int(lab.journal.calls("n1", "starthasrv")[-1].rest[0])
    node.kill_daemon()
    assert alive(hook)
    node.start()
    eventually(lambda: not alive(hook), "the left-over hook ends")
    node.unhook("starthasrv", "hang")
    node.wait("Running")


def test_five_deaths_in_a_minute_with_a_peer_that_can_take_over(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    recorder = lab.record()
    # A hook that was forked just before holds the daemon's address for a moment: a short stop could be over
    # before the guard can say a word.
    first.hook("stophasrv", "hang")
    worker = 0
    for _ in range(5):
        worker = eventually(lambda old=worker: (first._worker() != old) and first._worker(), "a worker")
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    eventually(lambda: "Stopping" in {state for _, state in recorder.of("n1")}, "the guard tells that")
    first.unhook("stophasrv", "hang")
    assert first.wait_exit() == 1
    assert not first.serving
    second.wait("Running")


def test_five_deaths_in_a_minute_without_a_peer_leave_the_services_up(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    second.power_cut()
    first.wait("TIMEOUT", of=second)
    worker = 0
    for _ in range(6):
        worker = eventually(lambda old=worker: (first._worker() != old) and first._worker(), "a worker", 30)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    eventually(lambda: (first._worker() != worker) and first._worker(), "it goes on trying", 30)
    assert first.process is not None
    assert first.process.poll() is None
    assert first.serving
    assert first.calls("stophasrv") == ["stophasrv"]


def test_kill_9_of_both_on_a_standby_moves_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    second.kill_daemon()
    first.wait("TIMEOUT", of=second)
    second.start()
    second.wait("Standby")
    second.wait("Running", of=first)
    throughout(lambda: lab.running() == [first], "the services stay", 1)
    assert first.moves() == ["stophasrv", "starthasrv"]
    # it is as good as before
    first.power_cut()
    second.wait("Running")


def test_kill_9_of_both_in_the_middle_of_a_stop(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(dead="3s")
    first.hook("stophasrv", "hang")
    first.send(signal.SIGHUP)
    first.wait_call("stophasrv", 2)
    first.kill_daemon()
    first.unhook("stophasrv", "hang")
    # the hook is left to itself, and goes on to its end
    eventually(lambda: not first.serving, "the stop ends")
    second.wait("Running")
    first.start()
    first.wait("Standby")
    throughout(lambda: lab.running() == [second], "the services stay", 1)


def test_kill_9_of_the_worker_whose_guard_is_dead_leaves_the_services_to_a_restart(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(dead="5s")
    moves = [node.moves() for node in lab.nodes]
    guard, worker = first.daemon()
    os.kill(guard, signal.SIGKILL)
    eventually(lambda: first.guard == worker, "the pid file names the worker")
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not alive(worker), "both are dead")
    first.start(dead="5s")
    first.wait("Running")  # found running, within the dead time
    second.wait("Running", of=first)
    assert [node.moves() for node in lab.nodes] == moves
