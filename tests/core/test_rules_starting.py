"""Rules S (starting up), L (the sole survivor) and V (leaving)."""

from __future__ import annotations

import pytest

from core.world import START_NS, Script, World, lone, running, standby
from had.core.actions import EraseMark, Exit, Hook, Level, Note, RecordEpoch, RunHook, Send, WriteMark
from had.core.events import Outcome, Word
from had.core.settings import SECOND, Alone, StopFailure
from had.core.states import Phase, State

FAILS = Script(outcome=Outcome.FAILED)

# S1


def test_S1_initial_ends_when_all_have_been_heard():
    world = World("a", count=3).run(3).hear("b", State.STANDBY).run(1)
    assert world.only.state is State.INITIAL
    world.hear("c", State.STANDBY)
    assert world.only.phase is Phase.PROBING


def test_S1_one_packet_of_each_is_enough_however_far_apart():
    world = World("a", count=3).hear("b", State.STANDBY).run(8).hear("c", State.STANDBY)
    assert world.only.phase is Phase.PROBING


def test_S1_a_cluster_of_one_goes_on_at_once():
    world = World("a", count=1).until("a", State.RUNNING, within=1)
    assert world.only.alerts == [3, 5, 4, 2]


def test_S1_with_a_quorum_after_startup_quorum():
    world = World("a", count=3).says("b", State.RUNNING).run(9.99)
    assert world.only.phase is Phase.WAITING
    world.run(0.02)
    assert world.only.phase is Phase.PROBING


def test_S1_a_startup_that_is_shorter_than_startup_quorum_counts():
    world = World("a", count=3, startup_ns=6 * SECOND).says("b", State.RUNNING).run(5.9)
    assert world.only.phase is Phase.WAITING
    world.run(0.2)
    assert world.only.phase is not Phase.WAITING


def test_S1_a_quorum_that_is_silent_again_is_none():
    world = World("a", count=3).hear("b", State.STANDBY).run(15)
    assert world.only.phase is Phase.WAITING


# S2


def test_S2_wait_goes_on_waiting_and_is_not_ready():
    world = World("a").run(19.9)
    assert world.only.words == [State.INITIAL]
    world.run(0.2)
    assert world.only.phase is Phase.WAITING
    assert world.only.words == [State.INITIAL, State.ERRORED]
    assert world.only.note("waiting").level is Level.WARNING
    assert not world.only.scripts_run


def test_S2_wait_complains_once_a_minute():
    world = World("a").run(20 + 179)
    assert world.only.codes.count("waiting") == 3


def test_S2_wait_goes_on_as_soon_as_it_can():
    world = World("a").run(100).says("b", State.STANDBY).until("a", State.RUNNING, within=2)
    assert world.only.words[:3] == [State.INITIAL, State.ERRORED, State.INITIAL]


def test_S2_wait_goes_on_with_a_quorum_too():
    world = World("a", count=3).run(100).says("b", State.STANDBY)
    assert world.only.phase is Phase.PROBING


def test_S2_exit_ends_with_1_and_runs_no_hook():
    world = World("a", alone=Alone.EXIT).run(19.9)
    assert world.only.exit_code is None
    world.run(0.2)
    assert world.only.exit_code == 1
    assert not world.only.did(RunHook)
    assert world.only.words == [State.INITIAL]
    assert world.only.note("no-quorum").level is Level.ERROR


def test_S2_start_goes_on_alone():
    world = World("a", alone=Alone.START, count=3).run(19.9)
    assert world.only.state is State.INITIAL
    world.until("a", State.RUNNING, within=1)


def test_S2_start_asks_for_no_quorum_until_a_peer_is_heard():
    world = World("a", alone=Alone.START, count=5, on=False)
    world.only.scripts[Hook.STOP] = Script(2)
    world.only.switch_on()
    world.run(21).hear("b", State.ERRORED).run(4)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.verdict.code == "no-quorum"


def test_S2_of_two_one_is_no_quorum():
    assert World("a").run(200).only.phase is Phase.WAITING


# S3


def test_S3_monitor_runs_once_and_what_does_not_run_is_cleaned_up():
    world = World("a").says("b", State.RUNNING).run(5)
    assert world.only.scripts_run == ["monitorhasrv", "stophasrv"]
    assert world.only.words == [State.INITIAL, State.STOPPING, State.STANDBY]
    assert world.only.alerts == [3, 5]


def test_S3_found_running_is_running_and_no_claim():
    world = World("a", on=False)
    world.only.services, world.only.epoch = True, 17
    world.only.switch_on()
    world.says("b", State.STANDBY).run(0.5)
    assert world.only.words == [State.INITIAL, State.RUNNING]
    assert world.only.scripts_run == ["monitorhasrv"]
    assert world.only.alerts == [2]
    assert world.only.group.epoch == world.only.data.epoch == 17


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.STOPPING])
def test_S3_found_running_beside_one_that_runs_or_stops_it_is_cleaned_up(state):
    world = World("a", on=False)
    world.only.services = True
    world.only.switch_on()
    world.says("b", state).run(2)
    assert world.only.words == [State.INITIAL, State.STOPPING, State.STANDBY]
    assert not world.only.services
    assert "b" in world.only.note("clean-up").reason.text


def test_S3_a_peers_clean_up_at_its_own_start_does_not_count():
    """Both daemons were started again: whose services run keeps them."""
    world = World("a", on=False)
    world.only.services = True
    world.only.switch_on()
    world.hear("b", State.INITIAL).says("b", State.STOPPING).run(0.5)
    assert world.only.words == [State.INITIAL, State.RUNNING]


def test_S3_two_that_begin_at_once_beside_the_services_of_one():
    world = World("a", "b", on=False)
    world["b"].services = True
    world["b"].scripts[Hook.MONITOR] = Script(1)
    for machine in world.machines.values():
        machine.scripts[Hook.STOP] = Script(3)
        machine.switch_on()
    world.run(10)
    assert world.active() == ["b"]
    assert world["b"].scripts_run == ["monitorhasrv"]


# S4


@pytest.mark.parametrize("stop_failure", list(StopFailure))
def test_S4_a_failed_clean_up_where_nothing_ran_is_errored_never_block(stop_failure):
    world = World("a", stop_failure=stop_failure)
    world.only.scripts[Hook.STOP] = FAILS
    world.says("b", State.RUNNING).run(2)
    assert world.only.phase is Phase.ERRORED
    assert world.only.alerts == [3, 6]


def test_S4_where_the_services_ran_block_blocks():
    world = World("a", stop_failure=StopFailure.BLOCK, on=False)
    world.only.services = True
    world.only.scripts[Hook.STOP] = FAILS
    world.only.switch_on()
    world.says("b", State.RUNNING).run(2)
    assert world.only.phase is Phase.BLOCKED
    assert world.only.said is State.STOPPING


# S5


def test_S5_no_hook_runs_beside_a_left_over():
    world = World("a", on=False)
    world.only.switch_on(leftovers=7)
    world.says("b", State.ERRORED).run(6.9)
    assert world.only.phase is Phase.PROBING
    assert not world.only.did(RunHook)
    world.run(0.2)
    assert next(run.hook for run in world.only.did(RunHook)) is Hook.MONITOR


def test_S5_not_even_with_a_forced_main():
    world = World("a", on=False, force_main=True)
    world.only.switch_on(leftovers=7)
    world.run(6.9)
    assert world.only.phase is Phase.CLAIMING
    world.run(0.2)
    assert world.only.state is State.RUNNING


# L1


def test_L1_the_mark_is_written_when_the_last_peer_is_dead():
    world = running()
    world.silent("b").hear("b", State.STANDBY).run(4.99)
    assert not world.only.mark
    world.run(0.02)
    assert world.only.did(WriteMark) == [WriteMark(world.only.group.epoch)]
    assert world.only.group.epoch > 0
    assert world.only.note("sole-survivor")


def test_L1_not_while_a_peer_is_alive():
    world = World("a", count=3).says("b", State.ERRORED).says("c", State.ERRORED).until("a", State.RUNNING)
    world.silent("b").run(60)
    assert not world.only.did(WriteMark)
    world.silent("c").run(6)
    assert world.only.did(WriteMark)


def test_L1_not_while_isolated():
    world = running()
    world.link("a", False).run(60)
    assert not world.only.did(WriteMark)


def test_L1_not_by_a_standby():
    world = World("a").says("b", State.RUNNING).run(2)
    world.link("a", False).run(30)
    assert not world.only.did(WriteMark)


def test_L1_also_while_stopping():
    world = running()
    world.only.scripts[Hook.STOP] = Script(20)
    world.term().silent("b").run(6)
    assert world.only.phase is Phase.STOPPING
    assert world.only.did(WriteMark)


def test_L1_a_node_that_sighup_stops_does_not_write_it_again():
    world = lone()
    world.only.scripts[Hook.STOP] = Script(5)
    world.hup().run(20)
    assert world.only.data.mark is False
    assert not world.only.did(WriteMark)


def test_L1_no_mark_by_the_clean_up_of_a_node_that_starts():
    world = World("a", alone=Alone.START)
    world.only.scripts[Hook.STOP] = Script(10)
    world.run(25)
    assert world.only.phase is Phase.CLEANING
    assert not world.only.did(WriteMark)


def test_L1_no_mark_without_a_durable_epoch():
    world = World("a", on=False)
    world.only.disk_full = True
    world.only.switch_on()
    world.says("b", State.STANDBY).until("a", State.RUNNING).silent("b").run(70)
    assert not world.only.did(WriteMark)
    assert world.only.codes.count("no-privileges") == 2
    assert world.only.note("record-failed").level is Level.WARNING


def test_L1_the_mark_is_written_when_the_disk_has_room_again():
    world = World("a", on=False)
    world.only.disk_full = True
    world.only.switch_on()
    world.says("b", State.STANDBY).until("a", State.RUNNING).silent("b").run(10)
    world.only.disk_full = False
    world.only._record(1000)
    assert world.only.did(WriteMark)


def test_L1_the_mark_outlives_the_stop_of_a_sole_survivor():
    world = lone()
    world.term().run(1)
    assert world.only.exit_code == 0
    assert world.only.mark


# L2


def marked(**changes: object) -> World:
    """A node that was sole survivor and has just begun again, the machine not booted since."""
    same_boot = changes.pop("same_boot", True)
    world = World("a", on=False, **changes)
    world.only.mark = True
    world.only.switch_on(same_boot=bool(same_boot))
    return world


def test_L2_it_is_erased_with_the_first_packet_heard_while_we_run():
    world = lone()
    world.hear("b", State.INITIAL)
    assert world.only.did(EraseMark)
    assert not world.only.mark


def test_L2_in_standby_it_takes_two_heartbeats():
    world = marked()
    world.only.scripts[Hook.STOP] = Script(10)
    world.run(6)
    assert world.only.phase is Phase.CLEANING
    world.says("b", State.STANDBY).run(1.9)
    assert world.only.mark
    world.run(0.2)
    assert not world.only.mark


def test_L2_one_stray_packet_while_initial_erases_nothing():
    world = marked(count=3)
    world.run(1).hear("b", State.STANDBY).run(3)
    assert world.only.state is State.INITIAL
    assert world.only.mark


def test_L2_two_heartbeats_while_initial_erase_nothing_either():
    world = marked(count=3)
    world.says("b", State.STANDBY).run(5)
    assert world.only.state is State.INITIAL
    assert world.only.mark


@pytest.mark.parametrize("count", [2, 3])
def test_L2_leaving_initial_by_S1_erases_it(count):
    world = marked(count=count)
    world.says("b", State.STANDBY).run(11)
    assert not world.only.mark
    assert world.only.did(EraseMark)


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING])
def test_L2_a_configured_peer_heard_running_erases_it_even_while_initial(state):
    world = marked(count=3)
    world.hear("b", state)
    assert not world.only.mark


def test_L2_a_stranger_heard_running_does_not():
    world = marked(count=3, names=("a", "b", "c"))
    world.hear("x", State.RUNNING)
    assert world.only.mark


def test_L2_sighup_erases_it():
    world = lone()
    world.hup()
    assert not world.only.mark
    world.run(1)
    assert world.only.mark is False or world.only.state is not State.RUNNING


# L3


def test_L3_a_sole_survivor_starts_again_after_one_dead_time():
    world = marked()
    world.run(4.9)
    assert world.only.state is State.INITIAL
    world.until("a", State.RUNNING, within=1)


def test_L3_after_a_boot_it_waits_for_startup():
    world = marked(same_boot=False, alone=Alone.WAIT)
    world.run(19.9)
    assert world.only.state is State.INITIAL
    world.until("a", State.RUNNING, within=1)


def test_L3_also_with_alone_exit():
    world = marked(same_boot=False, alone=Alone.EXIT)
    world.until("a", State.RUNNING, within=21)


def test_L3_without_quorum_of_three():
    marked(count=3).until("a", State.RUNNING, within=7)


def test_L3_not_without_the_mark():
    assert World("a").run(100).only.state is State.INITIAL


def test_L3_any_packet_begins_the_silence_anew():
    world = marked(count=3)
    world.run(4).hear("c", State.STANDBY).run(4.9)
    assert world.only.phase is Phase.WAITING
    world.run(0.2)
    assert world.only.phase is not Phase.WAITING


def test_L3_not_while_isolated_and_anew_after_it():
    world = marked()
    world.link("a", False).run(30)
    assert world.only.phase is Phase.WAITING
    world.link("a", True).run(4.9)
    assert world.only.phase is Phase.WAITING
    world.run(0.2)
    assert world.only.phase is not Phase.WAITING


def test_L3_is_looked_at_again_before_the_claim():
    world = marked(count=5)
    world.only.scripts[Hook.STOP] = Script(2)
    world.run(6)
    assert world.only.phase is Phase.CLEANING
    world.says("b", State.STANDBY).run(10)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.verdict.code == "no-quorum"


def test_L3_a_peer_that_runs_stops_it():
    world = marked()
    world.only.scripts[Hook.STOP] = Script(2)
    world.run(6).says("b", State.RUNNING).run(5)
    assert world.only.phase is Phase.STANDBY
    assert not world.only.mark


# L4 is about what may have happened meanwhile: when the two meet, T decides


def test_L4_when_the_survivor_meets_another_that_runs_T_decides():
    world = World("a", "b")
    world.run(3)
    world["b"].power_off()
    world.run(10)
    assert world["a"].mark
    world["a"].power_off()
    world["b"].switch_on()
    world.run(1).usr1("b").until("b", State.RUNNING)
    world.cut("a", "b")
    world["a"].switch_on()
    world.until("a", State.RUNNING, within=30).heal().run(10)
    assert len(world.active()) == 1


# V1, old format


def test_V1_the_last_word_of_a_node_that_was_running_is_stopping():
    world = running()
    world.term().run(5)
    assert world.only.exit_code == 0
    assert world.only.said is State.STOPPING
    assert world.only.words in ([State.RUNNING, State.STOPPING], [State.STOPPING])


def test_V1_nothing_is_said_after_stophasrv():
    world = running()
    world.only.scripts[Hook.STOP] = Script(3)
    world.term().run(10)
    assert world.only.when(Send, last=True) < world.only.when(Exit)
    stops = [ran for ran in world.only.hooks if ran.run.hook is Hook.STOP]
    assert stops[-1].over_ns >= max(at for at, a in world.only.log if isinstance(a, Send))


def test_V1_the_last_word_of_a_standby_node_is_standby():
    world = standby()
    world.only.forget()
    world.term()
    assert world.only.exit_code == 0
    assert world.only.sent == [State.STANDBY]
    assert not world.only.did(RunHook)


@pytest.mark.parametrize(
    ("make", "line"),
    [(running, State.STOPPING), (standby, State.STANDBY), (lambda: World("a").run(1), State.INITIAL)],
)
def test_V1_the_own_line_is_left_behind_as_it_was_last(make, line):
    world = make().term().run(1)
    view = world.only.node.view(world.now_ns)
    assert [one.state for one in view.nodes if one.name == "a"] == [line]
    assert view.seeding is (line is State.INITIAL)


def test_V1_peers_wait_for_the_dead_time():
    world = World("a", "b").run(5)
    assert world.active() == ["a"]
    world.term("a").run(5.0)
    assert world["b"].state is State.STANDBY
    world.until("b", State.RUNNING, within=2)


def test_G3_whether_another_could_take_over():
    """What the guard asks before it gives up."""
    for state in State:
        world = running().says("b", state).run(0.01)
        assert world.only.node.next_can_take_over(world.now_ns) is (state is State.STANDBY)
    assert not lone().only.node.next_can_take_over(START_NS + 60 * SECOND)


# What an epoch is, as far as the old format goes (E6 has the rest)


def test_S3_epochs_are_reserved_on_the_disk_at_the_very_start():
    world = World("a")
    assert world.only.did(RecordEpoch)[0].epoch >= 1000
    notes = [note for note in world.only.did(Note) if note.level <= Level.WARNING]
    assert not notes
    assert Word.LEAVE.value == "SIGTERM"
