"""What one worker leaves to the next, in memory that guard and workers share (rules G2, G5).

A worker may be killed between any two instructions, so nothing is sent: it writes what it knows into the
older of two slots, its number last, and the guard's next worker reads the newer slot that is whole.  The same
memory carries the tick by which the guard sees that the worker is alive, and the code with which it ended
on purpose.
"""

from __future__ import annotations

import dataclasses
import mmap
import pickle
import struct
import zlib
from typing import Optional

from had.core.actions import RunHook
from had.core.data import NodeData
from had.runtime.alerts import AlertData
from had.runtime.hooks import RunnerData
from had.runtime.record import RecorderData
from had.runtime.statusfile import Answer

_WORD = struct.Struct("@q")
"""In the machine's own form and place, which is stored at once and not byte by byte: the other process reads
it at any time."""
_TICK, _CODE = 0, _WORD.size
"""Where the tick is, in nanoseconds, and 1 + the exit code, or 0."""
_HEAD_SIZE = 2 * _WORD.size
_SLOT = struct.Struct("=QII")
"""Number, length, checksum."""
_NUMBER = struct.Struct("=Q")
"""The first field of a slot; 0 while it is not whole."""
_SLOT_SIZE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All that a worker knows; plain data."""

    node: NodeData
    hooks: RunnerData
    alerts: AlertData
    recorder: RecorderData
    asked: tuple[RunHook, ...]
    """Hooks that the core asked for and that are not over."""
    obeyed: int
    """The number of the guard's last word that has been obeyed."""
    answer: Optional[Answer] = None
    """What was last said to a person's signal."""


class Handover:
    """The shared memory.  Made by the guard before its first fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _HEAD_SIZE + 2 * _SLOT_SIZE)
        self._number = 0

    def tick(self, now_ns: int) -> None:
        _WORD.pack_into(self._memory, _TICK, now_ns)

    def last_tick_ns(self) -> int:
        return int(_WORD.unpack_from(self._memory, _TICK)[0])

    def finish(self, code: int) -> None:
        """Say that the worker ends on purpose, and the daemon with it."""
        _WORD.pack_into(self._memory, _CODE, 1 + code)

    def finished(self) -> Optional[int]:
        """Return the code with which a worker ended on purpose, or None."""
        mark = int(_WORD.unpack_from(self._memory, _CODE)[0])
        return mark - 1 if mark else None

    def save(self, snapshot: Snapshot) -> None:
        """Replace the older slot."""
        # Only this program's own processes write here: nothing foreign is ever unpickled.
        data = pickle.dumps(snapshot, protocol=pickle.HIGHEST_PROTOCOL)
        if len(data) > _SLOT_SIZE - _SLOT.size:
            raise ValueError(f"a snapshot of {len(data)} bytes does not fit")
        self._number += 1
        start = _HEAD_SIZE + (self._number % 2) * _SLOT_SIZE
        _SLOT.pack_into(self._memory, start, 0, 0, 0)
        body = start + _SLOT.size
        self._memory[body : body + len(data)] = data
        _SLOT.pack_into(self._memory, start, 0, len(data), zlib.crc32(data))
        _NUMBER.pack_into(self._memory, start, self._number)

    def load(self) -> Optional[Snapshot]:
        """Return the newest snapshot that is whole, or None."""
        found: list[tuple[int, bytes]] = []
        for start in (_HEAD_SIZE, _HEAD_SIZE + _SLOT_SIZE):
            number, length, checksum = _SLOT.unpack_from(self._memory, start)
            if not number or not 0 < length <= _SLOT_SIZE - _SLOT.size:
                continue
            body = start + _SLOT.size
            data = self._memory[body : body + length]
            if zlib.crc32(data) == checksum:
                found.append((number, data))
        if not found:
            return None
        self._number, data = max(found)
        snapshot = pickle.loads(data)  # noqa: S301  # see save()
        return snapshot if isinstance(snapshot, Snapshot) else None
