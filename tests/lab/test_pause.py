"""A pause is not a licence (promise 6, rules P)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from .cluster import Lab
from .waiting import eventually, throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]


def test_a_running_node_that_was_paused_stops_its_own_beside_the_new_one(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="the daemon was paused whole while its service lives on (promise 1)")
    first, second = lab.start()
    recorder = lab.record()
    pids = first.freeze()
    second.wait("Running")
    said = len(recorder.of("n1"))
    first.thaw(pids)
    first.wait("Standby")
    assert lab.running() == [second]
    assert second.calls("stophasrv") == ["stophasrv"]
    # the first thing that it said after the pause was not that it runs
    assert recorder.of("n1")[said][1] != "Running"
    throughout(lambda: lab.running() == [second], "one remains", 1)


def test_a_standby_that_was_paused_takes_nothing_over(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    pids = second.freeze()
    first.wait("TIMEOUT", of=second)
    second.thaw(pids)
    first.wait("Standby", of=second)
    throughout(lambda: lab.running() == [first], "the services stay", 2)
    assert second.calls("starthasrv") == []


def test_both_paused_and_resumed_one_runs_on(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    pids = {node: node.freeze() for node in lab.nodes}
    # the pause: longer than the dead time, for which nothing can be polled
    throughout(lambda: lab.running() == [first], "all is frozen", 2)
    for node in (second, first):
        node.thaw(pids[node])
    eventually(
        lambda: first.state() == "Running" and second.state(first) == "Running", "they know each other"
    )
    throughout(lambda: lab.running() == [first], "the services stay", 2)


def test_a_short_pause_is_no_pause(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(dead="3s")
    calls = [node.moves() for node in lab.nodes]
    pids = first.freeze()
    # shorter than the dead time
    throughout(lambda: second.state(first) == "Running", "nobody notices", 0.8)
    first.thaw(pids)
    throughout(lambda: [node.moves() for node in lab.nodes] == calls, "nothing moves", 2)


def test_a_paused_guard_delays_signals_and_nothing_else(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    guard, worker = first.guard, first.worker
    os.kill(guard, signal.SIGSTOP)
    first.send(signal.SIGHUP)
    # nothing happens, for two dead times: the worker needs no guard to go on
    throughout(lambda: lab.running() == [first] and second.state(first) == "Running", "nothing moves", 2)
    os.kill(guard, signal.SIGCONT)
    second.wait("Running")
    first.wait("Standby")
    assert first.worker == worker


def test_a_worker_that_dies_under_a_paused_guard_is_replaced_after_the_pause(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(dead="3s")
    moves = [node.moves() for node in lab.nodes]
    guard = first.guard
    os.kill(guard, signal.SIGSTOP)
    worker = first.kill_worker()
    # shorter than the dead time
    throughout(lambda: second.state(first) == "Running", "nobody notices", 0.5)
    os.kill(guard, signal.SIGCONT)
    eventually(lambda: first.worker != worker, "there is a new worker")
    throughout(lambda: [node.moves() for node in lab.nodes] == moves, "nothing moves", 3.5)
    first.send(signal.SIGHUP)
    second.wait("Running")


def test_a_worker_that_is_paused_for_a_moment_is_not_replaced(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(dead="3s")
    moves = [node.moves() for node in lab.nodes]
    worker = first.kill_worker(signal.SIGSTOP)
    # shorter than the guard's patience (G2)
    throughout(lambda: second.state(first) == "Running", "nobody notices", 0.4)
    os.kill(worker, signal.SIGCONT)
    # nothing moves, for longer than the guard's patience
    throughout(lambda: [node.moves() for node in lab.nodes] == moves, "nothing moves", 1.5)
    assert first.worker == worker
