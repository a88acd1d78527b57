"""Rules H (hearing), P (pauses), I (isolation of a running node) and Q (quorum)."""

from __future__ import annotations

import pytest

from core.world import START_NS, World, lone, ns, running, settings, standby
from had.core.actions import DiscardQueued, Hook, Level, Note, Publish, RunHook, Send, WriteMark
from had.core.events import Heard, Tick
from had.core.node import Node
from had.core.settings import MS, SECOND, Isolated, Link
from had.core.states import Phase, State

TWO_LINKS = (Link("one"), Link("two"))


# H1


def test_H1_peer_is_alive_at_exactly_the_dead_time_and_dead_after_it():
    world = running()
    world.silent("b").hear("b", State.STANDBY)
    world.run(5)
    assert not world.only.data.peers["b"].dead
    world.now_ns += 1
    world.only.happen(Tick())
    assert world.only.data.peers["b"].dead
    assert world.only.note("peer-dead").level is Level.ERROR


def test_H1_the_node_wakes_by_itself_when_a_peer_dies():
    world = standby()
    world.silent("b").hear("b", State.RUNNING).run(4.99)
    assert world.only.state is State.STANDBY
    world.run(0.02)
    assert world.only.state is State.STARTING


def test_H1_alive_while_any_link_hears_it():
    world = standby(links=TWO_LINKS)
    world.silent("b").says("b", State.RUNNING, link=1).run(20)
    assert world.only.state is State.STANDBY
    assert not world.only.data.peers["b"].dead


def test_H1_a_long_silence_is_warned_of_once():
    world = running()
    world.silent("b").run(4)
    assert world.only.codes == ["peer-late"]


def test_H1_a_peer_comes_back_with_any_packet():
    world = lone()
    world.hear("b", State.STANDBY)
    assert world.only.codes[0] == "peer-back"
    assert not world.only.data.peers["b"].dead


# H2, its half that the old format has: nothing names a dead time, so ours counts


def test_H2_old_format_our_own_dead_time_counts():
    for dead in (3, 8):
        world = standby(dead_ns=dead * SECOND)
        world.silent("b").hear("b", State.RUNNING).run(dead - 0.1)
        assert world.only.state is State.STANDBY
        world.run(0.2)
        assert world.only.state is not State.STANDBY


# H3


def test_H3_after_isolation_every_silence_counts_anew():
    world = standby()
    world.link("a", False)
    world.run(30)
    assert world.only.data.peers["b"].dead
    world.silent("b").link("a", True)
    world.run(4.9)
    assert not world.only.data.peers["b"].dead
    assert world.only.state is State.STANDBY, "the first timer to fire must not take over"
    world.run(0.3)
    assert world.only.state is not State.STANDBY


def test_H3_a_returning_cable_moves_nothing():
    world = World("a", "b")
    world.run(3)
    assert world.states() == {"a": State.RUNNING, "b": State.STANDBY}
    world.link("b", False).run(60).link("b", True).run(10)
    assert world.states() == {"a": State.RUNNING, "b": State.STANDBY}
    assert world["b"].scripts_run == ["monitorhasrv", "stophasrv"]


def test_H3_a_silence_that_counts_anew_is_warned_of_anew():
    world = running()
    world.silent("b").link("a", False).run(30)
    world.only.forget()
    world.link("a", True).run(4)
    assert "peer-late" in world.only.codes


def test_H3_peers_dead_before_stay_dead_but_a_claim_waits_a_dead_time():
    world = World("a", count=2).says("b", State.RUNNING).run(2).link("a", False)
    world.silent("b").run(7)
    assert world.only.data.peers["b"].dead
    world.link("a", True).run(0.5).link("a", False).run(6)
    assert world.only.data.peers["b"].dead
    world.link("a", True).run(4.5)
    assert world.only.state is State.STANDBY
    assert world.only.group.verdict.code in ("listening", "peer-runs")
    world.run(1)
    assert world.only.state is not State.STANDBY


def test_H3_listening_ends_when_all_have_been_heard():
    world = World("a", count=3).says("b", State.ERRORED).says("c", State.ERRORED)
    world.until("a", State.RUNNING)
    world.hup().run(2).link("a", False)
    world.run(10).usr2().link("a", True)
    world.run(0.2)
    assert world.only.group.verdict.code == "listening"
    world.run(1.5)
    assert world.only.state is State.RUNNING


# H4


def test_H4_isolated_while_every_link_is_down():
    world = standby(links=TWO_LINKS)
    world.silent("b").link("a", False, 0).run(1)
    assert world.only.data.isolated_ns is None
    world.link("a", False, 1)
    assert world.only.data.isolated_ns == world.now_ns
    world.run(60)
    assert world.only.state is State.STANDBY
    world.link("a", True, 1).run(1)
    assert world.only.data.isolated_ns is None


def test_H4_a_crossover_link_is_left_out():
    links = (Link("lan"), Link("cable", crossover=True))
    world = World("a", links=links).link("a", False, 0)
    assert world.only.data.isolated_ns is not None
    world = World("a", links=links).link("a", False, 1)
    assert world.only.data.isolated_ns is None


def test_H4_on_crossover_cables_alone_a_node_is_never_isolated():
    world = standby(links=(Link("cable", crossover=True),))
    world.silent("b").link("a", False).run(8)
    assert world.only.state is State.RUNNING, "the peer's power cut took our carrier too"


def test_H4_with_old_flags_only_a_machine_without_carrier_is_isolated():
    world = standby(isolation_by_machine=True)
    world.silent("b").link("a", False)
    assert world.only.data.isolated_ns is None
    world.carrier("a", False)
    assert world.only.data.isolated_ns is not None
    world.run(60)
    assert world.only.state is State.STANDBY
    assert "crossover" in world.only.did(Note)[-1].reason.text
    world.carrier("a", True)
    assert world.only.data.isolated_ns is None


def test_H4_a_standby_that_holds_back_says_so_once_a_minute_and_names_the_key():
    world = standby()
    world.silent("b").link("a", False).run(10)
    world.only.forget()
    world.run(180)
    notes = [a for a in world.only.did(Note) if a.reason.code == "isolated"]
    assert len(notes) == 3
    assert all("crossover = yes" in note.reason.text for note in notes)
    assert all(note.level is Level.WARNING for note in notes)


def test_H4_a_link_that_is_told_twice_changes_nothing():
    world = standby(links=TWO_LINKS)
    for up in (False, False, True, True):
        world.link("a", up, 1)
    assert world.only.data.links_down == []


# H5


def test_H5_a_late_word_on_the_slow_link_is_not_the_peers_newest_word():
    """The fast link's STANDBY does not hide that the slow one still says STOPPING, and nothing starts."""
    world = standby(links=TWO_LINKS)
    world.says("b", State.STOPPING, link=1).run(0.1)
    world.silent("b").says("b", State.ERRORED, link=0).run(0.2)
    assert world.only.state is State.STANDBY
    world.says("b", State.ERRORED, link=1).run(0.2)
    assert world.only.state is not State.STANDBY


def test_H5_a_late_running_on_the_slow_link_is_no_newer_start():
    """Compared with its own link it is no start at all."""
    world = standby(links=TWO_LINKS)
    world.silent("b").says("b", State.STOPPING, link=0).says("b", State.RUNNING, link=1, every=0.5)
    world.run(2).says("b", State.ERRORED, link=0).silent("b", link=1)
    world.until("a", State.RUNNING).run(4)
    world.hear("b", State.RUNNING, link=1).run(0.5)
    assert world.only.state is State.RUNNING


def test_H5_a_link_that_broke_while_it_said_running_forbids_nothing_for_long():
    """Its word counts for three heartbeats after the other links' ones, not for a dead time."""
    world = standby(links=TWO_LINKS, dead_ns=60 * SECOND)
    world.silent("b", link=None)
    world.hear("b", State.RUNNING, link=1)
    world.says("b", State.ERRORED, link=0).run(2.9)
    assert world.only.state is State.STANDBY
    world.run(1.2)
    assert world.only.state is not State.STANDBY


# H6


def test_H6_our_own_packets_change_nothing():
    world = running()
    before = world.only.node.fingerprint()
    quiet = world.only.node.copy()
    heard = world.only.node.copy()
    for state in State:
        heard.step(Heard(0, "a", (state,)), world.now_ns)
        quiet.step(Tick(), world.now_ns)
    assert heard.fingerprint() == quiet.fingerprint() == before
    assert "a" not in world.only.data.peers


def test_H6_a_node_needs_not_hear_itself_to_have_its_own_line():
    view = running().only.node.view(START_NS + ns(20))
    assert [(line.name, line.state) for line in view.nodes] == [("a", State.RUNNING), ("b", State.STANDBY)]


# P1


def stalled(state: State = State.STANDBY, heard: State = State.STANDBY) -> World:
    """A node that has just found that it was stopped for six seconds; it is in ``state``."""
    world = running() if state is State.RUNNING else standby()
    world.silent("b")
    world.only.pause(6)
    world.only.forget()
    world.says("b", heard).silent("b")  # queued up: sent while nobody listened
    world.run(6)
    assert world.only.data.stall_ns is not None
    return world


def test_P1_a_stalled_node_says_nothing_and_starts_no_hook_for_two_heartbeats():
    world = stalled(State.RUNNING).run(1.9)
    assert not world.only.did(Send)
    assert not [run for run in world.only.did(RunHook) if run.hook is not Hook.MONITOR]
    world.run(0.2)
    assert world.only.said is State.RUNNING
    assert world.only.note("stall-over")


def test_P1_it_listens_no_longer_than_half_the_dead_time():
    world = running(dead_ns=3 * SECOND, heartbeat_ns=1 * SECOND)
    world.silent("b")
    world.only.pause(4)
    world.only.forget()
    world.run(4 + 1.45)
    assert not world.only.did(Send)
    world.run(0.1)
    assert world.only.did(Send)


def test_P1_what_was_sent_during_the_stall_is_thrown_away_unread():
    world = stalled(State.RUNNING, State.RUNNING)
    assert world.only.did(DiscardQueued)
    world.run(2.1)
    assert world.only.state is State.RUNNING


@pytest.mark.parametrize("heard", [State.STARTING, State.RUNNING])
def test_P1_another_that_is_heard_running_after_it_is_yielded_to_at_once(heard):
    world = stalled(State.RUNNING).run(0.5)
    world.hear("b", heard)
    assert world.only.words == [State.STOPPING]
    assert world.only.note("taken-over")
    world.says("b", State.RUNNING).run(3)
    assert world.only.state is State.STANDBY
    assert world.only.group.hold is None


def test_P1_a_peer_that_is_not_running_does_not_end_the_listening():
    world = stalled(State.RUNNING).run(0.5)
    world.hear("b", State.STANDBY).hear("b", State.STOPPING).run(1.4)
    assert not world.only.did(Send)
    assert world.only.state is State.RUNNING


def test_P1_a_claim_is_withdrawn():
    world = standby()
    world.says("b", State.ERRORED).run(0.05)
    assert world.only.phase is Phase.CLAIMING
    world.silent("b")
    world.only.pause(6)
    world.run(6)
    assert world.only.phase is Phase.STANDBY
    world.run(4)
    assert not [run for run in world.only.did(RunHook) if run.hook is Hook.START]


def test_P1_a_forced_claim_is_withdrawn_but_the_persons_word_remembered():
    world = standby()
    world.usr1()
    assert world.only.phase is Phase.ASKING
    world.only.pause(6)
    world.run(6)
    assert world.only.phase is Phase.STANDBY
    world.run(2.1)
    assert world.only.phase is Phase.ASKING
    world.run(3)
    assert world.only.state is State.RUNNING


def test_P1_then_H3_holds():
    world = stalled(State.STANDBY).run(2.1)
    assert not world.only.data.peers["b"].dead
    world.run(2.5)
    assert world.only.state is State.STANDBY
    world.run(2.5)
    assert world.only.state is not State.STANDBY


def test_P1_a_pause_of_the_dead_time_is_no_stall_and_a_nanosecond_more_is():
    for over, stall in ((0, False), (1, True)):
        node = Node(settings("a"))
        node.step(Tick(), START_NS)
        node.step(Tick(), START_NS + 5 * SECOND + over)
        assert (node.data.stall_ns is not None) is stall


def test_P1_a_stall_within_a_stall_listens_anew():
    world = stalled(State.RUNNING).run(1)
    world.only.pause(7)
    world.run(8.9)
    assert world.only.data.stall_ns is not None
    assert not world.only.did(Send)
    world.run(0.2)
    assert world.only.data.stall_ns is None
    assert not world.only.data.peers["b"].dead


def test_P1_hooks_that_end_during_the_listening_are_taken_note_of():
    world = World("a").says("b", State.ERRORED)
    world.only.scripts[Hook.START].takes = 7
    world.until("a", State.STARTING).run(0.5)
    world.only.pause(6)
    world.run(6.1)
    assert world.only.data.stall_ns is not None
    world.run(1)
    assert world.only.state is State.RUNNING
    assert world.only.data.stall_ns is not None


def test_P1_shorter_lateness_is_logged_and_stretches_the_dead_time_as_long():
    world = standby()
    world.run(0.5)
    world.only.pause(3)
    world.silent("b").run(3)
    assert "late" in world.only.codes
    late_ns = world.only.data.late
    assert 2 * SECOND < late_ns <= 3 * SECOND
    world.hear("b", State.RUNNING).run((5 * SECOND + late_ns) / SECOND - 0.01)
    assert world.only.state is State.STANDBY
    world.run(0.02)
    assert world.only.state is not State.STANDBY


def test_P1_lateness_of_a_third_of_the_dead_time_is_nothing():
    node = Node(settings("a"))
    node.step(Tick(), START_NS)
    assert node.wake_ns is not None
    node.step(Tick(), node.wake_ns + 5 * SECOND // 3)
    assert node.data.stretch_ns is None
    node.step(Tick(), node.wake_ns + 5 * SECOND // 3 + 1)
    assert node.data.stretch_ns is not None


def test_P1_the_stretch_lasts_two_dead_times():
    world = standby()
    world.only.pause(3)
    world.run(3)
    until_ns = world.only.data.stretch_ns
    assert until_ns == world.now_ns + 10 * SECOND
    world.run(10.1)
    assert (world.only.data.stretch_ns, world.only.data.late) == (None, 0)


def test_P1_a_worker_replaced_within_the_dead_time_goes_on_and_excuses_the_peers():
    """G5: nobody's silence is counted while nobody listened."""
    world = standby()
    world.silent("b").run(0.5)
    world.only.replace_worker(4)
    world.run(7)
    assert world.only.data.stall_ns is None
    assert not world.only.data.peers["b"].dead
    world.run(6)
    assert world.only.data.peers["b"].dead


def test_P1_a_replaced_worker_announces_and_asks_the_monitor_at_once():
    """G5: it does not wait for the next round, however far apart they are."""
    world = running(monitor_interval_ns=600 * SECOND, heartbeat_ns=2 * SECOND)
    world.only.forget()
    world.only.replace_worker(0.01)
    world.run(0.02)
    assert world.only.sent == [State.RUNNING]
    assert [ran.run.hook for ran in world.only.hooks] == [Hook.MONITOR]


def test_P1_a_worker_replaced_later_listens_first():
    world = running()
    world.silent("b")
    world.only.replace_worker(6)
    world.run(6.1)
    assert world.only.data.stall_ns is not None
    assert world.only.state is State.RUNNING


# I1


def test_I1_keep_goes_on():
    world = running(isolated=Isolated.KEEP)
    world.link("a", False).run(120)
    assert world.only.state is State.RUNNING


def test_I1_stop_stops_after_half_the_dead_time():
    world = running(isolated=Isolated.STOP)
    world.link("a", False).run(2.49)
    assert world.only.state is State.RUNNING
    world.run(0.02)
    assert world.only.state is State.STOPPING
    world.run(1)
    assert (world.only.phase, world.only.said) == (Phase.STANDBY, State.ERRORED)
    assert world.only.group.hold is None


def test_I1_a_carrier_that_blinks_stops_nothing():
    world = running(isolated=Isolated.STOP)
    for _ in range(5):
        world.link("a", False).run(2).link("a", True).run(1)
    assert world.only.state is State.RUNNING
    assert State.STOPPING not in world.only.sent


def test_I1_a_start_hook_is_let_finish_when_isolated():
    world = World("a", isolated=Isolated.STOP).says("b", State.ERRORED)
    world.only.scripts[Hook.START].takes = 10
    world.until("a", State.STARTING).run(0.5).link("a", False).run(3)
    assert world.only.phase is Phase.ABORTING
    world.run(10)
    assert world.only.phase is Phase.STANDBY


# Q1, Q2


@pytest.mark.parametrize(("count", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_Q1_quorum_is_more_than_half(count, quorum):
    assert settings("a", count=count).quorum == quorum


def test_Q1_only_nodes_heard_within_the_dead_time_count():
    world = World("a", count=3, on=False)
    world.only.scripts[Hook.STOP].takes = 8
    world.only.switch_on()
    world.hear("b", State.STANDBY).hear("c", State.STANDBY).run(30)
    assert world.only.phase is Phase.STANDBY
    assert world.only.said is State.ERRORED
    assert world.only.group.verdict.code == "no-quorum"


def test_Q1_unknown_nodes_do_not_count():
    world = World("a", count=3, names=("a", "b", "c")).says("x", State.STANDBY).says("y", State.STANDBY)
    world.run(60)
    assert world.only.phase is Phase.WAITING
    world.says("b", State.ERRORED).until("a", State.RUNNING)


def test_Q1_more_nodes_than_configured_are_no_more_than_all():
    world = World("a", count=2)
    for name in "bcdef":
        world.says(name, State.ERRORED)
    world.until("a", State.RUNNING, within=2)


def test_Q1_a_stranger_is_shown_and_complained_about_but_is_no_candidate():
    world = World("m", names=("m", "z")).says("z", State.ERRORED).says("a", State.STANDBY)
    world.until("m", State.RUNNING, within=2)
    assert [line.name for line in world.only.node.view(world.now_ns).nodes] == ["a", "m", "z"]
    assert world.only.note("stranger").level is Level.WARNING


def test_Q1_a_stranger_that_runs_is_respected():
    world = World("m", names=("m", "z")).says("z", State.ERRORED).says("x", State.RUNNING).run(60)
    assert world.only.state is State.STANDBY


def test_Q1_a_stranger_that_runs_is_named_as_the_reason_for_not_starting():
    world = World("m", names=("m", "z")).says("z", State.ERRORED).says("x", State.RUNNING).run(60)
    assert world.only.note("stranger-runs").reason.text == "not starting: x is RUNNING, which is not in nodes"


def test_Q1_a_stranger_stops_nothing():
    world = World("m", names=("m", "z")).says("z", State.ERRORED).until("m", State.RUNNING, within=2)
    world.run(5).says("a", State.STANDBY).run(3).says("a", State.STARTING).run(1).says(
        "a", State.RUNNING
    ).run(300)
    assert world.only.state is State.RUNNING


def test_Q1_a_stranger_leaves_the_sole_survivor_its_mark():
    world = World("m", names=("m", "z")).says("z", State.ERRORED).until("m", State.RUNNING, within=2)
    world.silent("z").run(200)
    assert world.only.node.data.mark
    world.says("a", State.RUNNING).run(20)
    assert world.only.node.data.mark


def test_Q2_a_running_node_without_quorum_goes_on():
    world = World("a", count=3).says("b", State.ERRORED).says("c", State.ERRORED).until("a", State.RUNNING)
    world.silent("b", "c").run(120)
    assert world.only.state is State.RUNNING


# Bounds and pictures that belong to hearing


def test_H1_the_table_of_nodes_is_bounded_configured_ones_first():
    world = World("a", names=("a", "b"))
    for number in range(100):
        world.hear(f"x{number}", State.STANDBY)
    world.hear("b", State.STANDBY)
    assert len(world.only.data.peers) == 17
    assert "b" in world.only.data.peers
    assert world.only.note("too-many")


@pytest.mark.parametrize(("count", "kept"), [(2, 64), (32, 64), (100, 200)])
def test_H1_where_only_their_number_is_configured_twice_as_many_are_kept(count, kept):
    world = World("a", count=count)
    for number in range(300):
        world.hear(f"x{number}", State.STANDBY)
    assert len(world.only.data.peers) == kept


def test_H1_dead_strangers_make_room():
    world = World("a", names=("a", "b")).says("b", State.STANDBY)
    for number in range(16):
        world.hear(f"x{number}", State.STANDBY)
    world.run(6).hear("new", State.STANDBY)
    assert "new" in world.only.data.peers
    assert len(world.only.data.peers) == 17


def test_H1_a_change_of_a_peer_is_published_at_once():
    world = running()
    world.run(0.2)
    world.only.forget()
    world.hear("b", State.STOPPING)
    assert world.only.did(Publish)


def test_H1_a_time_out_is_published_at_once():
    world = running()
    world.silent("b").hear("b", State.STANDBY).run(4.999)
    world.only.forget()
    world.run(0.001)
    world.now_ns += 1
    world.only.happen(Tick())
    assert Publish() in world.only.did(Publish)
    lines = world.only.node.view(world.now_ns).nodes
    assert lines[1].state is State.TIMEDOUT
    assert lines[1].heard_ns == world.now_ns - 5 * SECOND - 1


def test_H1_nothing_but_a_dead_peers_return_ends_the_mark_of_a_lone_node():
    world = lone()
    assert not world.only.did(WriteMark)
    world.run(100)
    assert world.only.mark
    assert MS * 1000 == SECOND
