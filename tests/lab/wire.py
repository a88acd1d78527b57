"""The old wire format, made and read by hand: it must not be `had` that checks what `had` says."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

from .namespaces import Namespace

PORT = 3891
STATES = ("unknown", "Initial", "Running", "Stopping", "Starting", "Standby", "ERRORED", "TIMEOUT")


def heartbeat(name: bytes, state: str | int, *, version: int = 2, length: int = 48) -> bytes:
    """A datagram in the old format, made here by hand."""
    number = STATES.index(state) if isinstance(state, str) else state
    return struct.pack("!I32sI", version, name, number).ljust(max(length, 40), b"\0")[:length]


class Recorder:
    """What passes on a link: time, sender's address, name and state of each heartbeat since it was made."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        self.socket = namespace.udp(address, PORT)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE: nothing is lost
        self.socket.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS: when the kernel had it
        self._heard: list[tuple[float, str, str, str]] = []

    def heard(self) -> list[tuple[float, str, str, str]]:
        """All heartbeats so far as (monotonic time, address, name, state)."""
        offset = time.monotonic() - time.time()
        with contextlib.suppress(BlockingIOError):
            while True:
                data, ancillary, _flags, (address, _port) = self.socket.recvmsg(2048, 256)
                seconds, nanoseconds = struct.unpack("@qq", ancillary[0][2][:16])
                if len(data) >= 44:
                    name = data[4:36].split(b"\0")[0].decode("ascii", "backslashreplace")
                    number = int.from_bytes(data[36:40], "big")
                    state = STATES[number] if number < len(STATES) else f"status {number}"
                    self._heard.append((seconds + nanoseconds / 1e9 + offset, address, name, state))
        return list(self._heard)

    def of(self, name: str) -> list[tuple[float, str]]:
        """Time and state of what one node said."""
        return [(at, state) for at, _address, who, state in self.heard() if who == name]

    def longest_silence(self, name: str, since: float = 0.0) -> float:
        """The longest time between two heartbeats of a node, in seconds, up to now."""
        times = [at for at, _state in self.of(name) if at >= since] + [time.monotonic()]
        return max(later - earlier for earlier, later in zip(times, times[1:]))

    def close(self) -> None:
        self.socket.close()
