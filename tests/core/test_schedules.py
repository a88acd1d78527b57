"""Schedules that once broke a rule or a promise, or were suspected to: the shortest form of each."""

from __future__ import annotations

import pickle

import pytest

from core.world import START_NS, Script, World, lone, ns, running, settings, standby
from had.core.actions import Alert, EraseMark, Hook, Publish, WriteMark
from had.core.data import clone
from had.core.events import Command, Heard, LinkChanged, Outcome, Tick, Word
from had.core.node import Node
from had.core.settings import SECOND, Alone, Isolated, Link, StopFailure
from had.core.states import Phase, State


def test_a_stalled_node_is_no_sole_survivor_for_having_heard_nobody():
    """L1 and P1: silence while we did not listen is nobody's death; a power cut now must not leave a mark."""
    world = running()
    world.only.pause(20)
    world.run(21)
    assert world.only.data.stall_ns is not None
    assert not world.only.did(WriteMark)
    assert not world.only.mark


def test_a_worker_that_was_long_away_is_no_sole_survivor():
    world = running()
    world.only.replace_worker(6)
    world.run(6.5)
    assert world.only.data.stall_ns is not None
    assert not world.only.did(WriteMark)


def test_a_stray_packet_does_not_trap_the_sole_survivor_of_five():
    """Promise 4: L3 is looked at again before the claim, and goes on when it is silent again."""
    world = World("a", on=False, count=5)
    world.only.mark = True
    world.only.switch_on(same_boot=True)
    world.only.scripts[Hook.STOP] = Script(2)
    world.run(6)
    assert world.only.phase is Phase.CLEANING
    world.hear("c", State.STANDBY)
    world.run(3)
    assert world.only.mark, "one packet takes nothing away (L2)"
    world.until("a", State.RUNNING, within=30)


def test_alone_exit_does_not_end_a_sole_survivor_that_is_about_to_go_on():
    """Promise 4: the switch boots slower than the node, and so L3's silence ends after ``startup``."""
    world = World("a", on=False, alone=Alone.EXIT)
    world.only.mark = True
    world.only.switch_on()
    world.link("a", False)
    world.run(5).link("a", True)
    world.until("a", State.RUNNING, within=40)


def test_isolation_that_outlasts_a_stall_still_ends_with_silence_counted_anew():
    """H3: the end of the stall is not the end of the deafness."""
    world = running()
    world.silent("b").link("a", False)
    world.run(1)
    world.only.pause(6)
    world.run(20)
    world.link("a", True)
    world.run(0.5)
    assert not world.only.data.peers["b"].dead
    assert not world.only.did(WriteMark)


def test_silence_during_a_stall_is_not_the_silence_of_rule_L3():
    world = World("a", on=False)
    world.only.mark = True
    world.only.switch_on(same_boot=True)
    world.run(1)
    world.only.pause(6)
    world.run(6 + 2.5 + 1)
    assert world.only.phase is Phase.WAITING


def test_made_up_names_do_not_fill_the_memory():
    """D18: what is kept of nodes is bounded, whatever they are called."""
    world = running(names=("a", "b"))
    sizes = []
    for turn in range(30):
        for number in range(16):
            world.hear(f"x{turn}-{number}", State.STANDBY)
        world.run(6)
        sizes.append(len(pickle.dumps(world.only.data)))
    assert sizes[-1] < sizes[5] * 1.2


def test_made_up_names_do_not_fill_the_memory_where_only_their_number_is_configured():
    world = running()
    sizes = []
    for turn in range(30):
        for number in range(60):
            world.hear(f"x{turn}-{number}", State.STANDBY)
        world.run(6)
        sizes.append(len(pickle.dumps(world.only.data)))
    assert sizes[-1] < sizes[5] * 1.2


def test_equal_situations_at_different_times_have_equal_fingerprints():
    """What is asked of the core's state: distances from now, not moments."""

    def play(start_ns: int) -> object:
        node = Node(settings("a"))
        for step in range(30):
            node.step(Tick(), start_ns + step * SECOND // 4)
            if step % 4 == 0:
                node.step(Heard(0, "b", (State.INITIAL,)), start_ns + step * SECOND // 4)
        return node.fingerprint()

    assert play(START_NS) == play(START_NS)
    assert play(START_NS) == play(START_NS + 500 * SECOND)


def test_a_forced_node_is_not_stopped_by_what_a_broken_link_said_long_ago():
    """T2 is about a start that we watched; this one came before ours, over the link that worked."""
    world = World("m", links=(Link("one"), Link("two")), dead_ns=60 * SECOND)
    world.says("b", State.STANDBY, link=0).says("b", State.STANDBY, link=1).run(2)
    world.silent("b", link=1).says("b", State.RUNNING, link=0).run(5)  # only link one works now
    world.usr1().until("m", State.RUNNING).run(5)
    assert world.only.group.forced_beside == ["b"]
    world.says("b", State.RUNNING, link=1).run(2)
    assert world.only.state is State.RUNNING


def test_what_a_broken_link_counted_is_no_further_heartbeat():
    """T3: two further heartbeats are waited for, after the peer has said something else."""
    world = World("b", links=(Link("one"), Link("two")), dead_ns=60 * SECOND)
    world.says("a", State.RUNNING, link=0).says("a", State.RUNNING, link=1).run(2)
    world.usr1().until("b", State.RUNNING).run(5)
    world.silent("a", link=1).run(5)  # link two breaks
    world.says("a", State.INITIAL, link=0).run(5).says("a", State.RUNNING, link=0).run(0.5)
    assert world.only.state is State.RUNNING


def test_an_old_quarrel_is_not_counted_in_a_new_one():
    """T4's dead time is that of one meeting, not of one long ago."""
    world = running("a", "b")
    world.says("b", State.RUNNING)  # witnessed: a stops at once
    world.run(1)
    assert world.only.state is State.STANDBY
    world.run(10).says("b", State.STARTING)
    world.usr1("a").until("a", State.RUNNING, within=5)
    world.run(1)
    assert world.only.state is State.RUNNING


def test_a_quarrel_ends_with_the_run_that_it_was_about():
    """T4's dead times begin anew with the next start, also if the peer never said anything else."""
    world = running("a", "b")
    world.says("b", State.STANDBY).run(0.1).says("b", State.RUNNING)  # witnessed: a stops at once
    world.until("a", State.STANDBY, within=5)
    world.usr1("a").until("a", State.RUNNING, within=10).run(0.1)
    assert world.only.data.peers["b"].conflict_ns == {}


def test_the_first_alert_of_a_failure_names_the_state_before():
    """HAD_PREVIOUS_STATE of the first alert after a failed monitor is RUNNING."""
    world = running()
    world.only.services = False
    world.run(3)
    alerts = world.only.did(Alert)
    assert [(alert.previous, alert.state) for alert in alerts] == [
        (State.RUNNING, State.ERRORED),
        (State.RUNNING, State.STOPPING),
        (State.STOPPING, State.ERRORED),
    ]


def test_two_deaf_spells_are_both_excused():
    """G5: a worker that hangs twice makes nobody dead."""
    world = standby()
    world.silent("b").run(0.2)
    world.only.replace_worker(4)
    world.run(4.1)
    world.only.replace_worker(4)
    world.run(4.5)
    assert not world.only.data.peers["b"].dead


def test_listening_ends_no_earlier_than_the_excuse():
    """H3 and Q1: at the one moment between them, peers that were never heard again made a quorum."""
    world = World("a", count=3)
    world.only.scripts[Hook.START] = Script(outcome=Outcome.FAILED)
    world.says("b", State.INITIAL).says("c", State.INITIAL)
    world.until("a", State.ERRORED).says("b", State.STANDBY).says("c", State.STANDBY).run(2)
    world.only.scripts[Hook.START] = Script()
    world.silent("b", "c").link("a", False)
    world.run(30).usr2()
    world.only.forget()
    world.link("a", True).run(20)
    assert State.STARTING not in world.only.words, "two silent nodes are no quorum"


def test_a_second_sighup_forgets_nothing():
    """M8 and M2: who has announced STARTING since the hold began is not forgotten."""
    world = running()
    world.only.scripts[Hook.STOP] = Script(5)
    world.hup().run(1).says("b", State.STARTING).run(1)
    world.hup().run(5).says("b", State.ERRORED).run(1)
    assert world.only.group.hold is None


def test_a_second_sighup_on_errored_is_no_hold():
    """M8: ``killall -HUP`` reaches guard and worker; a second one changes nothing."""
    world = World("a").says("b", State.STANDBY)
    world.only.scripts[Hook.START] = Script(outcome=Outcome.FAILED)
    world.until("a", State.ERRORED)
    world.hup().run(0.01).hup().run(3)
    assert world.only.group.hold is None


def test_sighup_takes_the_mark_also_from_an_errored_node():
    """L2: a person wants another node to have it."""
    world = lone()
    world.only.services = False
    world.until("a", State.ERRORED)
    assert world.only.mark
    world.hup().run(1)
    assert world.only.did(EraseMark)


def test_the_mark_that_sighup_took_is_not_written_again_while_it_stops_once_more():
    """L2: an ERRORED node that is told to stand down stops once more, but it ran nothing."""
    world = lone()
    world.only.services = False
    world.until("a", State.ERRORED)
    world.only.scripts[Hook.STOP] = Script(5)
    world.hup().run(1)
    assert world.only.state is State.STOPPING
    assert not world.only.mark


def test_a_forced_node_stays_when_the_peer_begins_to_stop():
    """T4: the dead times of a quarrel that the person knew of don't count when it is no longer known."""
    world = World("a", links=(Link("one"), Link("two")))
    world.says("b", State.RUNNING, link=0).says("b", State.RUNNING, link=1).run(10)
    world.usr1().until("a", State.RUNNING).run(20)
    assert world.only.group.forced_beside == ["b"]
    world.says("b", State.STOPPING, link=0).run(0.1)  # link two says RUNNING once more before it follows
    assert world.only.group.forced_beside == []
    assert world.only.state is State.RUNNING
    world.says("b", State.STOPPING, link=1)
    for _ in range(100):
        world.run(0.1)
        assert world.only.state is State.RUNNING


def test_starting_again_alone_the_first_packet_erases_the_mark():
    """L2: "when such a peer is heard while we run", and STARTING is running."""
    world = World("a", on=False)
    world.only.mark = True
    world.only.scripts[Hook.START] = Script(10)
    world.only.switch_on(same_boot=True)
    world.until("a", State.STARTING).run(1)
    world.hear("b", State.INITIAL).run(0.1)
    assert not world.only.mark


def test_two_that_started_unseen_in_a_short_cut_do_not_both_stop():
    """T: both must pick the same one, also where a cut shorter than the dead time hid both starts."""
    world = World("a", "b", dead_ns=30 * SECOND)
    for machine in world.machines.values():
        machine.scripts[Hook.START] = Script(outcome=Outcome.FAILED)
    world.until("a", State.ERRORED).until("b", State.ERRORED).run(2)
    for machine in world.machines.values():
        machine.scripts[Hook.START] = Script()
    world.cut("a", "b").usr2().run(10)
    assert world.active() == ["a", "b"]
    world.heal()
    for _ in range(100):
        world.run(0.1)
        assert world.active(), "both have stopped"
    assert len(world.active()) == 1


def test_two_that_were_both_forced_do_not_run_for_ever():
    """T: there is always an end to it; who was forced against a peer that then died knows it no longer."""
    world = World("a", "b").run(5).cut("b", "a", both=False).usr1("b").run(4)
    assert world.active() == ["a", "b"]
    world.heal().cut("a", "b", both=False).run(8)
    assert world.active() == ["b"], "a has yielded, but b could not hear it"
    world.usr1("a").run(8)
    assert world.active() == ["a", "b"]
    world.heal().run(20)
    assert len(world.active()) == 1


def test_a_node_that_is_cut_off_takes_nothing_over_with_the_peer_that_it_lost_last():
    """Q1: it has lost both, but counts one of them as alive for a moment longer than the other."""
    world = World("b", count=3).says("a", State.RUNNING).run(0.6).says("c", State.STANDBY).run(10)
    world.silent("a").run(0.5).silent("c").run(30)
    assert State.STARTING not in world.only.sent


def test_but_a_quorum_that_goes_on_speaking_takes_over_in_time():
    world = World("b", count=3).says("a", State.RUNNING).run(0.6).says("c", State.STANDBY).run(10)
    world.silent("a").run(6)
    assert world.only.state is State.RUNNING


def test_nor_does_it_wait_long_for_one_that_speaks_seldom():
    """A quorum that speaks every four of our heartbeats; the claim is made when it is heard again."""
    world = World("b", count=3).says("a", State.RUNNING).run(0.6).says("c", State.STANDBY, every=4).run(12)
    world.silent("a").run(5 + 4 + 0.5)
    assert world.only.state is State.RUNNING


def forgets(world: World, at: float) -> World:
    """Let the worker die ``at`` seconds from now; the next one goes on from what is known now (G5)."""
    machine = world.only
    machine.happen(Tick())
    data = clone(machine.data)

    def resume() -> None:
        machine.node = Node(machine.settings, data)
        machine.node.resume(world.now_ns)
        machine.happen(Tick())

    world.later(ns(at), resume)
    return world


def test_what_a_dead_worker_heard_after_its_snapshot_is_no_silence():
    """H1 and G5: the snapshot is a tenth of a heartbeat old, and b was heard just before the worker died."""
    world = standby().silent("b")
    known_ns = world.only.data.peers["b"].heard_ns
    world.run(0.9)
    forgets(world, 0.1)
    world.run(0.09).hear("b", State.RUNNING).run(0.02)
    assert world.only.data.peers["b"].heard_ns == known_ns, "it is forgotten"
    world.run(4.95)
    assert not world.only.data.peers["b"].dead, "heard a dead time ago at most"
    world.run(1.6)
    assert world.only.state is State.RUNNING, "and not much longer"


def test_a_heartbeat_that_ends_a_longer_silence_is_never_forgotten():
    """G5: it is published, and so in the snapshot of that turn; else a dead time could be far too short."""
    world = standby().silent("b").run(1.4)
    world.only.forget()
    world.hear("b", State.RUNNING)
    assert not world.only.did(Publish), "it is in time"
    world.run(1.6)
    world.only.forget()
    world.hear("b", State.RUNNING)
    assert world.only.did(Publish)


def test_workers_that_die_again_and_again_keep_no_dead_peer_alive():
    """Promise 2: four deaths a minute are no reason to give up (G3), and must not hide that b is dead."""
    world = standby(dead_ns=121 * SECOND, startup_ns=200 * SECOND).silent("b")
    for _ in range(9):
        world.run(15)
        world.only.replace_worker(0.1)
    assert world.only.data.peers["b"].dead


def test_the_state_file_shows_a_change_of_the_link_that_is_shown():
    """COMPAT 7: b's line is what the link heard last said, also where that link has said it before."""
    world = running(links=(Link("one"), Link("two")))
    world.silent("b")
    world.hear("b", State.STANDBY, 0).hear("b", State.ERRORED, 1)
    for state, link in ((State.STANDBY, 0), (State.ERRORED, 1), (State.STANDBY, 0)):
        world.only.forget()
        world.hear("b", state, link)
        assert [view.state for view in world.only.node.view(world.now_ns).nodes] == [State.RUNNING, state]
        assert world.only.did(Publish), f"{state.name} is shown now"
    world.only.forget()
    world.hear("b", State.ERRORED, 0).hear("b", State.ERRORED, 0)
    assert len(world.only.did(Publish)) == 1, "what is shown already is not written again"


def test_a_silent_peer_that_is_only_excused_is_not_heard_running():
    """T4 and H3: b dies beside a, which a person forced against it; then a is cut off for a while."""
    world = standby("m").usr1().run(2.5)
    assert world.only.group.forced_beside == ["b"]
    world.silent("b").link("m", False).run(6).link("m", True)
    assert not world.only.data.peers["b"].dead, "excused"
    world.run(12)
    assert world.only.data.peers["b"].dead
    assert world.only.state is State.RUNNING
    assert "never-yields" not in world.only.codes


def test_a_mark_that_nobody_believed_is_erased_at_the_start():
    """L2: a writer that was stuck when its daemon was killed writes it later; b may have run since."""
    assert standby().only.did(EraseMark)
    world = World("a", on=False)
    world.only.mark = True
    world.only.switch_on()
    assert not world.only.did(EraseMark)


def test_late_words_of_a_link_that_grows_slow_do_not_undo_a_hand_over():
    """T3: link two falls behind, so that its RUNNING comes after the STANDBY of link one."""
    world = World("a", "b", links=(Link("one"), Link("two"))).run(20)
    for pair in (("a", "b"), ("b", "a")):
        world.delay(*pair, 3.5, link=1)
    world.run(3.2)  # the last packets of link two are so old: it keeps pace no longer
    world.hup("a").run(30)
    assert world.active() == ["b"]
    assert "later-in-order" not in world["b"].codes


def test_two_links_that_agree_are_believed():
    """T3 is not put off where both links say that the peer runs."""
    world = World("a", "b", links=(Link("one"), Link("two"))).run(20)
    world.cut("a", "b", link=0).cut("a", "b", link=1).run(10)
    assert world.active() == ["a", "b"]
    world.heal().run(3.5)
    assert world.active() == ["a"]


@pytest.mark.parametrize("failure", list(StopFailure))
def test_the_mark_that_sighup_took_is_not_written_again_during_a_stop_that_follows_a_failure(failure):
    world = World("m", count=2, alone=Alone.START, startup_ns=6 * SECOND, stop_failure=failure)
    world.until("m", State.RUNNING).run(2)
    assert world.only.mark
    world.only.scripts[Hook.STOP] = Script(5, Outcome.FAILED)
    world.only.services = False
    world.run(2)
    assert world.only.phase is Phase.STOPPING
    assert world.only.group.goal is Phase.ERRORED
    world.hup().run(1)
    assert not world.only.mark
    world.run(10)
    assert not world.only.mark


def test_two_that_were_forced_in_a_short_cut_do_not_run_for_ever():
    """T4: each was forced against the other, the one unheard, in a cut shorter than the dead time."""
    world = World("a", "b", dead_ns=8 * SECOND).run(20)
    assert world.active() == ["a"]
    world.cut("a", "b", both=False)
    world["b"].happen(Command(Word.TAKE_OVER))
    world.run(1.1)
    world["a"].happen(Command(Word.TAKE_OVER))
    world.run(5.5)
    assert world.active() == ["a", "b"]
    world.heal().run(20)
    assert len(world.active()) == 1


def test_a_worker_that_is_replaced_while_isolated_first_looks_at_its_links():
    """I1: the cable is back, but the dead worker has not told so any more."""
    world = World("m", isolated=Isolated.STOP).says("z", State.STANDBY).run(10)
    assert world.only.state is State.RUNNING
    world.only.happen(LinkChanged(0, False))
    world.run(2)
    world.only.replace_worker(1)
    world.run(1.001)
    assert world.only.state is State.RUNNING
    world.only.happen(LinkChanged(0, True))
    world.run(10)
    assert world.only.state is State.RUNNING


def stop_has_failed():
    """A node that is ERRORED because its stop has failed: its services are up."""
    world = running()
    world.only.scripts[Hook.STOP] = Script(0.1, Outcome.FAILED)
    world.hup().run(2)
    assert world.only.phase is Phase.ERRORED
    assert world.only.services
    world.only.scripts[Hook.STOP] = Script(0.1)
    return world


def test_sigusr2_after_a_failed_stop_stops_again():
    """M6: to say STANDBY would be to say that the services are down."""
    world = stop_has_failed()
    world.only.forget()
    world.usr2()
    assert world.only.said is State.STOPPING
    world.run(1)
    assert world.only.scripts_run[0] == "stophasrv"
    assert world.only.words[1] is State.STANDBY


def test_sigusr2_after_a_stop_that_fails_again_changes_nothing():
    world = stop_has_failed()
    world.only.scripts[Hook.STOP] = Script(0.1, Outcome.FAILED)
    world.usr2().run(1)
    assert world.only.phase is Phase.ERRORED
    assert world.only.services


def test_a_claim_after_a_failed_stop_that_is_withdrawn_stops_first():
    """M3, M1: found by the soak; the node said STANDBY with its services up, and started them once more."""
    world = stop_has_failed()
    world.usr1()
    assert world.only.phase is Phase.CLAIMING
    world.hup()
    assert world.only.said is State.STOPPING
    world.run(0.2)
    assert not world.only.services
    assert world.only.said in (State.STANDBY, State.ERRORED)


def test_sigterm_during_such_a_claim_stops_before_it_leaves():
    world = stop_has_failed()
    world.usr1()
    world.term().run(1)
    assert world.only.exit_code == 0
    assert not world.only.services
