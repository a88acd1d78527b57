"""Links on real interfaces: who hears whom, and what the sockets are like."""

from __future__ import annotations

import fcntl
import os
import socket

import pytest
from netspace import (
    PORT,
    Here,
    Node,
    Space,
    as_nobody,
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

from had.runtime.links import LinkFatal

pytestmark = pytest.mark.lab


@pytest.fixture
def world():
    with closing_all() as made:
        yield made


@pytest.fixture
def pair(world):
    return connected_pair(world)


@pytest.mark.parametrize(
    "configs",
    [
        [[link(address=f"10.77.1.{n}", broadcast="10.77.1.255")] for n in (1, 2)],
        [[link(interface="eth1")]] * 2,
        [[link(network="10.77.1.0/24")]] * 2,
        [[link(interface="eth1", broadcast="255.255.255.255")]] * 2,
        [[link("multicast", interface="eth1", group="239.77.1.1")]] * 2,
        [[link("multicast", interface="eth1", group="ff02::7777")]] * 2,
        [[link("multicast", network="fd77::/64", group="ff05::7777")]] * 2,
        [[link("unicast", peers=("10.77.1.1", "10.77.1.2", "10.77.1.3"))]] * 2,
        [[link("unicast", peers=("fd77::1", "fd77::2"))]] * 2,
        [[link("unicast", interface="eth1", peers=("fe80::1", "fe80::2"))]] * 2,
    ],
    ids=lambda configs: " ".join(filter(None, map(str, vars(configs[0][0]).values()))),
)
def test_two_nodes_hear_each_other(world, pair, configs):
    one, two = nodes(world, pair, *configs)
    hear_each_other(one, two)
    assert {source for _, data, source in one.heard if data == f"from {id(two)}".encode()} == set(
        two.links.own_addresses()
    )
    assert one.notices == []
    assert one.changes == [] or one.changes[-1][1]
    # The kernel may still tell of an address that has just become good: then the table is read once more.
    until(lambda: one.links.next_ns is None, one, two)


def test_heartbeats_come_from_the_links_own_port_and_address(world, pair):
    one, _ = nodes(world, pair, [link(interface="eth1")], [link(interface="eth1")])
    with pair[1], socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.settimeout(10)
        ear.bind(("10.77.1.255", PORT))
        one.send()
        assert ear.recvfrom(100) == (b"heartbeat", ("10.77.1.1", PORT))


def test_broadcast_link_reads_no_unicast(world, pair):
    one, two = nodes(world, pair, [link(interface="eth1")], [link(interface="eth1")])
    with pair[1], socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(500):
            stranger.sendto(b"to you alone", ("10.77.1.1", PORT))
        stranger.sendto(b"to all", ("10.77.1.255", PORT))
    until(lambda: one.heard, one)
    assert [data for _, data, _ in one.heard] == [b"to all"]
    hear_each_other(one, two)


@pytest.mark.parametrize("group", ["239.77.1.1", "ff02::7777", "ff05::7777"])
def test_multicast_speaks_and_hears_only_by_the_chosen_interface(world, pair, group):
    cable(pair[0], "eth2", pair[1], "eth2")
    for number, space in enumerate(pair, 1):
        space.run(
            f"ip addr add 10.77.2.{number}/24 dev eth2", f"ip addr add fd78::{number}/64 dev eth2 nodad"
        )
    first = link("multicast", interface="eth1", group=group)
    second = link("multicast", "two", interface="eth2", group=group)
    one, two = nodes(world, pair, [first], [first, second])
    hear_each_other(one, two)
    settle(one, two, seconds=0.2)  # whatever came by eth2 would be here by now
    own = [each.placement.own for each in two.links._links]
    theirs = one.links.own_addresses()
    assert {source for _, _, source in one.heard} - theirs == {own[0]}
    assert {(i, source) for i, _, source in two.heard if source not in own} == {(0, each) for each in theirs}


def test_multicast_stays_on_the_local_network(world, pair):
    one, _ = nodes(world, pair, *[[link("multicast", interface="eth1", group="239.77.1.1")]] * 2)
    sender = one.links._links[0].sockets._sender
    assert sender.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 1


def test_two_links_carry_every_heartbeat(world, pair):
    cable(pair[0], "eth2", pair[1], "eth2")
    for number, space in enumerate(pair, 1):
        space.run(f"ip addr add 10.77.2.{number}/24 brd + dev eth2")
    configs = [link(network="10.77.1.0/24"), link(name="two", network="10.77.2.0/24", crossover=True)]
    one, two = nodes(world, pair, configs, configs)
    until(lambda: {(0, "10.77.1.1"), (1, "10.77.2.1")} <= sent(one, two), one, two)
    assert one.links.own_addresses() == {"10.77.1.1", "10.77.2.1"}
    assert one.links.describe() == [
        "link one: broadcast from 10.77.1.1 to 10.77.1.255, port 3891, on eth1: up",
        "link two (crossover): broadcast from 10.77.2.1 to 10.77.2.255, port 3891, on eth2: up",
    ]
    pair[1].run("ip link set eth2 down")
    until(lambda: up_now(one) == [True, False], one)
    two.heard.clear()
    until(lambda: (0, "10.77.1.1") in sent(one, two), one, two)
    assert one.notices == []


def sent(one, two):
    one.send()
    return {(index, source) for index, _, source in two.heard}


def test_three_daemons_on_loopback_without_privileges():
    space = Space()
    with space:
        space.run("ip link set lo up")

        def work():
            three = [
                Node(space_here, link(address=f"127.0.0.{n}", broadcast="127.255.255.255")).open()
                for n in (1, 2, 3)
            ]
            hear_each_other(*three)
            for node in three:
                others = {"127.0.0.1", "127.0.0.2", "127.0.0.3"} - node.links.own_addresses()
                assert {source for _, _, source in node.heard} == others, "own copies wake nobody"
                assert node.carrier == [True], "a link that is on loopback on purpose can't be cut off"
                assert node.changes == []
            with pytest.raises(LinkFatal, match=r"127\.0\.0\.2 port 3891 is in use"):
                Node(space_here, link(address="127.0.0.2", broadcast="127.255.255.255")).open()
            with pytest.raises(LinkFatal, match="ports below 1024 need root"):
                Node(space_here, link(address="127.0.0.4", port=389)).open()

        space_here = Here()
        as_nobody(work)
    space.close()


def test_every_kind_of_link_without_privileges(world, pair):
    kinds = (
        link(interface="eth1"),
        link("multicast", "two", PORT + 1, interface="eth1", group="239.77.1.1"),
        link("multicast", "three", PORT + 2, interface="eth1", group="ff02::7777"),
        link("multicast", "four", PORT + 3, interface="eth1", group="ff05::7777"),
        link("unicast", "five", PORT + 4, peers=("10.77.1.1", "10.77.1.2")),
        link("unicast", "six", PORT + 5, peers=("fd77::1", "fd77::2")),
    )

    two = Node(pair[1], *kinds).open()
    world.append(two)
    until(lambda: all(up_now(two)), two)

    def work():
        one = Node(Here(), *kinds).open()
        until(lambda: all(up_now(one)), one)
        one.send()
        two.send()
        until(lambda: {index for index, _, _ in one.heard} == set(range(len(kinds))), one)
        assert one.notices == []

    with pair[0]:
        as_nobody(work)


def test_loopback_multicast_and_unicast(world, pair):
    peers = ("127.0.0.1", "127.0.0.2")
    for configs in (
        [[link("unicast", address=peer, peers=peers)] for peer in peers],
        [[link("multicast", address=peer, group="239.77.1.1")] for peer in peers],
    ):
        one, two = nodes(world, (pair[0], pair[0]), *configs)
        hear_each_other(one, two)
        for node in (one, two):
            node.close()
            world.remove(node)


def test_nothing_is_left_after_close(world, pair):
    before = descriptors()
    one = Node(
        pair[0], link(interface="eth1"), link("multicast", "two", PORT + 1, interface="eth1", group="ff02::7")
    )
    one.open()
    assert len(one.links.filenos()) == 5
    one.links.close()
    assert one.links.filenos() == []
    assert not one.selector.get_map()
    one.open()
    one.close()
    assert descriptors() == before


def test_no_socket_blocks_or_leaks_into_hooks(world, pair):
    one = Node(
        pair[0], link(interface="eth1"), link("unicast", "two", PORT + 1, peers=("fd77::1", "fd77::2"))
    )
    world.append(one)
    one.open()
    for fd in one.links.filenos():
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
