"""The scenario files, played in the simulator; and that playing, comparing and rewriting them can fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from had.core import election, membership
from had.sim import scenario, scenario_expect
from had.sim.__main__ import main
from had.sim.run import run_seed
from had.sim.scenario_told import states_told
from had.sim.shrink import shrink

DIRECTORY = Path(__file__).parents[1] / "scenarios"
FILES = sorted(DIRECTORY.glob("*.txt"))
STORY = """\
# A comment stays.
had-sim 1
set heartbeat=0.2 dead=1 startup=4
nodes alpha beta
start *
expect alpha RUNNING within 5

crash alpha   # so does this one
wait 0.5
expect services nowhere
expect beta RUNNING within 5
"""


def play(text: str) -> scenario.Played:
    return scenario.play(scenario.parse(text, "story.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_goes_as_it_is_told(path):
    played = scenario.play(scenario.load(path))
    complaint = played.complaint()
    if complaint:
        again = f"python -m had.sim --file tests/scenarios/{path.name} --rewrite"
        pytest.fail(f"{complaint}\n\nIf this is right, write it anew: {again}", pytrace=False)


def test_there_are_scenarios():
    assert FILES


def test_a_file_says_what_it_is_about():
    for path in FILES:
        assert path.read_text(encoding="utf-8").startswith("# "), path


def test_the_document_shows_what_happens():
    document = Path(__file__).parents[2] / "docs" / "scenarios.md"
    example = document.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    assert play(example).complaint() == ""
    assert scenario.parse(example).is_told


def test_what_is_told_is_told_below_its_command():
    lines = play(STORY).text.splitlines()
    crash = next(place for place, line in enumerate(lines) if line.startswith("crash"))
    wait = lines.index("wait 0.5")
    assert all(line.startswith("| ") for line in lines[crash + 1 : wait])
    assert [line for line in lines if not line.startswith("| ")] == STORY.splitlines()
    assert any("beta STARTING: beta starts services: alpha silent for 1.0 s" in line for line in lines[wait:])
    assert states_told("\n".join(lines))["beta"] == ["STOPPING", "STANDBY", "STARTING", "RUNNING"]


def test_a_story_told_again_is_the_same_to_the_byte():
    once = play(STORY).text
    assert play(once).text == once
    assert play(once).complaint() == ""


def test_another_story_is_a_difference():
    told = play(STORY).text.replace("dead=1", "dead=2")
    complaint = play(told).complaint()
    assert "+++ story.txt as it went" in complaint
    assert "silent for 2.0 s" in complaint


def test_an_expectation_that_fails_tells_what_is_and_what_was():
    played = play(STORY.replace("services nowhere", "services on beta"))
    assert played.broken is not None
    assert played.broken.promise == scenario_expect.PROMISE
    complaint = played.complaint()
    assert "expected: services on beta; but the services are up nowhere" in complaint
    assert "story.txt:10: " in complaint
    assert "alpha: the power is cut" in complaint
    assert "expect beta RUNNING" not in complaint, "what did not come about is not told"


@pytest.mark.parametrize(
    ("line", "but"),
    [
        ("expect beta RUNNING", "beta is STANDBY (STANDBY: alpha runs them)"),
        ("expect alpha STANDBY within 0.5", "alpha is RUNNING"),
        ("expect beta sees alpha TIMEDOUT", "beta sees alpha RUNNING"),
        ("expect beta sees beta nothing", "beta sees beta STANDBY"),
        ("expect services nowhere", "the services are up on alpha"),
        ("expect services on alpha beta", "the services are up on alpha"),
        ("expect alpha gone", "alpha is RUNNING"),
        ("expect alpha exits 0", "alpha has not exited"),
        ("expect alpha marked", "alpha is unmarked"),
    ],
)
def test_each_expectation_can_fail(line, but):
    broken = play(STORY.partition("\ncrash")[0] + "\nexpect beta STANDBY within 1\nwait 1\n" + line).broken
    assert broken is not None
    assert but.partition(" (")[0] in broken.text


@pytest.mark.parametrize(
    "line",
    [
        "expect beta sees alpha TIMEDOUT within 2",
        "expect beta marked within 5",
        "expect alpha gone",
        "stop beta\nexpect beta exits 0 within 2",
        "stop beta\nexpect services nowhere within 2",
        "start alpha\nexpect alpha STANDBY within 5\nexpect beta unmarked within 1",
    ],
)
def test_each_expectation_can_come_true(line):
    assert play(STORY + line).broken is None


def test_two_that_run_must_be_named():
    cut = STORY.replace("crash alpha", "cut alpha beta").replace("services nowhere", "services on alpha")
    broken = play(cut).broken
    assert broken is not None
    assert "two ran at once (silent)" in broken.text
    assert play(cut.replace("nodes", "allow overlap: the cable is cut\nnodes")).broken is None
    broken = play(STORY.replace("nodes", "allow overlap: for fun\nnodes")).broken
    assert broken is not None
    assert "take it out" in broken.text


def test_the_judge_judges(monkeypatch):
    monkeypatch.setattr(election, "busy_peers", lambda *_: [])
    broken = play(STORY).broken
    assert broken is not None
    assert broken.promise.startswith("E1")


def test_what_comes_too_late_is_told():
    broken = play(STORY + "at 1 pause beta").broken
    assert broken is not None
    assert "it is" in broken.text


def test_absolute_times_and_calm_after_a_story():
    played = play(STORY + "at 20 start alpha\nat 21 calm\nexpect services nowhere")
    assert played.broken is not None, "alpha was never switched on, so the calm did; beta runs"
    assert "the services are up on beta" in played.broken.text


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "story.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_rewriting_by_command(tmp_path, capsys):
    path = file(tmp_path, STORY)
    assert main(["--file", str(path), "--rewrite"]) == 0
    assert "review it as a diff" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == play(STORY).text
    assert main(["--file", str(path), "--rewrite"]) == 0
    assert "as it was" in capsys.readouterr().out
    assert main(["--file", str(path)]) == 0
    assert "hears that" not in capsys.readouterr().out
    assert main(["--file", str(path), "--story"]) == 0
    assert "beta: hears that alpha is RUNNING (link 1)" in capsys.readouterr().out
    path.write_text(
        path.read_text(encoding="utf-8").replace("beta STARTING", "gamma STARTING"), encoding="utf-8"
    )
    assert main(["--file", str(path)]) == 1
    assert re.search(r"^-\|  +[0-9.]+ gamma STARTING: ", capsys.readouterr().out, re.MULTILINE)


def test_a_story_that_fails_is_not_rewritten(tmp_path, capsys):
    text = STORY.replace("services nowhere", "services on beta")
    path = file(tmp_path, text)
    assert main(["--file", str(path), "--rewrite"]) == 1
    assert path.read_text(encoding="utf-8") == text
    assert f"{path}:10: " in capsys.readouterr().out


def test_files_are_all_read_before_any_is_played(tmp_path, capsys):
    good, bad = file(tmp_path, STORY), tmp_path / "bad.txt"
    bad.write_text("had-sim 1\nnodes a\nfly a\n", encoding="utf-8")
    assert main(["--file", str(good), str(bad), "--rewrite"]) == 2
    assert good.read_text(encoding="utf-8") == STORY
    error = capsys.readouterr().err
    assert error.startswith(f"had.sim: {bad}:3: there is no verb fly")
    assert error.count("\n") == 1
    assert main(["--file", str(tmp_path / "none.txt")]) == 2


# What is printed of a broken promise


def early(monkeypatch) -> None:
    monkeypatch.setattr(membership, "dead_after_ns", lambda turn: turn.settings.heartbeat_ns * 2)


def test_what_a_broken_seed_prints_is_a_scenario_that_breaks_the_same(monkeypatch, tmp_path, capsys):
    early(monkeypatch)
    seed = next(str(seed) for seed in range(20) if main(["1", "--first", str(seed), "--no-shrink"]))
    capsys.readouterr()
    assert main(["--seed", seed]) == 1
    printed = capsys.readouterr().out
    text = "# Breaks: " + printed.partition("\n# Breaks: ")[2].partition("\n\n")[0] + "\n"
    promise = text.partition("# Breaks: ")[2].partition(":")[0]
    assert f"python -m had.sim --seed {seed}" in text
    assert "only simulator: " in text
    found = play(text)
    assert found.broken is not None
    assert found.broken.promise == promise
    path = file(tmp_path, text)
    assert main(["--file", str(path), "--no-shrink"]) == 1
    assert f"BROKEN: {promise}" in capsys.readouterr().out


def test_a_story_that_breaks_a_promise_is_made_short(monkeypatch):
    early(monkeypatch)
    text = STORY + "pause beta\nwait 0.3\nresume beta\nwait 3\n"
    found = play(text)
    assert found.broken is not None
    schedule = scenario.absolute(found.scenario.schedule, found.result)
    short = shrink(schedule, found.broken.promise)
    again = play(scenario.as_file(short, found.result))
    assert again.broken is not None
    assert again.broken.promise == found.broken.promise


def test_a_drawn_schedule_written_down_can_be_played(tmp_path, capsys):
    for seed in range(4):
        assert main(["--seed", str(seed), "--write"]) == 0
        path = file(tmp_path, capsys.readouterr().out)
        expected = 0 if run_seed(seed).broken is None else 1
        assert main(["--file", str(path), "--no-shrink"]) == expected, seed
        capsys.readouterr()
