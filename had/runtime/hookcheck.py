"""Whether the hooks can be trusted and run, looked at before the start (point 7 of what hooks must be).

The daemon runs them as root, so whoever can change a hook, or any directory on the way to it, is root.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Optional

from had.core.actions import Hook
from had.runtime.files import why

_MAX_LINKS = 40
Step = tuple[str, os.stat_result]


def check_hooks(directory: str) -> list[str]:
    """Return what is wrong, one line each naming the path, in the order in which it should be mended.

    ``starthasrv``, ``stophasrv`` and ``monitorhasrv`` must be there; ``alerthasrv`` may be missing.
    """
    problems: list[str] = []
    try:
        steps = list(_steps(os.path.abspath(directory)))
    except OSError as error:
        return [f"{error.filename}: {why(error)}; the hooks' directory must exist"]
    if not stat.S_ISDIR(steps[-1][1].st_mode):
        return [f"{directory}: the hooks' directory is not a directory"]
    for hook in (Hook.START, Hook.STOP, Hook.MONITOR, Hook.ALERT):
        for problem in _check_hook(os.path.join(os.path.abspath(directory), hook.value), hook):
            if problem not in problems:  # what is wrong with a directory is wrong for each hook
                problems.append(problem)
    return problems


def has_alert_hook(directory: str) -> bool:
    """Whether there is an ``alerthasrv`` to be called."""
    return os.path.lexists(os.path.join(directory, Hook.ALERT.value))


def _bad_interpreter(path: str) -> list[str]:
    """Say what is wrong with a script's first line: it would show only when the hook is needed."""
    try:
        with open(path, "rb") as file:
            first = file.readline(256)
    except OSError as error:
        return [f"{path}: {why(error)}"]
    if not first.startswith(b"#!"):
        return []
    if first.endswith(b"\r\n"):
        return [f"{path}: its lines end in CR LF, so it can't be run; sed -i 's/\\r$//' {path}"]
    words = first[2:].split()
    interpreter = os.fsdecode(words[0]) if words else ""
    if "\0" in interpreter or not os.access(interpreter, os.X_OK):
        return [f"{path}: line 1 names {interpreter!a}, which can't be run"]
    return []


def _check_hook(path: str, hook: Hook) -> list[str]:
    try:
        steps = list(_steps(path))
    except FileNotFoundError as error:
        if hook is Hook.ALERT and not os.path.lexists(path):
            return []
        link = "" if error.filename == path else f" ({error.filename})"
        return [f"{path}{link}: no such file; {hook.value} must exist"]
    except OSError as error:
        return [f"{path}: {why(error)}"]
    problems = _distrusted(steps)
    real, status = steps[-1]
    if not stat.S_ISREG(status.st_mode):
        problems.append(f"{path}: not a regular file")
    elif not os.access(real, os.X_OK):
        problems.append(f"{path}: not executable; chmod 755 {path}")
    else:
        problems += _bad_interpreter(path)
    return problems


def _steps(path: str) -> Iterator[Step]:
    """Yield every directory and symbolic link on the way to ``path``, and what stands at its end.

    :raises OSError: with ``filename`` set to the component that cannot be passed.
    """
    yield "/", os.lstat("/")
    here = "/"
    ahead = [part for part in reversed(path.split("/")) if part]
    links = 0
    last = "/"
    while ahead:
        part = ahead.pop()
        if part in (".", ".."):
            here = os.path.dirname(here) if part == ".." else here
            continue
        there = os.path.join(here, part)
        status = os.lstat(there)
        last = there
        yield there, status
        if not stat.S_ISLNK(status.st_mode):
            here = there
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(0, "too many symbolic links", there)
        target = os.readlink(there)
        if target.startswith("/"):
            here = "/"
        ahead.extend(part for part in reversed(target.split("/")) if part)
    if here != last:  # the last step was a ".." of a symbolic link
        yield here, os.lstat(here)


def _distrusted(steps: list[Step]) -> list[str]:
    problems = []
    for number, (path, status) in enumerate(steps):
        following = steps[number + 1][1] if number + 1 < len(steps) else None
        if not _owner_is_trusted(status):
            problems.append(f"{path}: belongs to user {status.st_uid}, neither to root nor to us")
        if stat.S_ISLNK(status.st_mode):  # its own mode means nothing
            continue
        who = _others_who_write(status)
        if who and not _is_safe_sticky(status, following):
            problems.append(f"{path}: may be written by {who}; chmod go-w {path}")
    return problems


def _owner_is_trusted(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid())


def _others_who_write(status: os.stat_result) -> str:
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    return f"group {status.st_gid}" if status.st_mode & stat.S_IWGRP else ""


def _is_safe_sticky(status: os.stat_result, following: Optional[os.stat_result]) -> bool:
    """In a directory like /tmp others can't replace what is ours."""
    return (
        stat.S_ISDIR(status.st_mode)
        and bool(status.st_mode & stat.S_ISVTX)
        and following is not None
        and _owner_is_trusted(following)
    )
