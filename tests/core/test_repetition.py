"""A heartbeat that says nothing new is not decided about, and that must make no difference.

Two nodes get the same events at the same moments: one as it is, one that decides anew each time.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import had.core.node as node_module
from core.world import START_NS, ns, settings
from had.core.actions import Hook, Reason, RunHook
from had.core.data import Hold, NodeData, clone
from had.core.events import Command, Heard, HookOver, LeftoversGone, LinkChanged, Outcome, Tick, Word
from had.core.node import Node
from had.core.repetition import is_repetition
from had.core.settings import MS, Link, StopFailure
from had.core.states import Phase, State


class Twins:
    """The node as it is, and one that never takes a heartbeat for a repetition."""

    def __init__(self, patch: pytest.MonkeyPatch, **config: object) -> None:
        config = {"count": 3, "links": (Link("one"), Link("two")), **config}
        self.patch = patch
        self.quick, self.thorough = (Node(settings("m", **config)) for _ in range(2))
        self.now_ns = START_NS
        self.running: RunHook | None = None
        self.repetitions = 0

    def step(self, event) -> None:
        if isinstance(event, Heard) and self.quick.data.begun:
            data = self.quick.data
            self.repetitions += is_repetition(self.quick.settings, clone(data), event, self.now_ns)
        actions = self.quick.step(event, self.now_ns)
        with self.patch.context() as patch:
            patch.setattr(node_module, "is_repetition", lambda *_: False)
            assert self.thorough.step(event, self.now_ns) == actions
        early, late = self.quick.data.wake_ns, self.thorough.data.wake_ns
        assert self._without_wake(self.quick.data) == self._without_wake(self.thorough.data)
        assert (early is None and late is None) or early <= late, "woken too late"
        for action in actions:
            if isinstance(action, RunHook):
                self.running = action

    @staticmethod
    def _without_wake(data: NodeData) -> NodeData:
        copied = clone(data)
        copied.wake_ns = None
        return copied

    def play(self, span: float, event) -> None:
        until_ns = self.now_ns + ns(span)
        while self.quick.data.wake_ns is not None and self.quick.data.wake_ns <= until_ns:
            self.now_ns = self.quick.data.wake_ns
            self.step(Tick())
        self.now_ns = until_ns
        if event == "hook ends":
            if self.running is None:
                return
            hook, self.running = self.running, None
            failed = hook.hook is Hook.MONITOR and self.quick.data.groups[0].phase is Phase.PROBING
            event = HookOver(hook.run, Outcome.FAILED if failed else Outcome.OK)
        self.step(event)

    def calm(self, state_of_a: State) -> None:
        """Become STANDBY beside a peer that runs the group, or RUNNING beside one that doesn't."""
        for event in (Tick(), LeftoversGone(), "hook ends"):
            self.play(0.001, event)
        for _ in range(8):
            for name, state in (("a", state_of_a), ("z", State.STANDBY)):
                for link in (0, 1):
                    self.play(0.01, Heard(link, name, (state,)))
            self.play(0.5, "hook ends")
            if self.quick.data.groups[0].phase is Phase.STANDBY and state_of_a is not State.RUNNING:
                self.play(0, Command(Word.TAKE_OVER))


@pytest.mark.parametrize(("said", "phase"), [(State.RUNNING, Phase.STANDBY), (State.ERRORED, Phase.RUNNING)])
def test_in_a_calm_cluster_nearly_all_are_repetitions(monkeypatch, said, phase):
    twins = Twins(monkeypatch)
    twins.calm(said)
    assert twins.quick.data.groups[0].phase is phase
    before = twins.repetitions
    for _ in range(20):
        for name, state in (("a", said), ("z", State.STANDBY)):
            twins.play(0.3, Heard(0, name, (state,)))
            twins.play(0.01, Heard(1, name, (state,)))
    assert twins.repetitions - before >= 60
    twins.play(20, Tick())
    assert twins.quick.data.peers["a"].dead


calm_states = st.sampled_from([State.STANDBY] * 6 + [State.RUNNING] * 6 + list(State))
heards = st.builds(
    Heard, st.sampled_from((0, 0, 0, 1)), st.sampled_from(("a", "a", "z", "x")), st.tuples(calm_states)
)
others = st.one_of(
    st.builds(Command, st.sampled_from(Word)),
    st.builds(LinkChanged, st.integers(0, 1), st.booleans()),
    st.just("hook ends"),
    st.just(Tick()),
)
spans = st.sampled_from([0, 0.001, 0.1, 0.1, 0.5, 1, 2.5, 3.1, 5.1, 21])
plays = st.lists(st.tuples(spans, st.one_of(heards, heards, heards, others)), max_size=40)


@hypothesis_settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(
    st.sampled_from([State.RUNNING, State.STANDBY]),
    st.sampled_from([(), ("a", "m", "z")]),
    st.sampled_from(StopFailure),
    plays,
)
def test_it_makes_no_difference(said, names, stop_failure, play):
    with pytest.MonkeyPatch.context() as patch:
        twins = Twins(patch, names=names, stop_failure=stop_failure)
        twins.calm(said)
        for span, event in play:
            twins.play(span, event)


def test_a_late_one_is_decided_about(monkeypatch):
    """What came in the moment in which something was due is not passed by."""
    twins = Twins(monkeypatch)
    twins.calm(State.RUNNING)
    wake_ns = twins.quick.data.wake_ns
    event = Heard(0, "a", (State.RUNNING,))
    assert is_repetition(twins.quick.settings, twins.quick.data, event, wake_ns - MS)
    assert not is_repetition(twins.quick.settings, twins.quick.data, event, wake_ns)


def spoiled(data: NodeData, what: str) -> None:
    """Make one thing so that something may follow from the next heartbeat."""
    peer, (group,) = data.peers["a"], data.groups
    said = peer.words[1].groups[0]
    spoil = {
        "something is due at any time": lambda: setattr(data, "wake_ns", None),
        "only listening": lambda: setattr(data, "stall_ns", START_NS),
        "isolated": lambda: setattr(data, "isolated_ns", START_NS),
        "deafness has just ended": lambda: setattr(data, "listen_ns", START_NS),
        "the sole survivor": lambda: setattr(data, "mark", True),
        "the peer was dead": lambda: setattr(peer, "dead", True),
        "two run": lambda: peer.conflict_ns.update({0: START_NS}),
        "unknown": lambda: data.peers.pop("a"),
        "never heard on this link": lambda: peer.words.pop(0),
        "long not heard on this link": lambda: setattr(peer.words[0], "heard_ns", 1),
        "said something else on this link": lambda: setattr(peer.words[0].groups[0], "state", State.STARTING),
        "says something else on another link": lambda: setattr(said, "state", State.STOPPING),
        "was counted as running beside us": lambda: setattr(said, "beats", 1),
        "says nothing of the group": peer.words[1].groups.clear,
        "on hold": lambda: setattr(group, "hold", Hold()),
        "SIGUSR1 not yet obeyed": lambda: setattr(group, "take_over", True),
        "on the way out": lambda: setattr(group, "leaving", True),
        "forced beside another": lambda: setattr(group, "forced_beside", ["z"]),
        "not looked at yet": lambda: setattr(group, "verdict", None),
        "nobody runs it": lambda: setattr(group, "verdict", Reason("not-first", "z comes first")),
        "in another phase": lambda: setattr(group, "phase", Phase.CLAIMING),
    }
    spoil[what]()


@pytest.mark.parametrize(
    "what",
    [
        *("something is due at any time", "only listening", "isolated", "deafness has just ended"),
        *("the sole survivor", "the peer was dead", "two run", "unknown", "never heard on this link"),
        *("long not heard on this link", "said something else on this link", "nobody runs it"),
        *("says something else on another link", "was counted as running beside us", "on hold"),
        *("says nothing of the group", "SIGUSR1 not yet obeyed", "on the way out", "forced beside another"),
        *("not looked at yet", "in another phase"),
    ],
)
def test_everything_else_is_decided_about(monkeypatch, what):
    twins = Twins(monkeypatch, names=("a", "m", "z"))
    twins.calm(State.RUNNING)
    node, now_ns = twins.quick, twins.now_ns
    event = Heard(0, "a", (State.RUNNING,))
    assert is_repetition(node.settings, node.data, event, now_ns)
    assert not is_repetition(node.settings, node.data, Heard(0, "a", (State.RUNNING,) * 2), now_ns)
    spoiled(node.data, what)
    assert not is_repetition(node.settings, node.data, event, now_ns)


@pytest.mark.parametrize(
    "state", [s for s in State if s not in (State.STANDBY, State.RUNNING, State.ERRORED)]
)
def test_states_that_move_are_decided_about(monkeypatch, state):
    twins = Twins(monkeypatch)
    twins.calm(State.RUNNING)
    for _ in range(3):
        for link in (0, 1):
            twins.play(0.01, Heard(link, "z", (state,)))
    event = Heard(0, "z", (state,))
    assert not is_repetition(twins.quick.settings, twins.quick.data, event, twins.now_ns)


def test_who_runs_it_decides_about_others_that_run_it(monkeypatch):
    twins = Twins(monkeypatch)
    twins.calm(State.STANDBY)
    assert twins.quick.data.groups[0].phase is Phase.RUNNING
    for link in (0, 1):
        twins.play(0.01, Heard(link, "a", (State.RUNNING,)))
    twins.quick.data.peers["a"].conflict_ns.clear()
    for word in twins.quick.data.peers["a"].words.values():
        word.groups[0].beats = 0
    event = Heard(0, "a", (State.RUNNING,))
    assert not is_repetition(twins.quick.settings, twins.quick.data, event, twins.now_ns)


def test_nobody_is_woken_for_a_lateness_that_did_not_come(monkeypatch):
    twins = Twins(monkeypatch, count=2, warn_ns=1_500 * MS, dead_ns=3_000 * MS)
    twins.calm(State.RUNNING)
    for _ in range(5):
        twins.play(0.6, Tick())
        twins.play(0.4, Heard(0, "a", (State.RUNNING,)))
        twins.play(0, Heard(1, "a", (State.RUNNING,)))
        data = twins.quick.data
        assert data.wake_ns <= data.beat_ns
        assert data.wake_ns != data.peers["a"].heard_ns + 1_500 * MS - 1_000 * MS, "the warning of before"


def test_strangers_are_decided_about(monkeypatch):
    twins = Twins(monkeypatch, names=("a", "m", "z"))
    twins.calm(State.RUNNING)
    for link in (0, 1):
        twins.play(0.01, Heard(link, "x", (State.STANDBY,)))
    event = Heard(0, "x", (State.STANDBY,))
    assert not is_repetition(twins.quick.settings, twins.quick.data, event, twins.now_ns)
