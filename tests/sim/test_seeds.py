"""Random seeds: in an ordinary run some hundred; ``python -m had.sim`` for more."""

from __future__ import annotations

import os

import pytest

from had.core.states import TRANSITIONS
from had.sim import report
from had.sim.__main__ import main
from had.sim.jobs import Total, some, some_by_some

SEEDS = int(os.environ.get("HAD_SIM_SEEDS", "150"))


@pytest.fixture(scope="module")
def total() -> Total:
    return some(0, SEEDS, every_tick=False)


def test_every_promise_holds(total):
    assert [f"seed {found.seed}: {found.broken}" for found in total.broken] == []


def test_the_seeds_go_everywhere_that_matters(total):
    """Most rules and rows are met by few seeds already."""
    assert len(report.never(total.counts)) < (len(report.RULES) + len(TRANSITIONS)) // 3
    assert any("E1 E5 elected" in line for line in report.lines(total.counts))


def test_several_processes_come_to_the_same():
    here, there = Total(), Total()
    for part in some_by_some(0, 30, 1, every_tick=False):
        here.update(part)
    for part in some_by_some(0, 30, 2, every_tick=False):
        there.update(part)
    assert (here.seeds, here.virtual_ns, here.counts) == (there.seeds, there.virtual_ns, there.counts)


def test_the_command_tells_what_it_did(capsys):
    assert main(["3", "--report"]) == 0
    said = capsys.readouterr().out
    assert "3 seeds, 0 broke a promise" in said
    assert "rows of the table of transitions" in said


def test_one_seed_and_its_schedule(capsys, tmp_path):
    assert main(["--seed", "3", "--write"]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "seed3.txt"
    file.write_text(text)
    assert main(["--file", str(file)]) == 0
    assert "every promise held" in capsys.readouterr().out
    assert main(["--file", str(file), "--story"]) == 0
    from_file = capsys.readouterr().out
    assert main(["--seed", "3"]) == 0
    from_seed = capsys.readouterr().out
    assert from_seed.splitlines()[:-2] == from_file.splitlines()[: len(from_seed.splitlines()) - 2]


def test_a_failure_is_told_with_the_command_that_repeats_it(capsys, monkeypatch):
    monkeypatch.setattr("had.core.outcomes.monitor_over", lambda *_: None)
    monkeypatch.setattr("had.sim.__main__.shrink", lambda schedule, _: schedule)
    assert main(["60"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN: " in said
    assert "to see it again: python -m had.sim --seed " in said
    assert "commit " in said


def test_a_bad_file_is_one_line(capsys, tmp_path):
    assert main(["--file", str(tmp_path / "none.txt")]) == 2
    bad = tmp_path / "bad.txt"
    bad.write_text("had-sim 1\nlink\nnode a\nat 1 fly a\n")
    assert main(["--file", str(bad)]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.alone
def test_speed_is_measured(capsys):
    """A third of what is asked for, so that a busy machine does not make it fail."""
    assert main(["--speed"]) == 0
    times = int(capsys.readouterr().out.rpartition(": ")[2].split()[0])
    assert times > 700
