"""Rules T, old format: two that run the services, and who stops."""

from __future__ import annotations

import pytest

from core.world import Script, World, running, standby
from had.core.actions import Hook, Level, Note
from had.core.settings import SECOND, Link
from had.core.states import Phase, State


def found(name: str, peer: str, **changes: object) -> World:
    """Two that meet running after a cut: no start was witnessed."""
    world = running(name, peer, **changes).silent(peer).run(8)
    world.only.forget()
    return world


def forced(name: str, peer: str, **changes: object) -> World:
    """A node that a person forced beside a peer that was heard RUNNING and doesn't yield."""
    world = standby(name, peer, **changes).usr1().until(name, State.RUNNING).run(3)
    world.only.forget()
    return world


# T2


@pytest.mark.parametrize("start", [State.STARTING, State.RUNNING])
@pytest.mark.parametrize("idle", [State.STANDBY, State.ERRORED, State.STOPPING])
@pytest.mark.parametrize("peer", ["b", "0"])
def test_T2_the_newest_start_stays(peer, idle, start):
    world = running("a", peer).says(peer, idle).run(2)
    world.hear(peer, start)
    assert world.only.said is State.STOPPING
    assert world.only.note("newer-start").level is Level.WARNING
    world.says(peer, State.RUNNING).run(1)
    assert world.only.phase is Phase.STANDBY


def test_T2_also_if_we_were_forced_earlier():
    world = forced("a", "b").says("b", State.STOPPING).run(2).says("b", State.STANDBY).run(2)
    world.hear("b", State.STARTING)
    assert world.only.said is State.STOPPING


def test_T2_a_daemon_that_restarts_beside_its_services_is_no_start():
    world = running("a", "b").says("b", State.INITIAL).run(2).says("b", State.RUNNING).run(3)
    assert world.only.state is State.RUNNING


def test_T2_a_peer_that_timed_out_meanwhile_was_not_watched():
    world = found("a", "b").says("b", State.RUNNING).run(3)
    assert world.only.state is State.RUNNING


def test_T2_a_first_word_is_no_start():
    world = World("a", count=1).run(5)
    assert world.only.state is State.RUNNING
    world.says("b", State.RUNNING).run(3)
    assert world.only.state is State.RUNNING


def test_T2_not_before_we_have_announced_for_two_heartbeats():
    for announced, stays in ((1.9, True), (2.1, False)):
        world = standby().says("b", State.ERRORED)
        world.until("a", State.STARTING).run(0.1).says("b", State.STANDBY)
        while world.only.data.groups[0].run_since_ns + announced * SECOND > world.now_ns:
            world.run(0.05)
            world.hear("b", State.STANDBY)
        world.hear("b", State.RUNNING)
        assert (world.only.state is State.RUNNING) is stays


def test_T2_on_one_link_is_enough():
    world = running(links=(Link("one"), Link("two")))
    world.silent("b").says("b", State.STANDBY, link=1).run(1).hear("b", State.STARTING, link=1)
    assert world.only.said is State.STOPPING


def test_T2_two_links_are_not_mixed_up():
    """STANDBY on one and RUNNING on the other is no start, only a slow link."""
    world = found("a", "b", links=(Link("one"), Link("two")))
    world.hear("b", State.RUNNING, link=0).hear("b", State.STANDBY, link=1).hear("b", State.RUNNING, link=0)
    assert world.only.state is State.RUNNING


def test_T2_between_two_of_ours_the_forced_one_stays():
    world = World("a", "b").run(6).usr1("b").run(5)
    assert world.active() == ["b"]
    assert world["a"].note("newer-start")


# T3


def test_T3_the_later_in_order_stops_after_two_further_heartbeats():
    world = found("b", "a").says("a", State.RUNNING).run(1.9)
    assert world.only.state is State.RUNNING
    world.run(0.11)
    assert world.only.state is State.STOPPING
    assert world.only.note("later-in-order")


def test_T3_not_if_the_other_has_meanwhile_said_something_else():
    world = found("b", "a")
    for _ in range(5):
        world.hear("a", State.RUNNING).run(1).hear("a", State.RUNNING).run(1).hear("a", State.INITIAL).run(1)
    assert world.only.state is State.RUNNING


def test_T3_copies_of_one_heartbeat_count_once():
    world = found("b", "a", links=(Link("one"), Link("two")))
    for _ in range(5):
        world.hear("a", State.RUNNING, link=0).hear("a", State.RUNNING, link=1).run(0.05)
    assert world.only.state is State.RUNNING


def test_T3_the_first_in_order_stays():
    world = found("a", "b").says("b", State.RUNNING).run(9)
    assert world.only.state is State.RUNNING
    assert world.only.note("two-run").level is Level.WARNING


@pytest.mark.parametrize("seconds", [0.2, 0.9])
def test_T3_after_a_cut_exactly_one_goes_on(seconds):
    world = World("a", "b").run(5).cut("a", "b").run(8 + seconds)
    assert world.active() == ["a", "b"]
    world.heal().run(5)
    assert world.active() == ["a"]
    assert world["b"].state is State.STANDBY
    world.run(60)
    assert world.active() == ["a"]


def test_T3_by_order_and_not_by_age():
    world = World("a", "b").run(5).usr1("b").run(8).cut("a", "b").run(8)
    assert world.active() == ["a", "b"]
    world.heal().run(5)
    assert world.active() == ["a"]


def test_T3_a_node_forced_against_a_peer_is_not_stopped():
    world = forced("b", "a").run(300)
    assert world.only.state is State.RUNNING


def test_T3_of_three_that_run_one_remains():
    world = World("a", "b", "c", count=2).run(5)
    world.cut("a", "b").cut("b", "c").cut("a", "c").run(40)
    for name in "bc":
        world.usr1(name)
    world.run(2)
    assert world.active() == ["a", "b", "c"]
    world.heal().run(20)
    assert world.active() == ["a"]


# T4


def test_T4_the_first_gives_up_after_two_dead_times():
    world = found("a", "b").says("b", State.RUNNING).run(9.9)
    assert world.only.state is State.RUNNING
    world.run(0.11)
    assert world.only.said is State.STOPPING
    assert world.only.note("never-yields")
    world.run(60)
    assert world.only.state is State.STANDBY


def test_T4_who_came_later_after_one():
    """Heard too seldom for T3."""
    world = found("b", "a", dead_ns=2 * SECOND)
    world.says("a", State.RUNNING, every=1.5).run(1.9)
    assert world.only.state is State.RUNNING
    world.run(0.11)
    assert world.only.said is State.STOPPING
    assert world.only.note("never-yields")


def test_T4_not_a_forced_one_which_complains_once_a_minute():
    world = forced("a", "b").run(180)
    assert world.only.state is State.RUNNING
    notes = [note for note in world.only.did(Note) if note.reason.code == "forced-beside"]
    assert len(notes) == 3
    assert "SIGHUP" in notes[0].reason.text


def test_T4_a_forced_one_once_the_peer_has_said_something_else():
    """It was restarted meanwhile, so it is no longer the one that the person knew of."""
    world = forced("a", "b").says("b", State.INITIAL).run(2).says("b", State.RUNNING).run(9.9)
    assert world.only.state is State.RUNNING
    world.run(0.11)
    assert world.only.said is State.STOPPING


def test_T4_not_while_we_were_forced_but_it_only_started_then():
    """STARTING is not RUNNING: who is forced beside a claim is not forced against a service."""
    world = standby("b", "a").says("a", State.STARTING).usr1().until("b", State.RUNNING).run(5)
    assert world.only.state is not State.RUNNING


def test_T4_a_conflict_that_ended_is_forgotten():
    world = found("a", "b").says("b", State.RUNNING).run(8).says("b", State.INITIAL).run(2)
    world.says("b", State.RUNNING).run(9.9)
    assert world.only.state is State.RUNNING


def test_T4_a_one_way_link_has_an_end_too():
    world = World("a", "b").run(5).cut("a", "b", both=False).run(2)
    assert world.active() == ["a"]
    world.run(30)
    assert len(world.active()) == 1


# T5


def starting_beside(peer: str, name: str = "b") -> World:
    """A node whose start hook runs, and that meets a peer that it has not watched."""
    world = World(name, count=1)
    world.only.scripts[Hook.START] = Script(10)
    world.until(name, State.STARTING).run(2.5)
    return world.says(peer, State.RUNNING)


def test_T5_a_start_hook_is_let_finish_and_stopping_announced_at_once():
    world = starting_beside("a").run(2.1)
    assert (world.only.phase, world.only.said) == (Phase.ABORTING, State.STOPPING)
    world.run(10)
    assert world.only.phase is Phase.STANDBY
    start, stop = world.only.hooks[-2:]
    assert start.run.hook is Hook.START
    assert stop.at_ns == start.over_ns
    assert State.RUNNING not in world.only.sent


def test_T5_nobody_takes_it_for_running_meanwhile():
    world = starting_beside("a").run(2.1)
    world.only.forget()
    world.run(3)
    assert set(world.only.sent) == {State.STOPPING}
    assert len(world.only.sent) == 3


def test_T5_the_newest_start_stays_against_one_that_is_starting():
    world = starting_beside("z", "b").says("z", State.STANDBY).run(1).hear("z", State.STARTING)
    assert world.only.phase is Phase.ABORTING


# T6


@pytest.mark.parametrize("code", ["newer-start", "later-in-order", "never-yields"])
def test_T6_who_stops_becomes_standby_without_a_hold_and_says_why(code):
    if code == "newer-start":
        world = running("a", "b").says("b", State.RUNNING).run(1)
    elif code == "later-in-order":
        world = found("b", "a").says("a", State.RUNNING).run(3)
    else:
        world = found("a", "b").says("b", State.RUNNING).run(11)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.hold is None
    assert world.only.said is State.STANDBY
    note = world.only.note(code)
    stop = next(ran.run for ran in world.only.hooks if ran.run.hook is Hook.STOP)
    assert stop.reason == note.reason, "the hook is told, too"


def test_T6_it_takes_over_again_when_the_other_is_gone():
    world = found("b", "a").says("a", State.RUNNING).run(5).silent("a").run(6)
    assert world.only.state is State.RUNNING
