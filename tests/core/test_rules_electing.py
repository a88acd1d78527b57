"""Rules E: who starts the group, and how it is claimed."""

from __future__ import annotations

import json
import pathlib

import pytest

from core.world import Script, World, running, settings, standby
from had.core.actions import Hook, Level, Note, RecordEpoch, RunHook, Send
from had.core.events import Outcome
from had.core.membership import order_key
from had.core.settings import MS, SECOND
from had.core.states import Phase, State

FAILS = Script(outcome=Outcome.FAILED)
VECTORS = json.loads((pathlib.Path(__file__).parents[1] / "data" / "vectors.json").read_text())
ALL_STATES = [State(number) for number in range(8)]


def starts(node: str, *peers: tuple[str, State], **changes: object) -> bool:
    """Whether a node runs ``starthasrv`` soon after it has become STANDBY beside these puppets."""
    world = World(node, **changes)
    for name, state in peers:
        world.says(name, state)
    world.run(3)
    return "starthasrv" in world.only.scripts_run


# E1


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.STOPPING])
@pytest.mark.parametrize("peer", ["a", "z"])
def test_E1_nobody_starts_beside_one_that_runs_or_stops(state, peer):
    assert not starts("m", (peer, state))


@pytest.mark.parametrize("state", [State.STANDBY, State.INITIAL])
def test_E1_the_first_in_order_starts(state):
    assert not starts("m", ("a", state))
    assert starts("m", ("z", state))


@pytest.mark.parametrize("state", [State.ERRORED, State.UNKNOWN, State.TIMEDOUT])
def test_E1_who_is_neither_ready_nor_initial_is_passed_over(state):
    assert starts("m", ("a", state))


def test_E1_the_dead_are_passed_over():
    world = World("m", startup_ns=8 * SECOND).says("a", State.STANDBY).run(3)
    assert world.only.state is State.STANDBY
    world.silent("a").run(5.1)
    assert world.only.state is State.RUNNING


def test_E1_of_three_two_must_be_heard():
    world = World("a", count=3, on=False)
    world.only.scripts[Hook.STOP] = Script(8)
    world.only.switch_on()
    world.hear("b", State.STANDBY).hear("c", State.STANDBY).run(20)
    assert world.only.phase is Phase.STANDBY
    world.hear("c", State.ERRORED).run(0.2)
    assert world.only.state is State.RUNNING


def test_E1_of_two_none():
    world = standby("m", "z")
    world.silent("z").run(6)
    assert world.only.state is State.RUNNING


def test_E1_not_while_isolated():
    world = standby()
    world.link("a", False)
    world.silent("b").run(100)
    assert world.only.state is State.STANDBY


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.STOPPING])
def test_E1_who_ran_a_moment_ago_and_is_initial_again_is_waited_for_a_dead_time(state):
    """Its daemon was killed and started again; the services may have lived on."""
    world = standby("m", "z").says("z", state).says("z", State.INITIAL).run(4.9)
    assert world.only.state is State.STANDBY
    assert "z" in world.only.group.verdict.text
    world.run(0.2)
    assert world.only.state is State.STARTING or world.only.state is State.RUNNING


@pytest.mark.parametrize("word", [State.STANDBY, State.ERRORED])
def test_E1_but_not_once_it_has_said_that_nothing_runs(word):
    world = standby("m", "z").says("z", State.INITIAL).run(0.5).says("z", word).run(0.3)
    assert world.only.state is State.RUNNING
    world = standby("m", "z").hear("z", word).says("z", State.INITIAL)
    world.run(0.3)
    assert world.only.state is State.RUNNING


def test_E1_nor_does_it_keep_that_node_from_finding_its_services():
    """Both ways: who comes back is RUNNING again, and the other has started nothing."""
    world = World("a", "b").run(5).usr1("b").run(8)
    assert world.active() == ["b"]
    world["b"].switch_on()
    world.run(1.5)
    assert world.active() == ["b"]
    world.run(20)
    assert world.active() == ["b"]
    assert not world.overlaps


def test_E1_not_while_held():
    world = running()
    world.hup().says("b", State.ERRORED).run(100)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.verdict.code == "hold"


def test_E1_the_reason_has_the_evidence():
    world = World("m", "z", count=3).says("a", State.STANDBY)
    world.run(3).silent("a").run(6)
    text = world["m"].note("elected").reason.text
    assert text == "m starts services: a silent for 5.0 s, z heard and not running it, 2 of 3 nodes heard"


def test_E1_alone_in_the_world_the_evidence_is_that_nobody_is_there():
    world = World("a", count=1).until("a", State.RUNNING)
    assert world.only.note("elected").reason.text == "a starts services: nobody else is there"


@pytest.mark.parametrize("count", [2, 3])
def test_E1_real_nodes_elect_the_first(count):
    world = World(*"abc"[:count], count=count).run(10)
    assert world.active() == ["a"]
    assert not world.overlaps
    world["a"].power_off()
    world.run(7)
    assert world.active() == ["b"]


# E2


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("ma", "Mb"),
        ("Ma", "mb"),
        ("a_b", "aab"),
        ("a-b", "a0b"),
        ("ha10", "ha2"),
        ("a", "a1"),
        ("MM", "mm"),
        ("A", "a"),
        ("a", "B"),
    ],
)
def test_E2_by_name_ignoring_case_and_by_bytes_where_equal(earlier, later):
    assert order_key(earlier) < order_key(later)
    assert starts(earlier, (later, State.STANDBY))
    assert not starts(later, (earlier, State.STANDBY))


def test_E2_a_configured_order_does_not_count_in_the_old_format():
    assert starts("a", ("b", State.STANDBY), names=("a", "b"), order=("b", "a"))
    assert not starts("b", ("a", State.STANDBY), names=("a", "b"), order=("b", "a"))


@pytest.mark.parametrize(
    "row", VECTORS["election"]["rows"], ids=lambda row: f"{row['node']}-{row['peer']}-{row['peer_status']}"
)
def test_E2_the_reference_daemons_election_table(row):
    """All rows as observed, but for mm beside MM: there both reference nodes would start (D19)."""
    number = row["peer_status"]
    state = State(number) if number in list(State) else State.UNKNOWN
    expected = row["node_starts"]
    if (row["node"], row["peer"]) == ("mm", "MM"):
        assert expected
        expected = False
    assert starts(row["node"], (row["peer"], state)) is expected


def test_E2_each_state_before_and_after():
    """What the table has, for every number that can arrive and both orders."""
    for state in ALL_STATES:
        busy = state in (State.STARTING, State.RUNNING, State.STOPPING)
        assert starts("m", ("z", state)) is not busy
        assert starts("m", ("a", state)) is not (busy or state in (State.STANDBY, State.INITIAL))


# E3


def said_when_not_ready(world: World) -> State:
    world.run(1.5)
    assert world.only.phase is Phase.STANDBY
    return world.only.said


def test_E3_a_held_node_shows_errored():
    world = running().hup()
    assert said_when_not_ready(world) is State.ERRORED
    assert world.only.state is State.STANDBY


def test_E3_an_isolated_node_shows_errored():
    world = standby()
    world.link("a", False)
    assert said_when_not_ready(world) is State.ERRORED
    world.link("a", True)
    assert said_when_not_ready(world) is State.STANDBY


def test_E3_a_node_without_quorum_shows_errored():
    world = World("a", count=3).says("b", State.RUNNING).run(12).silent("b").run(6)
    assert said_when_not_ready(world) is State.ERRORED


def test_E3_a_node_that_waits_after_startup_shows_errored():
    assert World("a").run(21).only.said is State.ERRORED


def test_E3_the_change_is_said_at_once():
    world = standby()
    world.run(0.3)
    world.only.forget()
    world.link("a", False)
    assert world.only.sent == [State.ERRORED]


def test_E3_others_pass_it_over():
    world = World("a", "b").run(5)
    world.hup("a").run(2)
    assert world.states() == {"a": State.STANDBY, "b": State.RUNNING}


def test_E3_the_alert_and_the_own_line_still_tell_the_truth():
    world = running().hup().run(2)
    assert world.only.alerts == [3, 5]
    assert world.only.node.view(world.now_ns).nodes[0].state is State.STANDBY


# E4


def test_E4_who_hesitates_is_passed_over_after_patience():
    world = World("m").says("a", State.STANDBY).run(10)
    assert world.only.state is State.STANDBY
    world.run(0.5)
    assert world.only.state is State.RUNNING
    assert world.only.note("passed-over").level is Level.WARNING
    assert "a passed over" in world.only.note("elected").reason.text


@pytest.mark.parametrize(("dead", "patience"), [(1, 10), (5, 10), (8, 16)])
def test_E4_patience_is_ten_seconds_or_two_dead_times(dead, patience):
    assert settings("a", dead_ns=dead * SECOND).patience_ns == patience * SECOND


def test_E4_everybody_has_a_turn():
    world = World("m", count=3).says("a", State.STANDBY).says("b", State.STANDBY).run(20)
    assert world.only.state is State.STANDBY
    world.run(1)
    assert world.only.state is State.RUNNING


def test_E4_the_turn_begins_anew_when_somebody_has_run():
    world = World("m").says("a", State.STANDBY).run(8)
    world.says("a", State.RUNNING).run(20).says("a", State.STANDBY).run(9.9)
    assert world.only.state is State.STANDBY
    world.run(0.5)
    assert world.only.state is State.RUNNING


def test_E4_an_initial_node_is_waited_for_as_long_as_startup():
    world = World("m").says("a", State.INITIAL).run(20)
    assert world.only.state is State.STANDBY
    world.run(0.5)
    assert world.only.state is State.RUNNING


def test_E4_who_becomes_ready_has_a_turn_of_its_own():
    world = World("m").says("a", State.INITIAL).run(15).says("a", State.STANDBY).run(9.9)
    assert world.only.state is State.STANDBY
    world.run(0.5)
    assert world.only.state is State.RUNNING


def test_E4_our_own_turn_is_not_used_up_by_waiting():
    """Who was not ready itself gives the others their full turn."""
    world = World("m").says("a", State.STANDBY).run(8).link("m", False)
    world.run(30).link("m", True).says("a", State.STANDBY).run(9.9)
    assert world.only.state is State.STANDBY
    world.run(1.5)
    assert world.only.state is State.RUNNING


def test_E4_a_later_node_is_not_waited_for():
    assert starts("m", ("z", State.INITIAL), ("zz", State.STANDBY), count=3)


# E5


def claiming(peer: str = "z") -> World:
    """A node that has claimed this instant; nothing has been run yet."""
    world = World("m", startup_ns=30 * SECOND).says(peer, State.RUNNING).run(2)
    world.only.forget()
    world.says(peer, State.ERRORED)
    assert world.only.phase is Phase.CLAIMING
    return world


def test_E5_a_claim_is_announced_at_once_and_the_hook_runs_100_ms_later():
    world = claiming()
    assert world.only.said is State.STARTING
    assert not world.only.hooks
    world.run(0.099)
    assert world.only.phase is Phase.CLAIMING
    world.run(0.001)
    assert world.only.phase is Phase.STARTING
    assert [run.hook for run in world.only.did(RunHook)] == [Hook.START]


def test_E5_a_change_is_said_once_more_soon():
    world = claiming().run(0.06)
    assert world.only.sent[-2:] == [State.STARTING, State.STARTING]


def test_E5_with_no_peer_alive_the_hook_runs_at_once():
    world = standby()
    world.silent("b").hear("b", State.RUNNING).run(5)
    world.only.forget()
    world.run(0.001)
    assert world.only.phase is Phase.STARTING
    kinds = [type(action) for _, action in world.only.log if isinstance(action, (Send, RunHook))]
    assert kinds.index(Send) < kinds.index(RunHook), "announced first"


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.STOPPING])
@pytest.mark.parametrize("peer", ["a", "z", "zz"])
def test_E5_any_claim_run_or_stop_heard_before_the_hook_withdraws_ours(state, peer):
    world = claiming().run(0.05)
    world.hear(peer, state)
    assert world.only.phase is Phase.STANDBY
    assert world.only.said is State.STANDBY
    assert world.only.note("claim-withdrawn")
    world.run(1)
    assert not [run for run in world.only.did(RunHook) if run.hook is Hook.START]


@pytest.mark.parametrize("state", [State.STANDBY, State.ERRORED, State.INITIAL, State.UNKNOWN])
def test_E5_other_words_withdraw_nothing(state):
    world = claiming().run(0.05).hear("zz", state)
    assert world.only.phase is Phase.CLAIMING


def test_E5_a_forced_claim_is_not_withdrawn():
    world = standby("m", "z")
    world.says("z", State.ERRORED)
    world.usr1()
    world.run(0.05).hear("zz", State.STARTING)
    assert world.only.phase is Phase.CLAIMING
    world.run(0.06)
    assert world.only.phase is Phase.STARTING


def test_E5_our_isolation_withdraws_a_claim():
    world = claiming().run(0.05).link("m", False)
    assert world.only.phase is Phase.STANDBY
    world.run(10)
    assert world.only.state is State.STANDBY


def test_E5_two_that_claim_in_the_same_instant_start_once():
    """They know nothing of each other until each has claimed; only the first in order starts."""
    world = World("a", "b").says("0", State.RUNNING).run(2)
    for machine in world.machines.values():
        machine.data.peers.pop({"a": "b", "b": "a"}[machine.settings.node])
    world.silent("0").hear("0", State.ERRORED)
    assert {machine.phase for machine in world.machines.values()} == {Phase.CLAIMING}
    world.run(5)
    assert world.active() == ["a"]
    assert world["b"].scripts_run == ["monitorhasrv", "stophasrv"]
    assert world["b"].note("claim-withdrawn")
    assert not world.overlaps


def test_E5_each_claim_has_a_new_epoch():
    world = World("a", count=1)
    epochs = []
    for _ in range(3):
        world.until("a", State.RUNNING)
        epochs.append(world.only.group.epoch)
        world.hup().run(1).usr2().run(0.2)
    assert epochs == [1, 2, 3]


def test_E5_epochs_are_reserved_ahead_so_that_no_fsync_stands_in_the_way():
    world = World("a", count=1)
    assert world.only.did(RecordEpoch) == [RecordEpoch(1000)]
    world.only.data.epoch = 499
    world.until("a", State.RUNNING)
    assert world.only.did(RecordEpoch) == [RecordEpoch(1000)]
    world.hup().run(1).usr2().run(1)
    assert world.only.did(RecordEpoch) == [RecordEpoch(1000), RecordEpoch(1501)]
    assert world.only.data.epoch_recorded == 1501


def test_E5_an_epoch_that_cannot_be_recorded_stops_no_start_but_is_loud():
    world = World("a", on=False, count=1)
    world.only.disk_full = True
    world.only.switch_on()
    world.until("a", State.RUNNING)
    assert "no space left" in world.only.note("record-failed").reason.text
    world.run(1)
    assert not world.only.mark


# E6


def test_E6_the_epoch_goes_on_from_the_recorded_one():
    world = World("a", on=False, count=1)
    world.only.epoch = 7000
    world.only.switch_on()
    assert world.only.did(RecordEpoch)[0].epoch == 8000
    world.until("a", State.RUNNING)
    assert world.only.group.epoch == 7001


def test_E6_it_never_goes_back_over_restarts_and_withdrawn_claims():
    world = claiming().run(0.05)
    claimed = world.only.data.epoch
    world.hear("z", State.RUNNING)
    assert world.only.data.epoch == claimed
    world["m"].power_off()
    world["m"].switch_on()
    assert world.only.data.epoch >= claimed


# E7


def test_E7_a_failed_start_is_stopped_again_and_errored():
    world = World("a").says("b", State.STANDBY)
    world.only.scripts[Hook.START] = FAILS
    world.until("a", State.ERRORED)
    assert world.only.scripts_run == ["monitorhasrv", "stophasrv", "starthasrv", "stophasrv"]
    assert world.only.alerts[2:] == [4, 6, 3, 6]
    assert world.only.words[-3:] == [State.STARTING, State.STOPPING, State.ERRORED]
    assert world.only.note("start-failed").level is Level.ERROR


def test_E7_so_is_one_that_timed_out():
    world = World("a").says("b", State.STANDBY)
    world.only.scripts[Hook.START] = Script(1000)
    world.until("a", State.STARTING).run(29)
    assert world.only.phase is Phase.STARTING
    world.until("a", State.ERRORED, within=3)
    assert "timed out" in world.only.note("start-failed").reason.text


def test_E7_errored_is_not_left_by_time():
    world = World("a").says("b", State.STANDBY)
    world.only.scripts[Hook.START] = FAILS
    world.until("a", State.ERRORED).run(1000)
    assert world.only.phase is Phase.ERRORED
    world.silent("b").run(100)
    assert world.only.phase is Phase.ERRORED


@pytest.mark.parametrize("word", ["usr1", "usr2"])
def test_E7_a_person_ends_it(word):
    world = World("a").says("b", State.STANDBY)
    world.only.scripts[Hook.START] = FAILS
    world.until("a", State.ERRORED)
    world.only.scripts[Hook.START] = Script()
    getattr(world, word)()
    world.until("a", State.RUNNING, within=2)


def test_E7_a_restart_ends_it():
    world = World("a").says("b", State.STANDBY)
    world.only.scripts[Hook.START] = FAILS
    world.until("a", State.ERRORED).term().run(1)
    world.only.scripts[Hook.START] = Script()
    world.only.switch_on()
    world.until("a", State.RUNNING, within=3)


def test_E7_the_words_of_the_claim_are_in_the_log():
    levels = [note.level for note in claiming().only.did(Note) if note.reason.code == "elected"]
    assert levels == [Level.NOTICE]
    assert 100 * MS < SECOND
