"""What holds whatever happens: random events for one node, random faults for two and three.

:class:`core.player.Player` and the world themselves raise when a node wants to be woken in the past, spins,
runs two hooks at once or ``starthasrv`` twice; so a test here often has nothing more to say than: play this.
"""

from __future__ import annotations

import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from property_settings import examples

from core.player import Player
from core.world import START_NS, Script, World
from had.core.actions import Hook
from had.core.data import NodeData, clone, fingerprint
from had.core.events import (
    Command,
    EpochRecorded,
    Heard,
    HookOver,
    LeftoversGone,
    LinkChanged,
    MachineCarrier,
    Outcome,
    RecordFailed,
    Tick,
    Word,
)
from had.core.settings import SECOND, Alone, Isolated, Link, StopFailure
from had.core.states import State

few = examples(120)
fewer = examples(40)

PEERS = ("a", "b", "C", "z")
configs = st.fixed_dictionaries(
    {
        "count": st.integers(1, 4),
        "names": st.sampled_from([(), ("m", "a", "z")]),
        "alone": st.sampled_from(Alone),
        "isolated": st.sampled_from(Isolated),
        "stop_failure": st.sampled_from(StopFailure),
        "monitor_failures": st.integers(1, 2),
        "force_main": st.booleans(),
        "isolation_by_machine": st.booleans(),
        "links": st.sampled_from([(Link("one"),), (Link("one"), Link("two", crossover=True))]),
    }
)
events = st.one_of(
    st.builds(Heard, st.integers(0, 1), st.sampled_from((*PEERS, "m")), st.tuples(st.sampled_from(State))),
    st.builds(Command, st.sampled_from(Word)),
    st.builds(LinkChanged, st.integers(0, 1), st.booleans()),
    st.builds(MachineCarrier, st.booleans()),
    st.just(LeftoversGone()),
    st.builds(EpochRecorded, st.integers(0, 3000)),
    st.just(RecordFailed("no space left on device")),
    st.builds(HookOver, st.integers(-1, 1), st.sampled_from(Outcome)),
    st.just(Tick()),
)
spans = st.sampled_from([0, 0, 0.001, 0.1, 0.5, 1, 1, 2.5, 5, 5.1, 12, 21, 65])
plays = st.lists(st.tuples(spans, events), max_size=60)


def told(actions: list) -> list[str]:
    return [repr(action) for action in actions]


class Life(RuleBasedStateMachine):
    """A node that anything happens to: what must hold is in :class:`Player`."""

    def __init__(self) -> None:
        super().__init__()
        self.player: Player | None = None

    @initialize(
        config=configs, epoch=st.sampled_from([0, 3, 2**40]), mark=st.booleans(), orderly=st.booleans()
    )
    def begin(self, config, epoch, mark, orderly):
        self.config = config
        self.player = Player(config, epoch=epoch, mark=mark)
        self.player.step(Tick())
        if orderly:
            self.player.step(LeftoversGone())
            self.player.good_time(25, {})

    @rule(span=spans, event=events)
    def anything(self, span, event):
        self.player.play(span, event)

    @rule(span=spans, outcome=st.sampled_from(Outcome))
    def hook_is_over(self, span, outcome):
        self.player.play(span, Tick())
        self.player.end_hook(outcome)

    @rule(
        span=st.sampled_from([1, 3, 7]),
        peers=st.dictionaries(st.sampled_from(PEERS), st.sampled_from(State), max_size=3),
    )
    def good_time(self, span, peers):
        self.player.good_time(span, peers)

    @rule(
        peers=st.dictionaries(st.sampled_from(PEERS), st.sampled_from(State), min_size=1, max_size=3),
        word=st.sampled_from(Word),
    )
    def a_word_beside_others(self, peers, word):
        self.player.step(LeftoversGone())
        self.player.good_time(3, peers)
        self.player.play(0, Command(word))
        self.player.good_time(1, peers)

    @precondition(lambda self: self.player is not None and self.player.node.data.exit_code is not None)
    @rule(lost=st.booleans(), orderly=st.booleans())
    def started_again(self, lost, orderly):
        """The next daemon, with what the last one left on the disk; or without (E6, L1)."""
        data = self.player.node.data
        epoch = 0 if lost else data.epoch_recorded
        self.begin(self.config, epoch, data.mark and not lost, orderly)

    @rule(first=events, second=events)
    def two_things_at_once_and_no_tick_between(self, first, second):
        self.player.play(0, first)
        self.player.play(0, second)

    @rule(span=st.sampled_from([0.5, 2, 4.9, 5.1, 12]), event=events)
    def asleep(self, span, event):
        self.player.sleep(span)
        self.player.play(0, event)

    @rule(span=st.sampled_from([0, 0.2, 3, 9]))
    def another_worker(self, span):
        self.player.replace(span)
        self.player.step(Tick())

    @rule(back=st.integers(1, 100 * SECOND))
    def the_clock_goes_back(self, back):
        """The caller never lets it; if it does all the same, the node's own time stands still."""
        self.player.step(Tick(), self.player.now_ns - back)

    @rule(number=st.integers(0, 120), state=st.sampled_from(State))
    def made_up_names(self, number, state):
        for more in range(20):
            self.player.step(Heard(0, f"x{number + more}", (state,)))

    @rule()
    def a_copy_goes_on(self):
        self.player.node = self.player.node.copy()

    @invariant()
    def what_is_kept_is_bounded(self):
        if self.player is not None:
            data = self.player.node.data
            assert len(data.peers) <= 80
            assert len(data.told_ns) <= 100
            assert len(data.met) < max(self.player.node.settings.count, 1)
            assert len(data.unanswered) <= len(Word)


TestLife = Life.TestCase
TestLife.settings = examples(30, stateful_step_count=40)


@few
@given(configs, plays, plays)
def test_a_copy_and_a_pickled_copy_do_the_same_as_the_original(config, before, after):
    player = Player(config)
    for span, event in before:
        player.play(span, event)
    data = player.node.data
    copies = [clone(data), pickle.loads(pickle.dumps(data))]
    assert copies[0] == copies[1] == data
    players = []
    for copy in copies:
        other = Player(config)
        other.node.data, other.now_ns, other.running = copy, player.now_ns, player.running
        players.append(other)
    player.actions.clear()
    for span, event in after:
        player.play(span, event)
    for other in players:
        assert told(other.actions) == []
        for span, event in after:
            other.play(span, event)
        assert told(other.actions) == told(player.actions)
        assert other.node.fingerprint() == player.node.fingerprint()
    hash(player.node.fingerprint())


@few
@given(configs, plays, st.integers(1, 10**6))
def test_the_same_events_later_lead_to_the_same_fingerprint(config, play, later):
    one, other = Player(config), Player(config)
    other.now_ns += later * SECOND
    for span, event in play:
        one.play(span, event)
        other.play(span, event)
        assert one.node.fingerprint() == other.node.fingerprint()
    assert told(one.actions) == told(other.actions)


def shared(one: object, other: object) -> list[object]:
    """Mutable things that two trees of data have in common."""
    if one is other and (isinstance(one, (list, dict)) or type(one).__name__ in ("Group", "Peer", "Hold")):
        return [one]
    if isinstance(one, list) and isinstance(other, list):
        return [thing for pair in zip(one, other) for thing in shared(*pair)]
    if isinstance(one, dict) and isinstance(other, dict):
        return [thing for key in one for thing in shared(one[key], other[key])]
    if dataclasses.is_dataclass(one):
        return shared(dict(vars(one)), dict(vars(other)))
    return []


@fewer
@given(configs, plays)
def test_a_copy_shares_nothing_that_can_change(config, play):
    player = Player(config)
    for span, event in play:
        player.play(span, event)
    assert not shared(player.node.data, clone(player.node.data))


def test_only_a_nodes_data_can_be_cloned():
    with pytest.raises(TypeError, match="not a node's data"):
        clone([])  # type: ignore[arg-type]


def test_fingerprints_tell_apart_what_is_not_the_same():
    now_ns = START_NS
    one, other = NodeData(beat_ns=now_ns + 5), NodeData(beat_ns=now_ns + 6)
    assert fingerprint(one, now_ns) != fingerprint(other, now_ns)
    assert fingerprint(one, now_ns) == fingerprint(other, now_ns + 1)


# One real node in the world, with honest hooks that may fail or hang

scripts = st.builds(Script, st.sampled_from([0, 0.05, 3, 100]), st.sampled_from([None, Outcome.FAILED]))
doings = st.one_of(
    st.tuples(st.just("says"), st.sampled_from(PEERS), st.sampled_from(State)),
    st.tuples(st.just("silent"), st.sampled_from(PEERS)),
    st.tuples(st.just("word"), st.sampled_from(Word)),
    st.tuples(st.just("link"), st.just("m"), st.booleans()),
    st.tuples(st.just("pause"), st.sampled_from([1.0, 4.0, 9.0])),
    st.tuples(st.just("replace"), st.sampled_from([0.1, 3.0, 9.0])),
)


def do(world: World, name: str, doing: tuple) -> None:
    kind, *rest = doing
    machine = world[name]
    if kind in ("pause", "replace"):
        if machine.node is not None and machine.paused_until is None:
            (machine.pause if kind == "pause" else machine.replace_worker)(*rest)
    else:
        getattr(world, kind)(*rest)


@few
@given(
    configs,
    scripts,
    scripts,
    st.lists(st.tuples(st.sampled_from([0.03, 0.3, 1, 3, 11]), doings), max_size=25),
)
def test_hooks_are_run_one_at_a_time_and_stop_comes_between_two_starts(config, start, stop, play):
    """The world looks after it; here each run must also have been answered before the next."""
    world = World("m", **config)
    machine = world.only
    machine.scripts.update({Hook.START: start, Hook.STOP: stop})
    for span, doing in play:
        do(world, "m", doing)
        world.run(span)
    numbers = [ran.run.run for ran in machine.hooks]
    assert numbers == sorted(set(numbers))
    assert all(ran.outcome is not None for ran in machine.hooks[:-1])


# Two and three real nodes

faults = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 2), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("heal")),
    st.tuples(st.just("off"), st.integers(0, 2)),
    st.tuples(st.just("on"), st.integers(0, 2)),
    st.tuples(st.just("pause"), st.integers(0, 2), st.sampled_from([2.0, 7.0])),
    st.tuples(st.just("replace"), st.integers(0, 2), st.sampled_from([0.2, 7.0])),
    st.tuples(st.just("link"), st.integers(0, 2), st.booleans()),
)


def break_something(world: World, fault: tuple) -> None:
    kind, *rest = fault
    names = sorted(world.machines)
    name = names[rest[0] % len(names)] if rest else ""
    machine = world.machines.get(name)
    if kind == "cut":
        other = names[rest[1] % len(names)]
        if other != name:
            world.cut(name, other, both=rest[2])
    elif kind == "heal":
        world.heal()
        for one in world.machines.values():
            if one.node is not None:
                one.happen(LinkChanged(0, True))
    elif machine is None:
        raise AssertionError(fault)
    elif kind == "off" and machine.node is not None:
        machine.power_off()
    elif kind == "on" and machine.node is None:
        machine.switch_on()
    elif kind in ("pause", "replace", "link") and machine.node is not None and machine.paused_until is None:
        if kind == "link":
            world.link(name, rest[1])
        else:
            (machine.pause if kind == "pause" else machine.replace_worker)(rest[1])


def calm_down(world: World) -> None:
    break_something(world, ("heal",))
    for machine in world.machines.values():
        if machine.node is None:
            machine.switch_on()


def bound(world: World) -> float:
    """Within which time exactly one runs, once all is calm: startup, two dead times of T4 and H3, a turn of
    patience for each node, a pause that was under way, hooks.
    """
    config = next(iter(world.machines.values())).settings
    spans = config.startup_ns + 3 * config.dead_ns + config.patience_ns * len(world.machines)
    return spans / SECOND + 15


@fewer
@given(
    st.integers(2, 3),
    st.sampled_from(Isolated),
    st.lists(st.tuples(st.sampled_from([0.02, 0.7, 3, 6, 14]), faults), max_size=20),
)
def test_after_calm_exactly_one_runs(count, isolated, play):
    """Promises 1 and 2, as far as nodes without a safeguard can promise."""
    world = World(*"abc"[:count], count=count, isolated=isolated)
    for span, fault in play:
        world.run(span)
        break_something(world, fault)
    world.run(1)
    calm_down(world)
    world.run(bound(world))
    assert len(world.active()) == 1, world.states()
    active = world.active()
    world.run(60)
    assert world.active() == active, "and it stays where it is"
    assert list(world.running_since) == active, "no services are left elsewhere"


cuts = st.tuples(
    st.sampled_from([0.02, 0.5, 1.5, 2.5]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from(["", "", "hup", "release", "replace", "crash"]),
)


@fewer
@given(st.integers(2, 3), st.lists(cuts, max_size=20))
def test_cuts_shorter_than_the_dead_time_never_make_two_run(count, play):
    """Promise 1 without a safeguard: two can run only if for a dead time, or since it claimed, no heartbeat
    of the one that runs came through.  So the words that make somebody claim are said while nothing is cut.
    """
    world = World(*"abc"[:count], count=count).run(3)
    for span, one, other, both, meanwhile in play:
        break_something(world, ("cut", one, other, both))
        name = sorted(world.machines)[one % count]
        if meanwhile == "crash":
            world[name].power_off()
        elif meanwhile == "replace":
            world[name].replace_worker(0.5)
        world.run(span)
        world.heal()
        world.run(2.1)
        if meanwhile in ("hup", "release"):
            world.word(Word.STAND_DOWN if meanwhile == "hup" else Word.CLEAR, name)
            world.run(1)
        if meanwhile == "crash":
            world[name].switch_on()
    assert not world.overlaps
    world.usr2().run(60)
    assert not world.overlaps
    assert len(world.active()) == 1


@fewer
@given(st.integers(2, 3), st.integers(0, 99), st.sampled_from([0.1, 0.3]))
def test_lost_packets_here_and_there_move_nothing(count, seed, share):
    """Promise 3; at a third lost, five in a row are rare but happen, so the dead time is long here."""
    world = World(*"abc"[:count], count=count, dead_ns=20 * SECOND).run(25)
    active = world.active()
    assert len(active) == 1
    world.lose(share, seed).run(120)
    assert world.active() == active
    assert not world.overlaps
