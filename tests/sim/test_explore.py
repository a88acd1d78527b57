"""The explorer of small worlds: it goes through all of them, it merges nothing that differs, and it bites."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from had.core import conflict, decide, hearsay, membership, outcomes, survivor, words
from had.core.actions import Reason
from had.core.election import Verdict
from had.core.events import Outcome
from had.core.states import STATE_OF, TRANSITIONS, Cause, Phase, State
from had.sim import explore
from had.sim.schedule import read
from had.sim.small.cluster import Cluster, Moment
from had.sim.small.search import Break, Found, Search
from had.sim.small.story import tell
from had.sim.small.worlds import WORLDS, Plan

ROOT = Path(__file__).parents[2]
NAMED = {plan.name: plan for plan in WORLDS}
LINE = re.compile(
    r"^(\S+) +(\d+) states +(\d+) transitions, depth +(\d+), +(\d+) calm runs \(longest [\d.]+ s\), "
    r"+[\d.]+ s of processor time: (.*)$"
)


def search(name: str, depth: int) -> Search:
    """Go through a world to a depth."""
    one = Search(NAMED[name])
    one.run(depth, None)
    return one


def broken(name: str, depth: int) -> tuple[str, int]:
    """What breaks in a world, and after how many events; with one event less nothing does."""
    found = search(name, depth).found.broken
    assert found is not None, f"nothing broke in {depth} events"
    length = len(found.path)
    if length:
        # The calm after a state is looked at with the events that may come next.
        assert search(name, length if found.calm else length - 1).found.broken is None
    return found.promise, length


@pytest.mark.parametrize("name", sorted(NAMED))
def test_no_promise_breaks(name):
    found = search(name, 4).found
    assert found.broken is None
    assert found.depth == 4
    assert found.states > found.depth


def test_a_world_without_faults_comes_to_an_end():
    one = Search(Plan("quiet", "nothing breaks", {}))
    found = one.run(None, None)
    assert found.finished
    assert found.broken is None
    assert found.calm_runs
    assert one.path(one.first()) == ()


def test_a_world_with_a_loss_comes_to_an_end_and_has_more_states():
    quiet = Search(Plan("quiet", "nothing breaks", {})).run(None, None)
    lossy = Search(Plan("lossy", "one packet is lost", {"lose": 1})).run(None, None)
    assert lossy.finished
    assert lossy.states > 2 * quiet.states
    assert lossy.broken is None


# It bites


def test_the_shortest_way_to_a_STANDBY_that_is_not_true(monkeypatch):
    monkeypatch.setitem(STATE_OF, Phase.STOPPING, State.STANDBY)
    assert broken("words", 3) == ("says the truth", 1)


def test_the_shortest_way_to_two_that_claim_at_once(monkeypatch):
    monkeypatch.setattr(hearsay, "withdraw", lambda *_: None)
    promise, length = broken("boot", 12)
    assert promise == "1 one at a time"
    assert length == 9


def test_a_hold_that_is_forgotten(monkeypatch):
    real = words.on_stand_down

    def forgets(turn, group):
        real(turn, group)
        group.hold = None

    monkeypatch.setattr(words, "on_stand_down", forgets)
    assert broken("words", 4)[0] in ("3 a hold is kept", "E3 not ready")


def test_a_start_that_failed_and_is_not_cleaned_up(monkeypatch):
    monkeypatch.setitem(TRANSITIONS, (Phase.RUNNING, Cause.MONITOR_FAILED), Phase.ERRORED)
    assert search("hooks", 10).found.broken is not None


def test_a_mark_that_stands_though_a_peer_is_heard(monkeypatch):
    monkeypatch.setattr(survivor, "members", lambda _turn: [])
    assert broken("lose", 8) == ("4 the mark", 0)


def test_the_core_finds_itself_wrong(monkeypatch):
    monkeypatch.delitem(TRANSITIONS, (Phase.RUNNING, Cause.STOP))
    assert broken("words", 2) == ("no bug", 1)


def test_nobody_starts_in_the_calm(monkeypatch):
    never = Verdict(False, Reason("never", "a bug"))
    monkeypatch.setattr(decide, "verdict", lambda *_: never)
    found = search("words", 2).found
    assert found.broken is not None
    assert found.broken.promise == "2 someone at all times"
    assert found.broken.calm


def test_nobody_takes_over_from_one_that_is_away(monkeypatch):
    """With everybody on all is well; so calm comes without those that are off, too."""
    monkeypatch.setattr(membership, "dead_after_ns", lambda turn: 1000 * turn.settings.dead_ns)
    assert broken("crash", 2) == ("2 someone at all times", 1)
    one = search("crash", 2)
    assert one.found.broken.away
    told = tell(NAMED["crash"], one.opening, one.found.broken)
    assert told.promise == "2 someone at all times"
    assert [(step.verb, step.words) for step in told.schedule.steps][-2:] == [
        ("power-cut", ("a",)),
        ("calm", ("a",)),
    ]


def test_two_that_run_for_ever_after_a_cut(monkeypatch):
    """No rule T: in the calm after a cut both go on, and that is not settled."""
    plan = dataclasses.replace(NAMED["cut"], budget={"cut": 1}, cuts=NAMED["cut"].cuts[:1])
    monkeypatch.setattr(conflict, "check", lambda *_: None)
    found = Search(plan).run(40, None)
    assert found.broken is not None
    assert found.broken.promise in ("1 all but one stop (T3)", "2 someone at all times")


# What is merged


def shapes(plan: Plan, depth: int, *, merges: bool) -> set[object]:
    """What a world can look like after up to so many events, with all that tells computers apart left out."""
    cluster = Cluster(plan, merges=merges)
    level: set[Moment] = {cluster.off}
    met: set[object] = set()
    for _ in range(depth + 1):
        following: set[Moment] = set()
        for moment in level:
            looks = tuple((one.phase, one.open, one.computer.state) for one in cluster.known(moment))
            met.add((looks, moment.channels, moment.cuts, moment.budget))
            following.update(after for _, after, _ in cluster.nexts(moment) if after is not None)
        level = following
    return met


def test_what_is_merged_hides_nothing():
    plan = NAMED["boot"]
    alone = shapes(plan, 6, merges=False)
    assert shapes(plan, 6, merges=True) == alone
    assert len(alone) > 30


def test_nobody_else_learns_of_a_step():
    """A computer that is known is never changed: what comes of a deed is a copy."""
    one = search("lose", 3)
    place = one.cluster.places[0]
    before = [known.computer.node.data.ran_ns for known in place.known if known.computer.node]
    search_again = Search(NAMED["lose"])
    search_again.run(3, None)
    for number in range(len(place.known)):
        if place.known[number].on:
            place.step(number, 1, ("hook", Outcome.OK))
    after = [known.computer.node.data.ran_ns for known in place.known if known.computer.node]
    assert after[: len(before)] == before


# What is printed


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "had.sim.explore", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def numbers(text: str) -> list[str]:
    return [re.sub(r", +[\d.]+ s of processor time: |in .*;", "", line) for line in text.splitlines()]


def test_the_same_to_the_byte_with_any_hash_seed():
    arguments = ("--world", "boot", "--world", "three-cut", "--depth", "3", "--jobs", "1")
    first, second = run(*arguments, PYTHONHASHSEED="1"), run(*arguments, PYTHONHASHSEED="2")
    assert (first.returncode, first.stderr) == (0, "")
    assert numbers(first.stdout) == numbers(second.stdout)
    lines = first.stdout.splitlines()
    assert [LINE.match(line).group(1, 4, 6) for line in lines[:2]] == [
        ("boot", "3", "every schedule of 3 events"),
        ("three-cut", "3", "every schedule of 3 events"),
    ]
    assert re.match(
        r"2 worlds, 0 of them to the end: \d+ states, \d+ transitions, \d+ calm runs in", lines[2]
    )
    assert lines[2].endswith("no promise broke")


def test_a_break_is_told_with_a_schedule(monkeypatch, capsys):
    monkeypatch.setitem(STATE_OF, Phase.STOPPING, State.STANDBY)
    assert explore.main(["--world", "words", "--depth", "6", "--jobs", "1"]) == 1
    text = capsys.readouterr().out
    assert "words " in text.splitlines()[0]
    assert text.splitlines()[0].endswith("BROKEN: says the truth")
    assert text.splitlines()[1].endswith("1 broke a promise")
    assert "a: the daemon starts" in text
    assert "SIGHUP: another node is to run the services [stand-down]" in text
    assert "BROKEN: says the truth: a says STANDBY while its service may be up" in text
    assert "python -m had.sim.explore --world words --depth 1" in text
    assert "THE EXPLORER IS WRONG" not in text
    found = re.search(r"^had-sim 1\n.*?\n\n", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    verbs = [step.verb for step in read(found.group()).steps]
    assert verbs == ["power-on", "start", "power-on", "start", "signal", "wall"]
    assert "in the simulator this schedule breaks says the truth" in text


def test_a_break_in_the_calm_is_told(monkeypatch, capsys):
    never = Verdict(False, Reason("never", "a bug"))
    monkeypatch.setattr(decide, "verdict", lambda *_: never)
    assert explore.main(["--world", "words", "--depth", "1", "--jobs", "1"]) == 1
    text = capsys.readouterr().out
    assert "--- calm: nothing more breaks" in text
    assert "in the simulator this schedule breaks 2 " in text


def test_a_search_that_was_wrong_says_so(capsys):
    plan = NAMED["words"]
    one = Search(plan)
    one.first()
    wrong = Break("1 one at a time", "made up", (), False)
    found = Found(plan, broken=wrong)
    explore._tell(explore.Answer(found, tell(plan, one.opening, wrong)))
    assert "THE EXPLORER IS WRONG" in capsys.readouterr().out


def test_what_a_schedule_has_no_words_for_is_named(monkeypatch):
    plan = NAMED["late"]
    one = Search(plan)
    moment = one.first()
    path = []
    for kind in ("deliver", "double"):
        while not any(event[0] == kind for event, _, _ in one.cluster.nexts(moment)):
            path.append(one.cluster.calm_event(moment))
            moment, _ = one.cluster.follow(moment, path[-1])
        event, moment, _ = next(each for each in one.cluster.nexts(moment) if each[0][0] == kind)
        path.append(event)
    told = tell(plan, one.opening, Break("", "", tuple(path), False))
    assert told.left_out == ["a packet that comes twice"]
    assert any("hears, not for the last time," in line for line in told.lines)


def test_a_failing_monitor_is_played_in_the_simulator(monkeypatch, capsys):
    """The schedule says it with the script that fails, and breaks the same promise there."""
    monkeypatch.setattr(outcomes, "monitor_over", lambda *_: None)
    assert explore.main(["--world", "hooks", "--depth", "10", "--jobs", "1"]) == 1
    text = capsys.readouterr().out
    assert "BROKEN: 2 a failed service moves" in text
    assert re.search(r"^at \S+ script a monitorhasrv 0.1 fails$", text, re.MULTILINE)


# Usage


@pytest.mark.parametrize(
    "arguments", [["--world", "nowhere"], ["--depth", "-1"], ["--jobs", "0"], ["--minutes", "0"], ["more"]]
)
def test_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ends:
        explore.main(arguments)
    assert ends.value.code == 2
    assert "usage: python -m had.sim.explore" in capsys.readouterr().err


def test_the_worlds_are_named(capsys):
    assert explore.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(NAMED)


def test_the_time_is_kept(capsys):
    assert explore.main(["--world", "three-boot", "--minutes", "0.01", "--jobs", "1"]) == 0
    text = capsys.readouterr().out
    assert "1 world, 0 of them to the end" in text
