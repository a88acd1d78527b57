"""What the service script `address` can't do in shell: arithmetic with addresses, and talk to the neighbours.

    python3 -I neighbours.py judge ADDRESS/PREFIX

checks the form. Exit code 2: it is wrong, and standard output says how.

    ip -o address | python3 -I neighbours.py interfaces ADDRESS/PREFIX

prints the interfaces with a network that contains the address, one in each line.

    python3 -I neighbours.py probe INTERFACE ADDRESS SECONDS

asks three times within SECONDS whether somebody else has the address or is about to take it. Exit code 0:
nobody answered; 1: somebody has it, whose MAC address is on standard output.

    python3 -I neighbours.py announce INTERFACE ADDRESS COUNT

tells all neighbours at once that the address is here, and COUNT - 1 times more, a second apart, from a
process of its own, which ends when the address has gone from the interface.

The last two do nothing (exit code 0) on an interface that has no neighbours to ask: loopback, tunnels, and
what is no Ethernet. Exit code 3: it could not be done; standard error says why.

IPv4 is asked by ARP probes (RFC 5227), IPv6 by neighbour solicitations without a source (RFC 4862). There are
programs for either, but under one name they differ from one distribution to the next. Python is where had is.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import ipaddress
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Optional, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

ETHERNET = 1  # ARPHRD_ETHER
NO_ARP = 0x80  # IFF_NOARP
GET_FLAGS = 0x8913  # SIOCGIFFLAGS
ATTACH_FILTER = 26  # SO_ATTACH_FILTER
ARP, IPV6 = 0x0806, 0x86DD
REQUEST, REPLY = 1, 2
SOLICITATION, ADVERTISEMENT = 135, 136
BROADCAST = b"\xff" * 6
NOWHERE = b"\0" * 6
ALL_NODES = ipaddress.IPv6Address("ff02::1")
ROUTER, OVERRIDE = 1 << 31, 1 << 29
PROBES = 3
LATE = 3.0
"""Seconds by which an announcement may be late. After a longer pause of the machine another node may have the
address."""


class Port:
    """An interface, open for packets of one protocol, which are received and sent without Ethernet header."""

    def __init__(self, interface: str, protocol: int) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        if protocol == IPV6:
            self._only_neighbour_discovery()
        self.socket.bind((interface, protocol))
        self.interface = interface
        self._protocol = protocol
        _, _, _, self.kind, self.mac = self.socket.getsockname()

    def has_neighbours(self) -> bool:
        request = struct.pack("16sH14x", self.interface.encode(), 0)
        flags = struct.unpack("16xH14x", fcntl.ioctl(self.socket, GET_FLAGS, request))[0]
        return bool(self.kind == ETHERNET and not flags & NO_ARP)

    def send(self, packet: bytes, mac: bytes) -> None:
        self.socket.sendto(packet, (self.interface, self._protocol, 0, 0, mac))

    def receive(self, seconds: float) -> tuple[bytes, bytes]:
        """Return a packet from elsewhere that came within this time, and whose MAC sent it; or nothing."""
        if not select.select([self.socket], [], [], max(0.0, seconds))[0]:
            return b"", b""
        packet, (_, _, direction, _, mac) = self.socket.recvfrom(2048)
        return (b"", b"") if direction == socket.PACKET_OUTGOING else (packet, mac)

    def _only_neighbour_discovery(self) -> None:
        """Let the kernel drop all other IPv6 packets: there may be too many for this program to look at."""
        code = [
            (0x30, 0, 0, 6),  # the next header
            (0x15, 0, 4, socket.IPPROTO_ICMPV6),  # is ICMPv6,
            (0x30, 0, 0, 40),  # and its type
            (0x15, 1, 0, SOLICITATION),
            (0x15, 0, 1, ADVERTISEMENT),
            (0x06, 0, 0, 2048),  # is one of these: keep it
            (0x06, 0, 0, 0),  # else drop it
        ]
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
        self.socket.setsockopt(
            socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HP", len(code), ctypes.addressof(program))
        )


def arp(operation: int, mac: bytes, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, mac, sender, target_mac, target)


def icmpv6(source: bytes, destination: bytes, body: bytes) -> bytes:
    """Make an IPv6 packet as neighbour discovery wants it, and fill in the checksum in ``body``."""
    pseudo = source + destination + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6) + body
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", 0xFFFF - total) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), socket.IPPROTO_ICMPV6, 255)
    return head + source + destination + body


def solicited_node(address: ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    """Return the group to which whoever has this address listens."""
    return ipaddress.IPv6Address(int(ipaddress.IPv6Address("ff02::1:ff00:0")) | int(address) & 0xFFFFFF)


def group_mac(group: ipaddress.IPv6Address) -> bytes:
    return b"\x33\x33" + group.packed[12:]


def send_probe(port: Port, address: Address) -> None:
    if isinstance(address, ipaddress.IPv4Address):
        port.send(arp(REQUEST, port.mac, bytes(4), NOWHERE, address.packed), BROADCAST)
        return
    group = solicited_node(address)
    body = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + address.packed
    port.send(icmpv6(bytes(16), group.packed, body), group_mac(group))


def send_announcement(port: Port, address: Address) -> None:
    if isinstance(address, ipaddress.IPv4Address):
        own = address.packed  # some listen only to the one form, some only to the other
        port.send(arp(REQUEST, port.mac, own, NOWHERE, own), BROADCAST)
        port.send(arp(REPLY, port.mac, own, port.mac, own), BROADCAST)
        return
    flags = OVERRIDE | (ROUTER if forwards(port.interface) else 0)
    body = struct.pack("!BBHI", ADVERTISEMENT, 0, 0, flags) + address.packed
    body += struct.pack("!BB", 2, 1) + port.mac
    port.send(icmpv6(address.packed, ALL_NODES.packed, body), group_mac(ALL_NODES))


def forwards(interface: str) -> bool:
    """Whether this machine is an IPv6 router; were that not said, hosts would strike it off their routers."""
    try:
        with open(f"/proc/sys/net/ipv6/conf/{interface}/forwarding", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False


def claims(packet: bytes, mac: bytes, address: Address) -> tuple[Optional[bytes], bool]:
    """Say whose MAC uses the address according to this packet (None: it tells nothing), and whether he only
    asks for it, as we do.
    """
    if isinstance(address, ipaddress.IPv4Address):
        if len(packet) < 28 or packet[:6] != arp(0, b"", b"", b"", b"")[:6]:
            return None, False
        sender_mac, sender, target = packet[8:14], packet[14:18], packet[24:28]
        if sender == address.packed:
            return sender_mac, False
        return (sender_mac, True) if sender == bytes(4) and target == address.packed else (None, False)
    if len(packet) < 64 or packet[48:64] != address.packed or packet[7] != 255:
        return None, False
    if packet[40] == ADVERTISEMENT:
        return mac, False
    return (mac, True) if packet[8:24] == bytes(16) else (None, False)


def own_macs() -> set[bytes]:
    """Return all of this machine: the answer of its other interface in the same network is nobody else's."""
    macs = set()
    for _, name in socket.if_nameindex():
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as one:
            one.bind((name, 0))
            macs.add(one.getsockname()[4])
    return macs


def probe(interface: str, address: Address, seconds: float) -> Optional[str]:
    """Return the MAC address of who has the address; None if nobody answers within this time.

    Of two machines that ask at the same moment one has to go on, or none would have the address: the one with
    the smaller MAC address.
    """
    port = Port(interface, ARP if address.version == 4 else IPV6)
    if not port.has_neighbours():
        return None
    if isinstance(address, ipaddress.IPv6Address):
        member = socket.socket(
            socket.AF_INET6, socket.SOCK_DGRAM
        )  # or a switch may keep others' probes from us
        group = solicited_node(address).packed + struct.pack("@I", socket.if_nametoindex(interface))
        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    ours = own_macs()
    begin = time.monotonic()
    sent = 0
    while True:
        passed = time.monotonic() - begin
        if sent < PROBES and passed >= sent * seconds / PROBES:
            send_probe(port, address)
            sent += 1
        if passed >= seconds:
            return None
        following = sent * seconds / PROBES if sent < PROBES else seconds
        packet, sender = port.receive(following - passed)
        who, only_asks = claims(packet, sender, address)
        if who is None or who in ours or (only_asks and who > port.mac):
            continue
        return who.hex(":")


def is_there(interface: str, address: Address) -> bool:
    command = ["ip", "-o", f"-{address.version}", "address", "show", "dev", interface, "to", str(address)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=10)
    return done.returncode == 0 and bool(done.stdout.strip())


def announce(interface: str, address: Address, count: int) -> None:
    port = Port(interface, ARP if address.version == 4 else IPV6)
    if not port.has_neighbours() or count == 0:
        return
    send_announcement(port, address)
    if count == 1 or os.fork():
        return
    os.setsid()  # the hook doesn't wait for this, and isn't held by it
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    for _ in range(count - 1):
        due = time.clock_gettime(time.CLOCK_BOOTTIME) + 1
        time.sleep(1)
        if time.clock_gettime(time.CLOCK_BOOTTIME) > due + LATE or not is_there(interface, address):
            return
        send_announcement(port, address)


def judge(text: str) -> str:
    """Say what is wrong with ADDRESS/PREFIX; empty if nothing is."""
    try:
        given = ipaddress.ip_interface(text)
    except ValueError:
        return "is no IP address with a prefix"
    network, address = given.network, given.ip
    if address.is_multicast or address.is_unspecified or address in ipaddress.ip_network("0.0.0.0/8"):
        return "is no address that a machine can have"
    if network.prefixlen == 0:
        return "has the prefix 0, which means all addresses there are"
    if network.prefixlen < network.max_prefixlen - 1:
        if address == network.network_address:
            return f"is the network {network} itself, no address in it"
        if address.version == 4 and address == network.broadcast_address:
            return f"is the broadcast address of the network {network}"
    return ""


def interfaces(text: str, lines: Iterable[str]) -> list[str]:
    """Return the interfaces with a network that contains the address; where it is itself doesn't count."""
    address = ipaddress.ip_interface(text).ip
    found: dict[str, None] = {}
    for line in lines:
        _, name, _, given, *_ = line.split()
        with contextlib.suppress(ValueError):  # a peer's address, without a prefix
            here = ipaddress.ip_interface(given)
            if here.ip != address and address in here.network:
                found[name.partition("@")[0]] = None
    return list(found)


def main(words: list[str]) -> int:
    if words[0] == "judge":
        sys.stdout.write(judge(words[1]))
        return 2 if judge(words[1]) else 0
    if words[0] == "interfaces":
        sys.stdout.writelines(f"{name}\n" for name in interfaces(words[1], sys.stdin))
        return 0
    verb, interface, text, figure = words
    address = ipaddress.ip_address(text)
    try:
        if verb == "announce":
            announce(interface, address, int(figure))
            return 0
        mac = probe(interface, address, float(figure))
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        return 3
    if mac is None:
        return 0
    sys.stdout.write(f"{mac}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
