"""The old daemon's defects (docs/compat.md) as far as they concern the decisions; at least one test each.

The others are tested where they belong: wire, links, hooks, state file, command line.
"""

from __future__ import annotations

import pytest

from core.world import START_NS, Script, World, running, standby
from had.core.actions import Hook, Send
from had.core.events import Outcome, Tick
from had.core.settings import SECOND, Alone
from had.core.states import Phase, State

FAILS = Script(outcome=Outcome.FAILED)


def test_D1_time_is_what_the_caller_says_and_never_goes_back():
    """A clock that steps back kills nobody and wakes nobody twice."""
    world = standby()
    node, now_ns = world.only.node, world.now_ns
    for step in (0, -3600, -1, 0):
        node.step(Tick(), now_ns + step * SECOND)
    assert node.data.ran_ns == now_ns
    assert not node.data.peers["b"].dead
    assert world.only.state is State.STANDBY


@pytest.mark.parametrize("hook", [Hook.START, Hook.STOP, Hook.MONITOR])
def test_D2_heartbeats_and_hearing_go_on_while_a_hook_runs(hook):
    world = World("a", on=False, monitor_timeout_ns=30 * SECOND)
    world.only.scripts[hook] = Script(8)
    world.only.switch_on()
    world.says("b", State.ERRORED).run(3)
    if hook is not Hook.START:
        world.until("a", State.RUNNING, within=20)
        world.hup() if hook is Hook.STOP else None
        world.run(1.5)
    world.only.forget()
    world.says("b", State.STANDBY).run(4)
    assert world.only.hooks, "it still runs"
    assert 4 <= len(world.only.sent) <= 6
    assert world.only.data.peers["b"].heard_ns > world.now_ns - 1.1 * SECOND


def test_D2_a_slow_monitor_makes_nobody_take_over():
    world = World("a", "b", monitor_timeout_ns=30 * SECOND)
    world["a"].scripts[Hook.MONITOR] = Script(8)
    world.run(40)
    assert world.active() == ["a"]
    assert not world.overlaps


def test_D2_a_slow_alert_delays_no_announcement():
    """The alert comes before the announcement, in the same step."""
    world = standby()
    world.only.forget()
    world.says("b", State.ERRORED)
    kinds = [(at, type(action).__name__) for at, action in world.only.log]
    alert = next(at for at, name in kinds if name == "Alert")
    send = next(at for at, name in kinds if name == "Send")
    assert alert == send
    assert [name for _, name in kinds].index("Alert") < [name for _, name in kinds].index("Send")


def test_D5_hup_on_standby_leaves_nothing_behind():
    world = standby()
    world.only.forget()
    world.hup().hup().run(5)
    assert len(world.only.sent) <= 6
    assert not world.only.hooks
    world.usr1().run(3)
    assert world.only.state is State.RUNNING


def test_D5_a_second_hup_during_stophasrv_leaves_nothing_behind():
    world = running()
    world.only.scripts[Hook.STOP] = Script(3)
    world.hup().run(1).hup().run(3)
    world.says("b", State.RUNNING).run(2).says("b", State.ERRORED).run(1)
    assert world.only.state is State.RUNNING


def test_D6_term_is_not_lost_in_the_second_in_which_the_last_node_appears():
    world = World("a").run(1)
    world.says("b", State.STANDBY).term().run(10)
    assert world.only.exit_code == 0
    assert "stophasrv" not in world.only.scripts_run


def test_D6_a_wish_to_quit_does_not_stay_behind():
    world = World("a").run(1).term()
    world.only.switch_on()
    world.says("b", State.STANDBY).until("a", State.RUNNING).hup().run(1)
    assert world.only.phase is Phase.STANDBY


def test_D7_usr1_during_starthasrv_starts_once():
    world = standby()
    world.only.scripts[Hook.START] = Script(3)
    world.says("b", State.ERRORED).run(1).usr1().run(10)
    assert world.only.scripts_run.count("starthasrv") == 1


def test_D7_usr1_during_stophasrv_looks_at_the_others_first():
    world = running()
    world.only.scripts[Hook.STOP] = Script(3)
    world.hup().run(1).usr1().says("b", State.RUNNING).run(3)
    assert world.only.phase is Phase.ASKING


def test_D8_usr1_starts_all_the_same_and_warns():
    world = standby().usr1().until("a", State.RUNNING)
    assert "forced-beside" in world.only.codes
    below = World("a", count=5).usr1().until("a", State.RUNNING)
    assert "starthasrv" in below.only.scripts_run


def test_D8_force_main_starts_all_the_same_and_warns():
    world = World("a", force_main=True).says("b", State.RUNNING).run(2)
    assert world.only.state is State.RUNNING
    assert "forced" in world.only.codes


def test_D9_two_that_run_are_resolved_also_beside_one_that_never_yields():
    for name, peer in (("a", "b"), ("b", "a")):
        world = running(name, peer).silent(peer).run(7).says(peer, State.RUNNING).run(11)
        assert world.only.state is State.STANDBY


def test_D10_the_survivor_of_two_takes_over_and_after_the_cut_one_remains():
    world = World("a", "b").run(5).cut("a", "b").run(10)
    assert world.active() == ["a", "b"], "nobody can know it in a cluster of two"
    world.heal().run(5)
    assert len(world.active()) == 1


def test_D11_kept_a_running_node_without_quorum_goes_on_and_the_majority_may_start():
    world = World("a", "b", "c", count=3).run(5).cut("a", "b").cut("a", "c").run(10)
    assert world.active() == ["a", "b"]
    world.heal().run(5)
    assert world.active() == ["a"]


def test_D12_a_lone_node_waits_and_a_sole_survivor_starts():
    assert World("a").run(300).only.exit_code is None
    world = World("a", on=False)
    world.only.mark = True
    world.only.switch_on()
    world.until("a", State.RUNNING, within=25)


def test_D12_if_it_gives_up_no_script_has_run():
    world = World("a", alone=Alone.EXIT).run(300)
    assert (world.only.exit_code, world.only.scripts_run) == (1, [])


def test_D13_more_nodes_than_configured_need_not_wait():
    world = World("a", on=False)
    world.only.switch_on()
    world.hear("b", State.ERRORED).hear("c", State.ERRORED).run(1)
    assert world.only.state is State.RUNNING


def test_D14_a_later_node_with_services_is_not_left_running_beside_us():
    """It is not waited for, but it stops them as soon as it looks."""
    world = World("a", "z", on=False)
    world["z"].services = True
    world["z"].scripts[Hook.MONITOR] = Script(1)
    for machine in world.machines.values():
        machine.switch_on()
    world.run(5)
    assert world.active() == ["a"]
    assert not world["z"].services


def test_D14_an_earlier_initial_node_is_waited_for():
    world = World("m").says("a", State.INITIAL).run(15)
    assert world.only.state is State.STANDBY


def test_D15_kept_a_node_that_leaves_says_stopping_last_and_is_waited_for():
    world = World("a", "b").run(5).term("a").run(4.5)
    assert world["a"].said is State.STOPPING
    assert world["b"].state is State.STANDBY
    world.run(1)
    assert world["b"].state is State.RUNNING


def test_D18_nodes_are_limited_and_the_dead_make_room():
    world = running()
    for number in range(200):
        world.hear(f"x{number}", State.STANDBY)
    assert len(world.only.data.peers) == 64
    world.run(6).hear("late", State.STANDBY)
    assert "late" in world.only.data.peers
    assert len(world.only.data.peers) <= 64


@pytest.mark.parametrize(("name", "first"), [("MM", True), ("mm", False)])
def test_D19_names_equal_but_for_case_have_an_order(name, first):
    other = {"MM": "mm", "mm": "MM"}[name]
    world = World(name).says(other, State.STANDBY).run(2)
    assert (world.only.state is State.RUNNING) is first


def test_D19_of_two_such_nodes_one_starts():
    world = World("mm", "MM").run(20)
    assert world.active() == ["MM"]
    assert not world.overlaps
    lines = world["mm"].node.view(world.now_ns).nodes
    assert [line.name for line in lines] == ["MM", "mm"]


def test_D23_a_forced_main_is_elected_again():
    world = World("a", force_main=True).run(2).hup().run(1)
    assert world.only.phase is Phase.STANDBY
    world.usr2().run(2)
    assert world.only.state is State.RUNNING


def test_D24_a_failed_start_is_cleaned_up_and_hup_does_not_clear_it():
    world = World("a").says("b", State.STANDBY)
    world.only.scripts[Hook.START] = FAILS
    world.until("a", State.ERRORED)
    assert world.only.scripts_run[-2:] == ["starthasrv", "stophasrv"]
    world.hup().run(5)
    assert world.only.phase is Phase.ERRORED


def test_D25_usr2_is_alerted():
    world = World("a").says("b", State.STANDBY)
    world.only.scripts[Hook.START] = FAILS
    world.until("a", State.ERRORED).says("b", State.RUNNING)
    world.only.forget()
    world.usr2()
    assert world.only.alerts == [5]


@pytest.mark.parametrize("hook", [Hook.START, Hook.STOP, Hook.MONITOR])
def test_D26_a_wish_to_quit_while_a_script_runs_is_not_lost(hook):
    """INT and TERM are one word; that both are caught is the runtime's."""
    world = World("a", on=False)
    world.only.scripts[hook] = Script(3)
    world.only.switch_on()
    world.says("b", State.STANDBY).run(1).term().run(10)
    assert world.only.exit_code == 0


def test_D28_a_node_in_an_unknown_state_is_alive():
    world = World("a", count=3).says("b", State.UNKNOWN).run(11)
    assert world.only.state is State.RUNNING


def test_D30_the_own_line_is_our_state_with_every_link_down():
    world = standby()
    world.link("a", False).run(30)
    own = next(line for line in world.only.node.view(world.now_ns).nodes if line.name == "a")
    assert (own.state, own.heard_ns) == (State.STANDBY, world.now_ns)


def test_D30_a_node_whose_own_link_is_down_starts_nothing():
    world = World("a", "b").run(5).link("b", False).run(120)
    assert world.active() == ["a"]


@pytest.mark.parametrize(
    "state", [State.INITIAL, State.STANDBY, State.STARTING, State.RUNNING, State.ERRORED]
)
def test_D31_every_state_is_announced_at_once(state):
    world = World("a", on=False, heartbeat_ns=4 * SECOND, count=1)
    if state is State.ERRORED:
        world.only.scripts[Hook.START] = FAILS
    world.only.switch_on()
    world.run(3)
    changed = {State.INITIAL: START_NS}
    changed.update(
        (action.states[0], at) for at, action in reversed(world.only.log) if isinstance(action, Send)
    )
    assert state in changed
    assert changed[state] < START_NS + 1 * SECOND
