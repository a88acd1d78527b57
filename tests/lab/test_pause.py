"""A pause is not a licence (promise 6, rules P)."""

from __future__ import annotations

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
