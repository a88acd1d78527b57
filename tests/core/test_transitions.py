"""The table of transitions: every row is taken, every other pair raises, and COMPAT's rows 1 to 20 hold."""

from __future__ import annotations

from typing import Callable

import pytest

import had.core.group
from core.world import START_NS, Script, World, running, settings, standby
from had.core.actions import Hook, Reason
from had.core.data import Group, NodeData
from had.core.events import LinkChanged, Outcome, Tick
from had.core.group import become
from had.core.node import Node
from had.core.settings import SECOND, Alone, Isolated, StopFailure
from had.core.states import STATE_OF, TRANSITIONS, Cause, Phase, State
from had.core.turn import InvariantError, Turn

FAILS = Script(outcome=Outcome.FAILED)
WORKS = Script()


class Recorder(dict):
    """The table, remembering which of its rows were asked for."""

    def __init__(self) -> None:
        super().__init__(TRANSITIONS)
        self.taken: list[tuple[Phase, Cause]] = []

    def get(self, key, default=None):
        self.taken.append(key)
        return super().get(key, default)


@pytest.fixture
def moves(monkeypatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(had.core.group, "TRANSITIONS", recorder)
    return recorder


def with_scripts(start: Script = WORKS, stop: Script = WORKS, monitor: Script = WORKS, **changes):
    world = World("a", on=False, **changes)
    world.only.scripts.update({Hook.START: start, Hook.STOP: stop, Hook.MONITOR: monitor})
    world.only.switch_on()
    return world


def errored() -> World:
    return with_scripts(start=FAILS).says("b", State.STANDBY).until("a", State.ERRORED).run(1)


def starting() -> World:
    return with_scripts(start=Script(5)).says("b", State.ERRORED).until("a", State.STARTING).run(1)


def stop_fails(policy: StopFailure) -> World:
    world = running(stop_failure=policy)
    world.only.scripts[Hook.STOP] = FAILS
    return world.hup().run(1)


def found_running_and_blocked() -> World:
    world = World("a", on=False, stop_failure=StopFailure.BLOCK)
    world.only.services = True
    world.only.scripts[Hook.STOP] = FAILS
    world.only.switch_on()
    return world.says("b", State.RUNNING).run(1)


def found_running() -> World:
    world = World("a", on=False)
    world.only.services = True
    world.only.switch_on()
    return world.says("b", State.STANDBY).run(1)


def monitor_fails() -> World:
    world = running()
    world.only.services = False
    return world.until("a", State.ERRORED)


P, C = Phase, Cause
HOW: dict[tuple[Phase, Cause], Callable[[], object]] = {
    (P.WAITING, C.GO_ON): standby,
    (P.WAITING, C.GIVE_UP): lambda: World("a", alone=Alone.EXIT).run(21),
    (P.WAITING, C.LEAVE): lambda: World("a").term(),
    (P.PROBING, C.FOUND_RUNNING): found_running,
    (P.PROBING, C.FOUND_STOPPED): standby,
    (P.PROBING, C.LEAVE): lambda: with_scripts(monitor=Script(5)).says("b", State.STANDBY).run(1).term(),
    (P.CLEANING, C.CLEANED): standby,
    (P.CLEANING, C.CLEANING_FAILED): lambda: with_scripts(stop=FAILS).says("b", State.RUNNING).run(1),
    (P.CLEANING, C.STOP_BLOCKED): found_running_and_blocked,
    (P.CLEANING, C.LEAVE): lambda: (
        with_scripts(stop=Script(1, Outcome.FAILED)).says("b", State.RUNNING).run(0.5).term().run(1)
    ),
    (P.STANDBY, C.ELECTED): running,
    (P.STANDBY, C.TAKE_OVER): lambda: World("m").says("a", State.STANDBY).run(1).usr1(),
    (P.STANDBY, C.ASK): lambda: standby().usr1(),
    (P.STANDBY, C.LEAVE): lambda: standby().term(),
    (P.ASKING, C.PROCEED): lambda: standby().usr1().run(3),
    (P.ASKING, C.WITHDRAWN): lambda: standby().usr1().hup(),
    (P.ASKING, C.LEAVE): lambda: standby().usr1().term(),
    (P.CLAIMING, C.PROCEED): running,
    (P.CLAIMING, C.WITHDRAWN): lambda: standby().says("b", State.ERRORED).hear("b", State.RUNNING),
    (P.ASKING, C.NOT_LOOKED): lambda: (
        stop_fails(StopFailure.ERRORED).says("b", State.RUNNING).run(3).usr1().hup()
    ),
    (P.CLAIMING, C.NOT_LOOKED): lambda: World("a", force_main=True).run(0.5).hup(),
    (P.CLAIMING, C.LEAVE): lambda: standby().says("b", State.ERRORED).term(),
    (P.STARTING, C.STARTED): running,
    (P.STARTING, C.START_FAILED): errored,
    (P.STARTING, C.STOP): lambda: starting().hup(),
    (P.ABORTING, C.START_OVER): lambda: starting().hup().run(5),
    (P.RUNNING, C.STOP): lambda: running().hup(),
    (P.RUNNING, C.MONITOR_FAILED): monitor_fails,
    (P.STOPPING, C.STOPPED): lambda: running().hup().run(1),
    (P.STOPPING, C.STOPPED_ERRORED): errored,
    (P.STOPPING, C.STOP_FAILED): lambda: stop_fails(StopFailure.ERRORED),
    (P.STOPPING, C.STOP_BLOCKED): lambda: stop_fails(StopFailure.BLOCK),
    (P.STOPPING, C.LEAVE): lambda: running().term().run(1),
    (P.BLOCKED, C.STOP_AGAIN): lambda: stop_fails(StopFailure.BLOCK).usr2(),
    (P.ERRORED, C.CLEARED): lambda: errored().usr2(),
    (P.ERRORED, C.TAKE_OVER): lambda: errored().usr1(),
    (P.ERRORED, C.ASK): lambda: errored().says("b", State.RUNNING).run(3).usr1(),
    (P.ERRORED, C.STOP_AGAIN): lambda: errored().hup(),
}
del P, C


def test_every_row_has_a_way_to_it():
    assert set(HOW) == set(TRANSITIONS)


@pytest.mark.parametrize("row", HOW, ids=lambda row: f"{row[0].name}-{row[1].name}")
def test_every_row_is_taken(row, moves):
    HOW[row]()
    assert row in moves.taken
    assert set(moves.taken) <= set(TRANSITIONS)


def group_in(phase: Phase) -> tuple[Turn, Group]:
    group = Group(phase, START_NS, Reason("test", "test"))
    return Turn(settings("a"), NodeData(groups=[group], begun=True), START_NS), group


@pytest.mark.parametrize("phase", list(Phase))
def test_every_other_pair_raises_and_changes_nothing(phase):
    for cause in Cause:
        if (phase, cause) in TRANSITIONS:
            continue
        turn, group = group_in(phase)
        with pytest.raises(InvariantError, match=f"{cause.name} is not possible in {phase.name}"):
            become(turn, group, cause, Reason("test", "test"))
        assert group.phase is phase
        assert not turn.actions


def test_every_phase_is_reached_and_only_the_last_is_an_end():
    assert set(TRANSITIONS.values()) | {Phase.WAITING} == set(Phase)
    assert {phase for phase, _ in TRANSITIONS} == set(Phase) - {Phase.GONE}
    assert set(STATE_OF) == set(Phase)


def test_an_unknown_event_is_a_bug():
    node = Node(settings("a"))
    with pytest.raises(InvariantError, match="unknown event"):
        node.step(object(), START_NS)  # type: ignore[arg-type]


def test_a_group_that_does_not_come_to_rest_is_a_bug(monkeypatch):
    world = World("m").says("a", State.STANDBY).run(1)
    real = had.core.decide.DECIDE

    def restless(turn, group):
        cause = Cause.ASK if group.phase is Phase.STANDBY else Cause.WITHDRAWN
        become(turn, group, cause, Reason("test", "test"))

    monkeypatch.setattr(had.core.decide, "DECIDE", dict.fromkeys(real, restless))
    with pytest.raises(InvariantError, match="does not come to rest"):
        world.only.happen(Tick())


# COMPAT §5.4, rows 1 to 20: alerts, what is announced, hooks, where it ends


def row(world: World, then: Callable[[World], object], span: float = 3) -> tuple:
    """Let something happen and tell (alerts, announcements, hooks, last phase)."""
    machine = world.only
    machine.forget()
    said = machine.group.phase
    then(world)
    world.run(span)
    words = machine.words if machine.sent else []
    if words and words[0] is STATE_OF[said]:
        words = words[1:]
    return machine.alerts, [int(word) for word in words], machine.scripts_run, machine.group.phase


def found_running_at_start() -> World:
    world = World("a")
    world.only.services = True
    return world.run(1)


def scripted(world: World, start: Script = WORKS, stop: Script = WORKS) -> World:
    world.only.scripts.update({Hook.START: start, Hook.STOP: stop})
    return world


START, STOP = "starthasrv", "stophasrv"
ROWS = {
    "2 found running": (
        found_running_at_start,
        lambda w: w.says("b", State.STANDBY),
        ([2], [2], ["monitorhasrv"], Phase.RUNNING),
    ),
    "3 clean-up": (
        lambda: World("a").run(1),
        lambda w: w.says("b", State.RUNNING),
        ([3, 5], [3, 5], ["monitorhasrv", STOP], Phase.STANDBY),
    ),
    "4, 5 elected and started": (
        standby,
        lambda w: w.says("b", State.ERRORED),
        ([4, 2], [4, 2], [START], Phase.RUNNING),
    ),
    "6 start failed, but cleaned up (D24)": (
        lambda: scripted(standby(), start=FAILS),
        lambda w: w.says("b", State.ERRORED),
        ([4, 6, 3, 6], [4, 3, 6], [START, STOP], Phase.ERRORED),
    ),
    "7 monitor failed": (
        running,
        lambda w: setattr(w.only, "services", False),
        ([6, 3, 6], [3, 6], [STOP], Phase.ERRORED),
    ),
    "8 HUP while running (the hold shows ERRORED)": (
        running,
        lambda w: w.hup(),
        ([3, 5], [3, 6], [STOP], Phase.STANDBY),
    ),
    "9 TERM while running": (running, lambda w: w.term(), ([3], [3], [STOP], Phase.GONE)),
    "10 USR1 while running starts nothing again (D7)": (
        running,
        lambda w: w.usr1(),
        ([], [], [], Phase.RUNNING),
    ),
    "11 USR2 while running": (running, lambda w: w.usr2(), ([], [], [], Phase.RUNNING)),
    "12 HUP on ERRORED after a monitor failure": (
        lambda: monitor_fails().run(1),
        lambda w: w.hup(),
        ([3, 6], [3, 6], [STOP], Phase.ERRORED),
    ),
    "13 HUP on ERRORED after a start failure (D24: the same)": (
        errored,
        lambda w: w.hup(),
        ([3, 6], [3, 6], [STOP], Phase.ERRORED),
    ),
    "14 USR2 on ERRORED, alerted (D25)": (
        lambda: errored().says("b", State.RUNNING),
        lambda w: w.usr2(),
        ([5], [5], [], Phase.STANDBY),
    ),
    "15 USR1 on ERRORED": (
        lambda: scripted(errored()),
        lambda w: w.usr1(),
        ([4, 2], [4, 2], [START], Phase.RUNNING),
    ),
    "16 TERM on ERRORED": (errored, lambda w: w.term(), ([3], [3], [STOP], Phase.GONE)),
    "17 HUP on STANDBY": (standby, lambda w: w.hup(), ([], [], [], Phase.STANDBY)),
    "18 TERM on STANDBY": (standby, lambda w: w.term(), ([], [], [], Phase.GONE)),
    "19 USR1 on STANDBY": (
        lambda: World("m").says("a", State.STANDBY).run(2),
        lambda w: w.usr1(),
        ([4, 2], [4, 2], [START], Phase.RUNNING),
    ),
    "20 USR2 on STANDBY": (standby, lambda w: w.usr2(), ([], [], [], Phase.STANDBY)),
}


@pytest.mark.parametrize("name", ROWS)
def test_COMPAT_row(name):
    make, then, expected = ROWS[name]
    assert row(make(), then) == expected


def test_COMPAT_row_1_a_process_starts():
    world = World("a").run(5)
    assert (world.only.alerts, set(world.only.sent), world.only.scripts_run) == ([], {State.INITIAL}, [])
    assert world.only.node.view(world.now_ns).seeding


# COMPAT §5.5: signals while something else goes on


def term_while(make: Callable[[], World]) -> World:
    return make().term().run(40)


def initial() -> World:
    return World("a").run(1)


def probing(services: bool = False) -> World:
    world = World("a", on=False)
    world.only.services = services
    world.only.scripts[Hook.MONITOR] = Script(1)
    world.only.switch_on()
    return world.says("b", State.ERRORED).run(0.5)


def stopping() -> World:
    world = running()
    world.only.scripts[Hook.STOP] = Script(2)
    world.says("b", State.RUNNING).run(0.5)
    assert world.only.phase is Phase.STOPPING
    return world


def failing() -> World:
    world = running()
    world.only.services = False
    world.only.scripts[Hook.STOP] = Script(2)
    return world.until("a", State.STOPPING)


DURING = {
    "seeding TERM": (initial, "term", ([], [], [], Phase.GONE)),
    "seeding USR1 is remembered (D6)": (
        initial,
        "usr1",
        ([3, 5, 4, 2], [3, 5, 4, 2], ["monitorhasrv", STOP, START], Phase.RUNNING),
    ),
    "seeding HUP": (initial, "hup", ([], [], [], Phase.WAITING)),
    "seeding USR2": (initial, "usr2", ([], [], [], Phase.WAITING)),
    "monitorhasrv TERM is not lost (D6)": (probing, "term", ([], [], [], Phase.GONE)),
    "monitorhasrv HUP": (probing, "hup", ([3, 5, 4, 2], [3, 5, 4, 2], [STOP, START], Phase.RUNNING)),
    "monitorhasrv HUP, found running": (lambda: probing(True), "hup", ([2], [2], [], Phase.RUNNING)),
    "starthasrv HUP": (starting, "hup", ([3, 5], [3, 6], [STOP], Phase.STANDBY)),
    "starthasrv TERM": (starting, "term", ([3], [3], [STOP], Phase.GONE)),
    "starthasrv USR1 starts once (D7)": (starting, "usr1", ([2], [2], [], Phase.RUNNING)),
    "starthasrv USR2": (starting, "usr2", ([2], [2], [], Phase.RUNNING)),
    "stophasrv USR1 looks at the others (D7)": (
        stopping,
        "usr1",
        ([5, 4, 2], [5, 4, 2], [START], Phase.RUNNING),
    ),
    "stophasrv HUP": (stopping, "hup", ([5], [5], [], Phase.STANDBY)),
    "stophasrv TERM": (stopping, "term", ([], [], [], Phase.GONE)),
    "stophasrv after a monitor failure, USR2": (
        failing,
        "usr2",
        ([5, 4, 2], [5, 4, 2], [START], Phase.RUNNING),
    ),
}


@pytest.mark.parametrize("name", DURING)
def test_COMPAT_signals_during(name):
    make, word, expected = DURING[name]
    alerts, words, scripts, phase = row(make(), lambda world: getattr(world, word)(), 8)
    scripts = [script for script in scripts if script not in skip(name)]
    assert (alerts, words, scripts, phase) == expected


def skip(name: str) -> list[str]:
    """The script during which it happens is no answer to the signal."""
    if name.startswith("starthasrv"):
        return [START]
    if name.startswith("monitorhasrv"):
        return ["monitorhasrv"]
    return [STOP] if name.startswith("stophasrv") else []


def test_COMPAT_hup_and_usr1_together_the_stop_wins():
    world = running().usr1().hup().run(5)
    assert world.only.phase is Phase.STANDBY
    assert world.only.group.hold is not None


def test_COMPAT_after_a_kill_the_next_takes_over_after_the_dead_time():
    world = World("a", "b").run(10)
    world["a"].power_off()
    world.run(4)
    assert world["b"].state is State.STANDBY
    world.run(1.5)
    assert world["b"].state is State.RUNNING


def test_COMPAT_a_monitor_may_be_allowed_failures_in_a_row():
    world = running(monitor_failures=3)
    world.only.services = False
    world.run(1.5)
    world.only.services = True
    world.run(2)
    assert "monitor-good" in world.only.codes
    world.only.services = False
    world.run(2.5)
    assert world.only.state is State.RUNNING
    world.run(1.5)
    assert world.only.state is State.ERRORED
    assert world.only.codes.count("monitor-failing") >= 3


def test_COMPAT_a_hanging_monitor_is_a_failed_one():
    world = running()
    world.only.scripts[Hook.MONITOR] = Script(1000)
    world.run(12)
    assert world.only.state is State.ERRORED


def test_COMPAT_a_stop_does_not_wait_for_a_monitor():
    world = running()
    world.only.scripts[Hook.MONITOR] = Script(9)
    world.run(1.5).hup().run(0.5)
    monitor, stop = world.only.hooks[-2:]
    assert monitor.outcome is Outcome.ENDED
    assert stop.run.hook is Hook.STOP
    assert world.only.phase is Phase.STANDBY


def test_COMPAT_isolation_of_a_forced_start_stops_before_the_hook():
    """The one way by which a start is given up before its hook has run."""
    world = standby(isolated=Isolated.STOP)
    world.link("a", False).run(20).usr1().run(1)
    assert world.only.phase is Phase.STANDBY
    assert START not in world.only.scripts_run
    world.only.happen(LinkChanged(0, True))
    assert SECOND == 10**9
