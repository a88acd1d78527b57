"""One node without a world: any event at any time, and what must hold of what it does whatever comes.

:class:`Player` keeps a model of its own of what a service may be doing here, made of the hooks that the node
asked for and of how they ended, and holds each step against it.  It knows nothing of rules or phases.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter
from collections.abc import Mapping, Sequence

from core.world import START_NS, ns, settings
from had.core.actions import Action, EndHook, Exit, Hook, RecordEpoch, RunHook, Send, WriteMark
from had.core.events import Command, EpochRecorded, Event, Heard, HookOver, LinkChanged, Outcome, Tick, Word
from had.core.group import announced
from had.core.membership import order_key
from had.core.node import Node
from had.core.states import Phase, State
from had.core.turn import Turn

ACTIONS_MAX = 30
"""How many actions one step may have, and two for each peer."""


class Player:
    """Hooks end when the play says so, in any way, and run numbers may be wrong."""

    def __init__(self, config: dict, *, epoch: int = 3, mark: bool = True) -> None:
        self.node = Node(settings("m", **config), epoch=epoch, mark=mark, mark_same_boot=mark)
        self.now_ns = START_NS
        self.running: RunHook | None = None
        self.actions: list[Action] = []
        self.may_be_up = True
        """A service may be up here; at the start one of an earlier daemon."""
        self.known_up = False
        """One was started, or found, and not stopped since."""
        self.stop_failed = False
        self.last_start_or_stop: Hook | None = None
        self.said: State | None = None
        self.start_epoch = 0
        self.run = 0

    # What comes

    def step(self, event: Event, now_ns: int | None = None) -> None:
        node = self.node
        epochs = (node.data.epoch, node.data.epoch_asked, node.data.epoch_recorded)
        if isinstance(event, HookOver):
            self._hook_over(event)
        errored = bool(node.data.groups) and node.data.groups[0].phase is Phase.ERRORED
        if errored and event in (Command(Word.CLEAR), Command(Word.TAKE_OVER)):
            # A person has looked: what the node says of itself counts from here.
            self.may_be_up = self.known_up = False
        actions = node.step(event, self.now_ns if now_ns is None else now_ns)
        assert node.wake_ns is None or node.wake_ns > node.data.ran_ns, "to be woken in the past"
        after = (node.data.epoch, node.data.epoch_asked, node.data.epoch_recorded)
        assert all(new >= old for old, new in zip(epochs, after)), "an epoch went back"
        self._check(actions)
        self.actions += actions

    def play(self, span: float, event: Event) -> None:
        """Let time pass, waking the node when it wants, then give it an event."""
        until_ns = self.now_ns + ns(span)
        for _ in range(4000):
            wake_ns = self.node.wake_ns
            if wake_ns is None or wake_ns > until_ns:
                break
            self.now_ns = wake_ns
            self.step(Tick())
        else:
            raise AssertionError("it spins")
        self.now_ns = until_ns
        if isinstance(event, LinkChanged) and event.link >= len(self.node.settings.links):
            event = Tick()
        if isinstance(event, HookOver):
            number = self.node.data.groups[0].run + event.run if self.node.data.groups else 0
            event = dataclasses.replace(event, run=number)
        self.step(event)

    def end_hook(self, outcome: Outcome) -> None:
        """The hook that runs is over; if none does, one that nobody asked for."""
        run = self.running.run if self.running is not None else 99
        self.step(HookOver(run, outcome, "exit status 3"))

    def good_time(self, span: float, peers: Mapping[str, State]) -> None:
        """All is well for a while: hooks succeed, the disk takes what it is given, peers speak."""
        for number in range(round(span / 0.3)):
            self.play(0.3, EpochRecorded(self.node.data.epoch_asked))
            if number % 3 == 0:
                for name, state in peers.items():
                    self.step(Heard(0, name, (state,)))
            if self.running is not None:
                self.end_hook(Outcome.OK)

    def sleep(self, span: float) -> None:
        """Time passes, and the node is not called (P1)."""
        self.now_ns += ns(span)

    def replace(self, span: float) -> None:
        """The worker dies, and the next one goes on with what it left (G5)."""
        self.now_ns += ns(span)
        self.node = Node(self.node.settings, pickle.loads(pickle.dumps(self.node.data)))
        self.node.resume(self.now_ns)

    # What must hold

    def _hook_over(self, event: HookOver) -> None:
        if self.running is None or event.run != self.running.run:
            return
        hook, self.running = self.running.hook, None
        good = event.outcome is Outcome.OK
        if hook is Hook.STOP:
            self.stop_failed = not good
            if good:
                self.may_be_up = self.known_up = False
        elif hook is Hook.MONITOR and good and self.node.data.groups[0].phase is Phase.PROBING:
            self.known_up = True

    def _check(self, actions: Sequence[Action]) -> None:
        peers = len(self.node.data.peers)
        assert len(actions) <= ACTIONS_MAX + 2 * peers, actions
        kinds = Counter(type(action) for action in actions)
        # At most: asking, claiming, starting, and for isolated = stop aborting and stopping at once.
        assert kinds[Send] <= 6, actions
        assert kinds[RunHook] <= 1, actions
        assert kinds[EndHook] <= 1, actions
        for action in actions:
            if isinstance(action, Send):
                self.said = action.states[0]
                assert self.said not in (State.UNKNOWN, State.TIMEDOUT)
                standby = self.said is State.STANDBY
                assert not (standby and self.may_be_up), "STANDBY, and a service may be up"
                assert not (self.said is State.INITIAL and self.known_up), "INITIAL, and a service is up"
            elif isinstance(action, RunHook):
                self._check_run(action)
            elif isinstance(action, EndHook):
                assert self.running is not None
                assert action.run == self.running.run, "a hook is ended that does not run"
            elif isinstance(action, RecordEpoch):
                assert action.epoch >= self.node.data.epoch
            elif isinstance(action, WriteMark):
                assert 0 <= action.epoch <= self.node.data.epoch_recorded, "a mark above the record"
            elif isinstance(action, Exit):
                assert action.code or not self.known_up, "all is well, and a service is up"
        if self.node.data.groups:
            self._check_node()

    def _check_run(self, action: RunHook) -> None:
        group = self.node.data.groups[0]
        assert self.running is None, "two hooks at once"
        assert action.run > self.run, "a number is used twice"
        self.running, self.run = action, action.run
        if action.hook is Hook.START:
            assert self.said is State.STARTING, "starthasrv without a claim"
            assert group.epoch > self.start_epoch, "a claim without a new epoch"
            assert self.node.data.epoch_asked >= group.epoch, "a claim with an epoch that nobody reserved"
            assert self.last_start_or_stop is not Hook.START, "starthasrv twice"
            assert not self.node.data.leftovers, "beside a hook of an earlier daemon"
            self.start_epoch = group.epoch
            self.may_be_up = self.known_up = True
        if action.hook in (Hook.START, Hook.STOP):
            self.last_start_or_stop = action.hook

    def _check_node(self) -> None:
        node = self.node
        group = node.data.groups[0]
        view = node.view(node.data.ran_ns)
        names = [line.name for line in view.nodes]
        assert names == sorted(names, key=order_key)
        assert "m" in names
        gone = group.phase is Phase.GONE
        assert gone is (node.data.exit_code is not None)
        assert (node.wake_ns is None) is gone
        assert gone or self.running is None or group.hook is self.running.hook
        assert gone or (group.hook is None) is (self.running is None), "a hook that nobody waits for"
        if not gone and node.data.stall_ns is None:
            turn = Turn(node.settings, node.copy().data, node.data.ran_ns)
            assert node.data.announced == [announced(turn, group)], "what is so has been said"
