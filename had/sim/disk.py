"""The disk under the durable record: what is written is not there after a power cut until it is synced.

Nothing of the real writer is told again here.  :func:`trace` runs it (:mod:`had.runtime.record` and
:mod:`had.runtime.files`) once for each write with an ``os`` that only takes notes, and the simulator then
does what was noted, one call after the other, in virtual time; each may be the last one before the power
goes.  A forgotten fsync in the real code is so a forgotten fsync here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional
from unittest import mock

from had.runtime import files, record
from had.sim.dice import Dice

DIRECTORY = "/var/lib/had"
_TRACING = "TRACING"


class Call(NamedTuple):
    """One call to the operating system that changes the disk."""

    name: str
    """create, write, sync, rename, unlink or sync-directory"""
    path: str
    second: str = ""
    data: bytes = b""


class _Notes:
    """Stands in for the module ``os``: says that everything worked, and takes notes."""

    def __init__(self, fails: str, number: int) -> None:
        self.calls: list[Call] = []
        self._fails, self._errno = fails, number
        self.path = _Paths()
        self._open: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _note(self, name: str, path: str, second: str = "", data: bytes = b"") -> None:
        if name == self._fails:
            raise OSError(self._errno, os.strerror(self._errno), path)
        self.calls.append(Call(name, path, second, data))

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        if flags & os.O_CREAT:
            self._note("create", path)
        descriptor = 1000 + len(self._open)
        self._open[descriptor] = path
        return descriptor

    def fstat(self, _descriptor: int) -> os.stat_result:
        return os.stat_result((0o100644, *(0,) * 9))

    def fchmod(self, descriptor: int, mode: int) -> None:
        """Nobody but people looks at that."""

    def write(self, descriptor: int, data: bytes) -> int:
        self._note("write", self._open[descriptor], data=data)
        return len(data)

    def fsync(self, descriptor: int) -> None:
        path = self._open[descriptor]
        self._note("sync-directory" if path == DIRECTORY else "sync", path)

    def close(self, descriptor: int) -> None:
        """Do nothing: it changes nothing on the disk."""

    def unlink(self, path: str) -> None:
        self._note("unlink", path)

    def rename(self, old: str, new: str) -> None:
        self._note("rename", old, new)

    def getppid(self) -> int:
        return 1


@contextlib.contextmanager
def _with(notes: _Notes, boot: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(record, "os", notes))
        stack.enter_context(mock.patch.object(files, "os", notes))
        stack.enter_context(mock.patch.object(fcntl, "flock"))
        stack.enter_context(mock.patch.object(record, "boot_id", return_value=boot))
        yield


class _Paths:
    """``os.path`` on a disk on which the record's directory is there."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os.path, name)

    def isdir(self, _path: str) -> bool:
        return True


def trace(wish: record.Wish, boot: str, fails: str = "", number: int = 0) -> tuple[list[Call], int]:
    """Return what the real writer does for a wish, and its exit code; ``fails``: the call that fails."""
    notes = _Notes(fails, number)
    with _with(notes, boot):
        try:
            code = record._write(DIRECTORY, wish, 1)
        except OSError as error:
            code = error.errno or 255
    return notes.calls, code


class _File:
    __slots__ = ("data", "synced")

    def __init__(self) -> None:
        self.data = b""
        self.synced = b""


class Disk:
    """Two small files and what becomes of them."""

    def __init__(self) -> None:
        self._names: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        self._pending: list[tuple[str, Optional[_File]]] = []
        """Changes of the directory that are not synced: a name, and what it stands for from now on."""
        self._older: list[dict[str, bytes]] = []
        self.damaged: set[str] = set()
        """Files that were torn, and not written anew since."""
        self.mood = "good"
        """good, slow, stuck, full or read-only"""

    def do(self, call: Call) -> None:
        """Do one call; changes of a name are durable only after a sync of the directory."""
        if call.name == "create":
            self._names[call.path] = _File()
        elif call.name == "write":
            self._names[call.path].data += call.data
        elif call.name == "sync":
            file = self._names[call.path]
            file.synced = file.data
        elif call.name == "rename":
            file = self._names[call.second] = self._names.pop(call.path)
            self.damaged.discard(call.second)
            self._pending.append((call.second, file))
        elif call.name == "unlink":
            self._names.pop(call.path, None)
            self._pending.append((call.path, None))
        elif call.name == "sync-directory":
            self._older = [*self._older[-3:], self.image()]
            self._durable, self._pending = dict(self._names), []

    def image(self) -> dict[str, bytes]:
        return {path: file.data for path, file in self._names.items()}

    def certain(self) -> Optional[dict[str, bytes]]:
        """Return what is there after any power cut, or None where that is not certain."""
        if self._pending:
            return None
        kept = {
            path: file for path, file in self._durable.items() if not os.path.basename(path).startswith(".")
        }
        if any(file.data != file.synced for file in kept.values()):
            return None
        return {path: file.synced for path, file in kept.items()}

    def lose_power(self, dice: Dice, keep: str) -> None:
        """Forget what was not synced, or some of it.

        ``keep``: all, none, or some (an early part of the changes of names, and torn contents).
        """
        names = dict(self._durable)
        kept = {"all": len(self._pending), "none": 0}.get(keep)
        if kept is None:
            kept = dice.whole(0, len(self._pending))
        for path, file in self._pending[:kept]:
            names.pop(path, None)
            if file is not None:
                names[path] = file
        for file in names.values():
            if file.data != file.synced:
                cut = {"all": len(file.data), "none": 0}.get(keep)
                file.data = file.data[: dice.whole(0, len(file.data)) if cut is None else cut]
            file.synced = file.data
        self._names, self._durable, self._pending = names, dict(names), []

    def spoil(self, dice: Dice, how: str) -> None:
        """Do what no file system should: lose the record, bring an old one back, or tear it."""
        self.damaged.clear()
        if how == "lost":
            self._set({})
        elif how == "old" and self._older:
            self._set(dice.pick(self._older))
        elif how == "torn":
            image = self.image()
            paths = sorted(image)
            if len(paths) > 1 and dice.chance(0.7):
                paths = [dice.pick(paths)]
            self.damaged.update(paths)
            for path in paths:
                data = image[path]
                if dice.chance(0.3):
                    image[path] = data[: dice.whole(0, max(0, len(data) - 1))]
                elif data:
                    place = dice.whole(0, len(data) - 1)
                    image[path] = (
                        data[:place] + bytes([data[place] ^ 1 << dice.whole(0, 7)]) + data[place + 1 :]
                    )
            self._set(image)

    def _set(self, image: dict[str, bytes]) -> None:
        self._names, self._pending = {}, []
        for path, data in image.items():
            file = self._names[path] = _File()
            file.data = file.synced = data
        self._durable = dict(self._names)

    def load(self, boot: str) -> record.Record:
        """Read the record as a daemon does that starts now."""
        return understand(self.image(), boot)


def understand(image: dict[str, bytes], boot: str) -> record.Record:
    found = [_found(image, f"{DIRECTORY}/{file}") for file in (record.EPOCH, record.MARK)]
    return record.understand(DIRECTORY, found[0], found[1], boot)


def _found(image: dict[str, bytes], path: str) -> bytes | OSError:
    data = image.get(path)
    if data is None:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return data[: files.MAX_SMALL]
