"""What a person's word is answered with, and what a node tells of itself (the status file)."""

from __future__ import annotations

import pytest

from core.test_rules_moving import FAILS, errored, starting, stopping
from core.world import World, running, standby
from had.core.actions import Hook, Note, Reason
from had.core.data import Group, GroupWord, LinkWord, NodeData, Peer
from had.core.events import Command, Tick, Word
from had.core.node import Node
from had.core.settings import SECOND, Alone, Settings
from had.core.states import STATE_OF, Phase, State

NOW_NS = 1000 * SECOND
HOOKS = {
    Phase.PROBING: Hook.MONITOR,
    Phase.CLEANING: Hook.STOP,
    Phase.STARTING: Hook.START,
    Phase.ABORTING: Hook.START,
    Phase.STOPPING: Hook.STOP,
}


def node_in(phase: Phase, said: State = State.STANDBY, **changes: object) -> Node:
    """A node in this phase, beside a peer that says this."""
    data = NodeData(begun=True, ran_ns=NOW_NS, initial_ns=NOW_NS, heard_ns=NOW_NS, leftovers=False)
    data.beat_ns = NOW_NS + SECOND
    group = Group(phase, NOW_NS, Reason("test", "test"), run=7, hook=HOOKS.get(phase), **changes)
    group.monitor_ns = NOW_NS + 5 * SECOND
    group.claim_ns = NOW_NS + SECOND
    group.asked_ns = group.run_since_ns = NOW_NS
    data.groups.append(group)
    data.announced = [STATE_OF[phase]]
    if phase is not Phase.WAITING:
        words = {0: LinkWord(NOW_NS, [GroupWord(said)])}
        data.peers["alpha"] = Peer("alpha", NOW_NS - 9 * SECOND, NOW_NS, words)
    return Node(Settings("beta", names=("alpha", "beta")), data)


def answers(actions: list[object]) -> list[str]:
    return [action.reason.text for action in actions if isinstance(action, Note) and action.answers]


def answers_of(world: World) -> list[str]:
    return answers([action for _, action in world.only.log])


# -- Answers


@pytest.mark.parametrize("phase", sorted(set(Phase) - {Phase.GONE}), ids=lambda phase: phase.name)
@pytest.mark.parametrize("word", Word, ids=lambda word: word.value)
def test_every_word_is_answered_in_every_phase(word, phase):
    node = node_in(phase, State.RUNNING if phase is Phase.ASKING else State.STANDBY)
    (answer,) = answers(node.step(Command(word), NOW_NS + 1))
    assert answer.startswith(word.value)
    assert node.data.unanswered == []


@pytest.mark.parametrize("word", Word, ids=lambda word: word.value)
def test_the_second_one_is_answered_too(word):
    node = node_in(Phase.STOPPING)
    first = answers(node.step(Command(word), NOW_NS + 1))
    second = answers(node.step(Command(word), NOW_NS + 2))
    assert (len(first), len(second)) == (1, 1)


def test_where_an_error_and_a_hold_are_cleared_the_error_is_the_answer():
    world = running()
    world.only.scripts[Hook.STOP] = FAILS
    world.hup().until("a", State.ERRORED)
    assert world.only.group.hold is not None
    world.only.forget()
    world.usr2()
    text = "SIGUSR2: stophasrv runs once more, since it has failed; then the error is cleared"
    assert answers_of(world) == [text]
    assert "released" in world.only.codes


def test_what_follows_from_an_answer_is_no_answer():
    world = stopping()
    world.only.forget()
    world.usr1().run(0.1)
    assert answers_of(world) == ["SIGUSR1: to be started when the stop is over"]
    world.until("a", State.RUNNING)
    assert "forced" in world.only.codes
    assert len(answers_of(world)) == 1


def test_a_stalled_node_answers_when_it_goes_on():
    world = standby()
    world.says("b", State.STANDBY)
    world.only.pause(20)
    world.run(20.1)
    assert world.only.data.stall_ns is not None
    world.only.forget()
    world.usr1().usr1()
    assert answers_of(world) == []
    world.only.replace_worker(0.01)  # the question is not lost with the worker
    world.run(5)
    assert answers_of(world) == ["SIGUSR1: started here by a person's word"]
    assert world.only.data.unanswered == []


def test_a_complaint_that_is_not_repeated_leaves_the_answer_to_what_comes():
    node = node_in(Phase.STANDBY, State.RUNNING)
    said = node.data.peers["alpha"].words[0].groups[0]
    said.started_ns = NOW_NS
    first = answers(node.step(Command(Word.TAKE_OVER), NOW_NS + 1))
    assert first == ["SIGUSR1: alpha has only just started: asked in a moment"]
    assert answers(node.step(Command(Word.TAKE_OVER), NOW_NS + 2)) == []
    asked = answers(node.step(Tick(), NOW_NS + 3 * SECOND))
    assert asked == ["SIGUSR1: alpha is asked to stop by our announcement"]


# -- Status


def status(world: World):
    return world.only.node.status(world.now_ns)


def test_since_is_that_of_the_state_not_of_the_phase():
    world = World("a").says("b", State.STANDBY).until("a", State.STARTING)
    since_ns = status(world).since_ns
    assert world.only.phase is Phase.CLAIMING
    world.run(0.12)
    assert world.only.phase is Phase.STARTING
    assert status(world).since_ns == since_ns
    world.until("a", State.RUNNING)
    assert status(world).since_ns > since_ns


def test_the_reason_is_what_led_to_the_state():
    world = running().hup().until("a", State.STANDBY).run(10)
    found = status(world)
    assert found.reason.text == "the services are stopped here"
    assert (found.ready, found.unfit.code, found.ending) == (False, "hold", False)
    world.usr2().run(0.01)
    assert status(world).ready is None


def test_ready_is_a_question_on_standby_only():
    assert status(standby()).ready is True
    assert status(running()).ready is None
    assert status(starting()).ready is None
    assert status(errored()).ready is None


def test_a_node_that_waits_longer_than_it_should_is_not_ready():
    world = World("a", alone=Alone.WAIT).run(19)
    assert (status(world).state, status(world).ready) == (State.INITIAL, None)
    world.run(2)
    found = status(world)
    assert (found.state, found.ready) == (State.INITIAL, False)
    assert found.unfit.text.startswith("1 of 2 nodes heard in 20 s, 2 are needed: still waiting")
    assert found.unfit == world.only.note("waiting").reason


def test_the_end_begins_with_the_word_and_shows_the_last_state():
    world = running()
    world.only.scripts[Hook.STOP].takes = 5
    world.term().run(1)
    assert (status(world).state, status(world).ending) == (State.STOPPING, True)
    since_ns = status(world).since_ns
    world.run(10)
    found = status(world)
    assert world.only.phase is Phase.GONE
    assert (found.state, found.since_ns, found.ending) == (State.STOPPING, since_ns, True)
    assert found.reason.text == "stophasrv succeeded: the services are stopped; the daemon ends"


def test_giving_up_is_an_end_too():
    world = World("a", alone=Alone.EXIT).run(21)
    found = status(world)
    assert (found.state, found.ending) == (State.INITIAL, True)
    assert "alone = exit" in found.reason.text
