"""Links of the file: each kind, each way to say where it is, each thing that doesn't go together."""
# ruff: noqa: E501  # the messages stand whole in the tables, to be found when one is looked for

from __future__ import annotations

import pytest

from had.config.settings import LinkConfig


def link(name="lan", kind="broadcast", port=3891, **fields):
    return LinkConfig(name, kind, port, **fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("address = 10.1.0.1", link(address="10.1.0.1")),
        ("address = 127.0.0.1\nbroadcast = 127.255.255.255", link(address="127.0.0.1", broadcast="127.255.255.255")),
        ("interface = eth1", link(interface="eth1")),
        ("interface = 'br-lan.10@x'", link(interface="br-lan.10@x")),
        ("network = 10.1.0.0/16", link(network="10.1.0.0/16")),
        ("network = 10.1.0.0/255.255.0.0", link(network="10.1.0.0/16")),
        ("network = 10.1.0.0/16\nbroadcast = 10.1.255.255", link(network="10.1.0.0/16", broadcast="10.1.255.255")),
        ("network = 10.1.0.0/16\nbroadcast = 255.255.255.255", link(network="10.1.0.0/16", broadcast="255.255.255.255")),
        ("network = 10.1.0.0/31\nbroadcast = 255.255.255.255", link(network="10.1.0.0/31", broadcast="255.255.255.255")),
        ("kind = broadcast\nport = 1\ninterface = e", link(port=1, interface="e")),
        ("interface = e\ncrossover = yes", link(interface="e", crossover=True)),
        ("interface = e\ncrossover = On", link(interface="e", crossover=True)),
        ("interface = e\ncrossover = true", link(interface="e", crossover=True)),
        ("interface = e\ncrossover = 1", link(interface="e", crossover=True)),
        ("interface = e\ncrossover = no", link(interface="e")),
        ("interface = e\ncrossover = False", link(interface="e")),
        ("interface = e\ncrossover = off", link(interface="e")),
        ("interface = e\ncrossover = 0", link(interface="e")),
        ("kind = multicast\ngroup = 239.1.2.3\nnetwork = 10.1.0.0/24", link(kind="multicast", group="239.1.2.3", network="10.1.0.0/24")),
        ("kind = multicast\ngroup = 239.1.2.3\naddress = 10.1.0.1", link(kind="multicast", group="239.1.2.3", address="10.1.0.1")),
        ("kind = multicast\ngroup = FF02:0::3891\ninterface = eth1", link(kind="multicast", group="ff02::3891", interface="eth1")),
        ("kind = multicast\ngroup = ff08::1\nnetwork = fd00:1::/64", link(kind="multicast", group="ff08::1", network="fd00:1::/64")),
        ("kind = unicast\npeers = 10.1.0.1, 10.1.0.2", link(kind="unicast", peers=("10.1.0.1", "10.1.0.2"))),
        ("kind = unicast\npeers = 10.1.0.2\nnetwork = 10.1.0.0/24", link(kind="unicast", peers=("10.1.0.2",), network="10.1.0.0/24")),
        ("kind = unicast\npeers = 10.1.0.2,\naddress = 10.1.0.1", link(kind="unicast", peers=("10.1.0.2",), address="10.1.0.1")),
        ("kind = unicast\npeers = FD00::1, fd00::2\ninterface = eth1", link(kind="unicast", peers=("fd00::1", "fd00::2"), interface="eth1")),
        ("kind = unicast\npeers = fe80::1, fe80::2\ninterface = eth1", link(kind="unicast", peers=("fe80::1", "fe80::2"), interface="eth1")),
        ("kind = unicast\npeers = fd00::1, fd00::2\nnetwork = fd00::/64", link(kind="unicast", peers=("fd00::1", "fd00::2"), network="fd00::/64")),
    ],
)  # fmt: skip
def test_links_that_make_sense(conf, text, expected):
    settings = conf.load(f"[links]\n[[lan]]\n{text}\n")
    assert settings.links == (expected,)
    assert [(core.name, core.crossover) for core in settings.core.links] == [("lan", expected.crossover)]


def test_links_keep_their_order_and_any_name(conf):
    names = ["z", "__many__", "9", "DEFAULT", "x" * 32]
    text = "[links]\n" + "".join(f"[[{name}]]\ninterface = eth{n}\n" for n, name in enumerate(names))
    settings = conf.load(text)
    assert [link.name for link in settings.links] == names
    assert [link.interface for link in settings.links] == ["eth0", "eth1", "eth2", "eth3", "eth4"]


PORT = "allowed: a whole number from 1 to 65535"
KIND = "allowed: broadcast, multicast or unicast"
ADDRESS = "allowed: an IPv4 or IPv6 address of this machine"
NETWORK = "allowed: a network, such as 10.1.0.0/24"
INTERFACE = "allowed: the name of an interface, such as eth1"
GROUP = "allowed: an IPv4 or IPv6 multicast address"
PEERS = "allowed: IPv4 or IPv6 addresses, separated by commas"
SMALL = "is not a network that one interface has alone; give interface = instead"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind = anycast", f"3: kind = anycast is unknown; {KIND}"),
        ("port = 0", f"3: port = 0 is too small; {PORT}"),
        ("port = 65536", f"3: port = 65536 is too large; {PORT}"),
        ("port = had", f"3: port = had is not a whole number; {PORT}"),
        ("address = web1", f"3: address = web1 is not an address; {ADDRESS}"),
        ("address = 10.7", f"3: address = 10.7 is not an address; {ADDRESS}"),
        ("address = 0.0.0.0", f"3: address = 0.0.0.0 is no address that a machine can have; {ADDRESS}"),
        ("address = 255.255.255.255", f"3: address = 255.255.255.255 is no address that a machine can have; {ADDRESS}"),
        ("address = 239.1.1.1", f"3: address = 239.1.1.1 is a multicast address; {ADDRESS}"),
        ("address = fe80::1%eth0", f"3: address = fe80::1%eth0 has a scope; leave it out and give interface =; {ADDRESS}"),
        ("address = ::ffff:10.1.0.1", f"3: address = ::ffff:10.1.0.1 is an IPv4 address in IPv6's clothes; write the IPv4 address; {ADDRESS}"),
        ("address = 10.1.0.1, 10.1.0.2", f"3: address = 10.1.0.1, 10.1.0.2 is a list, where one value is wanted; {ADDRESS}"),
        ("network = 10.1.0.0", f"3: network = 10.1.0.0 is not an address, a slash and a length; {NETWORK}"),
        ("network = 10.1.0.0/33", f"3: network = 10.1.0.0/33 is not a network; {NETWORK}"),
        ("network = 10.1.0.7/24", f"3: network = 10.1.0.7/24 is an address in the network 10.1.0.0/24; {NETWORK}"),
        ("network = 0.0.0.0/0", f"3: network = 0.0.0.0/0 {SMALL}; {NETWORK}"),
        ("network = fe80::/64", f"3: network = fe80::/64 {SMALL}; {NETWORK}"),
        ("network = 224.0.0.0/24", f"3: network = 224.0.0.0/24 {SMALL}; {NETWORK}"),
        ("interface = a/b", f"3: interface = a/b can't be an interface's name; {INTERFACE}"),
        ("interface = 'a b'", f"3: interface = 'a b' can't be an interface's name; {INTERFACE}"),
        ("interface = sixteen-letters-", f"3: interface = sixteen-letters- can't be an interface's name; {INTERFACE}"),
        ("interface = ..", f"3: interface = .. can't be an interface's name; {INTERFACE}"),
        ("interface = e\nbroadcast = fd00::1", "4: broadcast = fd00::1 is an IPv6 address, and IPv6 has no broadcast; allowed: an IPv4 address"),
        ("interface = e\nbroadcast = 224.0.0.1", "4: broadcast = 224.0.0.1 is a multicast address; allowed: an IPv4 address"),
        ("interface = e\ncrossover = maybe", "4: crossover = maybe is neither; allowed: yes or no"),
        ("kind = multicast\ngroup = 10.1.0.1", f"4: group = 10.1.0.1 is not a multicast address; {GROUP}"),
        ("kind = unicast\npeers = 10.1.0.1, x", f"4: peers = 10.1.0.1, x has x, which is not an address; {PEERS}"),
        ("kind = unicast\npeers = fd00::1, FD00:0::1", f"4: peers = fd00::1, FD00:0::1 has fd00::1 twice; {PEERS}"),
        ("kind = unicast\npeers = 10.1.0.1, fd00::1", f"4: peers = 10.1.0.1, fd00::1 has both IPv4 and IPv6 addresses; make two links of it; {PEERS}"),
        # What doesn't go together.
        ("port = 1", "2: link lan: needs one of address, interface and network, to find where it is on this machine"),
        ("kind = multicast\ngroup = 239.1.1.1", "2: link lan: needs one of address, interface and network, to find where it is on this machine"),
        ("interface = e\nnetwork = 10.1.0.0/24", "4: link lan: give one of address, interface and network, not interface (line 3) and network (line 4)"),
        ("address = fe80::1\nkind = multicast\ngroup = ff02::1", "3: link lan: address = fe80::1 (line 3) is link-local; give interface = instead"),
        ("address = fd00::1", "3: link lan: IPv6 has no broadcast; use kind = multicast or unicast"),
        ("network = fd00::/64", "3: link lan: IPv6 has no broadcast; use kind = multicast or unicast"),
        ("network = 10.1.0.0/16\nbroadcast = 10.1.0.255", "4: link lan: broadcast = 10.1.0.255 (line 4) is not that of network = 10.1.0.0/16 (line 3): it is 10.1.255.255, or leave it out"),
        ("network = 10.1.0.0/31", "3: link lan: network = 10.1.0.0/31 (line 3) is too small to have a broadcast address"),
        ("interface = e\npeers = 10.1.0.1", "4: link lan: peers is only for kind = unicast, and this is broadcast"),
        ("interface = e\ngroup = 239.1.1.1", "4: link lan: group is only for kind = multicast, and this is broadcast"),
        ("kind = unicast\npeers = 10.1.0.1, 10.1.0.2\nbroadcast = 10.1.0.255", "5: link lan: broadcast is only for kind = broadcast, and this is unicast"),
        ("interface = e\nkind = multicast", "4: link lan: kind = multicast needs group =, the address of the group"),
        ("kind = multicast\ngroup = ff02::1\naddress = 10.1.0.1", "4: link lan: group = ff02::1 (line 4) and address = 10.1.0.1 (line 5) must both be IPv4 or both IPv6"),
        ("kind = multicast\ngroup = 239.1.1.1\nnetwork = fd00::/64", "4: link lan: group = 239.1.1.1 (line 4) and network = fd00::/64 (line 5) must both be IPv4 or both IPv6"),
        ("interface = e\nkind = unicast", "4: link lan: kind = unicast needs peers =, the addresses of the nodes"),
        ("kind = unicast\npeers = fd00::1, fd00::2\naddress = 10.1.0.1", "4: link lan: peers = fd00::1, fd00::2 (line 4) and address = 10.1.0.1 (line 5) must both be IPv4 or both IPv6"),
        ("kind = unicast\npeers = fe80::1, fe80::2", "4: link lan: link-local peers need interface ="),
        ("kind = unicast\npeers = 10.1.0.1", "4: link lan: the one address is taken for this machine's own; add the peers', or give address, interface or network"),
    ],
)  # fmt: skip
def test_links_that_make_no_sense(conf, text, line):
    assert conf.mistakes(f"[links]\n[[lan]]\n{text}\n") == [line]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("interface = eth0", "interface = eth0", True),
        ("interface = eth0", "interface = eth0\nport = 4000", False),
        ("interface = eth0", "interface = eth1", False),
        ("network = 10.1.0.0/24", "network = 10.1.0.0/24\nkind = unicast\npeers = 10.1.0.2", True),
        ("network = 10.1.0.0/24", "network = 10.1.0.0/24\nkind = multicast\ngroup = 239.1.1.1", False),
        ("address = 10.1.0.1\nbroadcast = 10.1.0.255", "address = 10.1.0.2\nbroadcast = 10.1.0.255", True),
        ("kind = unicast\npeers = 10.1.0.1, 10.1.0.2", "kind = unicast\npeers = 10.1.0.1, 10.1.0.2", True),
        ("kind = unicast\npeers = 10.1.0.1, 10.1.0.2", "kind = unicast\npeers = 10.2.0.1, 10.2.0.2", False),
    ],
)
def test_two_links_that_are_one(conf, one, other, same):
    text = f"[links]\n[[a]]\n{one}\n[[b]]\n{other}\n"
    if same:
        line = text.split("\n").index("[[b]]") + 1
        expected = f"{line}: link b is the same as link a: another port or place is needed"
        assert conf.mistakes(text) == [expected]
    else:
        assert len(conf.load(text).links) == 2


def test_several_mistakes_of_one_link_are_all_told(conf):
    text = "[links]\n[[a]]\nkind = multicast\npeers = 10.1.0.1\nbroadcast = 10.1.0.255\n"
    assert [line.partition(":")[0] for line in conf.mistakes(text)] == ["2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nodes = 2\n", "0: there is no link: write [links], and below it a [[NAME]] for each link"),
        ("[links]\n", "0: there is no link: write [links], and below it a [[NAME]] for each link"),
        # The slip may well hide the links, so their lack is not a second mistake.
        ("[zzz]\n", "1: unknown section [zzz]; there are [hooks], [places], [process], [links]"),
        ("[links\n[[a]]\n", "1: '[links' is not a section: it is written [name], one below it [[name]]"),
    ],
)
def test_no_link_at_all(conf, text, line):
    assert conf.mistakes(text) == [line]
