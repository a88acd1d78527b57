"""Where a link is, as tables: configuration and interfaces in, placement or reason out."""

from __future__ import annotations

import socket

import pytest

from had.config.settings import LinkConfig
from had.runtime.netlink import Address, Interface
from had.runtime.placement import Absent, LinkFatal, place

V4, V6 = socket.AF_INET, socket.AF_INET6


def v4(text, prefix=24, broadcast="", **more):
    return Address(V4, text, prefix, broadcast, **more)


def v6(text, prefix=64, **more):
    return Address(V6, text, prefix, **more)


def ethernet(index, name, *addresses, up=True, carrier=True):
    return Interface(index, name, up, carrier and up, False, True, True, addresses)


LO = Interface(1, "lo", True, True, True, False, False, (v4("127.0.0.1", 8), v6("::1", 128)))
ETH1 = ethernet(
    2, "eth1", v4("10.1.0.5", broadcast="10.1.0.255"), v6("fe80::5"), v6("2001:db8:1::5"), v6("fd00::5")
)
ETH2 = ethernet(3, "eth2", v4("10.2.0.5", 16, "10.2.255.255"), v6("fe80::6"))
TABLE = (LO, ETH1, ETH2)


def link(kind="broadcast", **more):
    return LinkConfig("one", kind, 3891, **more)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (link(address="10.1.0.5"), ("eth1", "10.1.0.5", "10.1.0.255", ("10.1.0.255",))),
        (link(interface="eth2"), ("eth2", "10.2.0.5", "10.2.255.255", ("10.2.255.255",))),
        (link(network="10.2.0.0/16"), ("eth2", "10.2.0.5", "10.2.255.255", ("10.2.255.255",))),
        (
            link(network="10.0.0.0/8", interface="eth2"),
            ("eth2", "10.2.0.5", "10.2.255.255", ("10.2.255.255",)),
        ),
        (
            link(address="10.1.0.5", broadcast="255.255.255.255"),
            ("eth1", "10.1.0.5", "255.255.255.255", ("255.255.255.255",)),
        ),
        (
            link(address="127.0.0.3", broadcast="127.255.255.255"),
            ("lo", "127.0.0.3", "127.255.255.255", ("127.255.255.255",)),
        ),
        (link(address="127.9.9.9"), ("lo", "127.9.9.9", "127.255.255.255", ("127.255.255.255",))),
        (
            link("multicast", interface="eth1", group="239.1.2.3"),
            ("eth1", "10.1.0.5", "239.1.2.3", ("239.1.2.3",)),
        ),
        (link("multicast", interface="eth1", group="ff02::7"), ("eth1", "fe80::5", "ff02::7", ("ff02::7",))),
        (
            link("multicast", address="fd00:0::5", group="FF05::7"),
            ("eth1", "fd00::5", "ff05::7", ("ff05::7",)),
        ),
        (
            link("unicast", peers=("10.1.0.4", "10.1.0.5", "10.1.0.6")),
            ("eth1", "10.1.0.5", "10.1.0.5", ("10.1.0.4", "10.1.0.6")),
        ),
        (
            link("unicast", address="127.0.0.2", peers=("127.0.0.1", "127.0.0.2", "127.0.0.3")),
            ("lo", "127.0.0.2", "127.0.0.2", ("127.0.0.1", "127.0.0.3")),
        ),
        (
            link("unicast", interface="eth1", peers=("fd00::5", "fd00::6")),
            ("eth1", "fd00::5", "fd00::5", ("fd00::6",)),
        ),
        (link("unicast", interface="eth1", peers=("fe80::9",)), ("eth1", "fe80::5", "fe80::5", ("fe80::9",))),
        (
            link("unicast", interface="eth1", peers=("2001:db8:9::1",)),
            ("eth1", "2001:db8:1::5", "2001:db8:1::5", ("2001:db8:9::1",)),
        ),
        (
            link("unicast", network="fd00::/16", peers=("fd00::6",)),
            ("eth1", "fd00::5", "fd00::5", ("fd00::6",)),
        ),
        (link("unicast", peers=("10.2.0.5", "10.2.0.5")), ("eth2", "10.2.0.5", "10.2.0.5", ())),
    ],
    ids=lambda value: (
        " ".join(filter(None, map(str, vars(value).values()))) if isinstance(value, LinkConfig) else ""
    ),
)
def test_places(config, expected):
    placement, interface = place(config, TABLE, None)
    found = (placement.interface, placement.own, placement.heard_at, placement.destinations)
    assert found == expected
    assert (interface.name, interface.index) == (placement.interface, placement.index)
    assert str(placement).startswith(f"{config.kind} from {expected[1]} to ")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (link(interface="eth9"), "there is no interface eth9"),
        (link(address="10.9.0.5"), "no interface has the address 10.9.0.5"),
        (link(network="10.9.0.0/24"), "no interface has an address in 10.9.0.0/24"),
        (link(interface="eth1", address="10.2.0.5"), "eth1 has no address 10.2.0.5"),
        (link(interface="eth1", network="10.9.0.0/24"), "eth1 has no address in 10.9.0.0/24"),
        (link(interface="bare"), "bare has no IPv4 address"),
        (link("multicast", interface="bare", group="ff02::1:1"), "bare has no IPv6 address"),
        (link(interface="off"), "off is down"),
        (link(interface="unplugged"), "unplugged has no carrier"),
        (
            link("unicast", peers=("10.9.0.1", "10.9.0.2")),
            "none of the peers' addresses is one of this machine's",
        ),
        (link("unicast", address="fd00::7", peers=("fd00::8",)), "fd00::7 on new is still being checked"),
        (link("unicast", address="fd00::6", peers=("fd00::8",)), "fd00::6 on new is also another machine's"),
    ],
)
def test_absent_says_why(config, why):
    table = (
        *TABLE,
        ethernet(4, "bare"),
        ethernet(5, "off", up=False),
        ethernet(6, "unplugged", carrier=False),
        ethernet(7, "new", v6("fd00::7", tentative=True), v6("fd00::6", tentative=True, duplicate=True)),
    )
    with pytest.raises(Absent, match=why):
        place(config, table, None)


def test_unchecked_address_without_carrier_is_about_the_carrier():
    table = (ethernet(2, "eth1", v6("fd00::7", tentative=True), carrier=False),)
    with pytest.raises(Absent, match="eth1 has no carrier"):
        place(link("unicast", address="fd00::7", peers=("fd00::8",)), table, None)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (
            link(address="10.2.0.5", broadcast="10.2.0.255"),
            r"10\.2\.0\.255 is no broadcast address of eth2, which has 10\.2\.0\.5/16; it is 10\.2\.255\.255",
        ),
        (link(address="10.1.0.5", broadcast="10.2.255.255"), "no broadcast address of eth1"),
        (link(address="10.1.0.5", broadcast="fd00::1"), "IPv6 has no broadcast"),
        (link(address="10.1.0.256"), "'10.1.0.256' is not an IP address"),
        (link(network="10.1.0.0"), "'10.1.0.0' is not a network"),
        (link(network="10.1.0.0/33"), "'10.1.0.0/33' is not a network"),
        (link(network="fd00::/64"), "IPv4 and IPv6"),
        (link(), "says not where it is"),
        (link("multicast", group="239.1.2.3"), "says not where it is"),
        (link("multicast", interface="eth1"), "needs group"),
        (link("unicast", interface="eth1"), "needs peers"),
        (link("unicast", interface="eth1", peers=("10.1.0.6", "fd00::6")), "IPv4 and IPv6"),
        (link("unicast", peers=("10.1.0.5", "10.2.0.5")), "are all addresses of this machine"),
        (link("unicast", peers=("127.0.0.1", "127.0.0.2")), "127.0.0.1, 127.0.0.2 are all addresses"),
        (link(interface="tun0"), "10.3.0.5/32 on tun0 has no broadcast address"),
        (
            link(interface="tun0", broadcast="10.3.0.255"),
            "no broadcast address of tun0, which has 10.3.0.5/32$",
        ),
    ],
)
def test_fatal_says_what(config, what):
    with pytest.raises(LinkFatal, match=what):
        place(config, (*TABLE, ethernet(9, "tun0", v4("10.3.0.5", 32))), None)


def own(config, *interfaces, former=None):
    return place(config, interfaces, former)[0]


def test_virtual_address_of_the_service_is_not_taken_for_the_machines_own():
    old, new = v4("10.1.0.5", created=100), v4("10.1.0.100", created=900)
    by_network = link(network="10.1.0.0/24")
    assert own(by_network, ethernet(2, "eth1", new, old)).own == "10.1.0.5"
    secondary = v4("10.1.0.100", lesser=True, created=50)
    assert own(by_network, ethernet(2, "eth1", secondary, old)).own == "10.1.0.5"
    single = v4("10.1.0.100", 32, created=50)
    assert own(by_network, ethernet(2, "eth1", single, old)).own == "10.1.0.5"
    assert own(by_network, ethernet(1, "eth0", new), ethernet(2, "eth1", old)).own == "10.1.0.5"


def test_former_place_is_kept_while_it_is_as_good():
    one, two = ethernet(2, "eth1", v4("10.1.0.5")), ethernet(3, "eth2", v4("10.1.0.6"))
    config = link(network="10.1.0.0/24")
    former = own(config, two)
    assert own(config, one, two, former=former).own == "10.1.0.6"
    assert own(config, one, two, former=None).own == "10.1.0.5"
    unplugged = ethernet(3, "eth2", v4("10.1.0.6"), carrier=False)
    assert own(config, one, unplugged, former=former).own == "10.1.0.5"
    assert own(config, ethernet(2, "eth1", v4("10.1.0.5"), carrier=False), unplugged, former=former) == former


def test_interface_that_was_made_anew_is_another_place():
    config = link(interface="eth1")
    first = own(config, ethernet(2, "eth1", v4("10.1.0.5")))
    second = own(config, ethernet(7, "eth1", v4("10.1.0.5")), former=first)
    assert first != second


def test_endpoints_tell_groups_on_two_interfaces_apart():
    by = {
        name: own(link("multicast", interface=name, group="239.1.2.3"), *TABLE) for name in ("eth1", "eth2")
    }
    assert not by["eth1"].endpoints() & by["eth2"].endpoints()
    everywhere = [own(link(interface=n, broadcast="255.255.255.255"), *TABLE) for n in ("eth1", "eth2")]
    assert everywhere[0].endpoints() & everywhere[1].endpoints()


def test_scope_is_given_only_where_it_is_needed():
    local = own(link("multicast", interface="eth1", group="ff02::7"), *TABLE)
    assert local.sockaddr("fe80::5") == ("fe80::5", 3891, 0, 2)
    assert local.sockaddr("ff02::7") == ("ff02::7", 3891, 0, 2)
    assert local.sockaddr("ff05::7") == ("ff05::7", 3891, 0, 0)
    assert local.sockaddr("fd00::5") == ("fd00::5", 3891, 0, 0)
    assert own(link(interface="eth1"), *TABLE).sockaddr("10.1.0.255") == ("10.1.0.255", 3891)
