"""What happens between fork and exec: a copy of the worker becomes a hook."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import signal
import time
from typing import NoReturn, Optional

from had.runtime import hookfile
from had.runtime.files import why
from had.runtime.fitness import Standing, become_ordinary
from had.runtime.processes import close_descriptors, look, signals_blocked

LATE_NS = 200_000_000
"""A hook whose worker died, and that took longer than this to say that it exists, does not run: the next
worker may have started it anew (it waits longer than this, see :data:`had.runtime.hooks.APPEAR_NS`)."""
_HEARD_BY_ALL = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_CHANGEABLE = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_CANNOT_RUN = 126
_NOT_FOUND = 127
FAILURE_CODES = (_CANNOT_RUN, _NOT_FOUND)
"""Exit statuses, as a shell's, of a hook that could not be run."""


@dataclasses.dataclass(frozen=True)
class Command:
    """All that is needed, made before the fork, so that little is left to go wrong after it."""

    run: int
    path: str
    arguments: tuple[str, ...]
    environment: dict[bytes, bytes]
    stdin: int
    output: int
    hook_file: str
    standing: Optional[Standing] = None
    """How the hook is to stand against other processes; None: as we do."""


def fork(command: Command) -> int:
    """Start the hook; returns its process number without waiting for the exec.

    :raises OSError: no process or memory left.
    """
    # Blocked, because until its dispositions are reset the child would pass signals on to the worker:
    # it shares the wake-up descriptor.
    with signals_blocked():
        worker = os.getpid()
        forked_ns = time.monotonic_ns()
        pid = os.fork()
        if pid == 0:
            _become(command, worker, forked_ns)
    return pid


def _become(command: Command, worker: int, forked_ns: int) -> NoReturn:
    code = _CANNOT_RUN
    try:
        os.setsid()
        _reset_signals()
        os.dup2(command.stdin, 0)
        os.dup2(command.output, 1)
        os.dup2(command.output, 2)
        os.chdir("/")
        os.umask(0o022)
        if _claim(command, worker, forked_ns):
            close_descriptors()  # all is close-on-exec; this is for what somebody forgot (COMPAT D20)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            _become_ordinary(command)
            code = _run(command)
    except OSError as error:
        _print(f"cannot be run: {why(error)}")
    finally:
        os._exit(code)  # nothing of the worker's may run in its copy, whatever went wrong


def _become_ordinary(command: Command) -> None:
    """Give back what is had's alone (:mod:`had.runtime.fitness`)."""
    if command.standing is not None:
        try:
            become_ordinary(command.standing)
        except OSError as error:
            _print(f"keeps the priority or OOM score of had: {why(error)}")


def _reset_signals() -> None:
    """All at their default; Python ignores SIGPIPE, python-daemon more, and exec keeps what is ignored."""
    for number in _HEARD_BY_ALL:
        # This throws away one that is pending: a killall meant the daemon, whose copy this still is.
        signal.signal(number, signal.SIG_IGN)
    for number in _CHANGEABLE:
        if signal.getsignal(number) is not signal.SIG_DFL:  # asking is quicker, and most are
            signal.signal(number, signal.SIG_DFL)


def _claim(command: Command, worker: int, forked_ns: int) -> bool:
    """Write the hook's file; returns whether the hook is to run."""
    pid = os.getpid()
    me = look(pid)
    try:
        hookfile.claim(command.hook_file, command.run, me.started if me else 0)
    except FileExistsError:
        _print("is not run: another process says that it is this hook")
        return False
    except OSError as error:
        # A full disk must not stop a service from being started.  What is lost is only that a next worker
        # finds this hook if ours dies before it has passed on its process number.
        _print(f"{command.hook_file} cannot be written: {why(error)}")
        return True
    if os.getppid() != worker and time.monotonic_ns() - forked_ns > LATE_NS:
        os.unlink(command.hook_file)
        return False
    return True


def _run(command: Command) -> int:
    """Exec; returns the exit status if that fails."""
    try:
        os.execve(command.path, (command.path, *command.arguments), command.environment)  # noqa: S606 - as meant
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            return _run_by_shell(command)
        return _tell_failure(command, error)


def _run_by_shell(command: Command) -> int:
    """Exec a script without ``#!`` as the old daemon's shell did."""
    try:
        os.execve("/bin/sh", ("/bin/sh", command.path, *command.arguments), command.environment)  # noqa: S606 - as meant
    except OSError as error:
        return _tell_failure(command, error)


def _tell_failure(command: Command, error: OSError) -> int:
    _print(f"cannot be run: {why(error)}")
    with contextlib.suppress(OSError):  # then people see the exit status and the line printed above
        hookfile.add_failure(command.hook_file, error.errno or 0)
    return _NOT_FOUND if error.errno == errno.ENOENT else _CANNOT_RUN


def _print(text: str) -> None:
    os.write(1, f"{text}\n".encode("utf-8", "backslashreplace"))
