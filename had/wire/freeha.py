"""The old heartbeat, version 2 of FreeHA's format: bytes to heartbeats and back.

::

    offset  size  field
         0     4  version     2, big-endian
         4    32  name        NUL after it if shorter than 32; whatever follows the NUL is junk
        36     4  status      big-endian, the number of a State
        40     8  timestamp   always 0, never read; 4 bytes on a sender with a 32-bit time_t

So a heartbeat is 48 bytes, or 44 from a 32-bit sender, and its first 40 say everything.  Other daemons of
this format hear only 48 bytes and more, which is what we send.

Pure: no sockets and no clock.  Whatever comes from the network either decodes or is :class:`Rejected`.
"""

from __future__ import annotations

import dataclasses
import re
import struct

from had.core.states import State

VERSION = 2
SIZE = 48
SIZE_SHORT = 44
"""The size where ``long`` and ``time_t`` have 32 bits."""
NAME_SIZE = 32

_LAYOUT = struct.Struct("!I32sI")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NAME_BYTES = re.compile(rb"[A-Za-z0-9_-]+")
_NOT_NAME = re.compile(r"[^A-Za-z0-9_-]")
_SENT_STATES = frozenset(State) - {State.UNKNOWN, State.TIMEDOUT}
_STATE_OF_STATUS = {int(state): state for state in _SENT_STATES}


class Rejected(ValueError):  # noqa: N818  # not an error of ours, and everyday
    """A datagram that is no heartbeat of this format.

    ``code`` is one of :data:`REJECTION_CODES`, for counters; ``text`` is for people, bounded in length and
    of printable ASCII whatever the datagram held.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


REJECTION_CODES = ("short", "version", "name")
"""Every ``code`` that :class:`Rejected` can have."""


@dataclasses.dataclass(frozen=True)
class Heartbeat:
    """What a node says: who it is, and its state.

    ``state`` is UNKNOWN for a status that nobody sends (0, 7, above 7): the peer is there, and that is all
    that can be said of it.  It is never TIMEDOUT.
    """

    name: str
    state: State


def encode(name: str, state: State, *, short: bool = False) -> bytes:
    """Return the datagram: 48 bytes, or the 44 of a 32-bit sender if ``short``.

    Raises ValueError for a name that isn't 1 to 32 of ``A-Z a-z 0-9 - _`` and for a state that is never
    sent (UNKNOWN, TIMEDOUT).
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a node name: {_shown(name)}")
    if state not in _SENT_STATES:
        raise ValueError(f"a state that is never sent: {state!r}")
    # struct fills up with NULs: nothing of this process's memory goes out, unlike with the old daemon.
    datagram = _LAYOUT.pack(VERSION, name.encode("ascii"), int(state))
    return datagram.ljust(SIZE_SHORT if short else SIZE, b"\0")


def decode(data: bytes) -> Heartbeat:
    """Read a datagram: exactly 44 bytes, or 48 and more, of which the first 48 count.

    Raises :class:`Rejected` for everything that isn't a heartbeat with a proper name; never anything else.
    """
    size = len(data)
    if size < SIZE and size != SIZE_SHORT:
        raise Rejected("short", f"{size} bytes where a heartbeat has {SIZE} (or {SIZE_SHORT})")
    version, field, status = _LAYOUT.unpack_from(data)
    if version != VERSION:
        raise Rejected("version", f"version {version} where {VERSION} is spoken")
    name = field.partition(b"\0")[0]
    if not _NAME_BYTES.fullmatch(name):
        # The old daemon took any bytes here, newlines for its state file included (COMPAT D18).
        raise Rejected("name", f"improper node name {_shown(name.decode('latin-1'))}")
    return Heartbeat(name.decode("ascii"), _STATE_OF_STATUS.get(status, State.UNKNOWN))


def node_name(uname: str) -> str:
    """Return the node name that the old daemon makes of ``uname -n``: all before the first character that
    is not one of ``A-Z a-z 0-9 - _``.

    May be empty or longer than 32 characters; neither can be used, and the caller says so.
    """
    return _NOT_NAME.split(uname, maxsplit=1)[0]


def _shown(name: str) -> str:
    """Return the name quoted, in printable ASCII, however hostile or long it is."""
    return ascii(name[:NAME_SIZE]) + ("..." if len(name) > NAME_SIZE else "")
