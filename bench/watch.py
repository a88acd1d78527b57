"""What is seen of a cluster: every heartbeat on the wire, stamped by the kernel, and every hook.

All times are ns of CLOCK_MONOTONIC.  Nothing here is in a hurry, since all is stamped where it happens: what
the bench is slow to read is as exact as what it reads at once.
"""

from __future__ import annotations

import dataclasses
import os
import selectors
import socket
import struct
import time
from pathlib import Path
from typing import Callable, Optional

from bench.errors import BenchError

_SO_TIMESTAMPNS = 35
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_ETH_P_ALL = 3
_TIMESPEC = struct.Struct("@qq")
_BUFFER = 16 << 20
_REST_S = 5.0
"""In which the buffer has room for what 500 nodes send in some times that."""
_ETHERNET = 14
IsHeartbeat = Callable[[bytes], bool]


@dataclasses.dataclass(frozen=True)
class Mark:
    """One run of a hook (`start`, `stop`), or the exec of a daemon (`exec`)."""

    node: str
    word: str
    begin_ns: int
    end_ns: int


@dataclasses.dataclass(frozen=True)
class Frame:
    """A heartbeat that a node sent, and its size in bytes with the Ethernet header."""

    node: str
    ns: int
    size: int


def wall_offset_ns() -> int:
    """How much CLOCK_REALTIME is ahead of CLOCK_MONOTONIC: by the quickest of some readings."""
    best = None
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = after - before, wall - (before + after) // 2
    assert best is not None
    return best[1]


def parse_mark(line: str, offset_ns: int = 0) -> Optional[Mark]:
    """Read a line of the hooks; `wall` at its end means that its times are the wall clock's."""
    words = line.split()
    try:
        node, word = words[:2]
        begin_ns, end_ns = int(words[2]), int(words[3])
    except (ValueError, IndexError):
        return None
    if words[4:] == ["wall"]:
        begin_ns, end_ns = begin_ns - offset_ns, end_ns - offset_ns
    return Mark(node, word, begin_ns, end_ns)


def is_udp(frame: bytes, port: int) -> bool:
    """Whether this is IPv4 with UDP to a port."""
    return ip_protocol(frame) == socket.IPPROTO_UDP and _port(frame) == port


def ip_protocol(frame: bytes) -> int:
    """Return the IPv4 protocol of an Ethernet frame; -1 if it is none."""
    if len(frame) < _ETHERNET + 20 or frame[12:14] != b"\x08\x00":
        return -1
    return frame[_ETHERNET + 9]


def _port(frame: bytes) -> int:
    at = _ETHERNET + (frame[_ETHERNET] & 15) * 4
    return int.from_bytes(frame[at + 2 : at + 4], "big")


class Recorder:
    """Hears what one node sends, at the switch's port."""

    def __init__(self, interface: str, node: str, is_heartbeat: IsHeartbeat) -> None:
        """To be called inside the switch's network."""
        self.node = node
        self._is_heartbeat = is_heartbeat
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, _BUFFER)  # SO_RCVBUFFORCE
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self.socket.setblocking(False)
        self.socket.bind((interface, _ETH_P_ALL))

    def read(self, offset_ns: int) -> list[Frame]:
        frames: list[Frame] = []
        while True:
            try:
                data, ancillary, _flags, _address = self.socket.recvmsg(2048, 64)
            except BlockingIOError:
                return frames
            if self._is_heartbeat(data):
                stamp = next(value for _level, kind, value in ancillary if kind == _SO_TIMESTAMPNS)
                seconds, ns = _TIMESPEC.unpack(stamp)
                frames.append(Frame(self.node, seconds * 1_000_000_000 + ns - offset_ns, len(data)))


class Watch:
    """Collects marks and frames while the bench waits for something."""

    def __init__(self, journal: Path) -> None:
        self.marks: list[Mark] = []
        self.frames: list[Frame] = []
        self._recorders: list[Recorder] = []
        self._selector = selectors.DefaultSelector()
        self._rest = b""
        # For writing as well: it never ends when the last hook has closed it.
        self._journal = os.open(journal, os.O_RDWR | os.O_NONBLOCK)
        self._selector.register(self._journal, selectors.EVENT_READ)

    def add(self, recorder: Recorder) -> None:
        self._recorders.append(recorder)
        self._selector.register(recorder.socket, selectors.EVENT_READ)

    def close(self) -> None:
        for recorder in self._recorders:
            recorder.socket.close()
        self._selector.close()
        os.close(self._journal)

    # --- waiting

    def pump(self, seconds: float) -> None:
        """Let time pass."""
        until = time.monotonic() + seconds
        while True:
            self._turn(until - time.monotonic())
            if time.monotonic() >= until:
                return

    def rest(self, seconds: float) -> None:
        """Let time pass, and use the processor as little as can be."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(_REST_S, left))
            self.read()

    def wait(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until `done`, which is asked after every mark and frame, and now and then."""
        until = time.monotonic() + seconds
        self.read()
        while not done():
            if time.monotonic() >= until:
                raise BenchError(f"{what}: not within {seconds:.0f} s")
            self._turn(min(0.05, until - time.monotonic()))

    def wait_mark(self, node: str, word: str, since_ns: int, seconds: float) -> Mark:
        """Wait for the first run of a hook that began after a moment."""
        self.wait(
            lambda: self.mark(node, word, since_ns) is not None, seconds, f"no {word} hook has run on {node}"
        )
        mark = self.mark(node, word, since_ns)
        assert mark is not None
        return mark

    def _turn(self, seconds: float) -> None:
        self._selector.select(max(0.0, seconds))
        self.read()

    def read(self) -> None:
        """Take in what is there."""
        offset_ns = wall_offset_ns()
        for recorder in self._recorders:
            self.frames += recorder.read(offset_ns)
        try:
            data = os.read(self._journal, 1 << 16)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        marks = (parse_mark(line.decode("ascii", "replace"), offset_ns) for line in lines)
        self.marks += [mark for mark in marks if mark is not None]

    # --- looking back

    def mark(self, node: str, word: str, since_ns: int) -> Optional[Mark]:
        """Return the first such mark that began after a moment."""
        return next(
            (
                mark
                for mark in self.marks
                if (mark.node, mark.word) == (node, word) and mark.begin_ns > since_ns
            ),
            None,
        )

    def frame(self, node: str, since_ns: int) -> Optional[Frame]:
        """Return the first heartbeat of a node after a moment."""
        return next((frame for frame in self.frames if frame.node == node and frame.ns > since_ns), None)

    def last_frame(self, node: str) -> Optional[Frame]:
        """Return the newest heartbeat of a node."""
        return next((frame for frame in reversed(self.frames) if frame.node == node), None)

    def runs(self, node: str) -> bool:
        """Whether the newest hook of a node was a start."""
        words = [mark.word for mark in self.marks if mark.node == node and mark.word != "exec"]
        return bool(words) and words[-1] == "start"

    def note(self, node: str, word: str) -> None:
        """Add a mark of the bench's own."""
        now_ns = time.monotonic_ns()
        self.marks.append(Mark(node, word, now_ns, now_ns))

    def forget(self) -> None:
        """Drop the frames, which would fill the memory in the course of hours."""
        self.read()
        self.frames.clear()
