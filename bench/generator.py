"""Plays many nodes: sends their heartbeats in the old format, evenly spread over the interval.

A program of its own, which needs nothing but the standard library: `words` makes its command line.  The
sealed format, whose nodes answer each other, will need a generator that listens; it gets a module beside
this one, and its contender names it in `play`.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

_LAYOUT = struct.Struct("!I32sI8x")
_VERSION, _RUNNING, _STANDBY = 2, 2, 5


def words(python: str, address: str, port: int, count: int, interval_ms: float) -> list[str]:
    """Return the command line."""
    broadcast = f"{address.rpartition('.')[0]}.255"
    return [python, "-I", "-S", __file__, address, broadcast, str(port), str(count), f"{interval_ms:g}"]


def datagrams(count: int) -> list[bytes]:
    """One heartbeat of each: the first node runs the service, the others stand by."""
    return [
        _LAYOUT.pack(_VERSION, f"m{number:03}".encode(), _RUNNING if number == 1 else _STANDBY)
        for number in range(1, count + 1)
    ]


def main(address: str, broadcast: str, port: str, count: str, interval_ms: str) -> None:
    """Send until somebody ends us."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    link.bind((address, 0))
    sent = datagrams(int(count))
    step = float(interval_ms) / 1000 / len(sent)
    due = time.monotonic()
    while True:
        for datagram in sent:
            link.sendto(datagram, (broadcast, int(port)))
            due += step
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main(*sys.argv[1:])
