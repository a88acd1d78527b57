"""``python -m had.sim``: seeds, one seed with its transcript, or scenario files."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from had import __version__
from had.sim import report, scenario, scenario_expect
from had.sim.clockwork import SECOND
from had.sim.draw import draw
from had.sim.jobs import Total, some_by_some
from had.sim.run import Result, run_schedule, run_seed
from had.sim.schedule import Schedule, ScheduleError, read
from had.sim.shrink import shrink
from had.sim.world import TIMES

EPILOG = """\
examples:
  python -m had.sim 2000                 seeds 0 to 1999
  python -m had.sim 2000 --first 5000 --jobs 2 --report
  python -m had.sim --seed 77            one seed, with a transcript in words
  python -m had.sim --seed 77 --write    its schedule, to be changed and given back with --file
  python -m had.sim --file cut.txt       a schedule or scenario: docs/scenarios.md tells how to write one
  python -m had.sim --file tests/scenarios/*.txt --rewrite    write their transcripts anew

exit code: 0 every promise held; 1 one was broken, or a scenario went otherwise; 2 usage
"""


STORY = (scenario_expect.PROMISE, TIMES)
"""What only a file promises: nothing to make a shorter schedule for."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.speed:
        return _measure(every_tick=options.every_tick)
    if options.file is not None:
        return _files(options)
    if options.seed is not None:
        schedule = draw(options.seed)
        result = run_schedule(schedule, story=not options.write)
        if options.write:
            sys.stdout.write(scenario.as_file(schedule, result, [f"Seed {options.seed}."]))
            return 0
        return _tell_one(result, schedule, options.shrink)
    return _many(options)


def _files(options: argparse.Namespace) -> int:
    """Play files; all are read before any is played."""
    try:
        read_ = [(path, scenario.load(path)) for path in options.file]
    except ScheduleError as error:
        sys.stderr.write(f"had.sim: {error}\n")
        return 2
    return max(_file(path, each, options) for path, each in read_)


def _file(path: Path, given: scenario.Scenario, options: argparse.Namespace) -> int:
    told = options.rewrite or given.is_told
    long = options.story or not told
    played = scenario.play(given, story=long)
    broken, complaint = played.broken, played.complaint()
    if broken is not None and broken == played.result.broken and broken.promise not in STORY:
        if told:
            _say(complaint)
        return _tell_one(
            played.result, scenario.absolute(given.schedule, played.result), options.shrink, given.name
        )
    if long:
        _say("\n".join(played.result.story))
    if broken is None and options.rewrite:
        changed = played.text != given.text
        if changed:
            path.write_text(played.text, encoding="utf-8")
        _say(f"{path}: {'rewritten: review it as a diff' if changed else 'as it was'}")
        return 0
    if complaint:
        _say(complaint)
        if broken is None:
            _say(f"{path}: it went otherwise; where that is right, write it anew with --rewrite")
        return 1
    _say(f"{path}: every promise held" + (", and it went as it is told" if told else ""))
    return 0


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
        "--file",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="scenarios from files, compared with what they tell",
    )
    parser.add_argument(
        "--rewrite", action="store_true", help="with --file: write the transcripts into the files anew"
    )
    parser.add_argument(
        "--story", action="store_true", help="with --file: print the long transcript, packets included"
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


def _tell_one(result: Result, schedule: Schedule, shrinks: bool, name: str = "") -> int:
    """Print a run in words; of one that broke also a shorter schedule and how to see it again."""
    _say("\n".join(result.story))
    broken = result.broken
    if broken is None:
        _say(f"seed {result.seed}: every promise held; {result.virtual_ns / SECOND:.0f} s of virtual time")
        if result.settled_ns is not None:
            _say(f"settled {result.settled_ns / SECOND:.0f} s after the storm")
        return 0
    again = f"python -m had.sim {f'--file {name}' if name else f'--seed {result.seed}'}"
    head = [
        f"Breaks: {_broken(result)}",
        f"Found by seed {result.seed}, had {__version__}, commit {_commit()}: {again}",
    ]
    _say(f"\nBROKEN: {_broken(result)}")
    _say(f"seed {result.seed}, had {__version__}, commit {_commit()}")
    _say(f"to see it again: {again}")
    if shrinks:
        short = shrink(schedule, broken.promise)
        last = run_schedule(short, story=True)
        _say(f"\nthe shortest found ({len(short.steps)} steps of {len(schedule.steps)}), a scenario file:\n")
        _say(scenario.as_file(short, last, head))
        _say("\n".join(last.story[-60:]))
        _say(f"BROKEN: {_broken(last)}")
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
