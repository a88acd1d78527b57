"""The sockets of one link while it is where it is.

All are non-blocking and close-on-exec.  The one bound to the link's own address is bound without
SO_REUSEADDR, so that a second daemon on the same address and port is found out; the listening one of a
broadcast or multicast link is shared on purpose, so that several daemons can live on one machine's loopback.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable

from had.runtime.placement import Absent, LinkFatal, Placement, SocketAddress

# Not in the socket module of every Python: linux/in.h and linux/in6.h.
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29
_SO_SNDBUFFORCE, _SO_ATTACH_FILTER = 32, 26
_BPF_LOAD_WORD, _BPF_EQUAL, _BPF_RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF of linux/filter.h

_READ_SIZE = 2048
"""What is longer is cut; a heartbeat is much shorter."""
_SMALLEST_DATAGRAM = 256
"""Less than any datagram takes of a receive buffer, empty ones included."""
_SEND_BUFFER = 16 * 1024
"""Some twenty heartbeats: were there room for more, old ones would go out long after they were true."""
_SEND_BUFFER_PER_PEER = 256 * 1024
"""Datagrams for a peer that doesn't answer ARP wait in this buffer, up to 200 KiB of them and for seconds;
those for the other peers must find room beside them."""

Tell = Callable[[bool, str], None]
"""Called when sending to a destination begins to fail (False, why) or works again (True, ...)."""


class _Destination:
    """One address that the link sends to, and whether that works."""

    def __init__(self, name: str, sockaddr: SocketAddress) -> None:
        self.name = name
        self.sockaddr = sockaddr
        self.failures = 0
        """How many attempts in a row have failed."""
        self.retry_ns = 0
        """No attempt before this, if the last one failed."""


class LinkSockets:
    """A link's open sockets."""

    def __init__(self, placement: Placement) -> None:
        """Open them.  Raises LinkFatal if an address and port are taken or forbidden, and Absent if it
        doesn't work for any other reason; then nothing is left open.
        """
        self.placement = placement
        self._destinations = [_Destination(each, placement.sockaddr(each)) for each in placement.destinations]
        with contextlib.ExitStack() as undo:
            self._sender = undo.enter_context(self._open(self._prepare_sender, placement.own))
            self.receiver = self._sender
            if placement.kind != "unicast":
                self.receiver = undo.enter_context(self._open(self._prepare_receiver, placement.heard_at))
            undo.pop_all()

    def _open(self, prepare: Callable[[socket.socket], None], address: str) -> socket.socket:
        placement = self.placement
        try:
            opened = socket.socket(placement.family, socket.SOCK_DGRAM)
            try:
                opened.setblocking(False)
                if placement.family == socket.AF_INET6:
                    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                prepare(opened)
                opened.bind(placement.sockaddr(address))
            except OSError:
                opened.close()
                raise
        except OSError as error:
            raise _explained(address, placement.port, error) from error
        return opened

    def _prepare_sender(self, sender: socket.socket) -> None:
        placement = self.placement
        if placement.kind == "unicast":
            _enlarge_send_buffer(sender, _SEND_BUFFER_PER_PEER * (1 + len(placement.destinations)))
            return
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        # What people send to the own address is not read, so it shall not pile up either.
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        if placement.kind == "broadcast":
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        elif placement.family == socket.AF_INET:
            choice = struct.pack("=4s4si", bytes(4), bytes(4), placement.index)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        else:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, placement.index)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)

    def _prepare_receiver(self, receiver: socket.socket) -> None:
        placement = self.placement
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if placement.family == socket.AF_INET:
            with contextlib.suppress(OSError):  # without it they are heard, and ignored later
                _leave_out_own(receiver, placement.own)
        if placement.kind == "broadcast":
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            return
        group = socket.inet_pton(placement.family, placement.heard_at)
        if placement.family == socket.AF_INET:
            # Without this the socket hears what any socket of the machine has joined, on any interface.
            receiver.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            membership = struct.pack("=4s4si", group, bytes(4), placement.index)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            return
        # For IPv6 the kernel compares only the group, so the interface must be bound to.
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, placement.interface.encode() + b"\0")
        with contextlib.suppress(OSError):  # Linux before 4.20 hasn't got it, and binding does nearly as well
            receiver.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
        membership = group + struct.pack("=I", placement.index)
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)

    def filenos(self) -> tuple[int, ...]:
        return tuple({each.fileno() for each in (self._sender, self.receiver)})

    def read(self, limit: int, arrived: Callable[[bytes, str], None]) -> None:
        """Give out what waits, at most ``limit`` datagrams, each with its source address without scope.

        Never raises by itself; harmless after :meth:`close`.
        """
        for _ in range(limit):
            try:
                data, source = self.receiver.recvfrom(_READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.EBADF:
                    return
                continue  # an error that waited on the socket is taken away by being told
            arrived(data, source[0])

    def discard(self) -> None:
        """Throw away what waits.  Reads at most as many datagrams as the receive buffer can hold, so that
        all that waited before is gone and a flood can't keep us here.
        """
        size = self.receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        for _ in range(size // _SMALLEST_DATAGRAM + 1):
            try:
                self.receiver.recv(1)
            except BlockingIOError:
                return
            except OSError:
                continue

    def send(self, datagram: bytes, now_ns: int, retry_cap_ns: int, tell: Tell) -> None:
        """Send to every destination, but seldom to those where it fails.  Never blocks, never raises."""
        for each in self._destinations:
            if each.failures and now_ns < each.retry_ns:
                continue
            try:
                self._sender.sendto(datagram, each.sockaddr)
            except OSError as error:
                each.failures += 1
                each.retry_ns = now_ns + _patience_ns(each.failures, retry_cap_ns)
                if each.failures == 1:
                    tell(False, f"cannot send to {each.name}: {_reason(error)}")
            else:
                if each.failures:
                    each.failures = 0
                    tell(True, f"can send to {each.name} again")

    def retry_soon(self) -> None:
        """Let the next :meth:`send` try everything: the world has changed."""
        for each in self._destinations:
            each.retry_ns = 0

    def close(self) -> None:
        self._sender.close()
        self.receiver.close()


def _patience_ns(failures: int, cap_ns: int) -> int:
    """How long to leave a destination alone: not at all after the first failure, then from an eighth of
    the cap doubling up to it.
    """
    if failures <= 1:
        return 0
    return cap_ns >> max(0, 5 - failures)


def _enlarge_send_buffer(sender: socket.socket, size: int) -> None:
    try:
        sender.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
    except PermissionError:  # not root: as much as the machine gives everybody
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def _leave_out_own(receiver: socket.socket, own: str) -> None:
    """Have the kernel drop the copies of our own broadcasts: each would wake the daemon once more.

    :raises OSError:
    """
    program = array.array(
        "Q"
    )  # struct sock_filter: code, jump if true, if false, operand; one in each number
    for code, true, false, operand in (
        (_BPF_LOAD_WORD, 0, 0, _NETWORK_HEADER + 12),  # the source address
        (_BPF_EQUAL, 0, 1, int.from_bytes(socket.inet_pton(socket.AF_INET, own), "big")),
        (_BPF_RETURN, 0, 0, 0),
        (_BPF_RETURN, 0, 0, 0xFFFFFFFF),
    ):
        program.frombytes(struct.pack("=HBBI", code, true, false, operand))
    address, length = program.buffer_info()
    receiver.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", length, address))


def _explained(address: str, port: int, error: OSError) -> Exception:
    """Make of a failed opening what it means to people."""
    where = f"{address} port {port}"
    if error.errno == errno.EADDRINUSE:
        return LinkFatal(
            f"{where} is in use by another program, perhaps another had or freehad on this machine;"
            " end it, or give this one another address or port"
        )
    if error.errno == errno.EACCES:
        return LinkFatal(f"{where} may not be used: ports below 1024 need root; take a higher one")
    return Absent(f"{where} cannot be opened: {error.strerror}")


def _reason(error: OSError) -> str:
    """Return why sending failed, with a hint where the kernel's words mislead."""
    text = error.strerror or os.strerror(error.errno or 0)
    if error.errno == errno.EPERM:
        return f"{text} (a firewall on this machine?)"
    if error.errno in (errno.EAGAIN, errno.ENOBUFS):
        return "the send buffer is full"
    return text
