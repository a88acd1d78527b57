"""Links on real interfaces: coming, going and moving, and what that costs."""

from __future__ import annotations

import socket

import pytest
from netspace import (
    PORT,
    Node,
    Space,
    cable,
    closing_all,
    connected_pair,
    descriptors,
    hear_each_other,
    link,
    nodes,
    settle,
    until,
    up_now,
)

pytestmark = pytest.mark.lab


@pytest.fixture
def world():
    with closing_all() as made:
        yield made


@pytest.fixture
def pair(world):
    return connected_pair(world)


def test_interface_down_at_start_and_up_later(world, pair):
    pair[0].run("ip link set eth1 down")
    one = Node(pair[0], link(interface="eth1"))
    world.append(one)
    one.open()
    assert one.changes == [(0, False, "eth1 is down")]
    assert one.carrier == [False]
    assert one.links.describe() == [
        "link one: broadcast from 10.77.1.1 to 10.77.1.255, port 3891, on eth1: down, eth1 is down"
    ]
    one.send()
    settle(one)
    assert len(one.changes) == 1
    pair[0].run("ip link set eth1 up")
    until(lambda: up_now(one) == [True], one)
    assert one.changes[1:] == [(0, True, "broadcast from 10.77.1.1 to 10.77.1.255, port 3891, on eth1")]
    assert one.carrier == [False, True]
    assert one.notices == []
    hear_each_other(one, *nodes(world, [pair[1]], [link(interface="eth1")]))


def test_interface_and_address_that_come_later(world):
    space = Space()
    world.append(space)
    one = Node(space, link(network="10.77.1.0/24"))
    world.append(one)
    one.open()
    assert one.changes == [(0, False, "no interface has an address in 10.77.1.0/24")]
    space.run("ip link add eth1 type veth peer name eth2", "ip link set eth2 up", "ip link set eth1 up")
    settle(one)
    assert one.links.describe() == ["link one: broadcast: down, no interface has an address in 10.77.1.0/24"]
    space.run("ip addr add 10.77.1.9/24 dev eth1")
    until(lambda: up_now(one) == [True], one)
    space.run("ip link del eth1")
    until(lambda: up_now(one) == [False], one)
    space.run(
        "ip link add eth1 type veth peer name eth2",
        "ip link set eth2 up",
        "ip link set eth1 up",
        "ip addr add 10.77.1.9/24 dev eth1",
    )
    until(lambda: up_now(one) == [True], one)
    assert [up for _, up, _ in one.changes] == [False, True, False, True]
    with space, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("10.77.1.255", PORT))
        ear.settimeout(5)
        one.send()
        assert ear.recv(100) == b"heartbeat"
    assert one.notices == []


def test_H4_carrier_lost_and_back_is_noticed_at_once(world, pair):
    one, two = nodes(world, pair, *[[link(interface="eth1")]] * 2)
    took = []
    for _ in range(3):
        pair[1].run("ip link set eth1 down")
        took.append(until(lambda: up_now(one) == [False], one))
        assert one.changes[-1] == (0, False, "eth1 has no carrier")
        assert one.carrier[-1] is False
        settle(one, seconds=0.1)
        pair[1].run("ip link set eth1 up")
        until(lambda: up_now(one) == [True], one)
        assert [up for _, up, _ in one.changes[-2:]] == [False, True]
        assert one.carrier[-1] is True
    # No timer runs while a link is up, so that it was noticed at all means that the kernel told.  It tells at
    # once, or within a second if any interface of the machine, in whatever namespace, has just changed.
    assert min(took) < 1.5
    until(lambda: up_now(two) == [True], two)
    hear_each_other(one, two)
    assert one.notices == two.notices == []


def test_address_removed_and_given_back(world, pair):
    one, two = nodes(world, pair, *[[link(interface="eth1")]] * 2)
    pair[0].run("ip addr del 10.77.1.1/24 dev eth1")
    until(lambda: up_now(one) == [False], one)
    assert one.changes[-1] == (0, False, "eth1 has no IPv4 address")
    assert one.links.own_addresses() == frozenset()
    assert len(one.links.filenos()) == 1, "only netlink's is left"
    assert one.carrier[-1] is True, "an address is not a carrier"
    one.send()
    settle(one)
    pair[0].run("ip addr add 10.77.1.1/24 brd + dev eth1")
    until(lambda: up_now(one) == [True], one)
    hear_each_other(one, two)
    assert one.notices == []


def test_address_changed(world, pair):
    one, two = nodes(world, pair, *[[link(interface="eth1")]] * 2)
    changes = list(one.changes)
    # Both at once, so that the link is never without one.
    pair[0].run("ip -batch -", stdin="addr add 10.77.3.7/24 brd + dev eth1\naddr del 10.77.1.1/24 dev eth1\n")
    until(lambda: one.links.own_addresses() == {"10.77.3.7"}, one)
    moved = "has moved: broadcast from 10.77.3.7 to 10.77.3.255, port 3891, on eth1"
    assert (0, True, moved) in one.notices
    assert one.changes == changes
    pair[1].run("ip -batch -", stdin="addr add 10.77.3.8/24 brd + dev eth1\naddr del 10.77.1.2/24 dev eth1\n")
    until(lambda: two.links.own_addresses() == {"10.77.3.8"}, two)
    hear_each_other(one, two)


def test_address_moved_to_another_interface(world, pair):
    one, two = nodes(world, pair, *[[link(network="10.77.1.0/24")]] * 2)
    cable(pair[0], "eth2", pair[1], "eth2")
    pair[0].run("ip addr del 10.77.1.1/24 dev eth1")
    until(lambda: up_now(one) == [False], one)
    pair[0].run("ip addr add 10.77.1.1/24 brd + dev eth2")
    until(lambda: up_now(one) == [True], one)
    assert one.links.describe()[0].endswith("on eth2: up")
    pair[1].run("ip addr del 10.77.1.2/24 dev eth1", "ip addr add 10.77.1.2/24 brd + dev eth2")
    until(lambda: two.links.describe()[0].endswith("on eth2: up"), two)
    hear_each_other(one, two)


def test_ipv6_address_is_waited_for_while_it_is_checked(world, pair):
    one = Node(pair[0], link("unicast", address="fd77::9", peers=("fd77::2",)))
    world.append(one)
    pair[0].run("ip addr add fd77::9/64 dev eth1")
    one.open()
    assert one.changes == [(0, False, "fd77::9 on eth1 is still being checked for a duplicate")]
    until(lambda: up_now(one) == [True], one)
    two = nodes(world, [pair[1]], [link("unicast", address="fd77::2", peers=("fd77::9",))])[0]
    hear_each_other(one, two)


def test_ipv6_comes_back_after_the_interface_was_down(world, pair):
    one, two = nodes(world, pair, *[[link("multicast", interface="eth1", group="ff02::7777")]] * 2)
    pair[0].run("ip link set eth1 down")
    until(lambda: up_now(one) == [False], one)
    pair[0].run("ip link set eth1 up")
    until(lambda: up_now(one) == [True] and up_now(two) == [True], one, two)
    hear_each_other(one, two)


def test_nothing_is_sent_on_a_link_that_is_down(world, pair):
    one = nodes(world, pair[:1], [link(interface="eth1")])[0]
    pair[0].run("ip link set eth1 down")
    until(lambda: up_now(one) == [False], one)
    assert len(one.links.filenos()) == 3, "the address is there still"
    one.send()
    assert one.notices == []


def test_a_hundred_flaps_leave_no_descriptors(world, pair):
    one, two = nodes(
        world,
        pair,
        [link(interface="eth1"), link("unicast", "two", PORT + 1, peers=("10.77.1.1", "10.77.1.2"))],
        [link(interface="eth1")],
    )
    before = descriptors()
    registered = len(one.selector.get_map())
    for flap in range(100):
        lose, regain = (
            ("ip addr del 10.77.1.1/24 dev eth1", "ip addr add 10.77.1.1/24 brd + dev eth1")
            if flap % 2
            else ("ip link set eth1 down", "ip link set eth1 up")
        )
        pair[0].run(lose)
        # Seen at different moments, and sometimes not at all.  (The kernel takes its time to tell of a
        # carrier, so that is not waited for each time.)
        if flap % 6 == 1 or flap % 20 == 0:
            until(lambda: up_now(one) == [False, False], one)
        pair[0].run(regain)
        if flap % 6 == 1:
            until(lambda: up_now(one) == [True, True], one)
        one.turn()
    until(lambda: up_now(one) == [True, True] and up_now(two) == [True], one, two)
    assert descriptors() == before
    assert len(one.selector.get_map()) == registered
    hear_each_other(one, two)
    assert len([c for c in one.changes if not c[1]]) >= 20
