"""Who kills a mutant: the unit tests that come through its function, then scenarios and seeds.

:class:`Oracle` is a plugin of pytest.  It lets pytest collect the tests once, plays them all once to see
which functions each comes through and how long it takes, and then forks for every mutant: the child puts it
in, plays the tests that concern it, and says which was the first to fail.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gc
import json
import os
import pathlib
import resource
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator

import pytest
from _pytest.runner import runtestprotocol

from had.sim.run import run_seed
from mutation.mutants import Mutant

UNIT = ("tests/core/", "tests/wire/")
MEMORY = 4 << 30
"""What a mutant that collects for ever may take, in bytes."""
SEED_S = 20
"""A seed takes less than a second of processor time; one that takes so much will never end."""


@dataclasses.dataclass
class Verdict:
    """What became of a mutant."""

    stage: str
    """Who killed it: "unit", "scenario" or "seed"; empty if nobody did."""
    killer: str = ""
    timed_out: bool = False


class Oracle:
    """Plays mutants; see the head of this module."""

    def __init__(
        self, mutants: list[Mutant], seeds: int, memory: pathlib.Path, tell: Callable[[Mutant, Verdict], None]
    ) -> None:
        self.mutants, self.seeds, self.tell = mutants, seeds, tell
        self.verdicts: list[Verdict] = []
        self.broken = ""
        """Why nothing could be tried."""
        self._memory = memory
        """Who killed what the last time: tried first, believed never."""
        self._items: dict[str, pytest.Item] = {}
        self._took_s: dict[str, float] = {}
        self._through: dict[str, set[str]] = collections.defaultdict(set)
        """By function: the tests that come through it."""
        self._kills: collections.Counter[tuple[str, str]] = collections.Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            self.broken = "the tests can't be collected"
            return True
        self._items = {item.nodeid: item for item in session.items}
        self._watch()
        if self.broken:
            return True
        killers = json.loads(self._memory.read_text()) if self._memory.exists() else {}
        gc.collect()
        gc.freeze()
        for mutant in self.mutants:
            verdict = self._judge(mutant, killers.get(mutant.key, ""))
            self.verdicts.append(verdict)
            killers[mutant.key] = verdict.killer
            self._kills[mutant.function, verdict.killer] += 1
            self.tell(mutant, verdict)
            self._memory.write_text(json.dumps(killers))
        return True

    def _watch(self) -> None:
        """Play every test without any mutant, and see what it comes through."""
        functions = {mutant.target.__code__: mutant.function for mutant in self.mutants}
        for name, item in self._items.items():
            seen: set[str] = set()

            def note(frame: types.FrameType, event: str, _: object, seen: set[str] = seen) -> None:
                if event == "call" and frame.f_code in functions:
                    seen.add(functions[frame.f_code])

            began_s = time.process_time()
            sys.setprofile(note)
            try:
                failed = _fails(item)
            finally:
                sys.setprofile(None)
            if failed:
                self.broken = f"{name} fails without any mutant"
                return
            self._took_s[name] = time.process_time() - began_s
            for function in seen:
                self._through[function].add(name)

    def _judge(self, mutant: Mutant, last_killer: str) -> Verdict:
        unit, scenarios = self._tests_for(mutant, last_killer)
        seeds = [f"seed {seed}" for seed in range(self.seeds)]
        if last_killer in seeds:
            seeds = [last_killer]
        for stage, trials in (("unit", unit), ("scenario", scenarios), ("seed", seeds)):
            killer, timed_out = self._try(mutant, trials)
            if killer:
                return Verdict(stage, killer, timed_out)
        return Verdict("")

    def _tests_for(self, mutant: Mutant, last_killer: str) -> tuple[list[str], list[str]]:
        """Return the unit tests and the scenarios that come through it, the likeliest to fail first."""

        def order(name: str) -> tuple[bool, int, float]:
            return name != last_killer, -self._kills[mutant.function, name], self._took_s[name]

        tests = sorted(self._through[mutant.function], key=order)
        unit = [name for name in tests if name.startswith(UNIT)]
        return unit, [name for name in tests if not name.startswith(UNIT)]

    def _try(self, mutant: Mutant, trials: list[str]) -> tuple[str, bool]:
        """Return the first that fails with this mutant, empty if none, and whether it never ended."""
        if not trials:
            return "", False
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._be_tried(mutant, trials, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read().decode().split()
        _, status = os.waitpid(child, 0)
        if status == 0:
            return "", False
        # Each trial tells its number before it begins, so the last is the one that failed.
        killer = trials[int(told[-1])] if told else "the change itself"
        return killer, os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGVTALRM

    def _be_tried(self, mutant: Mutant, trials: list[str], writing: int) -> None:
        """Be the mutant; never returns."""
        code = 1
        try:
            with _quiet():
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                mutant.put_in()
                for number, trial in enumerate(trials):
                    os.write(writing, b"%d " % number)
                    limit_s = 2 + 20 * self._took_s[trial] if trial in self._items else SEED_S
                    signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
                    if self._fails(trial):
                        os._exit(1)
                code = 0
        finally:
            os._exit(code)

    def _fails(self, trial: str) -> bool:
        if trial in self._items:
            return _fails(self._items[trial])
        return run_seed(int(trial.split()[1])).broken is not None


def _fails(item: pytest.Item) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What a mutant says is of no interest."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    yield
