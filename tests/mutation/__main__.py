"""``make mutants``, see :mod:`mutation`.  Exit code 1: a mutant survives that is not in survivors.txt."""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import sys
import time

import hypothesis
import pytest

from mutation.mutants import Mutant, mutants_of
from mutation.oracle import Oracle, Verdict

ROOT = pathlib.Path(__file__).parents[2]
LIST = pathlib.Path(__file__).with_name("survivors.txt")
BUILD = ROOT / "build" / "mutants"
MEMORY = BUILD / "killers.json"
SEEDS = 100
# What tests the documents and the imports only reads the sources, so no mutant is seen there.
TESTS = ("tests/core", "tests/wire", "tests/sim/test_scenarios.py")
IGNORED = ("tests/core/test_docs.py", "tests/core/test_purity.py")


def modules() -> list[str]:
    """Return the names of all modules that are tried."""
    paths = [path for ring in ("core", "wire") for path in sorted((ROOT / "had" / ring).glob("*.py"))]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]


def read_list() -> dict[str, str]:
    """Return the known survivors and why each is harmless.

    The list has paragraphs after its heading: the function, the lines of the difference, which of several
    such (``# 2``), and after ``=`` the reason.
    """
    known = {}
    for paragraph in LIST.read_text(encoding="utf-8").split("\n\n")[1:]:
        lines = paragraph.strip().splitlines()
        if lines:
            reason = " ".join(line[1:].strip() for line in lines[1:] if line.startswith("="))
            if not reason:
                raise SystemExit(f"{LIST}: no reason is given for\n{paragraph}")
            known["\n".join(line for line in lines if not line.startswith("="))] = reason
    return known


class Teller:
    """Prints what survives, as it comes, and how far the run is."""

    def __init__(self, total: int, known: dict[str, str]) -> None:
        self.total, self.known = total, known
        self.done = 0
        self.began = time.monotonic()

    def __call__(self, mutant: Mutant, verdict: Verdict) -> None:
        self.done += 1
        if not verdict.stage and mutant.key not in self.known:
            print(f"\nsurvived: {mutant.key}\n", flush=True)
        if self.done % 100 == 0:
            spent = time.monotonic() - self.began
            print(f"{self.done} of {self.total} after {spent:.0f} s", file=sys.stderr, flush=True)


def table(mutants: list[Mutant], verdicts: list[Verdict]) -> list[str]:
    """Return the figures, module by module and in sum."""
    heads = ("mutants", "unit", "scenario", "seed", "timed out", "survived")
    rows: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for mutant, verdict in zip(mutants, verdicts):
        module = ".".join(mutant.function.split(".")[:3])
        for name in (module, "all"):
            rows[name]["mutants"] += 1
            rows[name][verdict.stage or "survived"] += 1
            rows[name]["timed out"] += verdict.timed_out
    lines = [f"{'':24}" + "".join(f"{head:>10}" for head in heads) + f"{'killed':>10}"]
    for name in (*sorted(set(rows) - {"all"}), "all"):
        row = rows[name]
        share = 100 * (1 - row["survived"] / row["mutants"])
        lines.append(f"{name:24}" + "".join(f"{row[head]:>10}" for head in heads) + f"{share:>8.1f} %")
    return lines


def play(mutants: list[Mutant], seeds: int, known: dict[str, str]) -> Oracle:
    """Try all of them."""
    BUILD.mkdir(parents=True, exist_ok=True)
    oracle = Oracle(mutants, seeds, MEMORY, Teller(len(mutants), known))
    # The same examples in every run, none kept, and no time spent on making a failure short.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, phases=phases
    )
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    os.chdir(ROOT)
    tests = [test for test in TESTS if (ROOT / test).exists()]
    options = ["-q", "-s", "--tb=no", "--assert=plain", "--timeout=0", f"--basetemp={BUILD / 'pytest'}"]
    options += ["-p", "no:cacheprovider", "-p", "no:xdist", *(f"--ignore={path}" for path in IGNORED)]
    pytest.main([*options, *tests], plugins=[oracle])
    return oracle


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("module", nargs="*", help="such as had.core.node; all of had/core and had/wire")
    parser.add_argument("--function", help="only this function: had.core.node.Node.step")
    parser.add_argument("--again", action="store_true", help="only those that survived the last run")
    parser.add_argument("--unlisted", action="store_true", help="leave out the known survivors")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"({SEEDS}) what units and scenarios leave")
    options = parser.parse_args()
    known = read_list()
    everything = [mutant for name in options.module or modules() for mutant in mutants_of(name)]
    killers = json.loads(MEMORY.read_text(encoding="utf-8")) if options.again else {}
    mutants = [
        mutant
        for mutant in everything
        if not killers.get(mutant.key)
        and options.function in (None, mutant.function)
        and not (options.unlisted and mutant.key in known)
    ]
    began = time.monotonic()
    oracle = play(mutants, options.seeds, known)
    if oracle.broken or len(oracle.verdicts) != len(mutants):
        print(f"nothing was tried: {oracle.broken or 'the tests did not run'}")
        return 2
    print("\n".join(table(mutants, oracle.verdicts)))
    survivors = [mutant for mutant, verdict in zip(mutants, oracle.verdicts) if not verdict.stage]
    new = [mutant for mutant in survivors if mutant.key not in known]
    killed = {mutant.key for mutant, verdict in zip(mutants, oracle.verdicts) if verdict.stage}
    gone = [
        key
        for key in known
        if key in killed or (not options.module and key not in {m.key for m in everything})
    ]
    for key in gone:
        print(f"\nno longer a survivor, take it off the list:\n{key}")
    wording = [mutant for mutant in mutants if mutant.wording]
    worded = sum(mutant.wording for mutant in survivors)
    print(
        f"\n{len(survivors)} survived, {len(new)} of them not on the list; {time.monotonic() - began:.0f} s"
    )
    print(f"{len(wording)} mutants changed only the letters of a text; {worded} of these survived")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
