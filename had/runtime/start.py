"""From a person's command to a running daemon: locks, detaching, and the answer to who started it.

The command that a person or an initscript ran returns when the daemon is up, or tells why it isn't.  So
the process that was started forks before anything detaches, and waits at a pipe for the guard's report.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from had.config.settings import DaemonSettings
from had.core.actions import Level
from had.runtime.guard import Guard, Report
from had.runtime.log import Log, open_target
from had.runtime.pidfile import PidFile, PidFileError
from had.runtime.worker import Shared


class StartError(Exception):
    """The daemon can't start; one line for a person."""


def start(settings: DaemonSettings, *, foreground: bool, version: str) -> int:
    """Run the daemon; returns the exit code of the command, in the foreground when the daemon has ended.

    :raises StartError:
    """
    log = Log(open_target("stderr" if foreground else settings.log, settings.instance))
    problem = log.target.problem()
    if problem is not None:
        raise StartError(problem)
    try:
        pid_file = PidFile(settings.pid_file)
    except PidFileError as error:
        raise StartError(str(error)) from error
    if foreground:
        return _guard(settings, log, pid_file, version, Report())
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _detached(settings, log, pid_file, version, writing)
    os.close(writing)
    pid_file.close()
    return _wait_for_report(reading)


def _wait_for_report(reading: int) -> int:
    """Wait until the daemon is up, or has failed; pass on what it says."""
    with os.fdopen(reading, "rb") as pipe:
        code, _, text = pipe.read().decode("utf-8", "replace").partition(" ")
    if not code:
        sys.stderr.write("had: it ended while it was starting; the log may tell why\n")
        return 1
    if text:
        sys.stderr.write(f"had: {text}\n")
    return int(code)


def _detached(settings: DaemonSettings, log: Log, pid_file: PidFile, version: str, writing: int) -> NoReturn:
    """Become the daemon."""
    code = 1
    report = Report(writing)
    try:
        _detach([writing, pid_file.fileno(), log.target.fileno()])
        code = _guard(settings, log, pid_file, version, report)
    except Exception as error:  # a bug, or python-daemon's own: nobody else would hear of it
        log(Level.ERROR, f"the daemon ends by a bug, please report it: {type(error).__name__}: {error}")
        report.tell(1, f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def _detach(keep: list[int | None]) -> None:
    """Detach from terminal, session and working directory.

    python-daemon's own choices that services would inherit are not taken: umask 0, no core files, and not
    detaching where the parent is init (there too somebody waits for an answer).
    """
    import daemon  # noqa: PLC0415  # not needed in the foreground

    daemon.DaemonContext(
        working_directory="/",
        umask=0o022,
        prevent_core=False,
        detach_process=True,
        signal_map={},
        files_preserve=[number for number in keep if number is not None],
    ).open()


def _guard(settings: DaemonSettings, log: Log, pid_file: PidFile, version: str, report: Report) -> int:
    """Be the guard."""
    _name_process()
    log(Level.NOTICE, f"had {version} starts on {settings.core.node} (process {os.getpid()})")
    if pid_file.stale is not None:
        log(Level.NOTICE, f"{pid_file.path} was left by process {pid_file.stale}, which is gone")
    for warning in settings.warnings:
        log(Level.WARNING, warning)
    try:
        code = Guard(Shared(settings, log, pid_file), report).run()
    except PidFileError as error:
        log(Level.ERROR, str(error))
        report.tell(1, str(error))
        return 1
    log(Level.NOTICE, f"had ends with exit code {code}")
    return code


def _name_process() -> None:
    """Be called ``had`` in process lists, so that ``killall -HUP had`` finds us."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("had")
