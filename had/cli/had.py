"""``had``: the daemon's command line."""

from __future__ import annotations

import io
import os
import selectors
import sys
from collections.abc import Sequence
from typing import Optional

from had import __version__
from had.cli.options import Options, UsageError, parse, usage
from had.config.load import ConfigErrors, load_with_origins
from had.config.settings import DaemonSettings
from had.runtime.files import why
from had.runtime.hookcheck import check_hooks
from had.runtime.start import NO_STDERR, StartError, start

OK = 0
FAILED = 1
"""Usage, configuration, hooks, start, or a stop that failed: as the old daemon had it."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit code."""
    _mend_standard_streams()
    try:
        return _main(sys.argv[1:] if argv is None else argv)
    except _OutputError as error:
        return _complain([f"standard output: {error}"])


class _OutputError(Exception):
    """Standard output can't be written: a full disk, or a reader that has had enough."""


def _mend_standard_streams() -> None:
    """Open what the caller has closed: else the pid file or a socket gets the number 0, 1 or 2, and what is
    meant for people goes there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold anything


def _tell(text: str) -> None:
    """Write to standard output now, so that a failure is seen.

    :raises _OutputError:
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would be tried once more at exit, with a complaint by Python.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
        raise _OutputError(why(error)) from error


def _main(argv: Sequence[str]) -> int:
    try:
        options = parse(argv)
    except UsageError as error:
        return _complain(error.complaints)
    if options.help:
        _tell(usage())
        return OK
    if options.version:
        _tell(f"had {__version__}\n")
        return OK
    try:
        settings, origins = load_with_origins(options, uname=os.uname().nodename)
    except ConfigErrors as errors:
        return _complain(str(errors).splitlines())
    problems = check_hooks(settings.hooks_directory)
    if options.check:
        return _check(settings, origins, problems, foreground=options.foreground)
    if problems:
        return _complain(problems)
    return _run(settings, options)


def _run(settings: DaemonSettings, options: Options) -> int:
    for warning in options.warnings:
        sys.stderr.write(f"had: {warning}\n")
    try:
        return start(settings, foreground=options.foreground, version=__version__)
    except StartError as error:
        return _complain([str(error)])


def _check(
    settings: DaemonSettings, origins: dict[str, str], problems: list[str], *, foreground: bool
) -> int:
    """Say what would run, and what stands against it."""
    from had.config.describe import describe  # noqa: PLC0415
    from had.runtime.links import LinkFatal, Links  # noqa: PLC0415

    _tell(describe(settings, origins))
    problems = problems + _bad_places(settings) + _bad_log(settings, foreground=foreground)
    links = Links(settings.links, selectors.DefaultSelector(), _ignore, _ignore, _ignore)
    try:
        links.plan()
        _tell("\nOn this machine now:\n")
        for line in links.describe():
            _tell(f"  {line}\n")
        if not links.any_up:
            _tell("  no link is up: the daemon would start, and wait for one\n")
    except LinkFatal as fatal:
        problems = [*problems, str(fatal)]
    if problems:
        return _complain(problems)
    _tell("\nNothing stands against starting it.\n")
    return OK


def _bad_places(settings: DaemonSettings) -> list[str]:
    """Return where the daemon could not write, as far as that can be seen without writing."""
    problems = []
    for path in (settings.run_directory, settings.record_directory):
        if os.path.exists(path) and not os.path.isdir(path):
            problems.append(f"{path}: is not a directory")
        elif not os.access(_nearest(path), os.W_OK):
            problems.append(f"{path}: can't be written by this user")
    for path in (settings.state_file, settings.pid_file):
        if os.path.isdir(path):
            problems.append(f"{path}: is a directory")
        elif not os.access(_nearest(os.path.dirname(path)), os.W_OK):
            problems.append(f"{path}: can't be written by this user")
    return problems


def _bad_log(settings: DaemonSettings, *, foreground: bool) -> list[str]:
    """Return why the log could not be written, as far as that can be seen without writing."""
    if foreground or settings.log == "syslog":
        return []
    if settings.log == "stderr":
        return [NO_STDERR]
    directory = os.path.dirname(settings.log)
    if os.path.isdir(settings.log):
        return [f"{settings.log}: the log is a directory"]
    if not os.path.isdir(directory):
        return [f"{settings.log}: the log cannot be written: there is no directory {directory}"]
    if not os.access(settings.log if os.path.exists(settings.log) else directory, os.W_OK):
        return [f"{settings.log}: the log can't be written by this user"]
    return []


def _nearest(path: str) -> str:
    """Return the directory itself, or the nearest one above it that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _ignore(*_: object) -> None:
    """Nothing is opened by --check, so nothing is heard."""


def _complain(lines: Sequence[str]) -> int:
    for line in lines:
        sys.stderr.write(f"had: {line}\n")
    return FAILED
