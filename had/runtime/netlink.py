"""The machine's network interfaces, as the kernel tells them: a table on demand, and a bell.

:func:`read_interfaces` asks for everything at once; :class:`Notifications` rings when something may have
changed.  What the bell says is not looked at: a fresh table is always right, also after notifications were
lost (ENOBUFS), and costs about a millisecond.  Nothing here needs privileges.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Optional

# From linux/netlink.h, rtnetlink.h, if_link.h and if_addr.h; part of the kernel's stable interface.
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP_INTR, _NLM_F_DUMP = 0x001, 0x010, 0x300
_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWADDR, _RTM_GETADDR = 16, 18, 20, 22
_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x001, 0x010, 0x100
_IFLA_IFNAME, _IFLA_EXT_MASK = 3, 29
_RTEXT_FILTER_SKIP_STATS = 8
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 4, 6, 8
_IFA_F_SECONDARY, _IFA_F_OPTIMISTIC, _IFA_F_DADFAILED = 0x01, 0x04, 0x08
_IFA_F_DEPRECATED, _IFA_F_TENTATIVE = 0x20, 0x40
_IFF_UP, _IFF_BROADCAST, _IFF_LOOPBACK, _IFF_RUNNING = 0x1, 0x2, 0x8, 0x40
_IFF_MULTICAST, _IFF_LOWER_UP = 0x1000, 0x10000

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_LINK_BODY = struct.Struct("=BxHiII")  # family, device type, index, flags, change mask
_ADDRESS_BODY = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_NUMBER = struct.Struct("=I")

_RECEIVE_SIZE = 65536
"""More than the kernel puts into one part of a dump (32 KiB)."""
_DUMP_ATTEMPTS = 3
"""A dump that was overtaken by a change is repeated, but not for ever: the change rings the bell as well."""
_DRAIN_LIMIT = 256


@dataclasses.dataclass(frozen=True)
class Address:
    """An address of an interface.  Addresses are text as ``inet_ntop`` writes it, without a scope."""

    family: int
    """``socket.AF_INET`` or ``socket.AF_INET6``."""
    address: str
    prefix: int
    """Length of the network's prefix in bits."""
    broadcast: str = ""
    """IPv4: the broadcast address that was set; empty if none was."""
    tentative: bool = False
    """IPv6: still being checked for a duplicate; it can't be used yet."""
    duplicate: bool = False
    """IPv6: another machine has it; it can't be used."""
    lesser: bool = False
    """Secondary (IPv4), temporary (IPv6) or deprecated: not what this machine is known by."""
    created: int = 0
    """When it was set, in hundredths of a second since boot."""


@dataclasses.dataclass(frozen=True)
class Interface:
    """A network interface and its addresses."""

    index: int
    name: str
    up: bool
    """Set up by the administrator."""
    carrier: bool
    """Something is plugged in and ready at the other end; never true while ``up`` is false."""
    loopback: bool = False
    can_broadcast: bool = False
    can_multicast: bool = False
    addresses: tuple[Address, ...] = ()


def read_interfaces() -> tuple[Interface, ...]:
    """Ask the kernel for all interfaces of this network namespace, in the order of their index.

    Raises OSError where the kernel doesn't answer (out of memory or descriptors, netlink forbidden).
    """
    # A socket of its own for each question: no answer to an earlier, broken off one can be in the way.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as request:
        request.setblocking(False)  # the kernel has put the answer there when send() returns
        try:
            return ask(request)
        except (struct.error, ValueError, OverflowError):
            # An answer that can't be read is as good as none; it must not end the daemon.
            raise OSError(errno.EPROTO, os.strerror(errno.EPROTO)) from None


def ask(request: socket.socket) -> tuple[Interface, ...]:
    """As :func:`read_interfaces`, over this socket.

    For an answer that is no proper netlink raises struct.error, ValueError or OverflowError, too.
    """
    without_statistics = _ATTRIBUTE.pack(8, _IFLA_EXT_MASK) + _NUMBER.pack(_RTEXT_FILTER_SKIP_STATS)
    links = _dump(request, _RTM_GETLINK, _LINK_BODY.pack(0, 0, 0, 0, 0) + without_statistics)
    addresses: dict[int, list[Address]] = {}
    for body in _dump(request, _RTM_GETADDR, _ADDRESS_BODY.pack(0, 0, 0, 0, 0)):
        index, address = _parse_address(body)
        if address is not None:
            addresses.setdefault(index, []).append(address)
    interfaces = (_parse_link(body, addresses) for body in links)
    return tuple(sorted(interfaces, key=lambda interface: interface.index))


class Notifications:
    """A socket that becomes readable when a link or an address may have changed."""

    def __init__(self) -> None:
        """Subscribe.  Raises OSError if netlink can't be used."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            self._socket.setblocking(False)
            self._socket.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> bool:
        """Read away what waits, a bounded number at a time; say whether a new table should be read.

        Never raises.
        """
        rang = False
        for _ in range(_DRAIN_LIMIT):
            try:
                self._socket.recv(1)  # the rest of the message is thrown away by the kernel
            except BlockingIOError:
                break
            except OSError:
                # ENOBUFS: more came than the kernel could keep, so all the more has changed.  Whatever
                # else it is, to look again is right.
                return True
            rang = True
        return rang

    def close(self) -> None:
        self._socket.close()


def _dump(request: socket.socket, kind: int, body: bytes) -> list[bytes]:
    """Return the bodies of all answers to a question for everything of a kind."""
    answers: list[bytes] = []
    for sequence in range(1, _DUMP_ATTEMPTS + 1):
        answers = []
        flags = _NLM_F_REQUEST | _NLM_F_DUMP
        request.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body)
        if _receive_dump(request, sequence, answers):
            break
    return answers


def _receive_dump(request: socket.socket, sequence: int, answers: list[bytes]) -> bool:
    """Collect one dump; say whether it was one consistent picture."""
    consistent = True
    while True:
        data = request.recv(_RECEIVE_SIZE)
        if not data:
            raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
        for kind, flags, number, body in _messages(data):
            if number != sequence:
                continue
            if flags & _NLM_F_DUMP_INTR:
                consistent = False
            if kind == _NLMSG_DONE:
                return consistent
            if kind == _NLMSG_ERROR:
                code = -struct.unpack_from("=i", body)[0]
                raise OSError(code, os.strerror(code))
            if kind in (_RTM_NEWLINK, _RTM_NEWADDR):
                answers.append(body)


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Split what was received into (type, flags, sequence number, body)."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes, offset: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _parse_link(body: bytes, addresses: dict[int, list[Address]]) -> Interface:
    _, _, index, flags, _ = _LINK_BODY.unpack_from(body)
    attributes = _attributes(body, _LINK_BODY.size)
    # LOWER_UP is the carrier, RUNNING is RFC 2863's "operational": off for a port that waits for 802.1X.
    carried = _IFF_UP | _IFF_RUNNING | _IFF_LOWER_UP
    return Interface(
        index=index,
        name=attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "backslashreplace"),
        up=bool(flags & _IFF_UP),
        carrier=flags & carried == carried,
        loopback=bool(flags & _IFF_LOOPBACK),
        can_broadcast=bool(flags & _IFF_BROADCAST),
        can_multicast=bool(flags & _IFF_MULTICAST),
        addresses=tuple(addresses.get(index, ())),
    )


def _parse_address(body: bytes) -> tuple[int, Optional[Address]]:
    """Return the interface's index and the address; None for families other than IPv4 and IPv6."""
    family, prefix, flags, _, index = _ADDRESS_BODY.unpack_from(body)
    attributes = _attributes(body, _ADDRESS_BODY.size)
    # On a point-to-point interface IFA_ADDRESS is the other end's.
    own = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS, b""))
    if family not in (socket.AF_INET, socket.AF_INET6) or len(own) not in (4, 16):
        return index, None
    if _IFA_FLAGS in attributes:
        flags = _NUMBER.unpack_from(attributes[_IFA_FLAGS])[0]
    created = 0
    if len(attributes.get(_IFA_CACHEINFO, b"")) >= 12:
        created = struct.unpack_from("=III", attributes[_IFA_CACHEINFO])[2]
    broadcast = attributes.get(_IFA_BROADCAST, b"")
    return index, Address(
        family=family,
        address=socket.inet_ntop(family, own),
        prefix=prefix,
        broadcast=socket.inet_ntop(family, broadcast) if len(broadcast) == 4 else "",
        # An optimistic address may be used while it is being checked.
        tentative=bool(flags & _IFA_F_TENTATIVE) and not flags & _IFA_F_OPTIMISTIC,
        duplicate=bool(flags & _IFA_F_DADFAILED),
        lesser=bool(flags & (_IFA_F_SECONDARY | _IFA_F_DEPRECATED)),
        created=created,
    )
