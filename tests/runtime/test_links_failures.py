"""Links on real interfaces: sending that fails, mistakes that a person must mend, floods and stalls."""

from __future__ import annotations

import os
import selectors
import socket
import time

import pytest
from netspace import (
    PORT,
    Node,
    closing_all,
    connected_pair,
    descriptors,
    keep_sending,
    link,
    nodes,
    settle,
    until,
    up_now,
)

from had.runtime.links import MS, READ_LIMIT, SECOND, LinkFatal, Links

pytestmark = pytest.mark.lab


@pytest.fixture
def world():
    with closing_all() as made:
        yield made


@pytest.fixture
def pair(world):
    return connected_pair(world)


def test_sending_forbidden_by_a_firewall(world, pair):
    one, two = nodes(
        world,
        pair,
        *[
            [link(interface="eth1"), link(name="two", interface="eth1", port=PORT + 1, address="10.77.9.9")][
                :1
            ]
        ]
        * 2,
    )
    pair[0].firewall("udp dport 3891")
    changes = list(one.changes)
    for _ in range(3):
        one.send()
    assert one.notices == [
        (0, False, "cannot send to 10.77.1.255: Operation not permitted (a firewall on this machine?)")
    ]
    assert one.changes == changes, "a failed send is not a link that is down"
    pair[0].run("nft flush ruleset")
    until(lambda: keep_sending(one) and len(one.notices) > 1, one, two)
    assert one.notices[1:] == [(0, True, "can send to 10.77.1.255 again")]
    until(lambda: two.heard, two)


def test_failed_sending_is_tried_seldom_but_at_once_after_the_first_time(world, pair):
    one = nodes(world, pair[:1], [link(interface="eth1")], retry_cap_ns=1600 * MS)[0]
    pair[0].firewall("udp dport 3891")
    counted = []
    sockets = one.links._links[0].sockets
    original = sockets._sender

    class Counting:
        def sendto(self, *what):
            counted.append(now)
            return original.sendto(*what)

    sockets._sender = Counting()
    start = SECOND
    for now in range(start, start + 6 * SECOND, 10 * MS):
        one.links.send(b"x", now)
    sockets._sender = original
    gaps = [(later - earlier) // MS for earlier, later in zip(counted, counted[1:])]
    assert gaps[:6] == [10, 200, 400, 800, 1600, 1600]
    assert len(one.links.take_notices()) == 1


def test_one_unreachable_peer_keeps_none_from_the_others(world, pair):
    peers = ("10.77.1.1", "10.77.1.2", "10.99.0.1")
    pair[0].run("ip route add unreachable 10.99.0.0/16")
    one, two = nodes(
        world, pair, *[[link("unicast", peers=peers, interface="eth1")]] * 2, retry_cap_ns=60 * SECOND
    )
    for _ in range(20):
        one.send()
    until(lambda: len(two.heard) >= 20, two)
    assert one.notices == [(0, False, "cannot send to 10.99.0.1: No route to host")]
    pair[0].run("ip route del unreachable 10.99.0.0/16")
    pair[0].run("ip route add 10.99.0.0/16 via 10.77.1.2")
    pair[0].run(
        "ip link set eth1 promisc on"
    )  # a change of any interface gives a failed destination a new try
    until(lambda: keep_sending(one) and one.notices[1:] == [(0, True, "can send to 10.99.0.1 again")], one)


def test_no_route(world, pair):
    one = nodes(world, pair[:1], [link("unicast", peers=("10.98.0.1",), interface="eth1")])[0]
    one.send()
    assert one.notices == [(0, False, "cannot send to 10.98.0.1: Network is unreachable")]


def test_full_send_buffer(world, pair):
    one, two = nodes(
        world,
        pair,
        *[
            [
                link(interface="eth1"),
                link("unicast", "two", PORT + 1, peers=("127.0.0.1",), address="127.0.0.1"),
            ]
        ]
        * 2,
    )
    pair[0].run("tc qdisc add dev eth1 root tbf rate 8kbit burst 1600 limit 1000000")
    for _ in range(100):
        one.send(bytes(48))
    assert one.notices == [(0, False, "cannot send to 10.77.1.255: the send buffer is full")]
    pair[0].run("tc qdisc del dev eth1 root")
    until(lambda: keep_sending(one) and len(one.notices) > 1, one)
    assert one.notices[1:] == [(0, True, "can send to 10.77.1.255 again")]
    settle(one, two)
    assert len([h for h in two.heard if h[0] == 0]) < 60, "stale heartbeats must not queue up"


def test_peers_that_are_gone_do_not_fill_the_buffer(world, pair):
    peers = ("10.77.1.2", *(f"10.77.1.{n}" for n in range(100, 110)))
    one, two = nodes(
        world,
        pair,
        [link("unicast", interface="eth1", peers=peers)],
        [link("unicast", interface="eth1", peers=("10.77.1.1",))],
    )
    for _ in range(200):  # what waits for ARP is not given up before a second
        one.send(bytes(48))
        two.turn()
    assert one.notices == []
    until(lambda: len(two.heard) >= 200, two)


def fatal(space, *configs):
    before = descriptors()
    node = Node(space, *configs)
    try:
        with pytest.raises(LinkFatal) as caught:
            node.open()
        assert node.links.filenos() == []
        assert not node.selector.get_map()
    finally:
        node.close()
    assert descriptors() == before
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_D21_second_daemon_on_the_same_address_and_port(world, pair):
    for config in (
        link(interface="eth1"),
        link("multicast", interface="eth1", group="239.1.2.3"),
        link("multicast", interface="eth1", group="ff02::1:2"),
        link("unicast", peers=("10.77.1.1", "10.77.1.2")),
        link("unicast", peers=("fd77::1", "fd77::2")),
    ):
        one = nodes(world, pair[:1], [config])[0]
        text = fatal(pair[0], config)
        assert text.startswith(
            f"link one: {next(iter(one.links.own_addresses()))} port 3891 is in use by another"
        )
        second = Node(pair[0], config)
        world.append(second)
        second.open(resumed=True)
        assert second.changes[0][:2] == (0, False)
        assert "is in use" in second.changes[0][2]
        one.close()
        world.remove(one)
        until(lambda: up_now(second) == [True], second)  # noqa: B023
        second.close()
        world.remove(second)


def test_freehad_that_shares_nothing_on_the_broadcast_address(world, pair):
    with pair[0], socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as freehad:
        freehad.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        freehad.bind(("10.77.1.255", PORT))
        assert fatal(pair[0], link(interface="eth1")).startswith("link one: 10.77.1.255 port 3891 is in use")


def test_wrong_broadcast_address_on_a_class_b_network(world, pair):
    pair[0].run("ip addr add 10.88.3.4/16 brd + dev eth1")
    text = fatal(pair[0], link(address="10.88.3.4", broadcast="10.88.3.255"))
    assert text == (
        "link one: 10.88.3.255 is no broadcast address of eth1, which has 10.88.3.4/16;"
        " it is 10.88.255.255 there: broadcast = 10.88.255.255 (-A, -B, -C)"
    )


def test_two_links_on_the_same_sockets(world, pair):
    one, other = link(interface="eth1"), link(name="two", address="10.77.1.1")
    text = "link two: 10.77.1.1 port 3891 is already link one's; give each link its own address or port"
    assert fatal(pair[0], one, other) == text
    pair[0].run("ip addr add 10.77.1.9/24 dev eth1")
    assert "10.77.1.255 port 3891 is already link one's" in fatal(
        pair[0], one, link(name="two", address="10.77.1.9")
    )


def test_later_mistakes_are_links_that_are_down(world, pair):
    """A daemon that runs isn't ended by what an administrator does to its interfaces."""
    one = Node(pair[0], link(address="10.88.3.4", broadcast="10.88.3.255"))
    world.append(one)
    one.open()
    pair[0].run("ip addr add 10.88.3.4/16 brd + dev eth1")
    until(lambda: "no broadcast address" in one.links.describe()[0], one)
    pair[0].run("ip addr del 10.88.3.4/16 dev eth1", "ip addr add 10.88.3.4/24 brd + dev eth1")
    until(lambda: up_now(one) == [True], one)
    assert [up for _, up, _ in one.changes] == [False, True]


def test_plan_opens_nothing(world, pair):
    one = nodes(world, pair[:1], [link(interface="eth1")])[0]
    before = descriptors()
    selector = selectors.DefaultSelector()
    links = Links([link(interface="eth1"), link(name="two", interface="eth9")], selector, print, print, print)
    with pair[0]:
        links.plan()
        assert links.describe() == [
            one.links.describe()[0],
            "link two: broadcast: down, there is no interface eth9",
        ]
        with pytest.raises(LinkFatal, match="link one: says not where it is"):
            Links([link()], selector, print, print, print).plan()
    assert not selector.get_map()
    selector.close()
    assert descriptors() == before


def test_flood_is_read_in_portions(world, pair):
    one, two = nodes(world, pair, *[[link(interface="eth1")]] * 2)
    with pair[1], socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for number in range(2000):
            stranger.sendto(os.urandom(number % 1400), ("10.77.1.255", PORT))
    one.turn(1)
    assert 0 < len(one.heard) <= READ_LIMIT
    until(lambda: not one.selector.select(0), one)
    heard = len(one.heard)
    two.send(b"still there")
    until(lambda: one.heard[-1][1] == b"still there", one)
    assert heard > READ_LIMIT


def test_oversized_and_empty_datagrams(world, pair):
    one, two = nodes(world, pair, *[[link(interface="eth1")]] * 2)
    for size in (0, 48, 9000):
        two.send(bytes(size))
    until(lambda: len(one.heard) == 3, one)
    assert [min(len(data), 48) for _, data, _ in one.heard] == [0, 48, 48]


def test_P1_discard_throws_away_what_waited(world, pair):
    one, two = nodes(
        world,
        pair,
        *[[link(interface="eth1"), link("unicast", "two", PORT + 1, peers=("10.77.1.1", "10.77.1.2"))]] * 2,
    )
    for _ in range(300):
        two.send(b"old")
    one.links.discard()
    two.send(b"new")
    until(lambda: {(0, b"new"), (1, b"new")} <= {h[:2] for h in one.heard}, one)
    assert {data for _, data, _ in one.heard} == {b"new"}


def test_idle_links_cost_nothing(world, pair):
    one, _ = nodes(world, pair, *[[link(interface="eth1")]] * 2)
    settle(one, seconds=0.1)
    reads = []
    original = one.links._read_table
    one.links._read_table = lambda now_ns: reads.append(now_ns) or original(now_ns)
    settle(one, seconds=0.3)
    assert reads == []
    assert one.links.next_ns is None


def test_links_that_are_down_are_retried_with_back_off(world, pair):
    one = Node(pair[0], link(interface="eth9"))
    world.append(one)
    with pair[0]:
        one.links.open(0)
        due = [one.links.next_ns]
        for _ in range(7):
            one.links.tick(due[-1] - 1)
            assert one.links.next_ns == due[-1], "not before its time"
            one.links.tick(due[-1])
            due.append(one.links.next_ns)
    gaps = [(later - earlier) // MS for earlier, later in zip([0, *due], due)]
    assert gaps == [250, 500, 1000, 2000, 4000, 4000, 4000, 4000]
    assert len(one.changes) == 1
    pair[0].run("ip link set lo down")
    with pair[0]:
        one.links.tick(due[-1])
    assert one.links.next_ns == due[-1] + 250 * MS, "the world has changed, so begin anew"


def test_storm_of_notifications_reads_the_table_seldom(world, pair):
    one, _ = nodes(world, pair, *[[link(interface="eth1")]] * 2)
    reads = []
    original = one.links._read_table
    one.links._read_table = lambda now_ns: reads.append(now_ns) or original(now_ns)
    pair[0].run("ip link add dummy9 type veth peer name dummy8")
    begin = time.monotonic_ns()
    for number in range(40):
        pair[0].run(f"ip link set dummy9 {'up' if number % 2 else 'down'}")
        one.turn()
    settle(one, seconds=0.1)
    assert 0 < len(reads) <= (time.monotonic_ns() - begin) // (50 * MS) + 1
    assert up_now(one) == [True]


def test_machine_without_descriptors_is_told_at_the_start(pair):
    import resource

    before, limits = descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)
    for allowed, what in ((0, "watch"), (1, "look at")):
        node = Node(pair[0], link(interface="eth1"))
        with pair[0]:
            # The lowest free descriptor is one above the highest of a process without gaps.
            free = os.open("/", os.O_RDONLY)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + allowed, limits[1]))
            try:
                with pytest.raises(LinkFatal, match=f"cannot {what} the network interfaces: Too many open"):
                    node.links.open(0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert not node.selector.get_map()
        node.close()
    assert descriptors() == before


def test_late_call_for_closed_sockets_is_harmless(world, pair):
    """The loop may still hold a key of a link that was closed in the same turn."""
    one = nodes(world, pair[:1], [link(interface="eth1")])[0]
    keys = list(one.selector.get_map().values())
    one.send()
    one.links.close()
    for key in keys:
        key.data()
    one.links.discard()
    one.send()
    assert one.heard == one.notices == []
    assert one.links.next_ns is None
    one.links.tick(0)


def test_unreadable_table_is_told_once_and_tried_again(world, pair):
    """Out of descriptors: the links that are open go on."""
    import resource

    one, two = nodes(world, pair, *[[link(interface="eth1")]] * 2)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    pair[0].run("ip link set eth1 promisc on")
    with pair[0]:
        for key, _ in one.selector.select(5):
            key.data()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            now = one.links.next_ns
            for _ in range(5):
                one.links.tick(now)
                now = one.links.next_ns
                one.links.send(b"on I go", now)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        one.links.tick(now)
    until(lambda: two.heard, two)
    assert one.links.take_notices() == [
        (-1, False, "cannot look at the network interfaces: Too many open files"),
        (-1, True, "can look at the network interfaces again"),
    ]
    assert one.links.next_ns is None
