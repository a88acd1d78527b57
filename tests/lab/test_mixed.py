"""One cluster, two implementations of the old format (point 6 of "In use"): how people migrate.

The old daemon pauses 1 s between heartbeats and counts whole seconds, so the timers are longer here.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from .cluster import Lab, Node
from .waiting import eventually, throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]
TIMERS = {"heartbeat": "500ms", "dead": "2500ms"}


def start(lab: Lab, *old: Node) -> None:
    """Start all nodes, the named ones as old daemons; the first in order runs."""
    for node in lab.nodes:
        if node in old:
            node.start_old("-n", str(len(lab.nodes)), dead=2)
        else:
            node.start(**TIMERS)
    for node in lab.nodes:
        node.wait("Running", of=lab.nodes[0])
    for node in lab.nodes[1:]:
        node.wait("Standby")


def test_the_old_one_runs_and_the_new_one_takes_over(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    old, new = lab.nodes
    start(lab, old)
    old.power_cut()
    new.wait("Running")
    assert new.states() == {"n1": "TIMEOUT", "n2": "Running"}
    # the old one comes back, first in order: nothing moves
    old.start_old(dead=2)
    old.wait("Standby")
    new.wait("Standby", of=old)
    assert lab.running() == [new]
    # HUP hands the services over to it
    new.send(signal.SIGHUP)
    old.wait("Running")
    new.wait("Standby")
    # TERM on it: the new one waits for the time-out, then runs
    assert old.stop() == 0
    new.wait("Stopping", of=old)
    new.wait("Running")
    assert new.states()["n1"] == "TIMEOUT"


def test_the_new_one_runs_and_the_old_one_takes_over(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    new, old = lab.nodes
    start(lab, old)
    # HUP on the first: with old daemons alone it would start again itself; held, it shows ERRORED (E3)
    new.send(signal.SIGHUP)
    old.wait("Running")
    new.wait("Standby")
    # HUP on the old one, later in order: the new one runs
    old.send(signal.SIGHUP)
    new.wait("Running")
    eventually(lambda: old.state() == "Standby", "the old one stopped")
    # TERM: the last word is STOPPING
    assert new.stop() == 0
    old.wait("Stopping", of=new)
    old.wait("Running")
    # it comes back, first in order, and nothing moves; then the old one's machine dies
    new.start(**TIMERS)
    new.wait("Standby")
    assert lab.running() == [old]
    old.power_cut()
    new.wait("Running")


def test_usr1_on_the_old_one_makes_the_new_one_yield(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="the old daemon starts without a look at others (D8)")
    new, old = lab.nodes
    start(lab, old)
    old.send(signal.SIGUSR1)
    old.wait("Running")
    new.wait("Standby")  # T2: it witnessed the start
    # nothing more happens, for more than a dead time
    throughout(lambda: lab.running() == [old], "one runs", 2.5)


def test_usr1_on_the_new_one_beside_an_old_one_that_never_yields(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="a person forced it against a peer that never yields (M3, T4)")
    old, new = lab.nodes
    start(lab, old)
    new.send(signal.SIGUSR1)
    new.wait("Running")
    # T4: a person's word stands; seen for more than two dead times
    throughout(lambda: lab.running() == [old, new], "both run", 6)
    old.send(signal.SIGTERM)
    assert old.wait_exit() == 0
    assert lab.running() == [new]


@pytest.mark.parametrize("new_is_first", [True, False])
def test_after_a_cut_the_new_one_yields_to_the_old_one(make_lab: MakeLab, new_is_first: bool) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="two nodes without a safeguard cannot know who is cut off (promise 1)")
    new, old = lab.nodes if new_is_first else lab.nodes[::-1]
    start(lab, old)
    lab.cut(old)
    eventually(lambda: lab.running() == lab.nodes, "both run")
    for node, other in ((new, old), (old, new)):
        node.wait("TIMEOUT", of=other)
    lab.heal()
    # T3, or T4 after two dead times: there is an end to it, also with a peer that never yields
    eventually(lambda: lab.running() == [old], "the new one stops")
    new.wait("Standby")
    throughout(lambda: lab.running() == [old], "one runs", 2.5)


def test_force_main_on_either_beside_the_other(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="-m starts whatever others say")
    new, old = lab.nodes
    start(lab, old)
    old.power_cut()
    new.wait("TIMEOUT", of=old)
    old.start_old("-m", dead=2)
    old.wait("Running")
    new.wait("Standby")
    assert lab.running() == [old]
    new.stop()
    new.start("-m", **TIMERS)
    new.wait("Running")
    # T4: forced while it heard the other RUNNING or not, the old one never stops
    eventually(lambda: old in lab.running(), "the old one runs on")


def test_three_nodes_mixed(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    first, new, last = lab.nodes
    start(lab, first, last)
    first.power_cut()
    new.wait("Running")
    last.wait("Running", of=new)
    first.start_old("-n", "3", dead=2)
    first.wait("Standby")
    new.send(signal.SIGHUP)
    first.wait("Running")
    new.wait("Standby")
    assert lab.running() == [first]
    assert last.calls("starthasrv") == []


def test_an_old_one_that_a_hook_blocked_comes_back_and_the_new_one_yields(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="the old daemon falls silent while its hooks run (D2)")
    old, new = lab.nodes
    start(lab, old)
    old.hook("monitorhasrv", "hang")
    new.wait("Running")
    old.unhook("monitorhasrv", "hang")
    eventually(lambda: lab.running() == [old], "the new one stops")
    new.wait("Standby")
