"""The table of interfaces and its bell, on real interfaces."""

from __future__ import annotations

import select
import socket
import time

import pytest
from netspace import PATIENCE_S, Space, as_nobody, cable, descriptors

from had.runtime import netlink
from had.runtime.netlink import Notifications, read_interfaces

pytestmark = pytest.mark.lab


@pytest.fixture
def spaces():
    both = Space(), Space()
    yield both
    for space in both:
        space.close()


def table(space):
    with space:
        return {interface.name: interface for interface in read_interfaces()}


def wait_for(space, condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition(found := table(space)):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def address_of(found, name, text):
    return next((each for each in found[name].addresses if each.address == text), None)


def test_fresh_namespace_has_loopback_down(spaces):
    lo = table(spaces[0])["lo"]
    assert (lo.up, lo.carrier, lo.loopback) == (False, False, True)
    spaces[0].run("ip link set lo up")
    lo = table(spaces[0])["lo"]
    assert (lo.up, lo.carrier, lo.loopback) == (True, True, True)
    found = address_of({"lo": lo}, "lo", "127.0.0.1")
    assert (found.family, found.prefix, found.broadcast) == (socket.AF_INET, 8, "")


def test_ethernet_with_addresses(spaces):
    one, other = spaces
    cable(one, "left", other, "right")
    one.run("ip addr add 10.1.2.3/16 brd + dev left", "ip addr add 10.1.2.4/16 dev left")
    found = wait_for(one, lambda t: t["left"].carrier)
    left = found["left"]
    assert (left.up, left.loopback, left.can_broadcast, left.can_multicast) == (True, False, True, True)
    first, second = address_of(found, "left", "10.1.2.3"), address_of(found, "left", "10.1.2.4")
    assert (first.prefix, first.broadcast, first.lesser) == (16, "10.1.255.255", False)
    assert (second.broadcast, second.lesser) == ("", True)
    assert 0 < first.created <= second.created


def test_carrier_goes_with_the_other_end(spaces):
    one, other = spaces
    cable(one, "left", other, "right")
    wait_for(one, lambda t: t["left"].carrier)
    other.run("ip link set right down")
    left = wait_for(one, lambda t: not t["left"].carrier)["left"]
    assert left.up
    one.run("ip link set left down")
    left = table(one)["left"]
    assert (left.up, left.carrier) == (False, False)


def test_point_to_point_shows_the_own_address(spaces):
    one, other = spaces
    cable(one, "left", other, "right")
    one.run("ip addr add 10.9.0.1 peer 10.9.0.2/32 dev left")
    assert address_of(table(one), "left", "10.9.0.1") is not None
    assert address_of(table(one), "left", "10.9.0.2") is None


def test_ipv6_address_is_tentative_and_then_good(spaces):
    one, other = spaces
    cable(one, "left", other, "right")
    wait_for(one, lambda t: t["left"].carrier)
    one.run("ip addr add fd00::1/64 dev left")
    assert address_of(table(one), "left", "fd00::1").tentative
    good = address_of(
        wait_for(one, lambda t: not address_of(t, "left", "fd00::1").tentative), "left", "fd00::1"
    )
    assert (good.family, good.prefix, good.duplicate) == (socket.AF_INET6, 64, False)


def test_ipv6_duplicate_is_known_as_such(spaces):
    one, other = spaces
    cable(one, "left", other, "right")
    other.run("ip addr add fd00::1/64 dev right nodad")
    wait_for(other, lambda t: t["right"].carrier)
    one.run("ip addr add fd00::1/64 dev left")
    assert address_of(
        wait_for(one, lambda t: address_of(t, "left", "fd00::1").duplicate), "left", "fd00::1"
    ).duplicate


def test_bell_rings_for_links_and_addresses_and_is_silent_otherwise(spaces):
    one, other = spaces
    cable(one, "left", other, "right")
    wait_for(one, lambda t: t["left"].carrier)
    one.run("sysctl -q -w net.ipv6.conf.left.disable_ipv6=1")
    with one:
        bell = Notifications()
    try:
        assert not bell.drain()
        for space, command in [
            (one, "ip addr add 10.1.0.1/24 dev left"),
            (one, "ip addr del 10.1.0.1/24 dev left"),
            (other, "ip link set right down"),
            (one, "ip link set left down"),
            (one, "sysctl -q -w net.ipv6.conf.left.disable_ipv6=0"),
            (one, "ip link set left up"),
            (one, "ip addr add fd00::1/64 dev left nodad"),
        ]:
            while bell.drain():
                pass
            space.run(command)
            if "disable_ipv6" not in command:
                assert select.select([bell], [], [], PATIENCE_S)[0], command
                assert bell.drain(), command
    finally:
        bell.close()


def test_lost_notifications_ring_too(spaces):
    one, _ = spaces
    with one:
        bell = Notifications()
    try:
        lines = "".join(f"addr add 10.7.{n // 250}.{n % 250 + 1}/32 dev lo\n" for n in range(1000))
        one.run("ip -batch -", stdin=lines)
        rings = 0
        while bell.drain():
            rings += 1
            assert rings < 100
        assert rings
        assert len(table(one)["lo"].addresses) == 1000
    finally:
        bell.close()


def test_more_than_fits_into_one_part(spaces):
    one, _ = spaces
    one.run("ip -batch -", stdin="".join(f"link add v{n} type veth peer name w{n}\n" for n in range(100)))
    found = table(one)
    assert len(found) == 201
    assert [i.index for i in found.values()] == sorted(i.index for i in found.values())
    one.run("ip -batch -", stdin="".join(f"link del v{n}\n" for n in range(100)))


def test_needs_no_privileges():
    def work():
        assert any(interface.loopback for interface in read_interfaces())
        bell = Notifications()
        assert not bell.drain()
        bell.close()

    as_nobody(work)


def test_leaves_no_descriptors(spaces):
    table(spaces[0])
    before = descriptors()
    for _ in range(20):
        table(spaces[0])
        Notifications().close()
    assert descriptors() == before


def test_kernels_refusal_is_an_os_error(spaces):
    with spaces[0], socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as request:
        request.setblocking(False)
        with pytest.raises(OSError, match="not supported"):
            netlink._dump(request, 4094, bytes(16))
