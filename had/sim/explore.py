"""``python -m had.sim.explore``: every schedule of small worlds, up to so many events.

How it is done, what is bounded and what is merged is told in :mod:`had.sim.small`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import sys
import time
from collections.abc import Sequence
from typing import Optional

from had.sim.parallel import spread
from had.sim.run import run_schedule
from had.sim.schedule import write
from had.sim.small.search import Found, Search
from had.sim.small.story import Told, tell
from had.sim.small.worlds import WORLDS, Plan

EPILOG = """\
examples:
  python -m had.sim.explore                        all worlds, five minutes, two processes
  python -m had.sim.explore --depth 14             the same on any machine: every schedule of 14 events
  python -m had.sim.explore --world cut --minutes 20 --jobs 1

A world is finished when it has no more states, however long the schedule.  The numbers are the same
on any machine where a world was finished, or where the depth and not the time was the bound.

exit code: 0 every promise held; 1 one was broken; 2 usage
"""


@dataclasses.dataclass(frozen=True)
class Task:
    """One world, and how far to go."""

    name: str
    depth: Optional[int]
    end_s: Optional[float]
    """When all must be done, by the monotonic clock."""
    part: float
    """Which part of the time until then is for this world."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of it."""

    found: Found
    told: Optional[Told]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        _say("\n".join(f"{plan.name:12} {plan.about}" for plan in WORLDS))
        return 0
    named = {plan.name: plan for plan in WORLDS}
    for name in options.world or ():
        if name not in named:
            parser.error(f"there is no world {name}; --list names them")
    plans = [named[name] for name in options.world or named]
    minutes = options.minutes if options.minutes is not None or options.depth is not None else 5.0
    if options.jobs < 1 or (minutes is not None and minutes <= 0) or (options.depth or 0) < 0:
        parser.error("--jobs and --minutes are above zero, --depth is not below")
    return _explore(plans, options.depth, minutes, options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m had.sim.explore",
        description="Go through small worlds of real cores: every order of a bounded set of events.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--world", action="append", metavar="NAME", help="only this one; may be given more than once"
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="for all worlds together (5)")
    parser.add_argument("--depth", type=int, metavar="D", help="stop after every schedule of D events")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--list", action="store_true", help="name the worlds")
    return parser


def _explore(plans: list[Plan], depth: Optional[int], minutes: Optional[float], jobs: int) -> int:
    begun_s = time.monotonic()
    end_s = None if minutes is None else begun_s + 60 * minutes
    tasks = [
        Task(plan.name, depth, end_s, min(1.0, jobs / (len(plans) - number)))
        for number, plan in enumerate(plans)
    ]
    answers = []
    for answer in spread(tasks, explore, jobs):
        _say(line(answer.found))
        answers.append(answer)
    founds = [answer.found for answer in answers]
    broken = [answer for answer in answers if answer.found.broken is not None]
    states, transitions = sum(each.states for each in founds), sum(each.transitions for each in founds)
    finished = sum(each.finished for each in founds)
    worlds = f"{len(founds)} world" + "s" * (len(founds) != 1)
    _say(
        f"{worlds}, {finished} of them to the end: {states} states, {transitions} transitions, "
        f"{sum(each.calm_runs for each in founds)} calm runs in {time.monotonic() - begun_s:.0f} s "
        f"({sum(each.seconds for each in founds):.0f} s of processor time); "
        + (f"{len(broken)} broke a promise" if broken else "no promise broke")
    )
    for answer in broken:
        _tell(answer)
    return 1 if broken else 0


def line(found: Found) -> str:
    """Return what is printed of a world."""
    if found.broken is not None:
        end = f"BROKEN: {found.broken.promise}"
    else:
        end = "finished" if found.finished else f"every schedule of {found.depth} events"
    return (
        f"{found.plan.name:12} {found.states:8} states {found.transitions:9} transitions, "
        f"depth {found.depth:3}, {found.calm_runs:7} calm runs (longest {found.longest_s:.2f} s), "
        f"{found.seconds:5.1f} s of processor time: {end}"
    )


def explore(task: Task) -> Answer:
    """Go through one world."""
    plan = next(plan for plan in WORLDS if plan.name == task.name)
    now_s = time.monotonic()
    until_s = None if task.end_s is None else now_s + max(0.0, task.end_s - now_s) * task.part
    search = Search(plan)
    found = search.run(task.depth, until_s)
    told = None if found.broken is None else tell(plan, search.opening, found.broken)
    del search
    gc.collect()  # the next world begins with an empty memory
    return Answer(found, told)


def _tell(answer: Answer) -> None:
    """Print a break: what happened, and a schedule for the simulator."""
    found, told = answer.found, answer.told
    if found.broken is None or told is None:
        return
    _say(f"\nworld {found.plan.name}: {found.plan.about}")
    _say("\n".join(told.lines))
    _say(f"BROKEN: {found.broken.promise}: {found.broken.text}")
    if told.promise != found.broken.promise:
        _say("THE EXPLORER IS WRONG: played without merging, this breaks nothing of the kind")
    _say(f"to see it again: python -m had.sim.explore --world {found.plan.name} --depth {found.depth + 1}")
    _say(f"\nfor python -m had.sim --file, as far as it has words for it:\n\n{write(told.schedule)}")
    for each in told.left_out:
        _say(f"it has none for {each}")
    broken = run_schedule(told.schedule).broken
    there = "breaks nothing" if broken is None else f"breaks {broken.promise}: {broken.text}"
    _say(f"in the simulator this schedule {there}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
