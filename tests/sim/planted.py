"""Puts known bugs into a copy of the program, one at a time, and sees what finds them.

The bugs are in ``planted.txt``, as small patches.  ``make planted`` plays seeds from 0 on against each until
a promise breaks, and prints a table; ``python tests/sim/planted.py --help`` tells the rest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("planted.txt")
SEEDS = 2000
_PLAY = """
import sys
from had.sim.run import run_seed
for seed in range(int(sys.argv[1]), int(sys.argv[2])):
    try:
        broken = run_seed(seed).broken
    except Exception as error:
        print(f"{seed}\\ta crash ({type(error).__name__})")
        break
    if broken is not None:
        print(f"{seed}\\t{broken.promise}")
        break
"""


class Bug(NamedTuple):
    name: str
    file: str
    """Below ``had/``."""
    old: str
    new: str


class Found(NamedTuple):
    what: str
    """The promise that broke, or the test."""
    where: str
    """The seed."""


Finder = Callable[[Path, argparse.Namespace], Optional[Found]]


def read(text: str) -> list[Bug]:
    """Read the list: blocks with a name, a file, lines that go and lines that come."""
    bugs = []
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if not lines:
            continue
        name, file, *rest = lines
        parts = {sign: [line[1:] for line in rest if line[0] == sign] for sign in "-+"}
        bugs.append(Bug(name, file, *("".join(f"{line}\n" for line in parts[sign]) for sign in "-+")))
    return bugs


def bugs() -> list[Bug]:
    return read(LIST.read_text(encoding="utf-8"))


def times(bug: Bug, root: Path = ROOT) -> int:
    """How often the old lines stand in the file: once, or the list is out of date."""
    return f"\n{(root / 'had' / bug.file).read_text(encoding='utf-8')}".count(f"\n{bug.old}")


def plant(bug: Bug, directory: Path) -> Path:
    """Make a copy of the program with the bug in it; returns where it is."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(ROOT / "had", directory / "had")
    file = directory / "had" / bug.file
    text = file.read_text(encoding="utf-8")
    assert times(bug) == 1, f"{bug.name}: its lines do not stand in {bug.file} exactly once"
    file.write_text(f"\n{text}".replace(f"\n{bug.old}", f"\n{bug.new}")[1:], encoding="utf-8")
    return directory


def by_seeds(tree: Path, options: argparse.Namespace) -> Found | None:
    """Play seeds until one breaks a promise."""
    command = [sys.executable, "-c", _PLAY, str(options.first), str(options.first + options.seeds)]
    done = subprocess.run(
        command, cwd=tree, env=_environment(tree), capture_output=True, text=True, check=False
    )
    if done.returncode:
        return Found("nothing works any more", done.stderr.strip().rpartition("\n")[2][:80])
    seed, _, promise = done.stdout.strip().partition("\t")
    return Found(promise, f"seed {seed}") if seed else None


def by_tests(tree: Path, _options: argparse.Namespace) -> Found | None:
    """Run the tests of the core, the codec and the record."""
    for name in ("core", "wire", "runtime/test_record.py"):
        target = tree / "tests" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = ROOT / "tests" / name
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copy(source, target)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--rootdir", str(tree)]
    command += ["--basetemp", str(tree / "pytest"), "--override-ini", f"pythonpath={tree} {tree / 'tests'}"]
    done = subprocess.run(
        [*command, str(tree / "tests")],
        cwd=tree,
        env=_environment(tree),
        capture_output=True,
        text=True,
        check=False,
    )
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return Found("a test", failed[0].rpartition("::")[2]) if failed else None


FINDERS: dict[str, Finder] = {"seeds": by_seeds, "tests": by_tests}


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree)}


def find(bug: Bug, options: argparse.Namespace) -> tuple[Found | None, float]:
    """Return what finds a bug, and after how many seconds."""
    tree = plant(bug, Path(options.directory))
    begun = time.monotonic()
    for finder in options.by:
        found = FINDERS[finder](tree, options)
        if found is not None:
            return found, time.monotonic() - begun
    return None, time.monotonic() - begun


def main(words: list[str] | None = None) -> int:
    """Put in the bugs and print what finds them; 1 if there is one that nothing finds."""
    parser = argparse.ArgumentParser(description="put known bugs in, one at a time, and see what finds them")
    parser.add_argument("names", nargs="*", help="only bugs in whose names this stands")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many to play at most (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument("--by", action="append", choices=FINDERS, help="what looks for them (seeds)")
    parser.add_argument(
        "--directory", default="/tmp/had-planted", help="where the copies are made (%(default)s)"
    )
    options = parser.parse_args(words)
    options.by = options.by or ["seeds"]
    chosen = [bug for bug in bugs() if not options.names or any(name in bug.name for name in options.names)]
    lost = 0
    print("| bug put in | found by | where | after |\n| --- | --- | --- | --- |", flush=True)
    for bug in chosen:
        found, seconds = find(bug, options)
        lost += found is None
        told = f"{found.what} | {found.where}" if found is not None else "nothing |"
        print(f"| {bug.name} | {told} | {seconds:.0f} s |", flush=True)
    print(f"\n{len(chosen)} bugs, {lost} not found", flush=True)
    shutil.rmtree(options.directory, ignore_errors=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
