"""What ``python -m demo`` does, from its flags to its exit code."""

from __future__ import annotations

import argparse
import os
import sys

from demo.acts import Play
from demo.cluster import DemoError
from demo.interactive import play_by_keys
from demo.screen import Screen
from demo.signals import Signals, StoppedError
from demo.stage import Stage

_DESCRIPTION = """\
Runs three real had daemons on this machine's loopback (127.0.0.1 to 127.0.0.3), with a small web service
that they keep alive and a client that asks it 100 times a second.  Crashes the active node, brings it back,
switches over by signals, kills a worker, and shows what the client noticed.  Needs no root, takes about
twenty seconds, and leaves nothing behind."""
_EPILOG = """\
exit codes: 0 all went as it should; 1 something did not, or the demo could not run; 2 usage;
128 + N ended by signal N."""
_OK = 0
_FAILED = 1


def run(signals: Signals) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="demo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--interactive", action="store_true", help="you press the keys; shows which")
    parser.add_argument("--keep", action="store_true", help="leave the directory with logs and state files")
    arguments = parser.parse_args()
    try:
        with Stage(signals, Screen(), keep=arguments.keep) as stage:
            return _play(stage, interactive=arguments.interactive)
    except StoppedError as stopped:
        sys.stderr.write(f"demo: {stopped}\n")
        return 128 + stopped.number
    except BrokenPipeError:  # nobody looks any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _FAILED
    except (DemoError, OSError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return _FAILED


def _play(stage: Stage, *, interactive: bool) -> int:
    """Play, and show the table, also of what has come to an end half-way."""
    play = Play(stage)
    good = False
    try:
        stage.open()
        if interactive:
            play_by_keys(play)
        else:
            play.run()
        stage.stop_all()
        good = interactive or play.complete()
    finally:
        stage.screen.clear()
        rows, twice = play.table()
        for row in rows if play.acts else ():
            stage.screen.plain(row)
        for complaint in twice:
            stage.screen.plain(complaint, "bad")
    return _OK if good and not twice else _FAILED
