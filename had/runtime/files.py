"""Small files, read and replaced with care: what state file, pid file, record and hook files share."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

MAX_SMALL = 4096


class NotRegularError(OSError):
    """What stands at the place is a directory, a device, a FIFO or a socket."""


def why(error: OSError) -> str:
    """Return the words for people in ``error``: "No space left on device"."""
    return error.strerror or str(error)


def open_regular(path: str, flags: int, mode: int = 0o644) -> int:
    """Open a regular file and nothing else: symbolic links are not followed, a FIFO does not hold us up.

    :raises OSError: also NotRegularError.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(0, "not a regular file", path)
    return descriptor


def read_small(path: str) -> bytes:
    """Return the first 4096 bytes of a regular file.

    :raises OSError:
    """
    descriptor = open_regular(path, os.O_RDONLY)
    try:
        return os.read(descriptor, MAX_SMALL)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``.

    :raises OSError: when the disk is full half-way, for one.
    """
    while data:
        data = data[os.write(descriptor, data) :]


def temporary_of(path: str) -> str:
    """Return the name under which the next version of ``path`` is made: fixed, so that what a crash left
    behind is replaced by the next write instead of piling up.
    """
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.new")


def replace(path: str, data: bytes, *, durable: bool = False) -> None:
    """Replace ``path`` at one stroke, readable by all whatever the umask; a symbolic link there is
    replaced, not followed.  ``durable``: also over a power cut, which may take seconds.

    :raises OSError: the old file is then still there, whole.
    """
    temporary = temporary_of(path)
    remove(temporary)  # O_EXCL below: nobody else's file or link is ever written through
    descriptor = open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        try:
            os.fchmod(descriptor, 0o644)
            write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):  # the first failure is the one to tell
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def remove(path: str) -> bool:
    """Remove a file; returns whether it was there.

    :raises OSError: when it is there and can't be removed.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def sync_directory(path: str) -> None:
    """Make renames and removals in a directory durable.

    :raises OSError:
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str) -> None:
    """Make a directory and those above it, mode 0755 whatever the umask; one that exists is left alone.

    :raises OSError:
    """
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    if above != path:
        make_directory(above)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        return
    os.chmod(path, 0o755)  # noqa: S103 - others are meant to read state file and pid file
