"""The pid file, and by its lock the rule that there is one daemon of a name.

The lock is ``flock`` on the file itself.  It belongs to the open file, which guard and worker share over
fork, and vanishes with the last of them, however they end; so a number in the file is never taken for
proof of anything, and a stale file never keeps a daemon from starting.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Optional

from had.runtime.files import make_directory, open_regular, why

_TRIES = 10


class PidFileError(Exception):
    """The daemon can't start; the text is one line for a person."""


class AlreadyRunningError(PidFileError):
    """Another daemon holds the lock."""

    def __init__(self, text: str, number: Optional[int]) -> None:
        super().__init__(text)
        self.number = number
        """The process that the file names; it may have died, and its worker hold the lock."""


class PidFile:
    """A locked pid file.  Kept open as long as the daemon lives; :meth:`fileno` is for detaching."""

    def __init__(self, path: str) -> None:
        """Take the lock.

        :raises PidFileError: AlreadyRunningError if another daemon has it.
        """
        self.path = path
        self.stale: Optional[int] = None
        """The process number that was found in the file of a daemon that is gone."""
        self._file = self._open_locked()
        with contextlib.suppress(ValueError):
            self.stale = _number(self._file)

    def _open_locked(self) -> int:
        try:
            make_directory(os.path.dirname(self.path))
            for _ in range(_TRIES):
                file = open_regular(self.path, os.O_RDWR | os.O_CREAT)
                self._lock(file)
                if self._is(file):
                    return file
                os.close(file)  # it was removed by one that ended just now
        except OSError as error:
            raise PidFileError(f"{self.path}: the pid file cannot be used: {_explain(error)}") from error
        raise PidFileError(f"{self.path}: the pid file is replaced again and again")

    def _lock(self, file: int) -> None:
        """Lock an open file, or close it.

        :raises PidFileError: it is another's, or not a pid file at all.
        """
        try:
            number = _number(file)
        except ValueError:
            os.close(file)
            text = f"{self.path}: is not a pid file; it is left as it is, choose another pid ="
            raise PidFileError(text) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            who = f"as process {number}" if number else "(its number is not written yet)"
            raise AlreadyRunningError(f"had runs already {who}: {self.path} is locked", number) from None
        except OSError:
            os.close(file)
            raise

    def _is(self, file: int) -> bool:
        """Whether the open file is the one at the place."""
        ours = os.fstat(file)
        try:
            there = os.lstat(self.path)
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def fileno(self) -> int:
        return self._file

    def write(self, pid: int) -> None:
        """Write the number; readers never see an empty file.

        :raises PidFileError: full disk.
        """
        data = f"{pid}\n".encode("ascii")
        try:
            os.fchmod(self._file, 0o644)
            if os.pwrite(self._file, data, 0) < len(data):
                raise OSError(0, "only a part could be written")
            os.ftruncate(self._file, len(data))
        except OSError as error:
            raise PidFileError(f"{self.path}: the pid file cannot be written: {_explain(error)}") from error

    def check(self, pid: int) -> Optional[str]:
        """Notice that the file was removed or replaced, and make it anew; returns what to tell, or None.

        Only for the process whose number is in the file; now and then.
        """
        if self._is(self._file):
            return None
        old = self._file
        try:
            self._file = self._open_locked()
            self.write(pid)
        except PidFileError as error:
            return f"the pid file was removed or replaced: {error}"
        finally:
            if self._file != old:
                os.close(old)
        return f"{self.path}: the pid file was removed or replaced; it has been made anew"

    def remove(self) -> None:
        """At a clean exit: remove the file if it is ours and names us, and give the lock back."""
        with contextlib.suppress(OSError, ValueError):
            if self._is(self._file) and _number(self._file) == os.getpid():
                os.unlink(self.path)
        self.close()

    def close(self) -> None:
        """Close our end; the lock stays while another process has the file open."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _number(file: int) -> Optional[int]:
    """Return the number in a pid file, None if it is empty.

    :raises ValueError: it holds something else.
    """
    text = os.pread(file, 64, 0).strip()
    if not text:
        return None
    if not text.isdigit():
        raise ValueError
    return int(text)


def _explain(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a symbolic link"
    return why(error)
