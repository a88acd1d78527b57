"""What a node tells people, hooks and peers, word for word and when: ``told.txt``.

Each paragraph of that file is a situation of the table below.  A line is a moment (seconds since the world
began) and a note of the log with its code, a hook with what it gets, an alert, a change of what is announced,
or what is to be written; the last is what the status file says in the end.  After a sentence has changed on
purpose ``HAD_REWRITE=1`` writes the file anew; the difference is what there is to review.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import os
import pathlib
import syslog
from collections.abc import Iterator
from typing import Callable

import pytest

import core.world
from core.test_transitions import DURING, FAILS, ROWS, found_running, stop_fails, with_scripts
from core.world import START_NS, Machine, Script, World, lone, running, standby
from had.core.actions import Action, Alert, Hook, Level, Note, Publish, RunHook, Send
from had.core.events import MachineCarrier
from had.core.settings import SECOND, Alone, Isolated, Link, Settings, StopFailure
from had.core.states import State

FILE = pathlib.Path(__file__).with_name("told.txt")
ROOT = pathlib.Path(__file__).parents[2]
CORE = ROOT / "had" / "core"
RUNNING, STANDBY, STARTING, STOPPING = State.RUNNING, State.STANDBY, State.STARTING, State.STOPPING
ERRORED, INITIAL = State.ERRORED, State.INITIAL
THREE = {"count": 3, "names": ("a", "b", "c")}


def fresh(world: World) -> World:
    """From here on it is told."""
    for machine in world.machines.values():
        machine.forget()
    return world


def three(name: str = "b", **changes: object) -> World:
    """One of three, STANDBY: a runs the services and c is STANDBY."""
    others = [other for other in "abc" if other != name]
    world = World(name, **{**THREE, **changes})
    return fresh(world.says(others[0], RUNNING).says(others[1], STANDBY).run(3))


def held(**changes: object) -> World:
    """Put on hold by SIGHUP, b being ready."""
    return fresh(running(**changes).hup().run(1))


def two_run(name: str, **changes: object) -> World:
    """It has run for long when a peer that runs as well is heard after a cut."""
    peer = "b" if name == "a" else "a"
    world = running(name, peer, **changes).silent(peer).run(7)
    return fresh(world).says(peer, RUNNING)


def quorum_of_late_peers() -> World:
    """a and c fall silent one after the other."""
    world = three()
    return world.silent("a").run(2.5).silent("c").run(4)


def strangers() -> World:
    world = fresh(World("a", **THREE, startup_quorum_ns=SECOND).says("b", STANDBY).run(0.5))
    return world.says("x", RUNNING).run(2)


def too_many() -> World:
    world = fresh(World("a", count=1, names=("a",)).run(1))
    for number in range(17):
        world.hear(f"x{number}", STANDBY)
    return world


def no_room_on_the_disk() -> World:
    world = World("a", on=False)
    world.only.disk_full = True
    world.only.switch_on()
    return world.says("b", ERRORED).run(3).silent("b").run(8)


def survivor_starts_again(same_boot: bool) -> World:
    world = lone()
    world.only.power_off()
    world.only.switch_on(same_boot=same_boot)
    return world.run(21)


def survivor_hears(*names: str) -> World:
    world = World("a", on=False, **THREE)
    world.only.mark, world.only.epoch = True, 7
    world.only.switch_on()
    for name in names:
        world.run(1).says(name, STANDBY)
    return world.run(12)


def monitored(failures: int) -> World:
    world = fresh(running(monitor_failures=3))
    world.only.services = False
    return world.run(failures)


def blocked() -> World:
    return fresh(stop_fails(StopFailure.BLOCK))


def blocked_at_the_start() -> World:
    world = World("a", on=False, stop_failure=StopFailure.BLOCK)
    world.only.services = True
    world.only.scripts[Hook.STOP] = FAILS
    world.only.switch_on()
    return world.says("b", RUNNING).run(1)


def cleaning(good: bool) -> World:
    world = with_scripts(stop=Script(1) if good else Script(1, FAILS.outcome))
    return fresh(world.says("b", RUNNING).run(0.5))


def errored_while_it_stops() -> World:
    """A monitor has failed and stophasrv takes a while."""
    world = running()
    world.only.services = False
    world.only.scripts[Hook.STOP] = Script(5)
    return fresh(world.until("a", STOPPING).run(1))


def stops(spoiled: bool = False) -> World:
    world = running()
    world.only.scripts[Hook.STOP] = Script(5, FAILS.outcome if spoiled else None)
    return fresh(world.hup().run(1))


def starts() -> World:
    return fresh(with_scripts(start=Script(5)).says("b", ERRORED).until("a", STARTING).run(1))


def claims() -> World:
    return fresh(standby()).says("b", ERRORED).run(0.05)


def asks() -> World:
    return fresh(standby()).usr1().run(0.5)


def paused(world: World, span: float = 20) -> World:
    fresh(world).only.pause(span)
    return world.run(span)


def deaf() -> World:
    return fresh(standby().link("a", False).run(20)).link("a", True)


def with_services() -> World:
    world = World("a", on=False)
    world.only.services = True
    world.only.switch_on()
    return world


def probing_told() -> World:
    return fresh(with_scripts(monitor=Script(1)).says("b", RUNNING).run(0.5))


def no_carrier() -> World:
    world = fresh(standby(isolation_by_machine=True))
    world.only.happen(MachineCarrier(False))
    return world.run(7)


def good_again(world: World) -> World:
    world.only.services = True
    return world.run(2)


def late_other() -> World:
    """b is on hold and a has been silent for a while when SIGUSR2 comes."""
    world = fresh(running("b", "a").hup().run(1).says("a", ERRORED).run(0.1).silent("a").run(2.8))
    return world.usr2().run(0.5)


def monitor_fails_at_once() -> World:
    world = fresh(standby(monitor_failures=2))
    world.only.scripts[Hook.MONITOR] = FAILS
    return world.says("b", ERRORED).run(4)


def mended(world: World) -> World:
    world.only.scripts[Hook.STOP] = Script(2)
    return world


def errored_survivor() -> World:
    world = lone()
    world.only.services = False
    return world.until("a", ERRORED).run(1)


def hangs(world: World) -> World:
    world.only.scripts[Hook.MONITOR] = Script(99)
    return world.run(12)


def late(world: World) -> World:
    world.only.pause(3)
    return world.run(4)


SITUATIONS: dict[str, Callable[[], World]] = {
    "-m": lambda: World("a", force_main=True).run(2),
    "-m, SIGHUP before the start": lambda: World("a", force_main=True).run(0.5).hup().run(1),
    "-m, SIGTERM before the start": lambda: World("a", force_main=True).run(0.5).term().run(1),
    "-m, stalled before the start": lambda: paused(World("a", force_main=True).run(0.5)).run(5),
    "INITIAL, the only node": lambda: World("a", count=1).run(2),
    "INITIAL, SIGUSR1": lambda: World("a").run(1).usr1().run(1),
    "INITIAL, SIGTERM": lambda: World("a").run(1).term(),
    "INITIAL, all are heard": lambda: (
        World("a", **THREE).says("b", STANDBY).run(1).says("c", STANDBY).run(0.1)
    ),
    "INITIAL, a quorum is heard": lambda: World("a", **THREE).says("b", STANDBY).run(11),
    "INITIAL, nobody is heard, alone = wait": lambda: World("a", **THREE).run(85),
    "INITIAL, nobody is heard, alone = wait, then SIGUSR1": lambda: fresh(World("a").run(25)).usr1().run(1),
    "INITIAL, nobody is heard, alone = exit": lambda: World("a", alone=Alone.EXIT).run(21),
    "INITIAL, nobody is heard, alone = start": lambda: World("a", **THREE, alone=Alone.START).run(21),
    "INITIAL, the sole survivor after a reboot": lambda: survivor_starts_again(False),
    "INITIAL, the sole survivor in the same boot": lambda: survivor_starts_again(True),
    "INITIAL, the sole survivor, and all are heard": lambda: survivor_hears("b", "c"),
    "INITIAL, the sole survivor, and a quorum is heard": lambda: survivor_hears("b"),
    "INITIAL, found running": found_running,
    "INITIAL, found running beside a peer that runs": lambda: (
        fresh(with_services()).says("b", RUNNING).run(1)
    ),
    "INITIAL, the clean-up fails": lambda: with_scripts(stop=FAILS).says("b", RUNNING).run(1),
    "INITIAL, the clean-up fails and blocks": blocked_at_the_start,
    "monitorhasrv is asked, SIGUSR1": lambda: probing_told().usr1().run(1),
    "monitorhasrv is asked, SIGTERM": lambda: probing_told().term().run(1),
    "clean-up, SIGUSR1": lambda: cleaning(True).usr1().run(1),
    "clean-up, SIGTERM": lambda: cleaning(True).term().run(2),
    "clean-up that fails, SIGTERM": lambda: cleaning(False).term().run(2),
    "STANDBY, a peer is heard for the first time, and again": lambda: (
        fresh(standby()).says("c", STANDBY).run(1).silent("c").run(7).says("c", STANDBY).run(1)
    ),
    "STANDBY, the peer that ran it falls silent": lambda: fresh(standby()).silent("b").run(6),
    "STANDBY, the peer that ran it stops": lambda: fresh(standby()).says("b", STOPPING).run(2),
    "STANDBY, the peer that ran it is INITIAL again": lambda: fresh(standby()).says("b", INITIAL).run(2),
    "STANDBY, two run": lambda: fresh(standby()).says("c", STARTING).run(2),
    "STANDBY, first in order": lambda: three("a").says("b", STANDBY).run(1),
    "STANDBY, another is first and ready": lambda: three().says("a", STANDBY).run(9),
    "STANDBY, another is first and does nothing": lambda: three().says("a", STANDBY).run(12.5),
    "STANDBY, another is first and INITIAL for now": lambda: (
        three("c").says("a", INITIAL).says("b", ERRORED).run(9)
    ),
    "STANDBY, another is first and INITIAL": lambda: three("c").says("a", INITIAL).says("b", ERRORED).run(27),
    "STANDBY, others are first, in an order that ignores case": lambda: (
        fresh(World("c").says("x", RUNNING).run(1).says("B", STANDBY).says("a", STANDBY).says("x", ERRORED))
    ).run(25),
    "STANDBY, one of two, and the other is late": late_other,
    "STANDBY, no quorum": lambda: three().silent("a", "c").run(7),
    "STANDBY, a quorum that is late": quorum_of_late_peers,
    "STANDBY, a node that is not in nodes runs it": strangers,
    "STANDBY, more nodes than are kept": too_many,
    "STANDBY, all links down": lambda: fresh(standby()).link("a", False).run(7),
    "STANDBY, all links down, two of them": lambda: (
        fresh(standby(links=(Link("one"), Link("two")))).link("a", False).link("a", False, 1).run(7)
    ),
    "STANDBY, no carrier at all": no_carrier,
    "STANDBY, a link is up again": lambda: deaf().run(1),
    "STANDBY, a link is up again, nobody runs it": lambda: deaf().silent("b").run(6),
    "STANDBY, a link is up again, and nobody was heard since": lambda: (
        held().link("a", False).run(7).silent("b").link("a", True).run(1)
    ),
    "STANDBY, on hold": lambda: held().run(1),
    "STANDBY, on hold, and nobody else is ready": lambda: held().says("b", ERRORED).run(62),
    "STANDBY, on hold, a peer runs": lambda: held().says("b", RUNNING).run(1),
    "STANDBY, on hold, a peer has tried": lambda: held().says("b", STARTING).run(1).says("b", ERRORED).run(1),
    "STANDBY, on hold, a peer has begun and is silent": lambda: (
        held().says("b", STARTING).run(1).silent("b").run(31)
    ),
    "STANDBY, on hold, SIGUSR2": lambda: held().usr2().run(0.2),
    "STANDBY, on hold, SIGUSR1": lambda: held().usr1().run(1),
    "STANDBY, SIGUSR1 beside a peer that does not yield": lambda: fresh(standby()).usr1().run(4),
    "STANDBY, SIGUSR1 beside a peer that yields": lambda: (
        asks().says("b", STOPPING).run(2).says("b", STANDBY).run(1)
    ),
    "STANDBY, SIGUSR1 beside a peer whose stop hangs": lambda: asks().says("b", STOPPING).run(32),
    "STANDBY, SIGUSR1 beside a peer that has just started": lambda: (
        fresh(standby().says("b", ERRORED).hear("b", STARTING)).says("b", STARTING).usr1().run(4)
    ),
    "asking, SIGUSR1 again": lambda: asks().usr1(),
    "asking, SIGTERM": lambda: asks().term(),
    "asking, SIGHUP": lambda: asks().hup(),
    "claiming, a peer runs": lambda: claims().hear("b", RUNNING).run(1),
    "claiming, SIGUSR1": lambda: claims().usr1().hear("b", RUNNING).run(1),
    "claiming, SIGHUP": lambda: claims().hup().run(1),
    "claiming, SIGTERM": lambda: claims().term().run(1),
    "claiming, all links down": lambda: claims().link("a", False).run(1),
    "claiming, stalled": lambda: paused(claims()).run(3),
    "STARTING, the hook hangs": lambda: fresh(with_scripts(start=Script(99)).says("b", ERRORED).run(1)).run(
        31
    ),
    "STARTING, SIGUSR1": lambda: starts().usr1().run(1),
    "STARTING, SIGHUP": lambda: starts().hup().run(0.5).usr1().run(5),
    "RUNNING, the monitor fails once of three": lambda: monitored(1),
    "RUNNING, the monitor is good again": lambda: good_again(monitored(1)),
    "RUNNING, the monitor fails three times": lambda: monitored(4),
    "RUNNING, the monitor fails at once": monitor_fails_at_once,
    "RUNNING, the monitor hangs": lambda: hangs(fresh(running())),
    "RUNNING, SIGHUP and SIGUSR2": lambda: fresh(running()).hup().run(0.01).usr2().run(1),
    "RUNNING, a peer is started by a person": lambda: fresh(running()).hear("b", RUNNING).run(1),
    "RUNNING, two after a cut, first in order": lambda: two_run("a").run(11),
    "RUNNING, two after a cut, later in order": lambda: two_run("b").run(11),
    "RUNNING, forced beside a peer that runs": lambda: fresh(standby()).usr1().run(13),
    "RUNNING, two others after a cut": lambda: two_run("a").says("c", RUNNING).run(11),
    "RUNNING, forced beside one, and another runs": lambda: (
        fresh(standby("b", "a")).usr1().run(4).says("c", STARTING).run(13)
    ),
    "RUNNING, the peer falls silent": lambda: fresh(running()).silent("b").run(7),
    "RUNNING, the sole survivor hears a peer": lambda: fresh(lone()).says("b", STANDBY).run(1),
    "RUNNING, the sole survivor, SIGHUP": lambda: fresh(lone()).hup().run(1),
    "RUNNING, all links down, isolated = stop": lambda: (
        fresh(running(isolated=Isolated.STOP)).link("a", False).run(4)
    ),
    "RUNNING, a pause": lambda: paused(running()).run(4),
    "RUNNING, a pause, and a peer has taken over": lambda: paused(running()).says("b", RUNNING).run(4),
    "RUNNING, late": lambda: late(fresh(running())),
    "RUNNING, the record can't be written": no_room_on_the_disk,
    "STOPPING, SIGHUP": lambda: stops().hup(),
    "STOPPING, SIGUSR1": lambda: stops().usr1().run(5),
    "STOPPING, SIGUSR2": lambda: stops().usr2().run(5),
    "STOPPING, SIGTERM twice, SIGUSR1": lambda: stops().term().term().usr1().run(5),
    "STOPPING fails": lambda: stops(True).run(5),
    "STOPPING fails, SIGTERM": lambda: stops(True).term().run(5),
    "STOPPING after a failure, SIGUSR2": lambda: errored_while_it_stops().usr2().run(5),
    "STOPPING after a failure, SIGHUP": lambda: errored_while_it_stops().hup().run(5),
    "BLOCKED, SIGHUP": lambda: blocked().hup(),
    "BLOCKED, SIGUSR1": lambda: blocked().usr1(),
    "BLOCKED, SIGUSR2": lambda: blocked().usr2().run(1),
    "BLOCKED, SIGTERM": lambda: blocked().term().run(1),
    "BLOCKED, SIGUSR2, then SIGHUP": lambda: mended(blocked()).usr2().run(0.5).hup().run(3),
    "ERRORED, the sole survivor hears a peer": lambda: fresh(errored_survivor()).says("b", STANDBY).run(3),
    "ERRORED, SIGHUP with a stop that fails": lambda: fresh(stop_fails(StopFailure.ERRORED)).hup().run(1),
    "ERRORED, SIGUSR1 beside a peer that runs": lambda: (
        fresh(stop_fails(StopFailure.ERRORED).says("b", RUNNING).run(3)).usr1().run(1)
    ),
    "ERRORED after a hold was asked for, SIGUSR2": lambda: (
        fresh(stop_fails(StopFailure.ERRORED)).usr2().run(1)
    ),
}


def situations() -> dict[str, Callable[[], Machine]]:
    """Return all: those above, and what COMPAT's tables begin with and what happens then."""
    all_of_them: dict[str, Callable[[], Machine]] = {}
    for name, (make, then, _) in ROWS.items():

        def play_row(make: Callable[[], World] = make, then: Callable[[World], object] = then) -> Machine:
            world = fresh(make())
            then(world)
            return world.run(3).only

        all_of_them[f"row {name}"] = play_row
    for name, (make, word, _) in DURING.items():

        def play_word(make: Callable[[], World] = make, word: str = word) -> Machine:
            world = fresh(make())
            getattr(world, word)()
            return world.run(8).only

        all_of_them[f"during {name}"] = play_word
    for name, play in SITUATIONS.items():
        all_of_them[name] = lambda play=play: play().only  # type: ignore[misc]
    return all_of_them


def told(machine: Machine) -> list[str]:
    """Return what was said and done, as lines of the file."""
    lines: list[str] = []
    said: object = None
    looks = 0
    for at_ns, action in machine.log:
        if isinstance(action, Publish) or (isinstance(action, Send) and action.states == said):
            continue
        line = f"{(at_ns - START_NS) / SECOND:9.3f} {one(action)}"
        said = action.states if isinstance(action, Send) else said
        # Of the monitor's regular looks in a row the first and the last say enough.
        looks = looks + 1 if isinstance(action, RunHook) and action.hook is Hook.MONITOR else 0
        if looks > 2:
            lines.pop()
        lines.append(line)
    return [*lines, *shown(machine)]


def one(action: Action) -> str:
    if isinstance(action, Note):
        answer = f" [answers {action.reason.word.value}]" if action.answers and action.reason.word else ""
        return f"{action.level.name.lower()} {action.reason.code}: {action.reason.text}{answer}"
    if isinstance(action, RunHook):
        return f"run {action.hook.value} {given(action)}, number {action.run}"
    if isinstance(action, Alert):
        return f"alert {int(action.state)} {given(action)}"
    if isinstance(action, Send):
        return f"say {' '.join(state.name for state in action.states)}"
    return f"do {action}"


def given(action: RunHook | Alert) -> str:
    """Return what a hook gets, the group's number included."""
    limit = f"{action.timeout_ns / SECOND:g} s"
    why = f"for {action.reason.code}, group {action.group}"
    return f"as {action.state.name} after {action.previous.name}, {why}, at most {limit}"


def shown(machine: Machine) -> list[str]:
    """Return what the status file says, and why a STANDBY node does not start."""
    status = machine.node.status(machine.world.now_ns)
    ready = {None: "", True: ", ready", False: ", not ready"}[status.ready]
    unfit = f" ({status.unfit.code}: {status.unfit.text})" if status.unfit else ""
    ending = ", ending" if status.ending else ""
    since = f"since {(status.since_ns - START_NS) / SECOND:.3f}"
    reason = f"{status.reason.code}: {status.reason.text}"
    line = f"status: {status.state.name} {since}{ready}{unfit}{ending}; {reason}"
    verdict = machine.group.verdict
    return [line] if verdict is None else [line, f"verdict: {verdict.code}: {verdict.text}"]


def read() -> dict[str, list[str]]:
    paragraphs = FILE.read_text(encoding="utf-8").strip().split("\n\n") if FILE.exists() else []
    return {lines[0]: lines[1:] for lines in (one.splitlines() for one in paragraphs)}


@functools.cache
def written() -> dict[str, list[str]]:
    if os.environ.get("HAD_REWRITE"):
        paragraphs = ["\n".join([name, *told(play())]) for name, play in situations().items()]
        FILE.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")
    return read()


@pytest.mark.parametrize("name", situations())
def test_this_is_told(name):
    assert told(situations()[name]()) == written().get(name), "HAD_REWRITE=1 writes tests/core/told.txt anew"


@pytest.mark.parametrize("name", situations())
def test_a_list_of_names_tells_its_members_nothing_new(name, monkeypatch):
    """Whether ``nodes`` is a number or a list (Q1): all that is said and done is the same."""
    make = core.world.settings

    def listed(node: str, **changes: object) -> Settings:
        if "names" not in changes and changes.get("count", 2) == 2:
            changes["names"] = (node, "b" if node == "a" else "a")
        return make(node, **changes)

    monkeypatch.setattr(core.world, "settings", listed)
    machine = situations()[name]()
    if set(machine.data.peers) <= set(machine.settings.names):
        assert told(machine) == written()[name]


@pytest.mark.parametrize("name", situations())
def test_what_has_changed_is_published_at_once(name):
    """The state file follows each change of our own state, and of what is heard of a peer."""
    machine = situations()[name]()
    published = {at_ns for at_ns, action in machine.log if isinstance(action, Publish)}
    changes = [at_ns for at_ns, action in machine.log if isinstance(action, Alert)]
    codes = ("peer-new", "peer-back", "peer-dead")
    changes += [at for at, action in machine.log if isinstance(action, Note) and action.reason.code in codes]
    assert set(changes) <= published


@pytest.mark.parametrize("name", situations())
def test_moments_are_whole_nanoseconds(name):
    assert [place for place, value in moments(situations()[name]().data) if not isinstance(value, int)] == []


def moments(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Yield every moment in a node's data, with the name of its field."""
    if dataclasses.is_dataclass(value):
        for name, item in vars(value).items():
            yield from moments(item, name)
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from moments(item, place)
    elif place.endswith("_ns") and value is not None:
        yield place, value


def test_levels_are_syslogs():
    assert {level.name: int(level) for level in Level} == {
        "ERROR": syslog.LOG_ERR,
        "WARNING": syslog.LOG_WARNING,
        "NOTICE": syslog.LOG_NOTICE,
        "INFO": syslog.LOG_INFO,
        "DEBUG": syslog.LOG_DEBUG,
    }


def test_hooks_are_named_like_their_scripts():
    assert {hook.value for hook in Hook} == {path.name for path in (ROOT / "scripts").glob("*hasrv")}


def test_nothing_else_is_written_down():
    assert set(read()) == set(situations())


def test_every_code_of_the_core_is_told():
    """No sentence is left out: each code with which the core makes a Reason is in the file."""
    codes = set()
    for path in CORE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Reason":
                codes |= {one.value for one in node.args[:1] if isinstance(one, ast.Constant)}
    text = FILE.read_text(encoding="utf-8")
    assert sorted(code for code in codes if f" {code}: " not in text and f"({code}: " not in text) == []
