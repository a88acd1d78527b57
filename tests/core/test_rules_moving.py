"""Rules M: moving by a person's word."""

from __future__ import annotations

import pytest

from core.world import Script, World, running, standby
from had.core.actions import Hook, Level, Note, RunHook, Send
from had.core.events import Outcome, Word, stop_beats_start
from had.core.settings import SECOND, StopFailure
from had.core.states import Phase, State

FAILS = Script(outcome=Outcome.FAILED)
HANGS = Script(10_000)


def starting(seconds: float = 10, **changes: object) -> World:
    """A node whose start hook runs, for so many seconds more or less."""
    world = World("a", **changes).says("b", State.ERRORED)
    world.only.scripts[Hook.START] = Script(seconds)
    world.until("a", State.STARTING).says("b", State.STANDBY).run(0.5)
    assert world.only.phase is Phase.STARTING
    return world


def stopping(seconds: float = 10, **changes: object) -> World:
    """A node that stops by SIGHUP, for so many seconds."""
    world = running(**changes)
    world.only.scripts[Hook.STOP] = Script(seconds)
    world.hup().run(0.5)
    assert world.only.phase is Phase.STOPPING
    return world


def errored() -> World:
    """A node whose start failed, beside a STANDBY peer; its scripts are mended now."""
    world = World("a").says("b", State.STANDBY)
    world.only.scripts[Hook.START] = FAILS
    world.until("a", State.ERRORED).run(0.5)
    world.only.scripts[Hook.START] = Script()
    world.only.forget()
    return world


def blocked() -> World:
    """A node whose stop failed and that blocks."""
    world = running(stop_failure=StopFailure.BLOCK)
    world.only.scripts[Hook.STOP] = FAILS
    world.hup().run(1)
    assert world.only.phase is Phase.BLOCKED
    world.only.forget()
    return world


# M1


def test_M1_sighup_while_running_stops_and_holds():
    world = running().hup().run(1)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.hold is not None
    assert [run.hook for run in world.only.did(RunHook) if run.hook is Hook.STOP] == [Hook.STOP]
    world.run(50)
    assert world.only.phase is Phase.STANDBY


def test_M1_sighup_while_starting_lets_the_hook_finish_then_stops_and_holds():
    world = starting().hup()
    assert (world.only.phase, world.only.said) == (Phase.ABORTING, State.STOPPING)
    world.run(15)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.hold is not None
    assert world.only.hooks[-1].run.hook is Hook.STOP
    assert world.only.hooks[-2].outcome is Outcome.OK


def test_M1_sighup_while_stopping_leaves_a_hold():
    world = running()
    world.only.services = False
    world.only.scripts[Hook.STOP] = Script(5)
    world.until("a", State.STOPPING).usr2().hup().run(6)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.hold is not None


def test_M1_sighup_during_a_claim_withdraws_it_and_holds():
    world = standby().says("b", State.ERRORED)
    assert world.only.phase is Phase.CLAIMING
    world.hup()
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.hold is not None
    assert world.only.said is State.ERRORED
    world.run(20)
    assert "starthasrv" not in world.only.scripts_run


def test_M1_sighup_while_asking_too():
    world = standby().usr1()
    assert world.only.phase is Phase.ASKING
    world.hup()
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.hold is not None


def test_M1_sighup_on_standby_is_only_a_log_line():
    world = standby()
    world.only.forget()
    world.hup()
    assert world.only.codes == ["nothing-to-stop"]
    assert world.only.group.hold is None
    assert not world.only.did(RunHook)
    world.says("b", State.ERRORED).run(1)
    assert world.only.state is State.RUNNING


def test_M1_sighup_during_the_clean_up_at_start_holds_nothing():
    """``killall -HUP had`` while one node boots must not leave all of them on hold."""
    world = World("a", on=False)
    world.only.scripts[Hook.STOP] = Script(3)
    world.only.switch_on()
    world.says("b", State.ERRORED).run(1)
    assert world.only.phase is Phase.CLEANING
    world.hup()
    assert world.only.group.hold is None
    world.until("a", State.RUNNING, within=5)


@pytest.mark.parametrize("when", ["waiting", "probing"])
def test_M1_sighup_while_initial_is_only_a_log_line(when):
    world = World("a", on=False)
    world.only.scripts[Hook.MONITOR] = Script(2)
    world.only.switch_on()
    if when == "probing":
        world.says("b", State.ERRORED).run(1)
    world.hup()
    assert world.only.codes[-1] == "nothing-to-stop"
    assert world.only.group.hold is None


def test_M1_killall_hup_leaves_somebody_running():
    world = World("a", "b", "c", count=3).run(5)
    assert world.active() == ["a"]
    world.hup().run(5)
    assert world.active() == ["b"]
    assert not world.overlaps


def test_M1_on_errored_stophasrv_runs_once_more_and_it_stays_errored():
    world = errored().hup().run(5)
    assert world.only.phase is Phase.ERRORED
    assert world.only.scripts_run == ["stophasrv"]
    assert world.only.alerts == [3, 6]
    assert world.only.group.hold is None


def test_M1_in_a_blocked_stopping_nothing_is_run():
    world = blocked().hup().run(5)
    assert world.only.phase is Phase.BLOCKED
    assert not world.only.did(RunHook)
    assert world.only.note("still-blocked").level is Level.ERROR


# M2


def held(**changes: object) -> World:
    """A node on hold, with an ERRORED peer."""
    world = running(**changes).says("b", State.ERRORED).hup().run(1)
    assert world.only.group.hold is not None
    world.only.forget()
    return world


def test_M2_a_hold_makes_not_ready():
    world = held().run(1)
    assert world.only.sent[-1] is State.ERRORED


def test_M2_a_hold_ends_when_a_peer_is_running():
    world = held()
    world.hear("b", State.RUNNING)
    assert world.only.group.hold is None
    assert world.only.note("hold-over")


@pytest.mark.parametrize("end", [State.STOPPING, State.ERRORED])
def test_M2_a_hold_ends_when_a_peer_has_tried(end):
    world = held()
    world.hear("b", end).run(1)
    assert world.only.group.hold is not None, "it has not announced STARTING since"
    world.hear("b", State.STARTING)
    assert world.only.group.hold is not None
    world.hear("b", end)
    assert world.only.group.hold is None


def test_M2_a_peer_that_goes_back_to_standby_has_not_tried():
    world = held()
    world.hear("b", State.STARTING).hear("b", State.STANDBY)
    assert world.only.group.hold is not None


def test_M2_a_hold_ends_when_a_peer_that_began_is_silent_for_our_start_timeout():
    world = held().silent("b")
    world.hear("b", State.STARTING).run(29.9)
    assert world.only.group.hold is not None
    world.run(0.2)
    assert world.only.group.hold is None
    world.run(1)
    assert world.only.state is State.RUNNING


def test_M2_a_hold_ends_when_who_began_has_been_forgotten():
    world = held()
    world.hear("b", State.STARTING)
    del world.only.data.peers["b"]
    world.silent("b").run(1)
    assert world.only.group.hold is None


def test_M2_silence_alone_ends_nothing():
    world = held().silent("b").run(1000)
    assert world.only.group.hold is not None


def test_M2_sigusr1_ends_it_and_starts():
    world = held().usr1().run(1)
    assert world.only.state is State.RUNNING
    assert world.only.group.hold is None


def test_M2_sigusr2_ends_it():
    world = held().usr2()
    assert world.only.group.hold is None
    world.run(1)
    assert world.only.state is State.RUNNING


def test_M2_it_outlives_the_worker():
    world = held()
    world.only.replace_worker(2)
    world.run(50)
    assert world.only.group.hold is not None
    assert world.only.phase is Phase.STANDBY


def test_M2_a_restart_ends_it():
    world = held().term()
    world.only.switch_on()
    world.run(2)
    assert world.only.group.hold is None


def test_M2_while_nobody_is_ready_it_is_complained_about_once_a_minute():
    world = held().run(180)
    notes = [note for note in world.only.did(Note) if note.reason.code == "on-hold"]
    assert len(notes) == 3
    assert "SIGUSR1" in notes[0].reason.text
    assert "SIGUSR2" in notes[0].reason.text


def test_M2_no_complaint_while_a_peer_is_ready_or_busy():
    for state in (State.STANDBY, State.STOPPING):
        world = running().says("b", state).hup().run(1)
        world.only.forget()
        world.run(100)
        assert "on-hold" not in world.only.codes


def test_M2_after_the_others_turn_it_is_a_candidate_again():
    world = World("a", "b").run(5).hup("a").run(3)
    assert world.active() == ["b"]
    world.hup("b").run(3)
    assert world.active() == ["a"]


def test_M2_when_the_other_fails_to_start_it_starts_again():
    world = World("a", "b").run(5)
    world["b"].scripts[Hook.START] = FAILS
    world.hup("a").run(5)
    assert world.states() == {"a": State.RUNNING, "b": State.ERRORED}
    assert not world.overlaps


# M3


def test_M3_with_nobody_running_the_claim_is_made_at_once_whatever_the_order():
    world = World("m", startup_ns=30 * SECOND).says("a", State.STANDBY).run(2).usr1()
    assert world.only.phase is Phase.CLAIMING
    world.run(0.2)
    assert world.only.state is State.RUNNING


def test_M3_without_quorum():
    world = World("a", count=3).says("b", State.RUNNING).run(12).silent("b").run(6)
    assert world.only.said is State.ERRORED
    world.usr1().run(0.2)
    assert world.only.state is State.RUNNING


def test_M3_clears_errored():
    world = errored().usr1().run(0.2)
    assert world.only.state is State.RUNNING
    assert world.only.alerts == [4, 2]


def test_M3_on_errored_beside_one_that_runs_it_asks():
    world = errored().says("b", State.RUNNING).run(3).usr1()
    assert world.only.phase is Phase.ASKING


def test_M3_a_peer_that_yields_is_waited_for():
    world = standby().usr1()
    assert (world.only.phase, world.only.said) == (Phase.ASKING, State.STARTING)
    world.run(1).says("b", State.STOPPING).run(20)
    assert world.only.phase is Phase.ASKING
    world.says("b", State.STANDBY)
    assert world.only.phase is Phase.STARTING
    assert world.only.alerts[-1] == 4


def test_M3_or_until_it_has_died():
    world = standby().usr1().says("b", State.STOPPING).run(1).silent("b").run(6)
    assert world.only.state is State.RUNNING


def test_M3_or_until_our_stop_timeout_has_passed():
    world = standby().usr1().run(1).says("b", State.STOPPING).run(29.9)
    assert world.only.phase is Phase.ASKING
    world.run(0.2)
    assert world.only.state is State.RUNNING
    assert world.only.note("forced-beside").level is Level.WARNING


def test_M3_a_peer_that_says_nothing_of_it_for_two_heartbeats_is_started_beside():
    world = standby().usr1().run(1.99)
    assert world.only.phase is Phase.ASKING
    world.run(0.1)
    assert world.only.state is State.RUNNING
    assert world.only.note("forced-beside").level is Level.WARNING
    assert world.only.group.forced_beside == ["b"]


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING])
def test_M3_a_peer_that_has_just_started_is_asked_when_it_can_take_us_for_the_newer(state):
    """T2: it yields only to a start that it hears after announcing for two heartbeats itself."""
    world = standby().says("b", State.STOPPING).run(1).says("b", state).run(0.1).usr1().run(2.3)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.take_over
    world.run(0.2)
    assert world.only.phase is Phase.ASKING


def test_M3_two_words_in_quick_succession_move_it_there_and_back():
    world = World("a", "b").run(8).usr1("b").run(0.5).usr1("a").run(8)
    assert world.active() == ["a"]
    assert not world.overlaps


def test_M3_a_peer_that_thought_better_of_it_is_started_beside():
    world = standby().usr1().says("b", State.STOPPING).run(5).says("b", State.RUNNING).run(0.1)
    assert world.only.state is State.RUNNING


def test_M3_rules_T_do_not_apply_while_it_waits():
    world = standby("m", "a").usr1().says("a", State.STOPPING).run(20)
    assert world.only.phase is Phase.ASKING
    assert not [note for note in world.only.did(Note) if note.reason.code in ("two-run", "newer-start")]


def test_M3_already_running_here_it_changes_nothing():
    for world in (running(), starting()):
        phase, run = world.only.phase, world.only.group.run
        world.usr1()
        assert world.only.phase is phase
        assert world.only.codes[-1] == "already-running"
        assert world.only.group.run == run
        assert not world.only.group.take_over


def test_M3_during_stopping_it_starts_when_the_stop_is_over():
    world = stopping().usr1().run(5)
    assert world.only.phase is Phase.STOPPING
    world.run(6)
    assert world.only.state is State.RUNNING
    assert world.only.group.hold is None


def test_M3_after_the_stop_it_asks_like_any_other_time():
    """D7: not beside one that has taken over meanwhile."""
    world = stopping().usr1().says("b", State.RUNNING).run(10)
    assert world.only.phase is Phase.ASKING


def test_M3_while_initial_it_goes_through_monitor_and_clean_up():
    world = World("a").usr1().run(0.5)
    assert world.only.state is State.RUNNING
    assert world.only.scripts_run == ["monitorhasrv", "stophasrv", "starthasrv"]
    assert world.only.alerts == [3, 5, 4, 2]


def test_M3_while_initial_beside_services_that_run_here_nothing_is_started():
    world = World("a", on=False)
    world.only.services = True
    world.only.switch_on()
    world.usr1().run(1)
    assert world.only.state is State.RUNNING
    assert world.only.scripts_run == ["monitorhasrv"]
    assert not world.only.group.take_over


def test_M3_during_a_claim_it_makes_the_claim_a_forced_one():
    world = standby().says("b", State.ERRORED).usr1().hear("c", State.RUNNING)
    assert world.only.phase is Phase.CLAIMING
    world.run(0.2)
    assert world.only.state is State.RUNNING


def test_M3_on_the_way_out_it_is_ignored():
    world = stopping()
    world.term().usr1()
    assert not world.only.group.take_over
    world.run(11)
    assert world.only.exit_code == 0


def test_M3_switch_over_between_two_of_ours():
    world = World("a", "b").run(5).usr1("b").run(3)
    assert world.active() == ["b"]
    assert world["a"].state is State.STANDBY
    assert world["a"].group.hold is None
    assert not world.overlaps
    world.run(100)
    assert world.active() == ["b"], "it does not go back by itself"


# M5


def test_M5_force_main_announces_twice_a_second_apart_then_starts():
    world = World("a", force_main=True).run(0.01)
    assert world.only.sent[0] is State.STARTING
    world.run(0.98)
    assert not world.only.hooks
    world.run(0.02)
    assert [ran.run.hook for ran in world.only.hooks] == [Hook.START]
    assert world.only.sent.count(State.STARTING) >= 2
    world.run(0.1)
    assert world.only.alerts == [4, 2]
    assert world.only.scripts_run == ["starthasrv"]
    assert world.only.note("forced").level is Level.WARNING


def test_M5_whatever_others_say():
    world = World("m", force_main=True).says("a", State.RUNNING).run(1.2)
    assert world.only.state is State.RUNNING
    assert world.only.group.forced
    assert world.only.group.forced_beside == ["a"]


def test_M5_a_reforked_worker_does_not_repeat_it():
    world = World("a", force_main=True).run(2).hup().run(1)
    world.only.replace_worker(1)
    world.run(20)
    assert world.only.scripts_run == ["starthasrv", "stophasrv"]


def force_main(**changes: object) -> World:
    """``-m`` beside services that an earlier daemon left; half a second later."""
    world = World("a", on=False, force_main=True, **changes)
    world.only.services = True
    world.only.switch_on()
    return world.run(0.5)


def test_M5_a_claim_that_sighup_withdraws_is_cleaned_up_first():
    world = force_main().hup().run(1)
    assert not world.only.services
    assert world.only.scripts_run == ["stophasrv"]
    assert world.only.words == [State.STARTING, State.STOPPING, State.ERRORED], "on hold, so not ready"
    assert world.only.alerts == [4, 3, 5]
    assert world.only.phase is Phase.STANDBY
    world.usr2().run(1)
    assert world.only.scripts_run == ["stophasrv", "starthasrv"]


def test_M5_sigterm_before_the_start_stops_what_may_run_and_then_leaves():
    world = force_main().term()
    assert world.only.exit_code is None
    world.run(1)
    assert world.only.scripts_run == ["stophasrv"]
    assert world.only.exit_code == 0


def test_M5_sigterm_before_the_start_tells_of_a_stop_that_failed():
    world = force_main()
    world.only.scripts[Hook.STOP] = Script(outcome=Outcome.FAILED)
    world.term().run(1)
    assert world.only.exit_code == 1


def test_M5_a_stall_before_the_start_cleans_up_and_remembers_the_word():
    world = force_main()
    world.only.pause(6)
    world.run(6.1)
    assert world.only.phase is Phase.CLEANING
    assert not world.only.hooks, "it only listens"
    world.run(5)
    assert world.only.scripts_run == ["stophasrv", "starthasrv"]
    assert world.only.state is State.RUNNING


@pytest.mark.parametrize(
    ("policy", "phase"), [(StopFailure.BLOCK, Phase.BLOCKED), (StopFailure.ERRORED, Phase.ERRORED)]
)
def test_M5_a_clean_up_that_fails_may_leave_services_so_it_blocks(policy, phase):
    """S4 lets a failed clean-up pass where the monitor said that nothing runs; here nobody has asked it."""
    world = force_main(stop_failure=policy)
    world.only.scripts[Hook.STOP] = Script(outcome=Outcome.FAILED)
    world.hup().run(1)
    assert world.only.phase is phase


def test_M5_sigusr1_during_the_clean_up_starts_after_it():
    world = force_main()
    world.only.scripts[Hook.STOP] = Script(2)
    world.hup().run(1).usr1().run(2)
    assert world.only.scripts_run == ["stophasrv", "starthasrv"]
    assert world.only.state is State.RUNNING


def test_M5_a_worker_that_dies_before_the_start_leaves_the_clean_up_to_the_next():
    world = force_main()
    world.only.replace_worker(0.2)
    world.run(0.3).hup().run(1)
    assert world.only.scripts_run == ["stophasrv"]


def test_M5_isolation_before_the_start_withdraws_nothing():
    world = force_main().link("a", False).run(1)
    assert world.only.scripts_run == ["starthasrv"]


def test_M5_a_later_claim_is_withdrawn_without_a_stop():
    """Once it has started, it is known what runs here: nothing, in a STANDBY node."""
    world = World("m", force_main=True).says("b", State.STANDBY).run(2).hup().run(1)
    world.only.forget()
    world.usr1().run(0.05)
    assert world.only.phase is Phase.CLAIMING
    world.hup().run(1)
    assert not world.only.scripts_run
    assert world.only.phase is Phase.STANDBY


def test_M5_it_takes_part_in_later_elections():
    """D23."""
    world = World("a", force_main=True).says("b", State.STANDBY).run(2).hup().run(1)
    world.says("b", State.RUNNING).run(2).says("b", State.ERRORED).run(1)
    assert world.only.state is State.RUNNING


# M6


def test_M6_sigusr2_clears_errored_with_an_alert():
    world = errored().usr2()
    assert world.only.alerts[0] == 5
    assert world.only.words[0] is State.STANDBY
    world.run(1)
    assert world.only.state is State.RUNNING


def test_M6_in_a_blocked_stopping_stophasrv_runs_again():
    world = blocked()
    world.only.scripts[Hook.STOP] = Script()
    world.says("b", State.RUNNING).usr2().run(1)
    assert world.only.scripts_run == ["stophasrv"]
    assert world.only.phase is Phase.STANDBY


def test_M6_and_again_if_need_be():
    world = blocked().usr2().run(1)
    assert world.only.phase is Phase.BLOCKED
    world.usr2().run(1)
    assert world.only.scripts_run == ["stophasrv", "stophasrv"]


def test_M6_in_a_blocked_stopping_it_ends_the_hold_too():
    assert blocked().usr2().only.group.hold is None


@pytest.mark.parametrize("make", [standby, running, starting])
def test_M6_elsewhere_it_changes_nothing(make):
    world = make()
    before = world.only.phase, world.only.group.run
    world.usr2()
    assert (world.only.phase, world.only.group.run) == before


def test_M6_in_a_stop_after_a_failure_it_leads_to_standby():
    world = running()
    world.only.services = False
    world.only.scripts[Hook.STOP] = Script(3)
    world.until("a", State.STOPPING).usr2().says("b", State.RUNNING).run(4)
    assert world.only.phase is Phase.STANDBY


# M7


def test_M7_standby_leaves_at_once():
    world = standby().term()
    assert world.only.exit_code == 0


def test_M7_running_stops_first_however_long_it_takes():
    world = running()
    world.only.scripts[Hook.STOP] = Script(29)
    world.term().run(28)
    assert world.only.exit_code is None
    world.run(2)
    assert world.only.exit_code == 0
    assert not world.only.services


@pytest.mark.parametrize("script", [FAILS, HANGS])
def test_M7_after_a_failed_stop_the_exit_code_is_1(script):
    world = running()
    world.only.scripts[Hook.STOP] = script
    world.term().run(40)
    assert world.only.exit_code == 1


def test_M7_in_a_blocked_stopping_it_stays_until_M6():
    world = running(stop_failure=StopFailure.BLOCK)
    world.only.scripts[Hook.STOP] = FAILS
    world.term().run(1000)
    assert world.only.exit_code is None
    assert world.only.phase is Phase.BLOCKED
    assert world.only.said is State.STOPPING
    world.only.scripts[Hook.STOP] = Script()
    world.usr2().run(1)
    assert world.only.exit_code == 0


def test_M7_in_a_blocked_stopping_it_says_what_to_do():
    world = blocked().term()
    assert "SIGUSR2" in world.only.note("leaving-blocked").reason.text
    assert world.only.exit_code is None


def test_M7_the_start_hook_is_let_finish():
    world = starting().term()
    assert world.only.said is State.STOPPING
    world.run(20)
    start, stop = world.only.hooks[-2:]
    assert (start.run.hook, start.outcome) == (Hook.START, Outcome.OK)
    assert (stop.run.hook, stop.at_ns) == (Hook.STOP, start.over_ns)
    assert world.only.exit_code == 0


def test_M7_or_time_out():
    world = starting(1000).term().run(40)
    assert world.only.hooks[-2].outcome is Outcome.TIMED_OUT
    assert world.only.exit_code == 0


def test_M7_while_initial_no_hook_runs():
    world = World("a").run(3).term()
    assert world.only.exit_code == 0
    assert not world.only.did(RunHook)
    assert set(world.only.sent) == {State.INITIAL}


def test_M7_during_the_first_monitor():
    """D6: not lost; the monitor is ended, nothing else is run."""
    world = World("a", on=False)
    world.only.scripts[Hook.MONITOR] = HANGS
    world.only.switch_on()
    world.says("b", State.STANDBY).run(1).term()
    assert world.only.exit_code == 0
    assert world.only.scripts_run == ["monitorhasrv"]


@pytest.mark.parametrize(("script", "code"), [(Script(3), 0), (Script(3, Outcome.FAILED), 1)])
def test_M7_during_the_clean_up_it_is_waited_for(script, code):
    world = World("a", on=False)
    world.only.scripts[Hook.STOP] = script
    world.only.switch_on()
    world.says("b", State.STANDBY).run(1).term().run(1)
    assert world.only.exit_code is None
    world.run(2)
    assert world.only.exit_code == code


def test_M7_during_a_claim_nothing_is_started():
    world = standby().says("b", State.ERRORED).term()
    assert world.only.exit_code == 0
    assert "starthasrv" not in world.only.scripts_run


def test_M7_while_asking_too():
    world = standby().usr1().term()
    assert world.only.exit_code == 0


def test_M7_errored_stops_once_more():
    world = errored().term().run(1)
    assert world.only.scripts_run == ["stophasrv"]
    assert world.only.exit_code == 0
    assert world.only.said is State.STOPPING


def test_M7_a_second_one_changes_nothing():
    world = stopping(3).term()
    count = len(world.only.did(Send))
    world.term()
    assert len(world.only.did(Send)) == count
    world.run(3)
    assert world.only.exit_code == 0
    assert len([run for run in world.only.did(RunHook) if run.hook is Hook.STOP]) == 1


def test_M7_no_further_starts():
    world = stopping(3)
    world.only.scripts[Hook.START] = FAILS
    world.usr1().term().run(5)
    assert world.only.exit_code == 0
    assert Hook.START not in [run.hook for run in world.only.did(RunHook)]


# M8


MOMENTS = {
    "waiting": lambda: World("a"),
    "standby": standby,
    "claiming": lambda: standby().says("b", State.ERRORED),
    "asking": lambda: standby().usr1(),
    "starting": starting,
    "running": running,
    "stopping": stopping,
    "errored": errored,
    "blocked": blocked,
}


@pytest.mark.parametrize("word", list(Word))
@pytest.mark.parametrize("moment", MOMENTS)
def test_M8_a_second_one_of_its_kind_changes_nothing(moment, word):
    """As when ``killall`` reaches guard and worker: the same word twice, milliseconds apart."""
    outcomes = []
    for times in (1, 2):
        world = MOMENTS[moment]()
        world.run(0.01)
        for _ in range(times):
            world.word(word).run(0.001)
        world.run(0.01 - 0.001 * times)
        hooks = [run.hook for run in world.only.did(RunHook)]
        group = world.only.group
        outcomes.append(
            (group.phase, group.goal, group.hold, group.forced, group.take_over, hooks, world.only.words)
        )
        world.run(40)
        outcomes[-1] += (world.only.phase, world.only.words, world.only.scripts_run, world.only.exit_code)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("word", list(Word))
def test_M8_words_to_a_daemon_that_has_ended_do_nothing(word):
    world = standby().term()
    world.only.forget()
    world.word(word).run(5)
    assert not world.only.log


def test_M8_stop_beats_start():
    assert stop_beats_start([Word.LEAVE, Word.STAND_DOWN, Word.CLEAR, Word.TAKE_OVER]) == [
        Word.TAKE_OVER,
        Word.CLEAR,
        Word.STAND_DOWN,
        Word.LEAVE,
    ]


@pytest.mark.parametrize("word", [Word.STAND_DOWN, Word.LEAVE])
def test_M8_a_later_stop_cancels_a_start_that_was_still_to_come(word):
    world = stopping(3).usr1()
    assert world.only.group.take_over
    world.word(word)
    assert not world.only.group.take_over
    world.run(20)
    assert Hook.START not in [ran.run.hook for ran in world.only.hooks]


def test_M8_both_at_once_while_running_is_a_stop():
    world = running()
    for word in stop_beats_start([Word.STAND_DOWN, Word.TAKE_OVER]):
        world.word(word)
    world.run(20)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.hold is not None
