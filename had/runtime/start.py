"""From a person's command to a running daemon: locks, detaching, and the answer to who started it.

The command that a person or an initscript ran returns when the daemon is up, or tells why it isn't.  So
the process that was started forks before anything detaches, and waits at a pipe for the guard's report.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import NoReturn, Optional

from had.config.settings import DaemonSettings
from had.core.actions import Level
from had.runtime.files import why
from had.runtime.guard import Guard, Report
from had.runtime.log import Log, open_target
from had.runtime.notify import Notify, take_address
from had.runtime.pidfile import AlreadyRunningError, PidFile, PidFileError
from had.runtime.shared import Shared

INTERRUPTED = 128 + signal.SIGINT
"""Exit code, as a shell's, of a command that was interrupted while it waited for its daemon."""
NO_STDERR = (
    "log = stderr: the daemon detaches and has no standard error then; "
    "run it with -f, or log to syslog or a file"
)
TRIES = 50
TRY_S = 0.1
"""A worker whose guard has died is given five seconds to write its number into the pid file."""


class StartError(Exception):
    """The daemon can't start; one line for a person."""


def start(settings: DaemonSettings, *, foreground: bool, version: str) -> int:
    """Run the daemon; returns the exit code of the command, in the foreground when the daemon has ended.

    :raises StartError:
    """
    if settings.log == "stderr" and not foreground:
        raise StartError(NO_STDERR)
    address = take_address(os.environ)
    log = Log(open_target("stderr" if foreground else settings.log, settings.instance))
    problem = log.target.problem()
    if problem is not None:
        raise StartError(problem)
    notify = Notify(address, log)
    try:
        pid_file = _take_pid_file(settings.pid_file, notify, log)
    except PidFileError as error:
        raise StartError(str(error)) from error
    if pid_file is None:
        return 0
    if foreground:
        return _guard(settings, log, pid_file, notify, version, Report())
    try:
        reading, writing = os.pipe()
        child = os.fork()
    except OSError as error:
        _give_up(pid_file)
        raise StartError(_no_process(error)) from error
    if child == 0:
        os.close(reading)
        _detached(settings, log, pid_file, notify, version, writing)
    os.close(writing)
    pid_file.close()
    return _wait_for_report(reading, log.target.warning())


def _take_pid_file(path: str, notify: Notify, log: Log) -> Optional[PidFile]:
    """Take the pid file; None if systemd has lost sight of a daemon that lives, and knows it again now.

    Where the guard is killed its worker goes on alone and says MAINPID=, but systemd may hear of the death
    first.  Then it takes the whole daemon for dead, and starts another: this one.  Or a stop took longer than
    systemd waits, and somebody starts it again.

    :raises PidFileError:
    """
    for _ in range(TRIES):
        try:
            return PidFile(path)
        except AlreadyRunningError as error:
            unit = _control_groups(error.number)
            if not notify.is_wanted or (unit and unit != _control_groups(os.getpid())):
                raise
            if unit:
                text = f"had runs already as process {error.number}; systemd goes on with that"
                log(Level.NOTICE, text)
                notify.tell(MAINPID=str(error.number), STATUS=text, READY="1")
                return None
        time.sleep(TRY_S)
    return PidFile(path)


def _control_groups(pid: Optional[int]) -> str:
    """Return the control groups of a process, by which systemd knows whose it is; empty if it has ended."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _wait_for_report(reading: int, warning: Optional[str]) -> int:
    """Wait until the daemon is up, or has failed; pass on what it says, and a warning if it is up."""
    try:
        with os.fdopen(reading, "rb") as pipe:
            code, _, text = pipe.read().decode("utf-8", "replace").partition(" ")
    except KeyboardInterrupt:
        sys.stderr.write("had: interrupted; the daemon goes on starting, the log tells what becomes of it\n")
        return INTERRUPTED
    if not code:
        sys.stderr.write("had: it ended while it was starting; the log may tell why\n")
        return 1
    if text:
        sys.stderr.write(f"had: {text}\n")
    elif warning is not None and code == "0":
        sys.stderr.write(f"had: {warning}\n")
    return int(code)


def _detached(
    settings: DaemonSettings, log: Log, pid_file: PidFile, notify: Notify, version: str, writing: int
) -> NoReturn:
    """Become the daemon."""
    code = 1
    report = Report(writing)
    try:
        try:
            _detach([writing, pid_file.fileno(), log.target.fileno()])
        except OSError as error:
            _fail(log, pid_file, report, _no_process(error))
        else:
            code = _guard(settings, log, pid_file, notify, version, report)
    except Exception as error:  # a bug: nobody else would hear of it
        log(Level.ERROR, f"the daemon ends by a bug, please report it: {type(error).__name__}: {error}")
        report.tell(1, f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def _detach(keep: list[int | None]) -> None:
    """Detach from terminal, session and working directory.

    By the parts of python-daemon, without its DaemonContext: that one closes every number up to the limit on
    open files, which takes minutes where a container's is a thousand million and Python is older than 3.10.

    :raises OSError: no process left.
    """
    from daemon import daemon as parts  # noqa: PLC0415  # not needed in the foreground

    parts.change_file_creation_mask(0o022)
    parts.change_working_directory("/")
    try:
        parts.detach_process_context()
    except parts.DaemonProcessDetachError as error:
        raise error.__cause__ if isinstance(error.__cause__, OSError) else OSError(str(error)) from error
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in keep:
            with contextlib.suppress(OSError):  # the one by which the list was read
                os.close(number)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)


def _no_process(error: OSError) -> str:
    return f"there is no process or descriptor left to run the daemon: {why(error)}"


def _give_up(pid_file: PidFile) -> None:
    """Leave no pid file of a daemon that did not start; its lock is still ours."""
    with contextlib.suppress(OSError):
        os.unlink(pid_file.path)
    pid_file.close()


def _fail(log: Log, pid_file: PidFile, report: Report, text: str) -> int:
    """End before there was a worker; returns the exit code."""
    log(Level.ERROR, text)
    _give_up(pid_file)
    report.tell(1, text)
    return 1


def _guard(
    settings: DaemonSettings, log: Log, pid_file: PidFile, notify: Notify, version: str, report: Report
) -> int:
    """Be the guard."""
    _name_process()
    log(Level.NOTICE, f"had {version} starts on {settings.core.node} (process {os.getpid()})")
    if pid_file.stale is not None:
        log(Level.NOTICE, f"{pid_file.path} was left by process {pid_file.stale}, which is gone")
    for warning in settings.warnings:
        log(Level.WARNING, warning)
    try:
        pid_file.write(os.getpid())
        guard = Guard(Shared(settings, log, pid_file, notify), report)
    except PidFileError as error:
        return _fail(log, pid_file, report, str(error))
    except OSError as error:
        return _fail(log, pid_file, report, _no_process(error))
    code = guard.run()
    log(Level.NOTICE, f"had ends with exit code {code}")
    return code


def _name_process() -> None:
    """Be called ``had`` in process lists, so that ``killall -HUP had`` finds us."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("had")
