"""The scenario files of tests/scenarios on real daemons; tests/sim plays the same ones in virtual time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from had.sim import deeds, scenario

from . import stage
from .cluster import Lab

MakeLab = Callable[..., Lab]
FILES = sorted((Path(__file__).parents[1] / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_lab_can_play_it_or_the_file_says_why_not(path: Path) -> None:
    schedule = scenario.load(path).schedule
    missing = stage.lacks(schedule)
    assert schedule.only_simulator or not missing, f"{path.name}: the lab can't: {'; '.join(missing)}"


@pytest.mark.lab
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_goes_as_it_is_told_in_the_lab(path: Path, make_lab: MakeLab) -> None:
    given = scenario.load(path)
    if given.schedule.only_simulator:
        pytest.skip(f"only in the simulator: {given.schedule.only_simulator}")
    stage.Stage(make_lab, given).play()


def test_the_document_says_what_the_lab_can_do() -> None:
    text = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    table = text.partition("| command |")[2].partition("\n\n")[0]
    said: dict[str, str] = {}
    for row in table.splitlines():
        cells = row.strip("| ").split(" | ")
        for command in re.findall(r"`([a-z-]+) ?[^`]*`", cells[0]):
            said[command] = cells[-1]
    assert set(said) == set(deeds.FORMS)
    assert {verb for verb, cell in said.items() if cell != "no"} == set(stage.VERBS)


STORY = """\
# One node.
had-sim 1
set heartbeat=0.2 dead=1 startup=4
nodes alpha
start alpha
expect alpha RUNNING within 5
"""


@pytest.mark.lab
def test_another_order_of_states_is_noticed(make_lab: MakeLab) -> None:
    told = scenario.play(scenario.parse(STORY, "story.txt")).text
    told += "|     9.99 alpha STOPPING: made up [made-up]\n"
    with pytest.raises(AssertionError) as noticed:
        stage.Stage(make_lab, scenario.parse(told, "story.txt")).play()
    assert "alpha went through STOPPING STANDBY STARTING RUNNING; told is " in str(noticed.value)


@pytest.mark.lab
def test_an_expectation_that_does_not_come_true_is_noticed(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "SOON", 0.2)
    with pytest.raises(AssertionError) as noticed:
        stage.Stage(make_lab, scenario.parse(STORY + "expect services nowhere\n", "story.txt")).play()
    assert "story.txt:7: expected: services nowhere; but after 0.2 s" in str(noticed.value)
    assert "the services are up on alpha" in str(noticed.value)
