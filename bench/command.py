"""The command line of ``python -m bench``."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bench.contenders.base import Contender
from bench.contenders.heartbeat import Heartbeat
from bench.contenders.keepalived import Keepalived
from bench.contenders.oldflags import OldFlags
from bench.contenders.ours import Had
from bench.contenders.ucarp import Ucarp
from bench.errors import BenchError
from bench.hooks import Hooks
from bench.machine import describe, load_average
from bench.measures import crash, cut, idle, load, nodes, planned, start
from bench.plan import QUICK, Amounts, Plan
from bench.plot import plot
from bench.report import raw, report

ROOT = Path(__file__).resolve().parent.parent
MEASURES = {module.NAME: module for module in (crash, planned, cut, idle, load, nodes, start)}
PEERS = {peer.name: peer for peer in (Keepalived, Ucarp, Heartbeat)}
GROUPS = ("1 s", "100 ms", "20 ms", "load")
_PROGRAMS = ("unshare", "nsenter", "ip", "mount", "hostname", "sh")
_EPILOG = """\
Without any option all is measured, which takes two to three hours, and the results are written to
bench/RESULTS.md and RESULTS.svg. With --quick, --only, --groups, --peers or --had they are only shown,
unless --output says where to write them. Needs root, for the namespaces.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the words after the program's name; a mistake ends the program with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure had beside other failover daemons, in network namespaces of this machine.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="few repetitions and short times: to see that it works")
    add("--only", nargs="+", metavar="NAME", choices=list(MEASURES), help=f"of {', '.join(MEASURES)}")
    add("--groups", nargs="+", metavar="GROUP", choices=GROUPS, help=f"timings: of {', '.join(GROUPS)}")
    add("--runs", type=_positive, metavar="N", help="repetitions of what is repeated (default 20, cuts 10)")
    add("--seconds", type=_positive, metavar="S", help="how long the idle, load and nodes windows last")
    peers = f"of {', '.join(PEERS)}; or none"
    add("--peers", nargs="+", metavar="NAME", choices=[*PEERS, "none"], help=peers)
    add("--had", type=Path, metavar="TREE", help="measure the daemon of another tree")
    add("--old", type=Path, metavar="PATH", help="a further peer: a program with the old daemon's flags")
    add("--python", default=sys.executable, help="the interpreter for the daemon (default: this one)")
    add("--output", type=Path, metavar="DIRECTORY", help="where RESULTS.md and RESULTS.svg are written")
    add("--json", type=Path, metavar="FILE", help="write every single sample, too")
    options = parser.parse_args(argv)
    chosen = (options.quick, options.only, options.groups, options.peers, options.had)
    if options.output is None and not any(chosen):
        options.output = Path(__file__).parent
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def amounts_of(options: argparse.Namespace) -> Amounts:
    """How much of everything these options ask for."""
    amounts = QUICK if options.quick else Amounts()
    if options.runs:
        runs = options.runs
        amounts = dataclasses.replace(amounts, crash=runs, planned=runs, cut=runs, start=runs)
    if options.seconds:
        seconds = options.seconds
        amounts = dataclasses.replace(amounts, idle_s=seconds, load_s=seconds, nodes_s=seconds)
    return amounts


def why_not() -> str:
    """Return what keeps this machine from measuring anything; empty if nothing does."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root, for the namespaces"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else ""


def contenders(options: argparse.Namespace, scratch: Path) -> list[Contender]:
    """All that are to be measured, ours first."""
    wanted = [] if options.peers == ["none"] else options.peers or list(PEERS)
    ours = Had(options.had or ROOT, options.python, scratch)
    peers = [PEERS[name]() for name in wanted if name != "none"]
    return [ours, *peers, *([OldFlags(options.old)] if options.old else [])]


def present(plan: Plan, all_of_them: Sequence[Contender]) -> list[Contender]:
    """Those that can be measured here; the others are skipped with a word."""
    there = []
    for contender in all_of_them:
        why = contender.why_missing()
        if why:
            plan.skipped(contender, why)
        else:
            there.append(contender)
    return there


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = parse(argv)
    why = why_not()
    if why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    scratch = Path(tempfile.mkdtemp(prefix="had-bench-"))
    try:
        return _measure(options, scratch, shlex.join(["python", "-m", "bench", *argv]))
    except KeyboardInterrupt:
        print("bench: interrupted; nothing is written", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _leave(number: int, _: object) -> NoReturn:
    """End as after Ctrl-C: with everything tidied up."""
    raise SystemExit(128 + number)


def _measure(options: argparse.Namespace, scratch: Path, command: str) -> int:
    plan = Plan(amounts_of(options), Hooks(scratch / "hooks"), scratch, options.groups or ())
    plan.contenders = present(plan, contenders(options, scratch))
    facts = describe(plan, command)
    for name in options.only or MEASURES:
        try:
            MEASURES[name].run(plan)
        except BenchError as error:  # one that no contender is to blame for
            plan.failed(name, error)
    facts["Load average at the begin and at the end"] += f"; {load_average()}"
    drawing = plot(plan.results)
    text = report(plan.results, facts, "RESULTS.svg" if drawing else "")
    print(text)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "RESULTS.md").write_text(text, encoding="utf-8")
        (options.output / "RESULTS.svg").write_text(drawing, encoding="utf-8")
    if options.json:
        options.json.write_text(raw(plan.results, facts), encoding="utf-8")
    return 0 if any(row.samples for row in plan.results.rows) else 1
