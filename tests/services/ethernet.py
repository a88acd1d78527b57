"""Two machines and a client on one Ethernet, and an ear on it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import time

import pytest
from lab.namespaces import Namespace
from lab.waiting import eventually

MACS = {"alpha": "02:00:00:00:00:0a", "beta": "02:00:00:00:00:0b"}
NETWORKS = ["10.9.0.{}/24", "2001:db8::{}/64"]
ARP, IPV6 = 0x0806, 0x86DD


class Network:
    """alpha and beta, each with e0 at the same switch, and the client, which is that switch."""

    def __init__(self) -> None:
        self.client = Namespace("client", "ip link add br0 type bridge; ip link set br0 up")
        self.client.run("ip", "address", "add", "10.9.0.9/24", "dev", "br0")
        self.client.run("ip", "address", "add", "2001:db8::9/64", "dev", "br0", "nodad")
        self.alpha, self.beta = (Namespace(name) for name in MACS)
        for name, mac in MACS.items():
            self.plug(name, "e0", mac)
        self.tidy()

    def plug(self, name: str, interface: str, mac: str) -> None:
        """Give a node another interface at the switch."""
        node = getattr(self, name)
        port = f"{name}-{interface}"
        peer = ["type", "veth", "peer", "name", interface, "address", mac, "netns", str(node.pid)]
        self.client.run("ip", "link", "add", port, *peer)
        self.client.run("ip", "link", "set", port, "master", "br0", "up")
        node.run("ip", "link", "set", interface, "up")

    def tidy(self) -> None:
        """Each node has its own address and no other."""
        self.client.run("sh", "-c", "for port in alpha-e0 beta-e0; do ip link set $port up; done")
        for number, node in enumerate((self.alpha, self.beta), 1):
            script = "ip link set e0 up; ip address flush dev e0 scope global"
            script += f"; ip address add 10.9.0.{number}/24 dev e0"
            script += f"; ip address add 2001:db8::{number}/64 dev e0 nodad"
            node.run("sh", "-ec", script)
        eventually(lambda: carrier(self.alpha, "e0") and carrier(self.beta, "e0"), "carrier")

    def close(self) -> None:
        for namespace in (self.alpha, self.beta, self.client):
            namespace.close()


def carrier(node, interface):
    return ",LOWER_UP" in node.run("ip", "link", "show", "dev", interface)


def places(node, address):
    """The interfaces that have an address, each with the prefix there."""
    found = node.run("ip", "-o", "address", "show", "to", address.partition("/")[0])
    return [(words[1], "/" + words[3].partition("/")[2]) for words in map(str.split, found.splitlines())]


class Listener:
    """What arrives at an interface of the client's: (time, Ethernet type, packet) of each frame."""

    def __init__(self, namespace: Namespace, interface: str) -> None:
        with namespace.network():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.bind((interface, 3))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS: when the kernel had it
        self.frames: list[tuple[float, int, bytes]] = []

    def announcements(self, address: str) -> list[tuple[float, str, str]]:
        """Those of an address so far: the time, the kind, and the MAC address that it is said to have."""
        packed = ipaddress.ip_interface(address).ip.packed
        offset = time.monotonic() - time.time()
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, ancillary, _flags, _from = self.socket.recvmsg(2048, 256)
                seconds, nanoseconds = struct.unpack("@qq", ancillary[0][2][:16])
                moment = seconds + nanoseconds / 1e9 + offset
                self.frames.append((moment, struct.unpack("!H", frame[12:14])[0], frame))
        found = []
        for moment, kind, frame in self.frames:
            packet = frame[14:]
            if kind == ARP and packet[14:18] == packed == packet[24:28]:
                assert frame[:6] == b"\xff" * 6
                found.append((moment, {1: "request", 2: "reply"}[packet[7]], packet[8:14].hex(":")))
            if kind == IPV6 and packet[6] == 58 and packet[40] == 136 and packet[48:64] == packed:
                assert frame[:6].hex(":") == "33:33:00:00:00:01"
                assert packet[8:24] == packed, "from the address itself"
                assert packet[44] & 0xE0 == 0x20, "override, not solicited, no router"
                assert packet[7] == 255
                assert packet[64:66] == b"\x02\x01", "with the option that tells the MAC address"
                found.append((moment, "advertisement", packet[66:72].hex(":")))
        return found


def reach(node, address):
    """Somebody answers at this address: that nobody listens there."""
    plain = address.partition("/")[0]
    with node.network():
        caller = socket.socket(socket.AF_INET6 if ":" in plain else socket.AF_INET)
    with caller:
        caller.settimeout(20)
        with pytest.raises(ConnectionRefusedError):
            caller.connect((plain, 9))
