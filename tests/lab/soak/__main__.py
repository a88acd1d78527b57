"""python -m lab.soak: see `--help`; from the project's root with PYTHONPATH=tests, or `make soak`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from statistics import median

from ..namespaces import sweep
from .round import BrokenError, Cluster, Tally

LANES = ("steady", "safe", "wild")
LIFE = 6
"""After so many rounds a lane makes a new cluster, with other settings; the steady one never does."""


def say(text: str) -> None:
    print(text, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lab.soak",
        description="Real clusters under random faults.  "
        "Exit code 0: all held; 1: something didn't; 2: it could not run.",
    )
    parser.add_argument("--minutes", type=float, default=5, help="how long (default: 5)")
    parser.add_argument("--hours", type=float, help="how long, instead of minutes")
    parser.add_argument(
        "--seed", type=int, default=None, help="decides what is done (default: one of the clock)"
    )
    parser.add_argument("--lane", choices=LANES, action="append", help="only this one (may be given again)")
    parser.add_argument("--round", type=int, default=0, help="begin with this round")
    parser.add_argument("--rounds", type=int, default=None, help="so many rounds, however long they take")
    parser.add_argument("--directory", type=Path, default=None, help="where the clusters' files are kept")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def run_lane(lane: str, arguments: argparse.Namespace) -> int:
    """One lane, in this process; the tally is left in a file.  Returns the exit code."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    tally = Tally()
    end = time.monotonic() + 60 * arguments.minutes
    number: int = arguments.round
    last = None if arguments.rounds is None else number + arguments.rounds
    code = 0
    try:
        while code == 0 and (number < last if last is not None else time.monotonic() < end):
            life = 1 << 30 if lane == "steady" else LIFE
            until = (number // life + 1) * life
            until = until if last is None else min(until, last)
            code, number = run_cluster(lane, arguments, tally, number, until, end if last is None else None)
    except KeyboardInterrupt:
        say(f"{lane}: told to end")
    except Exception:
        traceback.print_exc()
        say(f"{lane}: could not go on in round {number}")
        code = 2
    (arguments.directory / f"tally-{lane}").write_text(json.dumps(vars(tally)))
    return code


def run_cluster(
    lane: str, arguments: argparse.Namespace, tally: Tally, number: int, until: int, end: float | None
) -> tuple[int, int]:
    """The rounds of one cluster.  Returns the exit code and the number of the next round."""
    life = 0 if lane == "steady" else number // LIFE
    cluster = Cluster(lane, arguments.seed, life, arguments.directory / f"{lane}-{life}", tally)
    code = 2
    try:
        cluster.begin()
        while number < until and (end is None or time.monotonic() < end):
            say(f"{lane} {number}: {cluster.round(number)}")
            number += 1
        cluster.finish()
        code = 0
    except KeyboardInterrupt:
        code = 0
        raise
    except BrokenError as error:
        code = 1
        text = failure(lane, number, arguments, cluster.report(error))
        (arguments.directory / f"failure-{lane}").write_text(text)
        say(text)
    finally:
        cluster.close(keep=code != 0)
    return code, number


def failure(lane: str, number: int, arguments: argparse.Namespace, report: str) -> str:
    return (
        f"=== {lane}, round {number}, seed {arguments.seed}: BROKEN\n{report}\n"
        f"=== files: {arguments.directory}\n=== again: PYTHONPATH=tests {sys.executable} -m lab.soak"
        f" --seed {arguments.seed} --lane {lane} --round {number} --rounds 1"
    )


def run_all(lanes: list[str], arguments: argparse.Namespace) -> int:
    """All lanes beside each other, each in a process of its own."""
    words = [sys.executable, "-m", "lab.soak", "--seed", str(arguments.seed), "--round", str(arguments.round)]
    words += ["--minutes", str(arguments.minutes), "--directory", str(arguments.directory)]
    words += [] if arguments.rounds is None else ["--rounds", str(arguments.rounds)]
    children = {lane: subprocess.Popen([*words, "--child", lane]) for lane in lanes}
    told = False

    def end_all(*_: object) -> None:
        nonlocal told
        told = True
        for child in children.values():
            with contextlib.suppress(ProcessLookupError):
                child.terminate()

    signal.signal(signal.SIGTERM, end_all)
    signal.signal(signal.SIGINT, end_all)
    codes: dict[str, int] = {}
    while len(codes) < len(children):
        time.sleep(0.2)
        for lane, child in children.items():
            if lane not in codes and child.poll() is not None:
                codes[lane] = child.returncode
                if child.returncode:
                    end_all()
    if any(code not in (0, 1) for code in codes.values()):
        return 2
    return 1 if 1 in codes.values() else 0


def summary(lanes: list[str], directory: Path) -> str:
    tallies = {}
    for lane in lanes:
        with contextlib.suppress(OSError):
            tallies[lane] = json.loads((directory / f"tally-{lane}").read_text())

    def total(key: str) -> dict[str, int]:
        counted: Counter[str] = Counter()
        for tally in tallies.values():
            counted.update(tally[key])
        return dict(counted.most_common())

    def most(key: str) -> float:
        return max((tally[key] for tally in tallies.values()), default=0.0)

    def listed(counted: dict[str, int]) -> str:
        return "; ".join(f"{what} {count}" for what, count in counted.items()) or "none"

    settled = [each for tally in tallies.values() for each in tally["settled"]] or [0.0]
    sizes = [size for tally in tallies.values() for size in tally["sizes"]]
    lines = [
        "--- summary",
        "rounds: " + ", ".join(f"{lane} {tally['rounds']}" for lane, tally in tallies.items()),
        f"deeds: {listed(total('deeds'))}",
        f"starts of the services: {sum(tally['moves'] for tally in tallies.values())}",
        f"two at a time, all ended and excused: {listed(total('excused'))}",
        f"longest of these: {most('longest_overlap'):.1f} s",
        f"settled after: median {median(settled):.1f} s, longest {max(settled):.1f} s",
        f"longest with nobody while an untroubled node stood by: {most('longest_gap'):.1f} s",
        f"stalls of the machine: {sum(tally['stalls'] for tally in tallies.values())},"
        f" longest {most('longest_stall'):.2f} s",
        "memory (private dirty kiB) and descriptors, first and last:",
        *(f"  {who}: {was} -> {now}, {had} -> {has}" for who, was, now, had, has in sizes),
    ]
    return "\n".join(lines)


def main() -> int:
    arguments = parse_arguments()
    if arguments.child:
        return run_lane(arguments.child, arguments)
    missing = [name for name in ("ip", "nft", "unshare", "nsenter") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        say(f"the soak needs root{''.join(' and ' + name for name in missing)}")
        return 2
    sweep()
    if arguments.hours is not None:
        arguments.minutes = 60 * arguments.hours
    if arguments.seed is None:
        arguments.seed = int(time.time()) % 1_000_000
    made = arguments.directory is None
    if made:
        arguments.directory = Path(tempfile.mkdtemp(prefix="had-soak-"))
    arguments.directory.mkdir(parents=True, exist_ok=True)
    lanes = arguments.lane or list(LANES)
    say(f"soak: seed {arguments.seed}, {arguments.minutes:g} min, {', '.join(lanes)}")
    code = run_all(lanes, arguments)
    say(summary(lanes, arguments.directory))
    if code == 0 and made:
        shutil.rmtree(arguments.directory, ignore_errors=True)
    say({0: "all held", 1: "BROKEN, see above", 2: "it could not run to its end, see above"}[code])
    return code


if __name__ == "__main__":
    sys.exit(main())
