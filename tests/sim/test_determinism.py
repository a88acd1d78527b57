"""One seed decides everything: the same to the byte in any process, with any hash seed, on any Python."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from had.sim.draw import draw
from had.sim.run import run_seed
from had.sim.schedule import write

ROOT = Path(__file__).parents[2]
SEEDS = range(3)
PRINT = """
import hashlib
from had.sim.draw import draw
from had.sim.run import run_seed
from had.sim.schedule import write
for seed in range(3):
    text = write(draw(seed)) + "\\n".join(run_seed(seed, story=True).story)
    print(hashlib.sha256(text.encode()).hexdigest())
"""


def pictures() -> list[str]:
    texts = [write(draw(seed)) + "\n".join(run_seed(seed, story=True).story) for seed in SEEDS]
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def elsewhere(python: str, hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [python, "-c", PRINT],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return run.stdout.split()


def other_pythons() -> list[str]:
    """Pythons of pyenv, if it is there."""
    found = []
    for minor in (9, 10, 12, 13):
        versions = sorted((Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin/python"))
        found += [str(versions[-1])] if versions else []
    return found


def test_the_same_in_another_process_with_another_hash_seed():
    assert elsewhere(sys.executable, "1") == elsewhere(sys.executable, "4242") == pictures()


@pytest.mark.parametrize("python", other_pythons() or [pytest.param("", id="none")])
def test_the_same_on_another_python(python):
    if not python:
        pytest.skip("no other Python is there (pyenv)")
    assert elsewhere(python, "7") == pictures()


def test_a_run_is_the_same_twice_in_one_process():
    assert pictures() == pictures()


@pytest.mark.parametrize("seed", range(5))
def test_a_tick_before_the_named_moment_changes_nothing(seed):
    """What :mod:`had.sim.worker` spares the core has no effect: the stories are the same."""
    assert run_seed(seed, story=True).story == run_seed(seed, story=True, every_tick=True).story
