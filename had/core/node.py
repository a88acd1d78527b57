"""One node: events and the time go in, actions come out.

This is the only door to the core.  The runtime calls :meth:`Node.step` with each thing that happened and
does what comes back, in order; the simulator does the same with a world of its own.  A step takes note of
the event, lets every group decide until nothing changes, sends what is due, and says when it wants to be
called again (:attr:`Node.wake_ns`).

The node trusts its caller in one thing only: a :class:`had.core.events.Tick` comes first after any wait.
How long the node was not called is how it knows of a pause (rules P).
"""

from __future__ import annotations

import dataclasses

from had.core import membership, survivor
from had.core.actions import Action, DiscardQueued, EraseMark, Level, Publish, Reason
from had.core.data import Group, NodeData, clone, fingerprint
from had.core.decide import settle
from had.core.events import (
    Command,
    EpochRecorded,
    Event,
    Heard,
    HookOver,
    LeftoversGone,
    LinkChanged,
    MachineCarrier,
    RecordFailed,
    Tick,
)
from had.core.group import (
    CLAIMS,
    FORCE_NS,
    announce,
    announced,
    become,
    reserve_epochs,
    send,
    state_of,
    stop,
    unfit,
    withdraw,
)
from had.core.hearsay import on_heard
from had.core.outcomes import on_hook_over
from had.core.repetition import is_repetition
from had.core.settings import Settings
from had.core.states import RUNNING_STATES, Cause, Phase, State
from had.core.turn import InvariantError, Turn, seconds
from had.core.words import on_word

STRETCH_DEAD_TIMES = 2
"""For how many dead times a node that was late gives others more time (P1)."""


@dataclasses.dataclass(frozen=True)
class NodeView:
    """One line of the state file."""

    name: str
    state: State
    heard_ns: int
    """When it was last heard; for this node itself: now."""


@dataclasses.dataclass(frozen=True)
class View:
    """What a node shows of itself and of the others."""

    seeding: bool
    """Nothing is known yet: INITIAL (COMPAT §7)."""
    nodes: tuple[NodeView, ...]
    """This node and all that were heard, in order."""


@dataclasses.dataclass(frozen=True)
class Status:
    """What a node tells of itself: the status file."""

    state: State
    since_ns: int
    reason: Reason
    """Why it is in that state."""
    ready: bool | None
    """Whether it could run the services; None where that is no question."""
    unfit: Reason | None
    """Why not."""
    ending: bool
    """The daemon is on its way out."""


class Node:
    """The decisions of one node.

    ``data`` is all that it knows; a new worker goes on with a copy of the old one's (G5).
    ``epoch`` and the mark are what the durable record said at the start.
    """

    def __init__(
        self,
        settings: Settings,
        data: NodeData | None = None,
        epoch: int = 0,
        mark: bool = False,
        mark_same_boot: bool = False,
    ) -> None:
        self.settings = settings
        if data is None:
            data = NodeData(epoch=epoch, mark=mark, mark_same_boot=mark_same_boot)
        self.data = data

    @property
    def wake_ns(self) -> int | None:
        """When the node wants a Tick at the latest."""
        return self.data.wake_ns

    def copy(self) -> Node:
        return Node(self.settings, clone(self.data))

    def fingerprint(self) -> object:
        """Hashable; equal for nodes that will do the same from here on."""
        return fingerprint(self.data, self.data.ran_ns)

    def step(self, event: Event, now_ns: int) -> list[Action]:
        """Take in one event and return what is to be done.

        ``now_ns`` never goes back.  Raises :class:`had.core.turn.InvariantError` for a bug, nothing else.
        """
        data = self.data
        turn = Turn(self.settings, data, max(now_ns, data.ran_ns))
        if data.exit_code is not None:
            return []
        if not data.begun:
            _begin(turn)
        if isinstance(event, Heard) and is_repetition(self.settings, data, event, turn.now_ns):
            membership.hear(turn, event)
            data.ran_ns = turn.now_ns
            return turn.actions
        _watch_pace(turn)
        _take_in(turn, event)
        _decide(turn)
        _beat(turn)
        data.ran_ns = turn.now_ns
        data.wake_ns = turn.wake_ns if data.exit_code is None else None
        return turn.actions

    def resume(self, now_ns: int) -> None:
        """Go on after another worker's death: the time nobody listened is no peer's silence (G5).

        Nor is what the dead worker heard after the snapshot that we go on from: a heartbeat that came in
        time, for one that ends a longer silence is never forgotten (:func:`membership.hear`).  More is not
        excused, so that workers that die again and again keep no dead peer alive.
        """
        data = self.data
        deaf_ns = max(0, now_ns - data.ran_ns)
        if data.isolated_ns is not None:
            # Whether it still is so the new worker hears with its first look at the links (I1).
            grace_ns = self.settings.heartbeat_ns // 4 - self.settings.dead_ns // 2
            data.isolated_ns = max(data.isolated_ns, now_ns + grace_ns)
        for peer in data.peers.values():
            if not peer.dead:
                heard_ns = peer.heard_ns + membership.forgettable_ns(self.settings)
                peer.excused_ns = min(now_ns, max(heard_ns, peer.excused_ns) + deaf_ns)
        data.beat_ns = min(data.beat_ns, now_ns)
        data.wake_ns = None  # a worker that was dead is not late: the deaf time is excused already
        for group in data.groups:
            group.monitor_ns = min(group.monitor_ns, now_ns)

    def view(self, now_ns: int) -> View:
        """Return what the state file shows; our own line is our state, never what came back over a wire."""
        data, settings = self.data, self.settings
        ours = _shown(data.groups[0]) if data.groups else State.INITIAL
        seeding = ours is State.INITIAL
        lines = [NodeView(settings.node, ours, now_ns)]
        for peer in data.peers.values():
            state = State.TIMEDOUT if peer.dead else membership.latest(peer, 0)
            lines.append(NodeView(peer.name, state, peer.heard_ns))
        lines.sort(key=lambda line: membership.order_key(line.name))
        return View(seeding, tuple(lines))

    def status(self, now_ns: int) -> Status:
        """Return what this node tells of itself; only after its first step."""
        data, group = self.data, self.data.groups[0]
        why = unfit(Turn(self.settings, data, max(now_ns, data.ran_ns)), group)
        ready = why is None if group.phase is Phase.STANDBY or why is not None else None
        ending = group.leaving or data.exit_code is not None
        return Status(_shown(group), group.since_ns, group.reason, ready, why, ending)

    def next_can_take_over(self, now_ns: int) -> bool:
        """Whether a live peer could run the group if this node stopped it (G3)."""
        turn = Turn(self.settings, self.data, now_ns)
        return any(State.STANDBY in membership.says(turn, peer, 0) for peer in membership.alive_peers(turn))


def _shown(group: Group) -> State:
    """Return the state that people see: of a daemon that has ended what it was last."""
    return group.previous if group.phase is Phase.GONE else state_of(group)


def _begin(turn: Turn) -> None:
    """Start: INITIAL, or with ``-m`` a claim at once (M5)."""
    node, settings = turn.node, turn.settings
    node.begun = True
    node.ran_ns = node.initial_ns = node.heard_ns = node.beat_ns = turn.now_ns
    reserve_epochs(turn)
    if not node.mark:
        # One may yet appear: a writer of a daemon that was killed may have been stuck in the middle (L2).
        turn.do(EraseMark())
    if settings.force_main:
        reason = Reason("forced", "-m: starting at once, whatever others say")
        group = Group(Phase.STANDBY, turn.now_ns, reason, forced=True, not_looked=True)
        node.groups.append(group)
        become(turn, group, Cause.TAKE_OVER, reason, Level.WARNING)
        group.claim_ns = turn.now_ns + FORCE_NS
    else:
        text = f"waiting for {settings.count} nodes"
        node.groups.append(Group(Phase.WAITING, turn.now_ns, Reason("initial", text)))
        turn.changed = True


def _watch_pace(turn: Turn) -> None:
    """See whether the node was stopped or starved, before anything else is believed (P1)."""
    node, settings = turn.node, turn.settings
    gap_ns = turn.now_ns - node.ran_ns
    if gap_ns > settings.dead_ns:
        _stall(turn, gap_ns)
    elif node.wake_ns is not None:
        late_ns = turn.now_ns - node.wake_ns
        if late_ns > settings.dead_ns // 3:
            node.late = max(node.late, late_ns)
            node.stretch_ns = turn.now_ns + STRETCH_DEAD_TIMES * settings.dead_ns
            text = f"this node was late by {seconds(late_ns)}: others are given as much longer for a while"
            turn.note(Level.WARNING, Reason("late", text))
    if node.stall_ns is not None and turn.due(node.stall_ns):
        node.stall_ns = None
        if node.isolated_ns is None:
            membership.hear_again(turn)
        turn.note(Level.NOTICE, Reason("stall-over", "nobody else was heard running: going on"))
        announce(turn)


def _stall(turn: Turn, gap_ns: int) -> None:
    """Begin to listen, and nothing else (P1)."""
    node, settings = turn.node, turn.settings
    listen_ns = min(2 * settings.heartbeat_ns, settings.dead_ns // 2)
    text = f"this node did not run for {seconds(gap_ns)}: it only listens for {seconds(listen_ns)}"
    turn.note(Level.WARNING, Reason("stalled", text))
    turn.do(DiscardQueued())
    if node.stall_ns is None and node.isolated_ns is None:
        membership.go_deaf(turn)
    node.stall_ns = turn.now_ns + listen_ns
    for group in node.groups:
        if group.phase in CLAIMS:
            group.take_over = group.forced
            withdraw(turn, group, Reason("claim-withdrawn", "our claim is withdrawn: stalled"))


def _take_in(turn: Turn, event: Event) -> None:
    """Take note of an event."""
    node = turn.node
    if isinstance(event, Heard):
        _hear(turn, event)
    elif isinstance(event, HookOver):
        for group in node.groups:
            on_hook_over(turn, group, event)
    elif isinstance(event, Command):
        if event.word not in node.unanswered:
            node.unanswered.append(event.word)
        for group in node.groups:
            on_word(turn, group, event.word)
    elif isinstance(event, (LinkChanged, MachineCarrier)):
        _note_link(turn, event)
    elif isinstance(event, LeftoversGone):
        node.leftovers = False
    elif isinstance(event, EpochRecorded):
        node.epoch_recorded = max(node.epoch_recorded, event.epoch)
    elif isinstance(event, RecordFailed):
        text = f"the record can't be written ({event.why}): no privileges until it can"
        turn.complain(Reason("record-failed", text))
    elif not isinstance(event, Tick):
        raise InvariantError(f"unknown event {event!r}")


def _note_link(turn: Turn, event: LinkChanged | MachineCarrier) -> None:
    """Note which links are down, and what that means (H4)."""
    node = turn.node
    if isinstance(event, MachineCarrier):
        node.machine_carrier = event.up
    elif event.up and event.link in node.links_down:
        node.links_down.remove(event.link)
    elif not event.up and event.link not in node.links_down:
        node.links_down.append(event.link)
    _watch_isolation(turn)


def _hear(turn: Turn, event: Heard) -> None:
    """Take in a heartbeat (H1, H5, H6)."""
    node = turn.node
    known = node.peers.get(event.name)
    before = known.words.get(event.link) if known is not None else None
    if before is not None and turn.now_ns - before.heard_ns > turn.settings.dead_ns:
        before = None
    said_before = [word.state for word in before.groups] if before is not None else []
    peer = membership.hear(turn, event)
    if peer is None:
        return
    for number, group in enumerate(node.groups):
        said = None
        # What was said before we ran witnesses nothing (T2).
        if before is not None and before.heard_ns >= group.run_since_ns and number < len(said_before):
            said = said_before[number]
        on_heard(turn, group, peer, event.link, said)
    if node.stall_ns is not None:
        _heard_while_stalled(turn, event)


def _heard_while_stalled(turn: Turn, event: Heard) -> None:
    """Stop what a peer has taken over during the pause, before any rule T (P1)."""
    node = turn.node
    for group, state in zip(node.groups, event.states):
        if state in RUNNING_STATES and group.phase in (Phase.STARTING, Phase.RUNNING):
            node.stall_ns = None
            if node.isolated_ns is None:
                membership.hear_again(turn)
            text = f"{event.name} has taken over while this node was stopped"
            stop(turn, group, Reason("taken-over", text), Level.WARNING)


def _watch_isolation(turn: Turn) -> None:
    """See whether this node is the one that is cut off (H4)."""
    node, settings = turn.node, turn.settings
    if settings.isolation_by_machine:
        isolated = not node.machine_carrier
    else:
        ours = [number for number, link in enumerate(settings.links) if not link.crossover]
        isolated = bool(ours) and all(number in node.links_down for number in ours)
    if isolated and node.isolated_ns is None:
        node.isolated_ns = turn.now_ns
        turn.changed = True
        turn.note(Level.ERROR, Reason("isolated", "all links of this node are down: it is isolated"))
        if node.stall_ns is None:
            membership.go_deaf(turn)
    elif not isolated and node.isolated_ns is not None:
        node.isolated_ns = None
        turn.changed = True
        turn.note(Level.NOTICE, Reason("not-isolated", "a link is up again: no longer isolated"))
        if node.stall_ns is None:
            membership.hear_again(turn)


def _decide(turn: Turn) -> None:
    """Let every group decide; a stalled node decides nothing, not even who is dead (P1)."""
    node = turn.node
    if node.stall_ns is not None:
        return
    membership.refresh(turn)
    if node.alone and membership.has_quorum(turn):
        node.alone = False
    for group in node.groups:
        settle(turn, group)
    survivor.update(turn)


def _beat(turn: Turn) -> None:
    """Send what is due: the regular heartbeat, or a change that comes from outside the table (E3)."""
    node = turn.node
    if node.exit_code is not None:
        turn.do(Publish())
        return
    if turn.due(node.beat_ns):
        interval_ns = turn.settings.heartbeat_ns
        node.beat_ns += interval_ns
        if node.beat_ns <= turn.now_ns:
            node.beat_ns = turn.now_ns + interval_ns
        turn.due(node.beat_ns)
        send(turn)
        turn.changed = True
    elif node.announced != [announced(turn, group) for group in node.groups]:
        announce(turn)
        turn.changed = True
    if node.repeat_ns is not None and turn.due(node.repeat_ns):
        node.repeat_ns = None
        send(turn)
    if turn.changed:
        turn.do(Publish())
