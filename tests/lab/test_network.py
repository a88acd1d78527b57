"""Cuts, lost links, lost carriers, one-way losses."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from .cluster import Lab
from .waiting import eventually, throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]


@pytest.mark.alone
def test_of_two_that_were_cut_apart_exactly_one_remains(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="two nodes without a safeguard cannot know who is cut off (promise 1)")
    first, second = lab.start()
    lab.cut(second)
    second.wait("Running")
    assert lab.running() == [first, second]
    lab.heal()
    healed = time.monotonic()
    eventually(lambda: len(lab.running()) == 1, "one stops")
    assert lab.running() == [first]  # T3: the later in order stops
    second.wait("Standby")
    assert lab.journal.calls("n2", "stophasrv")[-1].time - healed < 1.5
    # nothing more happens, for more than a dead time
    throughout(lambda: lab.running() == [first], "one remains", 1.5)


def test_three_nodes_the_running_one_is_cut_off(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    lab.allow("overlap", because="a running node without quorum goes on (Q2)")
    first, second, third = lab.start()
    lab.cut(first)
    second.wait("Running")
    assert lab.running() == [first, second]
    lab.heal()
    eventually(lambda: len(lab.running()) == 1, "one stops")
    # nothing more happens, for a dead time, and all agree
    throughout(lambda: len(lab.running()) == 1, "one remains", 1)
    (running,) = lab.running()
    for node in (first, second, third):
        node.wait("Running", of=running)
    assert third.calls("starthasrv") == []


def test_three_nodes_a_standby_is_cut_off_and_does_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    first, second, _third = lab.start()
    lab.cut(second)
    second.wait("TIMEOUT", of=first)
    # nothing happens: it has no quorum (E1), seen for more than a dead time
    throughout(lambda: lab.running() == [first], "the services stay", 1.5)
    lab.heal()
    second.wait("Running", of=first)
    throughout(lambda: lab.running() == [first], "the services stay", 1)


def test_three_nodes_a_standby_that_loses_one_peer_a_little_before_the_other(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    recorder = lab.record()
    first, second, third = lab.start()
    # The usual case of a cut, made certain: the last heartbeats of the two are not of one instant.
    lab.mute(first, second)
    said = len(recorder.of("n3"))
    eventually(lambda: len(recorder.of("n3")) >= said + 2, "n3 speaks twice more")
    lab.cut(second)
    second.wait("TIMEOUT", of=third)
    # nothing happens: that it heard n3 a dead time ago is no quorum for a start
    throughout(lambda: lab.running() == [first], "the services stay", 1.5)


def test_one_of_two_links_is_lost_and_nothing_moves(make_lab: MakeLab) -> None:
    lab = make_lab(2, links=2)
    first, second = lab.start()
    calls = [node.moves() for node in lab.nodes]
    lab.partition([first], [second], link=1)
    throughout(lambda: [node.moves() for node in lab.nodes] == calls, "nothing moves", 1.5)
    lab.heal()
    lab.unplug(first, 2)
    first.wait_log("net2")
    throughout(lambda: [node.moves() for node in lab.nodes] == calls, "nothing moves", 1.5)
    lab.plug(first, 2)
    lab.partition([first], [second], link=1)
    throughout(lambda: [node.moves() for node in lab.nodes] == calls, "nothing moves", 1.5)
    assert first.states() == second.states() == {"n1": "Running", "n2": "Standby"}


def test_a_standby_without_carrier_never_takes_over(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    lab.unplug(second)
    second.wait("TIMEOUT", of=first)
    # nothing happens: it is the one that is cut off (H4), seen for more than a dead time
    throughout(lambda: lab.running() == [first], "the services stay", 1.5)
    lab.plug(second)
    second.wait("Running", of=first)
    # H3: the first timer to fire takes nothing over
    throughout(lambda: lab.running() == [first], "the services stay", 1)


def test_an_isolated_active_stops_before_the_other_starts_where_asked_for(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(isolated="stop", dead="2s")
    lab.unplug(first)
    second.wait("Running")
    assert not first.serving
    lab.plug(first)
    first.wait("Running", of=second)
    assert first.state() == "Standby"


def test_an_isolated_active_goes_on_by_default(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="isolated = keep")
    first, second = lab.start()
    lab.unplug(first)
    second.wait("Running")
    assert lab.running() == [first, second]
    lab.plug(first)
    eventually(lambda: len(lab.running()) == 1, "one remains")
    throughout(lambda: len(lab.running()) == 1, "one remains", 1)


def test_who_hears_nobody_starts_and_the_old_runner_that_hears_it_yields(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="no heartbeat of the running node gets through (promise 1)")
    first, second = lab.start()
    lab.mute(first, second)
    second.wait("Running")
    # T2: the running node witnessed the start
    first.wait("Standby")
    # nothing more happens, for more than a dead time
    throughout(lambda: lab.running() == [second], "one remains", 1.5)
    lab.heal()
    second.wait("Standby", of=first)
    throughout(lambda: lab.running() == [second], "one remains", 1)


def test_a_running_node_that_hears_nobody_goes_on(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    lab.mute(second, first)
    first.wait("TIMEOUT", of=second)
    # nothing happens, for more than a dead time
    throughout(lambda: lab.running() == [first], "the services stay", 1.5)


def test_an_interface_that_is_not_there_at_start_is_used_when_it_comes(make_lab: MakeLab) -> None:
    lab = make_lab(2, links=2)
    first, second = lab.nodes
    first.namespace.run("ip", "addr", "flush", "dev", "net2")
    lab.start()
    first.namespace.run("ip", "addr", "add", "10.77.2.1/24", "brd", "+", "dev", "net2")
    recorder = lab.record(2)
    eventually(lambda: recorder.of("n1"), "heartbeats on the second link")
    lab.partition([first], [second], link=1)
    # nothing happens: the second link carries them, seen for more than a dead time
    throughout(lambda: lab.running() == [first], "the services stay", 1.5)
    assert second.states() == {"n1": "Running", "n2": "Standby"}


def test_a_packet_filter_that_refuses_to_send_is_survived(make_lab: MakeLab) -> None:
    lab = make_lab(2, links=2)
    first, second = lab.start()
    calls = [node.moves() for node in lab.nodes]
    first.namespace.run(
        "nft",
        "-f",
        "-",
        given="table inet x {\n chain o {\n type filter hook output priority 0;\n oifname net1 drop\n }\n}\n",
    )
    first.wait_log("Operation not permitted")
    # nothing happens: the other link carries the heartbeats, seen for more than a dead time
    throughout(lambda: [node.moves() for node in lab.nodes] == calls, "nothing moves", 1.5)
    first.namespace.run("nft", "flush", "ruleset")
    recorder = lab.record(1)
    eventually(lambda: recorder.of("n1"), "the first link is used again")
    assert len([line for line in first.log.splitlines() if "Operation not permitted" in line]) == 1
    assert second.state(first) == "Running"


@pytest.mark.parametrize(
    "link",
    [
        "interface = net1",
        "kind = multicast\nnetwork = 10.77.1.0/24\ngroup = 239.7.7.7",
        "kind = multicast\ninterface = net1\ngroup = ff02::7777",
        "kind = unicast\npeers = 10.77.1.1, 10.77.1.2",
    ],
    ids=["interface", "multicast", "multicast6", "unicast"],
)
def test_every_kind_of_link_carries_a_cluster(make_lab: MakeLab, link: str) -> None:
    lab = make_lab(2)
    first, second = lab.start(link=link)
    first.send(signal.SIGHUP)
    second.wait("Running")
    first.wait("Standby")
