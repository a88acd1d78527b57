"""Each check bites: with a bug in the core or in the runtime a short schedule breaks a promise."""

from __future__ import annotations

import dataclasses

import pytest

from had.core import conflict, decide, election, hearsay, membership, node, outcomes, survivor, turn, words
from had.core.actions import Hook
from had.core.events import Outcome
from had.core.settings import SECOND, Alone, Settings, StopFailure
from had.core.states import STATE_OF, TRANSITIONS, Cause, Phase, State
from had.runtime import files
from had.sim import manners
from had.sim.calm import bound_ns
from had.sim.schedule import Schedule
from had.sim.world import World

from .simtools import play, result, schedule, story


def broken(steps: str, **cluster: object) -> str:
    """What a schedule breaks."""
    found = result(steps, **cluster).broken
    assert found is not None, "nothing broke"
    return f"{found.promise}: {found.text}"


CUT = "at 10 cut * a b\nat 10 cut * b a"


def test_promise_1_a_dead_time_too_short(monkeypatch):
    monkeypatch.setattr(membership, "dead_after_ns", lambda turn: turn.settings.heartbeat_ns * 2)
    assert "E1 nobody runs" in broken(CUT + "\nat 20 wall a 0")
    assert play("at 20 wall a 0")


def test_promise_1_without_excuse(monkeypatch):
    monkeypatch.setattr(election, "busy_peers", lambda *_: [])
    assert "E1 nobody runs: b claims" in broken("at 20 wall a 0")


def test_promise_1_says_STANDBY_before_it_has_stopped(monkeypatch):
    monkeypatch.setitem(STATE_OF, Phase.STOPPING, State.STANDBY)
    steps = "at 9 script a stophasrv 3\nat 10 signal a SIGHUP\nat 20 wall a 0"
    assert "says the truth" in broken(steps)


def test_promise_1_two_that_run_do_not_go_on_T3(monkeypatch):
    monkeypatch.setattr(conflict, "check", lambda *_: None)
    steps = CUT + "\nat 20 heal * a b\nat 20 heal * b a\nat 60 wall a 0"
    assert "all but one stop (T3): b runs on" in broken(steps)


def test_promise_1_two_that_run_do_not_go_on_T4(monkeypatch):
    """In one direction only the first in order hears the other."""
    monkeypatch.setattr(conflict, "check", lambda *_: None)
    steps = CUT + "\nat 20 heal * b a\nat 60 wall a 0"
    assert "all but one stop (T4): a runs on" in broken(steps)


def test_promise_1_a_claim_that_nobody_could_hear(monkeypatch):
    monkeypatch.setattr("had.core.group.CLAIM_NS", 0)
    assert "E5 a claim has time" in broken("at 20 wall a 0")


def test_promise_1_an_isolated_standby(monkeypatch):
    monkeypatch.setattr(node, "_watch_isolation", lambda _: None)
    assert "isolated" in broken("at 10 carrier b 1 down\nat 30 wall a 0")


def test_promise_2_nobody_starts(monkeypatch):
    never = election.Verdict(False, election.Reason("never", ""))
    monkeypatch.setattr(decide, "verdict", lambda *_: never)
    monkeypatch.setattr(manners, "_check_waiting", lambda *_: None)  # it would see it earlier
    assert "2 someone at all times: nobody runs, and a could" in broken("at 5 calm")


def test_promise_2_a_failed_service_stays(monkeypatch):
    monkeypatch.setattr(outcomes, "monitor_over", lambda *_: None)
    assert "a failed service moves" in broken("at 10 script a monitorhasrv 0.1 fails\nat 30 wall a 0")


def test_promise_3_a_stop_without_a_cause(monkeypatch):
    real = decide.decide_running

    def bug(turn, group):
        if turn.now_ns - group.since_ns > 5 * SECOND:
            group.monitor_failures = 0
            outcomes.fail(turn, group, Cause.MONITOR_FAILED, outcomes.Reason("monitor-failed", "made up"))
        else:
            real(turn, group)

    monkeypatch.setitem(decide.DECIDE, Phase.RUNNING, bug)
    assert "3 no surprise: a stops (monitor-failed), but its monitor failed 0 times" in broken(
        "at 30 wall a 0"
    )


def test_promise_3_an_error_that_clears_itself(monkeypatch):
    def bug(turn, group):
        if turn.due(group.since_ns + 3 * SECOND):
            decide.become(turn, group, Cause.CLEARED, group.reason)

    monkeypatch.setitem(decide.DECIDE, Phase.ERRORED, bug)
    steps = "at 0 script a starthasrv 0.1 fails\nat 30 wall a 0"
    assert "leaves ERRORED, and no person has said so" in broken(steps)


def test_promise_3_a_hold_that_is_forgotten(monkeypatch):
    monkeypatch.setattr(words, "Hold", lambda: None)
    assert "a hold is kept" in broken("at 10 signal a SIGHUP\nat 30 wall a 0")


def test_a_hold_that_never_ends(monkeypatch):
    monkeypatch.setattr(hearsay, "_hear_on_hold", lambda *_: None)
    assert "M2 a hold ends" in broken("at 10 signal a SIGHUP\nat 30 calm")


def test_promise_4_the_mark_is_not_written(monkeypatch):
    monkeypatch.setattr(survivor, "_write", lambda _: None)
    assert "4 no trap" in broken("at 10 power-cut b\nat 30 calm b")


def test_promise_4_the_mark_is_kept(monkeypatch):
    monkeypatch.setattr(survivor, "erase", lambda *_: None)
    steps = "at 10 power-cut b\nat 30 power-on b\nat 30 start b\nat 50 wall a 0"
    assert "4 the mark: a keeps the mark" in broken(steps)


@pytest.mark.parametrize("forgotten", ["fsync", "directory"])
def test_promise_4_the_record_is_not_synced(monkeypatch, forgotten):
    if forgotten == "directory":
        monkeypatch.setattr(files, "sync_directory", lambda _: None)
    else:
        real = files.replace
        monkeypatch.setattr("had.runtime.record.replace", lambda path, data, **_: real(path, data))
    assert "4 durable record" in broken("at 20 wall a 0")


def test_promise_4_a_lone_node_does_not_listen_first(monkeypatch):
    monkeypatch.setattr(survivor, "may_start_alone", lambda turn: turn.node.mark)
    steps = "at 10 power-cut b\nat 25 power-cut a\nat 30 power-on a\nat 30 start a\nat 55 wall a 0"
    assert "L3 silence first" in broken(steps)


def test_promise_5_a_second_start(monkeypatch):
    """A replaced worker that starts again what runs."""
    monkeypatch.setattr("had.sim.runner.Runner._find", lambda *_: False)
    monkeypatch.setattr("had.sim.runner.Runner.resume", lambda *_: None)
    steps = "at 0 script a starthasrv 5\nat 4 kill-worker a\nat 20 wall a 0"
    assert "G1 one hook" in broken(steps)


def test_promise_6_a_paused_node_speaks_at_once(monkeypatch):
    monkeypatch.setattr(node, "_stall", lambda *_: None)
    assert "6 no licence: a says RUNNING" in broken("at 10 pause a\nat 22 resume a\nat 30 wall a 0")


def test_no_start_twice(monkeypatch):
    monkeypatch.setitem(TRANSITIONS, (Phase.STARTING, Cause.START_FAILED), Phase.ERRORED)
    steps = "at 0 script a starthasrv 0.1 fails\nat 9 signal a SIGUSR1\nat 30 wall a 0"
    assert "no start twice" in broken(steps, names="a")


def test_a_stop_follows_a_start(monkeypatch):
    def bug(turn, group):
        if group.leaving:
            decide.become(turn, group, Cause.STOP, decide.Reason("leaving", ""))
            decide.exit_now(turn, 0)

    monkeypatch.setitem(decide.DECIDE, Phase.RUNNING, bug)
    monkeypatch.setitem(TRANSITIONS, (Phase.RUNNING, Cause.STOP), Phase.GONE)
    assert "stop follows start: a: the daemon ends" in broken("at 3 signal a SIGTERM\nat 30 wall a 0")


def test_no_timer_spins(monkeypatch):
    def bug(self, moment_ns):
        self.wake_ns = self.now_ns + SECOND // 1000
        return self.now_ns >= moment_ns

    monkeypatch.setattr(turn.Turn, "due", bug)
    assert "it spins" in broken("at 30 wall a 0")


def test_the_epoch_does_not_go_back(monkeypatch):
    def bug(turn, group, cause):
        del cause
        group.epoch, group.claim_ns = 1, turn.now_ns + SECOND // 10

    monkeypatch.setattr("had.core.group._claim", bug)
    steps = "at 10 signal a SIGHUP\nat 20 signal a SIGUSR1\nat 40 wall a 0"
    assert "E6 no epoch goes back" in broken(steps)


def test_quorum(monkeypatch):
    monkeypatch.setattr(election, "has_quorum", lambda _: True)
    monkeypatch.setattr(election, "late_for_quorum", lambda _: [])
    steps = "at 20 cut * b c\nat 20 cut * c b\nat 20 cut * a b\nat 20 cut * b a\nat 40 wall a 0"
    assert "Q1 quorum: b claims with 1 of 3" in broken(steps, names="a b c")


def test_the_state_file(monkeypatch):
    monkeypatch.setattr("had.sim.worker.Worker._publish", lambda *_: None)
    assert "the state file tells the truth" in broken("at 10 calm")


def test_exit_code_of_a_stop_that_failed(monkeypatch):
    real = outcomes.leave
    monkeypatch.setattr(outcomes, "leave", lambda turn, group, code, reason: real(turn, group, 0, reason))
    steps = "at 9 script a stophasrv 0.1 fails\nat 10 signal a SIGTERM\nat 20 wall a 0"
    assert "M7 exit code" in broken(steps)


def test_what_is_forced_is_excused_and_counted():
    world = play("at 10 cut * b a\nat 11 signal b SIGUSR1\nat 13.9 wall a 0")
    assert world.judge.counts["excuse: forced"] + world.judge.counts["excuse: silent"] == 1


def test_what_is_unheard_is_excused_and_counted():
    """Both claim in one moment, and the packets take longer than a claim waits."""
    slow = "at 0.3 weather * a b 0 0 0.4 0.4\nat 0.3 weather * b a 0 0 0.4 0.4"
    orders = "at 5 signal a SIGHUP\nat 5 signal b SIGUSR2\nat 30 wall a 0"
    world = play(slow + "\n" + orders)
    excuses = {key for key in world.judge.counts if key.startswith("excuse")}
    assert excuses <= {"excuse: unheard"}


def test_the_bound_of_the_calm_follows_the_settings():
    small = Settings("a", startup_ns=20 * SECOND, dead_ns=5 * SECOND, stop_timeout_ns=5 * SECOND)
    large = dataclasses.replace(small, startup_ns=200 * SECOND)
    assert bound_ns(large, 2, False) > bound_ns(small, 2, False) + 180 * SECOND
    assert bound_ns(small, 2, True) > bound_ns(small, 2, False)


def test_every_stop_is_followed_in_words():
    text = story(play("at 10 signal a SIGHUP\nat 20 wall a 0"))
    for sentence in (
        "a: gets SIGHUP",
        "a: stophasrv begins",
        "b: starthasrv begins",
        "[stand-down]",
        "[elected]",
    ):
        assert sentence in text


def test_the_world_of_these_tests_is_sound():
    assert isinstance(schedule("at 1 wall a 0"), Schedule)
    assert World(schedule("at 1 wall a 0")).run() is None
    assert {Alone.WAIT, StopFailure.BLOCK, Outcome.OK, Hook.STOP}


def test_promise_1_the_newest_start_stays_T2(monkeypatch):
    monkeypatch.setattr(conflict, "WITNESS_BEATS", 1000)
    steps = "at 10 cut * b a\nat 10.1 signal b SIGUSR1\nat 13 heal * b a\nat 30 wall a 0"
    assert "(T2, P1): a runs beside b" in broken(steps)


def test_promise_6_who_has_taken_over_is_yielded_to(monkeypatch):
    monkeypatch.setattr(node, "_heard_while_stalled", lambda *_: None)
    assert "(T2, P1): a runs beside b" in broken("at 10 pause a\nat 22 resume a\nat 30 wall a 0")


def test_promise_3_T4_does_not_count_what_a_person_forced(monkeypatch):
    """A node that was forced against a peer must not stop when that peer begins to."""

    def bug(turn, number, group):
        del number
        peer = turn.node.peers.get("b")
        gone = peer is not None and not group.forced_beside and group.forced
        if gone and State.STOPPING in membership.says(turn, peer, 0):
            return conflict.Reason("never-yields", "made up")
        return None

    monkeypatch.setattr(conflict, "check", bug)
    steps = "at 10 signal a SIGHUP\nat 20 signal a SIGUSR1\nat 40 signal b SIGHUP\nat 60 wall a 0"
    assert "a stops (never-yields), but nobody" in broken(steps, names="a old:b")
