"""Edges of the rules that no story comes to by itself: the very moment, the second of two, the odd packet.

Most were found by changing the code and seeing that no test noticed (``make mutants``).
"""

from __future__ import annotations

import copy

import pytest

from core.world import START_NS, Script, World, lone, ns, running, settings, standby
from had.core import membership
from had.core.actions import EndHook, Hook, Note, Publish, Reason, Send, WriteMark
from had.core.data import GroupWord, LinkWord, NodeData, Peer, clone, fingerprint
from had.core.events import Heard, HookOver, LinkChanged, Outcome
from had.core.node import Node
from had.core.outcomes import told
from had.core.settings import MS, SECOND, Alone, Isolated, Link, StopFailure
from had.core.states import Phase, State
from had.core.turn import COMPLAIN_NS, COMPLAINTS_MAX, Turn, listed, seconds

RUNNING, STANDBY, STARTING, STOPPING = State.RUNNING, State.STANDBY, State.STARTING, State.STOPPING
ERRORED, INITIAL = State.ERRORED, State.INITIAL


def peer_heard_at(moment_ns: int, *words: LinkWord) -> Peer:
    return Peer("b", moment_ns, moment_ns, dict(enumerate(words)))


def turn_at(moment_ns: int, node: NodeData | None = None) -> Turn:
    return Turn(settings("a"), node or NodeData(), moment_ns)


# H: hearing


@pytest.mark.parametrize(("after_ns", "alive"), [(5 * SECOND, True), (5 * SECOND + 1, False)])
def test_H1_a_heartbeat_counts_for_the_dead_time_and_not_a_nanosecond_longer(after_ns, alive):
    peer = peer_heard_at(START_NS)
    assert membership.is_heard(turn_at(START_NS + after_ns), peer) is alive
    assert membership.is_alive(turn_at(START_NS + after_ns), peer) is alive


@pytest.mark.parametrize(("behind_ns", "counts"), [(3 * SECOND, 1), (3 * SECOND + 1, 0)])
def test_H5_a_link_has_a_say_while_it_is_three_heartbeats_behind_and_not_longer(behind_ns, counts):
    peer = peer_heard_at(START_NS, LinkWord(START_NS - behind_ns, [GroupWord(RUNNING)]))
    assert len(membership.fresh_words(turn_at(START_NS), peer)) == counts


def test_H5_a_packet_that_says_nothing_of_the_group_shows_who_is_there_and_nothing_else():
    world = World("a", count=3).run(1)
    world.only.happen(Heard(0, "b", ()))
    world.usr1().run(0.01)
    (line,) = [line for line in world.only.node.view(world.now_ns).nodes if line.name == "b"]
    assert line.state is State.UNKNOWN
    assert world.only.phase is Phase.PROBING
    world.hear("b", STANDBY)
    assert world.only.data.peers["b"].words[0].groups[0].state is STANDBY


def test_H1_who_dies_after_another_is_noticed_as_well():
    world = World("a", count=3).says("b", STANDBY).says("c", STANDBY).run(3)
    world.silent("b").run(7).silent("c").run(7)
    assert world.only.codes.count("peer-dead") == 2


@pytest.mark.parametrize(("after_ns", "listens"), [(5 * SECOND, True), (5 * SECOND + 1, False)])
def test_H3_listening_lasts_for_the_dead_time(after_ns, listens):
    turn = turn_at(START_NS + after_ns, NodeData(listen_ns=START_NS))
    assert membership.is_listening(turn) is listens


def test_H3_who_is_excused_when_a_link_comes_back_is_shown_again_at_once():
    world = standby().link("a", False).run(10)
    assert world.only.data.peers["b"].dead
    world.only.forget()
    world.link("a", True)
    assert not world.only.data.peers["b"].dead
    assert world.only.did(Publish)


def test_H3_who_is_excused_at_the_end_of_a_stall_is_shown_again_at_once():
    """Isolated, then stalled as well, and the link came back: b is excused when the stall is over."""
    world = running(dead_ns=3 * SECOND).link("a", False).run(10)
    assert world.only.data.peers["b"].dead
    world.only.pause(6)
    world.run(6.3).silent("b").link("a", True)
    world.only.forget()
    world.run(1.5)
    assert not world.only.data.peers["b"].dead
    over = next(
        at for at, action in world.only.log if isinstance(action, Note) and action.reason.code == "stall-over"
    )
    assert over in [at for at, action in world.only.log if isinstance(action, Publish)]


def test_H4_a_link_is_up_or_down_however_often_that_is_told():
    world = standby()
    world.only.happen(LinkChanged(0, True))
    assert world.only.data.isolated_ns is None
    world.only.happen(LinkChanged(0, False))
    world.only.happen(LinkChanged(0, False))
    assert world.only.data.isolated_ns == world.now_ns
    world.only.happen(LinkChanged(0, True))
    assert world.only.data.isolated_ns is None


def test_P1_who_yields_to_a_take_over_listens_before_it_starts_again():
    """c was alive when a was paused, so it may run what b gives up a moment later."""
    world = running(count=3).says("c", STANDBY).run(5).says("b", STANDBY).silent("c")
    world.only.pause(20)
    world.run(20).hear("b", RUNNING).says("b", ERRORED).run(4.5)
    assert "taken-over" in world.only.codes
    assert world.only.phase is Phase.STANDBY
    world.run(1)
    assert world.only.phase is Phase.RUNNING


def test_H5_of_a_peer_that_says_nothing_of_the_group_nothing_is_assumed():
    turn, peer = turn_at(START_NS), peer_heard_at(START_NS, LinkWord(START_NS, []))
    assert membership.says(turn, peer, 0) == frozenset()
    assert not membership.came_back(turn, peer, 0)
    assert not membership.is_cleaning(turn, peer, 0)


def test_S3_a_clean_up_is_one_also_while_another_link_still_says_initial():
    words = [GroupWord(STOPPING, cleaning=True)], [GroupWord(INITIAL)]
    peer = peer_heard_at(START_NS, *(LinkWord(START_NS, groups) for groups in words))
    assert membership.is_cleaning(turn_at(START_NS), peer, 0)


def test_G5_a_worker_that_died_may_have_heard_what_came_in_time_and_a_tenth_later():
    assert membership.forgettable_ns(settings("a", heartbeat_ns=SECOND)) == 1600 * MS


# E: electing


@pytest.mark.parametrize(("after_ns", "busy"), [(5 * SECOND, True), (5 * SECOND + 1, False)])
def test_E1_a_node_that_came_back_counts_as_busy_for_the_dead_time(after_ns, busy):
    now_ns = START_NS + after_ns
    peer = peer_heard_at(now_ns, LinkWord(now_ns, [GroupWord(INITIAL, busy_ns=START_NS)]))
    assert membership.came_back(turn_at(now_ns), peer, 0) is busy


def test_E5_a_change_is_said_once_more_after_a_quarter_of_a_short_heartbeat():
    world = World("a", heartbeat_ns=100 * MS, dead_ns=SECOND, count=1).run(0.01)
    world.only.forget()
    world.until("a", RUNNING).run(0.05)
    sent = [(at_ns, action) for at_ns, action in world.only.log if isinstance(action, Send)]
    said_ns, again_ns = [at_ns for at_ns, action in sent if action.states == (RUNNING,)][:2]
    assert again_ns - said_ns == 25 * MS


def test_E5_the_epochs_on_the_disk_are_enough_while_five_hundred_are_left():
    """A thousand are reserved at once, and again when half of them are used."""
    world = standby()
    node = world.only.data
    node.epoch = node.epoch_asked - 501
    world.only.forget()
    world.says("b", ERRORED).run(1)
    assert "RecordEpoch" not in {type(action).__name__ for _, action in world.only.log}
    world = standby()
    world.only.data.epoch = world.only.data.epoch_asked - 500
    world.only.forget()
    world.says("b", ERRORED).run(1)
    assert "RecordEpoch" in {type(action).__name__ for _, action in world.only.log}


# Q: quorum


@pytest.mark.parametrize(
    ("late", "names"),
    [
        ((2500, 2500), []),  # just as late as may be
        ((2501, 2501), ["b", "c"]),
        ((2501, 0), []),  # the other two make a quorum
    ],
)
def test_Q1_a_claim_waits_for_late_peers_only_while_the_punctual_are_too_few(late, names):
    """Of five, d and e are dead; late is who was silent for more than half the dead time of 5 s."""
    now_ns = START_NS + 100 * SECOND
    node = NodeData()
    for name, silence in zip("bc", late):
        node.peers[name] = Peer(name, START_NS, now_ns - silence * MS, {})
    node.peers["f"] = Peer("f", START_NS, now_ns, {})
    turn = Turn(settings("a", count=5), node, now_ns)
    if names:
        del node.peers["f"]
    assert [peer.name for peer in membership.late_for_quorum(turn)] == names


def test_Q1_the_very_nanosecond_from_which_a_peer_is_late():
    now_ns = START_NS + 100 * SECOND
    for silence_ns, late in ((2_500_000_000, 0), (2_500_000_001, 1)):
        node = NodeData(peers={"b": Peer("b", START_NS, now_ns - silence_ns, {})})
        turn = Turn(settings("a", count=3), node, now_ns)
        assert len(membership.late_for_quorum(turn)) == late


@pytest.mark.parametrize("late", [0.3, 1, 1.7])
def test_H1_heartbeats_keep_their_rhythm_when_one_was_late(late):
    world = World("a").run(3)
    beat = world.only.data.beat_ns + (SECOND if late < 1 else ns(late))
    world.only.pause((world.only.data.beat_ns - world.now_ns) / SECOND + late)
    world.run(3.5)
    world.only.forget()
    world.run(5)
    sent = [at for at, action in world.only.log if isinstance(action, Send)]
    assert [(at - beat) % SECOND for at in sent] == [0] * 5
    assert sent == [at for at, action in world.only.log if isinstance(action, Publish)], "and the state file"


# L: the sole survivor


def test_L1_the_last_epoch_that_is_reserved_is_good_enough_for_the_mark():
    world = running()
    world.only.data.epoch_recorded = world.only.group.epoch
    world.silent("b").run(7)
    assert world.only.did(WriteMark)


def test_L3_a_mark_that_this_daemon_wrote_needs_the_dead_time_only():
    """Also where the one that it began with was of an earlier boot, and needed ``startup``."""
    world = World("a", on=False, count=5)
    world.only.mark, world.only.epoch = True, 7
    world.only.switch_on(same_boot=False)
    world.run(22)
    assert world.only.phase is Phase.RUNNING
    world.hear("b", STANDBY).run(6)
    assert world.only.mark, "b is dead again"
    assert world.only.data.alone, "one of five is no quorum"
    world.only.services = False
    world.until("a", ERRORED).run(1)
    world.usr2().run(1)
    assert world.only.phase is Phase.RUNNING


def test_S2_what_alone_start_waives_is_over_when_a_quorum_has_been_heard():
    world = World("a", count=3, alone=Alone.START).run(22)
    assert world.only.phase is Phase.RUNNING
    world.says("b", STANDBY).run(3).silent("b").run(7)
    world.only.services = False
    world.until("a", ERRORED).run(1).usr2().run(10)
    assert world.only.phase is Phase.STANDBY
    assert "no-quorum" in world.only.codes


def test_L1_the_mark_is_written_while_a_stop_is_blocked_as_well():
    world = running(stop_failure=StopFailure.BLOCK)
    world.only.scripts[Hook.STOP] = Script(outcome=Outcome.FAILED)
    world.only.services = False
    world.run(2)
    assert world.only.phase is Phase.BLOCKED
    assert not world.only.did(WriteMark), "b is alive"
    world.silent("b").run(7)
    assert world.only.did(WriteMark)


def test_L1_the_mark_is_written_while_a_start_is_let_finish_before_its_stop():
    world = standby()
    world.only.scripts[Hook.START] = Script(20)
    world.says("b", ERRORED).until("a", STARTING).run(1).term().silent("b").run(7)
    assert world.only.phase is Phase.ABORTING
    assert world.only.did(WriteMark)


def test_L1_who_asks_a_stranger_to_stop_is_no_survivor():
    world = World("a", names=("a", "b")).says("b", STANDBY).says("x", RUNNING).run(2).silent("b").run(7)
    world.usr1().run(1)
    assert world.only.phase is Phase.ASKING
    assert not world.only.did(WriteMark)


def test_L2_sighup_takes_the_mark_of_a_node_whose_stop_is_blocked():
    """It stopped for its isolation, and the stop failed; then the link came back, and nobody is there."""
    world = running(isolated=Isolated.STOP, stop_failure=StopFailure.BLOCK)
    world.only.scripts[Hook.STOP] = Script(outcome=Outcome.FAILED)
    world.link("a", False).run(10).silent("b").link("a", True).run(12)
    assert world.only.phase is Phase.BLOCKED
    assert world.only.mark
    world.hup().run(1)
    assert not world.only.mark
    assert world.only.phase is Phase.BLOCKED


# M: moving


@pytest.mark.parametrize("state", [RUNNING, STARTING])
def test_M2_a_node_that_is_not_in_nodes_ends_no_hold(state):
    world = running(count=2, names=("a", "b")).hup().run(1)
    world.hear("x", state).run(1).hear("x", ERRORED).run(1)
    assert world.only.group.hold is not None


def test_M1_a_stop_that_a_person_asked_for_again_leads_to_a_hold_as_well():
    world = running(stop_failure=StopFailure.BLOCK)
    world.only.scripts[Hook.STOP] = Script(outcome=Outcome.FAILED)
    world.hup().run(1)
    world.only.scripts[Hook.STOP] = Script(2)
    world.usr2().run(0.5).hup().run(3)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.hold is not None


def test_M5_the_clean_up_of_a_claim_that_was_taken_back_is_the_only_one():
    """Afterwards it is known what runs here, so the next claim is taken back without a stop."""
    world = World("a", force_main=True).run(0.5).hup().run(1)
    assert world.only.scripts_run == ["stophasrv"]
    world.says("b", ERRORED).usr2().run(0.05)
    assert world.only.phase is Phase.CLAIMING
    world.hear("b", RUNNING).run(0.5)
    assert world.only.phase is Phase.STANDBY
    assert world.only.scripts_run == ["stophasrv"]


def test_S5_the_end_of_another_hook_changes_nothing():
    """A worker that was replaced may be told late of a hook that is long over."""
    world = standby()
    world.only.scripts[Hook.START] = Script(5)
    world.says("b", ERRORED).until("a", STARTING).run(1)
    assert world.only.phase is Phase.STARTING
    world.only.happen(HookOver(world.only.group.run - 1, Outcome.FAILED, "exit status 1"))
    assert world.only.phase is Phase.STARTING
    assert world.only.group.hook is Hook.START


def test_M7_sigterm_while_a_left_over_hook_holds_monitorhasrv_back_ends_no_hook():
    world = World("a", on=False)
    world.only.switch_on(leftovers=5)
    world.says("b", STANDBY).run(1)
    assert world.only.phase is Phase.PROBING
    world.term()
    assert world.only.exit_code == 0
    assert not world.only.did(EndHook)


@pytest.mark.parametrize(
    ("outcome", "detail", "sentence"),
    [
        (Outcome.OK, "", "stophasrv succeeded"),
        (Outcome.FAILED, "exit status 1", "stophasrv failed (exit status 1)"),
        (Outcome.FAILED, "", "stophasrv failed"),
        (Outcome.TIMED_OUT, "timed out after 10 s", "stophasrv timed out"),
        (Outcome.ENDED, "was ended", "stophasrv was ended"),
    ],
)
def test_how_a_hook_ended_is_told_in_words(outcome, detail, sentence):
    assert told(Hook.STOP, HookOver(1, outcome, detail)) == sentence


# T: two that run


def beats(world: World) -> int:
    return world.only.data.peers["b"].words[0].groups[0].beats


def test_T3_a_further_heartbeat_is_half_an_interval_after_the_last_that_counted():
    world = running().silent("b").run(7)
    counted = []
    for after in (0, 0.05, 0.35, 0.15, 0.3, 0.15):  # at 0, 0.05, 0.4, 0.55, 0.85, 1.0
        world.run(after).hear("b", RUNNING)
        counted.append(beats(world))
    assert counted == [1, 1, 1, 2, 2, 2]
    world.run(0.05).hear("b", RUNNING)
    assert beats(world) == 3, "just half an interval is enough"


def test_T3_what_a_person_knew_of_is_no_further_heartbeat():
    """b was forced against a; a begins to stop, but its other link says RUNNING: b counts anew."""
    world = World("b", links=(Link("one"), Link("two")))
    world.says("a", RUNNING, link=0).says("a", RUNNING, link=1).run(10)
    world.usr1().until("b", RUNNING).run(20).silent("a", link=0).silent("a", link=1)
    world.hear("a", STOPPING, link=0)
    # The second comes when link one no longer keeps pace, so nothing contradicts it.
    for after, stops in ((1.6, False), (1.6, False), (0.8, True)):
        world.run(after).hear("a", RUNNING, link=1)
        assert ("later-in-order" in world.only.codes) is stops


def test_T3_starting_on_one_link_and_running_on_the_other_is_no_contradiction():
    world = running("b", "a", links=(Link("one"), Link("two"))).silent("a").run(7)
    for stops in (False, False, True):
        world.hear("a", STARTING, link=1).hear("a", RUNNING, link=0)
        assert ("later-in-order" in world.only.codes) is stops
        world.run(1)


def test_T3_what_a_peer_said_before_our_start_is_no_further_heartbeat():
    world = standby("b", "a")
    world.only.scripts[Hook.START] = Script(10)
    world.says("a", ERRORED).until("b", STARTING).run(0.5).silent("a")
    assert world.only.phase is Phase.STARTING
    for stopped in (False, False, True):
        world.hear("a", STARTING)
        assert (world.only.phase is Phase.ABORTING) is stopped
        world.run(1)


@pytest.mark.parametrize(("after", "stays"), [(1.999999999, True), (2, False)])
def test_T2_a_start_is_witnessed_two_heartbeats_after_our_own(after, stays):
    world = standby()
    world.says("b", ERRORED).run(0.1)
    assert world.only.phase is Phase.STARTING, "the hook has just begun"
    assert world.only.group.run_since_ns == world.now_ns
    world.silent("b").hear("b", STANDBY)
    world.run(after).hear("b", STARTING)
    assert ("newer-start" not in world.only.codes) is stays


def test_T2_counts_from_the_start_hook_and_not_from_its_end():
    world = standby()
    world.only.scripts[Hook.START] = Script(5)
    world.says("b", ERRORED).until("a", STARTING).says("b", STANDBY).until("a", RUNNING)
    world.run(0.1).hear("b", RUNNING)
    assert "newer-start" in world.only.codes


def test_T2_services_that_were_found_running_count_from_then():
    world = World("a", on=False)
    world.only.services = True
    world.only.switch_on()
    world.says("b", STANDBY).run(1)
    assert world.only.phase is Phase.RUNNING
    world.run(0.5).hear("b", RUNNING)
    assert "newer-start" not in world.only.codes, "a has run for 1.5 s"


def test_T2_a_status_that_nobody_knows_is_something_else_than_running():
    world = running().hear("b", State.UNKNOWN).run(0.1).hear("b", RUNNING)
    assert "newer-start" in world.only.codes


def test_T2_a_status_that_nobody_knows_is_no_start():
    world = running().hear("b", State.UNKNOWN).run(3)
    assert world.only.phase is Phase.RUNNING
    assert world.only.codes == []


def test_T4_a_peer_that_began_anew_has_as_long_to_yield_again():
    """b is seen running, then its daemon starts anew and finds its services: the quarrel begins again."""
    world = lone().says("b", RUNNING).run(6).says("b", INITIAL).run(2).says("b", RUNNING).run(6)
    assert world.only.phase is Phase.RUNNING
    world.run(5)
    assert "never-yields" in world.only.codes


def test_T4_a_quarrel_that_a_person_ended_is_not_held_against_the_next_start():
    """b is STARTING when a person's word starts a again: it is not one that a was forced against."""
    world = lone().says("b", RUNNING).run(6).hup().run(1)
    assert world.only.phase is Phase.STANDBY
    world.says("b", STARTING).usr1().run(2.5)
    assert world.only.phase is Phase.RUNNING
    world.run(5)
    assert "never-yields" not in world.only.codes


# What is said again and again


def test_the_same_complaint_is_made_again_after_a_minute_and_the_node_wakes_for_it():
    node = NodeData()
    turn = turn_at(START_NS, node)
    turn.complain(Reason("code", "text"), "b")
    assert turn.wake_ns == START_NS + COMPLAIN_NS
    turn.complain(Reason("code", "text"), "b")
    assert len(turn.actions) == 1
    early = turn_at(START_NS + COMPLAIN_NS - 1, node)
    early.complain(Reason("code", "text"), "b")
    assert not early.actions
    again = turn_at(START_NS + COMPLAIN_NS, node)
    again.complain(Reason("code", "text"), "b")
    assert len(again.actions) == 1


def test_complaints_within_a_minute_are_bounded_and_a_minute_later_there_is_room():
    node = NodeData()
    turn = turn_at(START_NS, node)
    for number in range(COMPLAINTS_MAX + 1):
        turn.complain(Reason("code", "text"), f"n{number}")
    assert len(turn.actions) == COMPLAINTS_MAX == 100
    later = turn_at(START_NS + COMPLAIN_NS, node)
    later.complain(Reason("code", "text"), "another")
    assert len(later.actions) == 1
    assert list(node.told_ns) == ["code another"]


def test_two_that_a_node_was_forced_against_are_each_complained_about():
    world = standby().says("c", RUNNING).run(3).usr1().run(4)
    texts = [
        action.reason.text for action in world.only.did(Note) if "was forced against" in action.reason.text
    ]
    assert [text.partition(" runs")[0] for text in texts] == ["b", "c"]


def test_two_are_each_complained_about():
    """A complaint about one says nothing of the other."""
    world = lone().says("b", RUNNING).says("c", RUNNING).run(1)
    texts = [action.reason.text for action in world.only.did(Note) if action.reason.code == "two-run"]
    assert texts == ["b runs services too", "c runs services too"]


def test_names_and_spans_in_a_sentence():
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and d",
    ]
    spans = (0, 1, 0.25, 0.9994, 1, 9.94, 10, 121)
    assert [seconds(ns(span)) for span in spans] == [
        "0 s",
        "1.0 s",
        "0.25 s",
        "0.999 s",
        "1.0 s",
        "9.9 s",
        "10 s",
        "121 s",
    ]


# What a node knows, as data


def test_a_fingerprint_shows_every_difference():
    """Two nodes that may do different things must differ: the explorer takes equal ones for one."""
    world = running("a", "b", count=3)
    data = world.only.data
    now_ns = world.now_ns
    same = fingerprint(data, now_ns)
    changes = (
        lambda d: d.groups[0].passed.append("x"),
        lambda d: setattr(d.groups[0], "run", 99),
        lambda d: setattr(d.groups[0], "since_ns", d.groups[0].since_ns + 1),
        lambda d: setattr(d.peers["b"], "warned", True),
        lambda d: setattr(d.peers["b"].words[0].groups[0], "state", INITIAL),
        lambda d: d.told_ns.update({"x y": now_ns + 1}),
        lambda d: d.peers["b"].conflict_ns.update({0: now_ns - 1}),
        lambda d: d.links_down.append(0),
    )
    for change in changes:
        other = clone(data)
        change(other)
        assert fingerprint(other, now_ns) != same


def test_a_fingerprint_tells_moments_as_distances_also_within_tables():
    data = NodeData(told_ns={"x": START_NS})
    data.peers["b"] = Peer("b", START_NS, START_NS, {0: LinkWord(START_NS, [])}, conflict_ns={0: START_NS})
    later = copy.deepcopy(data)
    later.told_ns["x"] += 7
    peer = later.peers["b"]
    peer.since_ns, peer.heard_ns = START_NS + 7, START_NS + 7
    peer.words[0].heard_ns += 7
    peer.conflict_ns[0] += 7
    assert fingerprint(data, START_NS) == fingerprint(later, START_NS + 7)
    assert fingerprint(data, START_NS) != fingerprint(later, START_NS)


def test_a_node_begins_with_nothing():
    node = Node(settings("a"))
    assert node.data == NodeData()
    view = node.view(START_NS)
    assert view.seeding
    assert [(line.name, line.state) for line in view.nodes] == [("a", INITIAL)]


def test_nodes_in_different_situations_have_different_fingerprints():
    one, other = running().only.node, standby().only.node
    assert one.fingerprint() != other.fingerprint()
    assert one.fingerprint() == one.copy().fingerprint()


def test_only_a_nodes_data_is_cloned():
    with pytest.raises(TypeError, match=r"not a node's data: 3"):
        clone(3)  # type: ignore[arg-type]
