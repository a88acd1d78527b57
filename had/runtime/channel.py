"""What guard and worker tell each other, beside the shared memory: short records over a socket pair.

The guard tells words (numbered, so that one that a dying worker had not obeyed is told to the next) and
the exit statuses of hooks that it has inherited.  The worker tells that it is up, or why it can't be.
The end of one side is seen by the other as the end of the stream.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple, Optional

_RECORD = struct.Struct("=BqQ")
_MAX = 4096

SIGNAL = 1
"""(signal number, word number)"""
REAPED = 2
"""(pid, exit status as waitpid gives it)"""
UP = 3
FAILED = 4
"""The text follows."""


class Message(NamedTuple):
    """One record."""

    kind: int
    first: int
    second: int
    text: str


class Channel:
    """One side."""

    def __init__(self, side: socket.socket) -> None:
        side.setblocking(False)
        self._socket = side
        self.closed = False
        """The other side is gone."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def tell(self, kind: int, first: int = 0, second: int = 0, text: str = "") -> bool:
        """Send one record; returns whether it was taken.  Never waits, never raises."""
        try:
            self._socket.send(_RECORD.pack(kind, first, second) + text.encode("utf-8")[: _MAX - 100])
        except OSError:
            return False
        return True

    def take(self) -> Optional[Message]:
        """Return the next record, or None if there is none now; :attr:`closed` tells the end."""
        try:
            data = self._socket.recv(_MAX)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            data = b""
        if len(data) < _RECORD.size:
            self.closed = True
            return None
        kind, first, second = _RECORD.unpack_from(data)
        return Message(kind, first, second, data[_RECORD.size :].decode("utf-8", "replace"))

    def close(self) -> None:
        self._socket.close()


def pair() -> tuple[Channel, Channel]:
    """Make both sides: the guard's and the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ours), Channel(theirs)
