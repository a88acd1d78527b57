"""``python -m had.sim``: seeds, one seed with its transcript, or a schedule from a file."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from had import __version__
from had.sim import deeds, report
from had.sim.clockwork import SECOND
from had.sim.draw import draw
from had.sim.jobs import Total, some_by_some
from had.sim.run import Result, run_schedule, run_seed
from had.sim.schedule import Schedule, ScheduleError, read, write
from had.sim.shrink import shrink

EPILOG = """\
examples:
  python -m had.sim 2000                 seeds 0 to 1999
  python -m had.sim 2000 --first 5000 --jobs 2 --report
  python -m had.sim --seed 77            one seed, with a transcript in words
  python -m had.sim --seed 77 --write    its schedule, to be changed and given back with --file
  python -m had.sim --file cut.txt       a schedule, with a transcript

exit code: 0 every promise held; 1 one was broken; 2 usage
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.speed:
        return _measure(every_tick=options.every_tick)
    try:
        if options.file is not None:
            schedule = read(options.file.read_text(encoding="utf-8"))
            for step in schedule.steps:
                deeds.check(step, [node.settings.node for node in schedule.nodes])
            return _tell_one(run_schedule(schedule, story=True), schedule, options.shrink)
    except (OSError, UnicodeDecodeError, ScheduleError) as error:
        sys.stderr.write(f"had.sim: {options.file}: {error}\n")
        return 2
    if options.seed is not None:
        schedule = draw(options.seed)
        if options.write:
            sys.stdout.write(write(schedule))
            return 0
        return _tell_one(run_schedule(schedule, story=True), schedule, options.shrink)
    return _many(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m had.sim",
        description="Run clusters of the real core in virtual time, break what can, check all promises.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("seeds", nargs="?", type=int, default=100, help="how many seeds (100)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them (0)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument(
        "--report", action="store_true", help="count rules, transitions, excuses and troubles"
    )
    parser.add_argument("--seed", type=int, metavar="SEED", help="one seed, with its transcript")
    parser.add_argument("--write", action="store_true", help="with --seed: print the schedule instead")
    parser.add_argument(
        "--file", type=Path, metavar="FILE", help="a schedule from a file, with its transcript"
    )
    parser.add_argument(
        "--no-shrink", dest="shrink", action="store_false", help="don't look for a shorter schedule"
    )
    parser.add_argument("--speed", action="store_true", help="measure: three quiet nodes, two links, 1 s")
    parser.add_argument(
        "--every-tick", action="store_true", help="spare the core no Tick: slower, the same end"
    )
    return parser


def _measure(*, every_tick: bool) -> int:
    """Print how much quicker than real time three quiet nodes are: two links, one heartbeat a second."""
    nodes = [f"node {name} count=3 names=a,b,c heartbeat=1 warn=3 dead=5 startup=20" for name in "abc"]
    steps = [f"at 0 {verb} {name}" for verb in ("power-on", "start") for name in "abc"]
    lines = ["had-sim 1", "link travel=0.0003", "link travel=0.0011", *nodes, *steps, "at 600 wall a 0"]
    schedule = read("\n".join(lines))
    best_s = min(run_schedule(schedule, every_tick=every_tick).processor_s for _ in range(7))
    _say(f"600 s of three nodes in {best_s:.3f} s of processor time: {600 / best_s:.0f} times real time")
    return 0


def _many(options: argparse.Namespace) -> int:
    begun_s = time.monotonic()
    total = Total()
    for part in some_by_some(options.first, options.seeds, options.jobs, every_tick=options.every_tick):
        total.update(part)
        for result in part.broken:
            _say(f"seed {result.seed} broke: {_broken(result)}")
    wall_s = time.monotonic() - begun_s
    virtual_s = total.virtual_ns / SECOND
    _say(
        f"{total.seeds} seeds, {len(total.broken)} broke a promise; "
        f"{virtual_s / 86400:.2f} virtual days in {wall_s:.1f} s; "
        f"{total.processor_s / max(1, total.seeds):.3f} s of processor time a seed, "
        f"{virtual_s / max(1e-9, total.processor_s):.0f} times real time"
    )
    if options.report:
        _say("\n".join(report.lines(total.counts)))
    if not total.broken:
        return 0
    first = min(total.broken, key=lambda result: result.seed)
    return _tell_one(run_seed(first.seed, story=True), draw(first.seed), options.shrink)


def _broken(result: Result) -> str:
    broken = result.broken
    return (
        "nothing" if broken is None else f"{broken.promise}: {broken.text} (at {broken.at_ns / SECOND:.6f} s)"
    )


def _tell_one(result: Result, schedule: Schedule, shrinks: bool) -> int:
    """Print a run in words; of one that broke also a shorter schedule and how to see it again."""
    _say("\n".join(result.story))
    broken = result.broken
    if broken is None:
        _say(f"seed {result.seed}: every promise held; {result.virtual_ns / SECOND:.0f} s of virtual time")
        if result.settled_ns is not None:
            _say(f"settled {result.settled_ns / SECOND:.0f} s after the storm")
        return 0
    _say(f"\nBROKEN: {_broken(result)}")
    _say(f"seed {result.seed}, had {__version__}, commit {_commit()}")
    _say(f"to see it again: python -m had.sim --seed {result.seed}")
    if shrinks:
        short = shrink(schedule, broken.promise)
        again = run_schedule(short, story=True)
        _say(f"\nthe shortest found ({len(short.steps)} steps of {len(schedule.steps)}), for --file:\n")
        _say(write(short))
        _say("\n".join(again.story[-60:]))
        _say(f"BROKEN: {_broken(again)}")
    return 1


def _commit() -> str:
    """Return which commit this is, as far as git knows."""
    try:
        place = Path(__file__).parent
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=place, capture_output=True, text=True, check=False
        )
    except OSError:
        return "unknown"
    return described.stdout.strip() or "unknown"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
