"""The checks of had.sim.manners, and of what persons are owed in the calm, bite."""

from __future__ import annotations

import pytest

from had.core import decide, election, group, turn, words
from had.core.settings import SECOND
from had.sim import hearing, worker
from had.sim.disk import Disk
from had.sim.world import World

from .simtools import play, result, schedule

TWO = "at 20 wall a 0"
CUT = "at 0 cut * a b\nat 0 cut * b a"


def broken(steps: str, **cluster: object) -> str:
    found = result(steps, **cluster).broken
    assert found is not None, "nothing broke"
    return f"{found.promise}: {found.text}"


def test_a_change_that_is_not_alerted(monkeypatch):
    monkeypatch.setattr(group, "alert", lambda *_: None)
    assert "A1 alerts: " in broken(TWO)


def test_a_change_that_is_alerted_twice(monkeypatch):
    alert = group.alert

    def twice(a_turn, a_group, state, previous):
        alert(a_turn, a_group, state, previous)
        a_group.alerted = None
        alert(a_turn, a_group, state, previous)

    monkeypatch.setattr(group, "alert", twice)
    assert "STOPPING twice" in broken(TWO)


def test_who_holds_says_that_it_is_not_ready(monkeypatch):
    monkeypatch.setattr(group, "unfit", lambda *_: None)
    assert "E3 not ready: a says STANDBY" in broken("at 10 signal a SIGHUP\nat 20 wall a 0")


def test_start_beats_stop(monkeypatch):
    monkeypatch.setattr(worker, "stop_beats_start", lambda some: sorted(some, key=lambda word: word.name))
    assert "M8 stop beats start" in broken("at 10 signal b SIGUSR1 SIGHUP\nat 11 wall a 0")
    assert "M8 stop beats start" in broken("at 10 signal b SIGHUP SIGUSR1\nat 11 wall a 0")


def test_somebody_else_is_first(monkeypatch):
    monkeypatch.setattr(election, "_earlier", lambda *_: None)
    assert "E1 who is first: b claims though a comes first" in broken(TWO)


def test_waiting_for_ever(monkeypatch):
    never = election.Verdict(False, election.Reason("never", ""))
    monkeypatch.setattr(decide, "verdict", lambda *_: never)
    assert "2 nobody waits for ever: a could start" in broken("at 60 wall a 0")
    assert "2 nobody waits for ever" not in str(result("at 10 wall a 0").broken)


def test_complaining_with_every_step(monkeypatch):
    monkeypatch.setattr(turn, "COMPLAIN_NS", SECOND // 10)
    assert "says again: 1 of 2 nodes" in broken(CUT + "\nat 40 wall a 0")


def test_a_monitor_that_is_asked_no_more(monkeypatch):
    monkeypatch.setattr(decide, "decide_running", decide.decide_starting)
    monkeypatch.setitem(decide.DECIDE, decide.Phase.RUNNING, decide.decide_starting)
    assert "a does not ask its monitor any more" in broken(TWO)


@pytest.mark.parametrize(
    ("word", "patched", "told"),
    [
        ("SIGTERM", "on_leave", "b was told to end and is STANDBY"),
        ("SIGUSR1", "on_take_over", "b was told to start and is STANDBY"),
    ],
)
def test_a_word_that_is_not_obeyed(monkeypatch, word, patched, told):
    monkeypatch.setattr(words, patched, lambda *_: None)
    assert told in broken(f"at 20 signal b {word}\nat 21 calm")


def test_an_error_that_stays_though_it_was_cleared(monkeypatch):
    monkeypatch.setattr(words, "on_clear", lambda *_: None)
    steps = "at 9 script a starthasrv 1 fails\nat 10 signal a SIGHUP\nat 15 signal a SIGUSR1\nat 30 calm mend"
    assert "a was told to forget what failed and is ERRORED" in broken(steps)


def test_T2_is_looked_at_on_each_link(monkeypatch):
    monkeypatch.setattr(hearing, "_quarrel", lambda *_: None)
    monkeypatch.setattr("had.core.conflict.WITNESS_BEATS", 1000)
    monkeypatch.setattr("had.core.conflict.check", lambda *_: None)
    steps = "at 20 cut 1 b a\nat 20 signal b SIGUSR1\nat 40 wall a 0"
    assert "all but one stop (T2, P1): a runs beside b" in broken(steps, links=2)


def test_the_power_may_go_between_any_two_calls_of_the_writer(monkeypatch):
    done: list[str] = []
    do = Disk.do
    monkeypatch.setattr(Disk, "do", lambda disk, call: (done.append(call.name), do(disk, call)))
    counts = set()
    for steps in range(1, 25):
        done.clear()
        world = World(schedule(f"at 0.001 power-cut a {steps} none\nat 1 wall a 0", names="a"))
        assert world.run() is None
        counts.add(len(done))
    assert counts >= set(range(max(counts))), "some calls always come together"


def test_without_a_bug_nothing_breaks():
    assert play("at 10 signal b SIGUSR1 SIGHUP\nat 20 signal a SIGHUP\nat 60 calm mend")
