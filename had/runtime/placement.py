"""Where a configured link is on this machine: which interface, which own address, heard and sent to where.

Pure: a LinkConfig and the table of interfaces go in, a :class:`Placement` comes out, or the reason why there
is none at the moment (:class:`Absent`: wait for it) or at all (:class:`LinkFatal`: a person must mend it).
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator, Sequence
from typing import Optional, Union

from had.config.settings import LinkConfig
from had.runtime.netlink import Address, Interface

SocketAddress = Union[tuple[str, int], tuple[str, int, int, int]]

_EVERYWHERE = "255.255.255.255"
_BITS = {socket.AF_INET: 32, socket.AF_INET6: 128}
_SHORTEST_WITHOUT_BROADCAST = 31
"""A network of two addresses or one has none left for broadcasting."""


class LinkFatal(Exception):  # noqa: N818  # named for what it is to the daemon's start
    """A link can't work until a person mends something; the text says what and how, on one line."""


class Absent(Exception):  # noqa: N818  # a state of the world, not an error
    """A link can't work at the moment; the text says why."""


@dataclasses.dataclass(frozen=True)
class Placement:
    """Everything that decides which sockets a link has: if it changes, they are opened anew."""

    kind: str
    port: int
    family: int
    interface: str
    index: int
    """The interface's number: another one under the same name is another interface."""
    own: str
    heard_at: str
    """The broadcast address or group; for a unicast link the own address."""
    destinations: tuple[str, ...]

    def sockaddr(self, address: str) -> SocketAddress:
        """Return the address with the port, and with the interface where the address needs one."""
        if self.family == socket.AF_INET:
            return (address, self.port)
        return (address, self.port, 0, self.index if _is_link_local(address) else 0)

    def endpoints(self) -> frozenset[tuple[str, int, int]]:
        """Return what it binds, as (address, port, interface or 0): no two links may share one."""
        heard_on = self.index if self.kind == "multicast" else 0
        own_on = self.index if _is_link_local(self.own) else 0
        return frozenset(((self.own, self.port, own_on), (self.heard_at, self.port, heard_on)))

    def __str__(self) -> str:
        to = ", ".join(self.destinations) or "nobody"
        return f"{self.kind} from {self.own} to {to}, port {self.port}, on {self.interface}"


def place(
    config: LinkConfig, interfaces: Sequence[Interface], former: Optional[Placement]
) -> tuple[Placement, Interface]:
    """Find the link on this machine; ``former`` is preferred to others as good while it is still there.

    The interface may be down or without carrier.  Raises :class:`Absent` or :class:`LinkFatal`.
    """
    if config.kind != "unicast" and not (config.address or config.interface or config.network):
        raise LinkFatal("says not where it is; give address, interface or network")
    family = _family(config)
    candidates = sorted(_candidates(config, family, interfaces), key=lambda each: _rank(each, config, former))
    if not candidates:
        raise Absent(_why_nowhere(config, family, interfaces))
    interface, address = candidates[0]
    if config.kind == "unicast" and not (config.address or config.interface or config.network):
        found = {each.address for _, each in candidates}
        if len(found) > 1:
            raise LinkFatal(
                f"{', '.join(sorted(found))} are all addresses of this machine; give the own one by address ="
            )
    if address.tentative or address.duplicate:
        raise Absent(fault_of(interface) or _why_unusable(interface, address))
    heard_at, destinations = _whither(config, interface, address)
    placement = Placement(
        config.kind,
        config.port,
        family,
        interface.name,
        interface.index,
        address.address,
        heard_at,
        destinations,
    )
    return placement, interface


def fault_of(interface: Interface) -> str:
    """Say what is wrong with an interface itself; empty if nothing is."""
    if not interface.up:
        return f"{interface.name} is down"
    if not interface.carrier:
        return f"{interface.name} has no carrier"
    return ""


def _why_unusable(interface: Interface, address: Address) -> str:
    if address.duplicate:
        return f"{address.address} on {interface.name} is also another machine's (duplicate address)"
    return f"{address.address} on {interface.name} is still being checked for a duplicate"


def _family(config: LinkConfig) -> int:
    """Return the address family that the link speaks."""
    if config.kind == "broadcast":
        texts: tuple[str, ...] = tuple(filter(None, (config.address, config.broadcast)))
        if any(_family_of(config, text) == socket.AF_INET6 for text in texts):
            raise LinkFatal("IPv6 has no broadcast; use kind = multicast or unicast")
        return socket.AF_INET
    texts = tuple(filter(None, (config.group,))) if config.kind == "multicast" else config.peers
    if not texts:
        missing = "group" if config.kind == "multicast" else "peers"
        raise LinkFatal(f"kind = {config.kind} needs {missing} =")
    families = {_family_of(config, text) for text in (*texts, *filter(None, (config.address,)))}
    if len(families) != 1:
        raise LinkFatal("IPv4 and IPv6 on one link; make two links of it")
    return families.pop()


def _family_of(config: LinkConfig, text: str) -> int:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except OSError:
            continue
        return family
    raise LinkFatal(f"{text!r} is not an IP address")


def _candidates(
    config: LinkConfig, family: int, interfaces: Sequence[Interface]
) -> Iterator[tuple[Interface, Address]]:
    """Give every address of this machine that the configuration admits as the link's own."""
    if config.address:
        wanted = {_canonical(family, config.address)}
    elif config.kind == "unicast" and not (config.interface or config.network):
        wanted = {_canonical(family, peer) for peer in config.peers}
    else:
        wanted = set()
    network = _parse_network(config, family)
    for interface in interfaces:
        if config.interface and interface.name != config.interface:
            continue
        for address in _addresses(interface, family, wanted):
            if wanted and address.address not in wanted:
                continue
            if network is None or _number(family, address.address) >> network[1] == network[0]:
                yield interface, address


def _addresses(interface: Interface, family: int, wanted: set[str]) -> Iterator[Address]:
    """Give the interface's addresses; of loopback also those that are wanted and not listed: every address
    of 127.0.0.0/8 is this machine's.
    """
    listed = [address for address in interface.addresses if address.family == family]
    yield from listed
    if not interface.loopback or family != socket.AF_INET:
        return
    for text in sorted(wanted.difference(address.address for address in listed)):
        for address in listed:
            if _same_network(family, text, address.address, address.prefix):
                yield dataclasses.replace(address, address=text)
                break


def _rank(
    candidate: tuple[Interface, Address], config: LinkConfig, former: Optional[Placement]
) -> tuple[object, ...]:
    """Order candidates, best first.  What counts, in order of weight: that it works; that the machine is
    known by it; that it is in use already; and its age, so that a service's virtual address, which comes
    later, is not taken for the machine's own.
    """
    interface, address = candidate
    peers = {_canonical(address.family, peer) for peer in config.peers}
    link_local = _is_link_local(address.address)
    if config.kind == "multicast":
        unsuited = not link_local  # for a reach of one hop the address that is always there is the best
    else:
        unsuited = link_local != any(_is_link_local(peer) for peer in peers)
    return (
        address.tentative or address.duplicate,
        not interface.carrier,
        bool(peers) and address.address not in peers,
        address.family == socket.AF_INET6 and unsuited,
        address.lesser,
        address.prefix == _BITS[socket.AddressFamily(address.family)],
        former is None or (former.own, former.index) != (address.address, interface.index),
        address.created,
        interface.index,
        address.address,
    )


def _whither(config: LinkConfig, interface: Interface, address: Address) -> tuple[str, tuple[str, ...]]:
    """Return where the link hears, and to where it sends."""
    if config.kind == "broadcast":
        broadcast = _broadcast(config, interface, address)
        return broadcast, (broadcast,)
    if config.kind == "multicast":
        group = _canonical(address.family, config.group)
        return group, (group,)
    peers = (_canonical(address.family, peer) for peer in config.peers)
    return address.address, tuple(dict.fromkeys(peer for peer in peers if peer != address.address))


def _broadcast(config: LinkConfig, interface: Interface, address: Address) -> str:
    """Return the broadcast address.  A configured one that is wrong is fatal, as to the old daemon."""
    usual = address.broadcast or _last_of_network(address)
    if not config.broadcast:
        if not usual:
            raise LinkFatal(
                f"{address.address}/{address.prefix} on {interface.name} has no broadcast"
                " address; give one by broadcast = (-A, -B, -C), or use kind = unicast"
            )
        return usual
    given = _canonical(socket.AF_INET, config.broadcast)
    right = {_EVERYWHERE}
    for each in interface.addresses:
        if each.family == socket.AF_INET:
            right.update(filter(None, (each.broadcast, _last_of_network(each))))
    if given not in right:
        advice = f"; it is {usual} there: broadcast = {usual} (-A, -B, -C)" if usual else ""
        raise LinkFatal(
            f"{given} is no broadcast address of {interface.name},"
            f" which has {address.address}/{address.prefix}{advice}"
        )
    return given


def _why_nowhere(config: LinkConfig, family: int, interfaces: Sequence[Interface]) -> str:
    """Say why no address of this machine fits."""
    if config.interface:
        for interface in interfaces:
            if interface.name == config.interface:
                what = "IPv4 address" if family == socket.AF_INET else "IPv6 address"
                if config.address or config.network:
                    what = f"address {config.address}" if config.address else f"address in {config.network}"
                return fault_of(interface) or f"{interface.name} has no {what}"
        return f"there is no interface {config.interface}"
    if config.address:
        return f"no interface has the address {config.address}"
    if config.network:
        return f"no interface has an address in {config.network}"
    return "none of the peers' addresses is one of this machine's"


def _parse_network(config: LinkConfig, family: int) -> Optional[tuple[int, int]]:
    """Return (the network's number, how many bits are to the right of it), or None if none is given."""
    if not config.network:
        return None
    text, _, length = config.network.partition("/")
    if _family_of(config, text) != family:
        raise LinkFatal("IPv4 and IPv6 on one link; make two links of it")
    bits = _BITS[socket.AddressFamily(family)]
    if not length.isdigit() or int(length) > bits:
        raise LinkFatal(f"{config.network!r} is not a network like 10.1.0.0/24")
    shift = bits - int(length)
    return _number(family, text) >> shift, shift


def _last_of_network(address: Address) -> str:
    """Return the highest address of an IPv4 network; empty where it can't be a broadcast address."""
    if address.prefix >= _SHORTEST_WITHOUT_BROADCAST:
        return ""
    number = _number(socket.AF_INET, address.address) | ((1 << (32 - address.prefix)) - 1)
    return socket.inet_ntop(socket.AF_INET, number.to_bytes(4, "big"))


def _number(family: int, text: str) -> int:
    return int.from_bytes(socket.inet_pton(family, text), "big")


def _canonical(family: int, text: str) -> str:
    return socket.inet_ntop(family, socket.inet_pton(family, text))


def _same_network(family: int, one: str, other: str, prefix: int) -> bool:
    shift = _BITS[socket.AddressFamily(family)] - prefix
    return _number(family, one) >> shift == _number(family, other) >> shift


def _is_link_local(address: str) -> bool:
    """Say whether an IPv6 address means something only together with an interface (fe80::/10, ff01::/16 and
    ff02::/16 with any flags).
    """
    if ":" not in address:
        return False
    packed = socket.inet_pton(socket.AF_INET6, address)
    if packed[0] == 0xFF:
        return packed[1] & 0x0F in (1, 2)
    return packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
