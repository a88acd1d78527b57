"""``had``: the daemon's command line."""

from __future__ import annotations

import os
import selectors
import sys
from collections.abc import Sequence
from typing import Optional

from had import __version__
from had.cli.options import Options, UsageError, parse, usage
from had.config.load import ConfigErrors, load_with_origins
from had.config.settings import DaemonSettings
from had.runtime.hookcheck import check_hooks
from had.runtime.start import StartError, start

OK = 0
FAILED = 1
"""Usage, configuration, hooks, start, or a stop that failed: as the old daemon had it."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit code."""
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
    except UsageError as error:
        return _complain(error.complaints)
    if options.help:
        sys.stdout.write(usage())
        return OK
    if options.version:
        sys.stdout.write(f"had {__version__}\n")
        return OK
    try:
        settings, origins = load_with_origins(options, uname=os.uname().nodename)
    except ConfigErrors as errors:
        return _complain(str(errors).splitlines())
    problems = check_hooks(settings.hooks_directory)
    if options.check:
        return _check(settings, origins, problems)
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


def _check(settings: DaemonSettings, origins: dict[str, str], problems: list[str]) -> int:
    """Say what would run, and what stands against it."""
    from had.config.describe import describe  # noqa: PLC0415
    from had.runtime.links import LinkFatal, Links  # noqa: PLC0415

    sys.stdout.write(describe(settings, origins))
    links = Links(settings.links, selectors.DefaultSelector(), _ignore, _ignore, _ignore)
    try:
        links.plan()
        sys.stdout.write("\nOn this machine now:\n")
        for line in links.describe():
            sys.stdout.write(f"  {line}\n")
    except LinkFatal as fatal:
        problems = [*problems, str(fatal)]
    sys.stdout.flush()
    if problems:
        return _complain(problems)
    sys.stdout.write("\nNothing stands against starting it.\n")
    return OK


def _ignore(*_: object) -> None:
    """Nothing is opened by --check, so nothing is heard."""


def _complain(lines: Sequence[str]) -> int:
    for line in lines:
        sys.stderr.write(f"had: {line}\n")
    return FAILED
