"""What peers say of a group, and what follows at once: a claim withdrawn, a hold ended, a newer start.

What takes time to show, such as two that go on running, is in :mod:`had.core.conflict`.
"""

from __future__ import annotations

from had.core import conflict, survivor
from had.core.actions import Level, Reason
from had.core.data import Group, Peer
from had.core.group import number_of, stop, withdraw
from had.core.membership import alive_peers, busy_peers, counts, says
from had.core.states import RUNNING_STATES, Phase, State
from had.core.turn import Turn


def on_heard(turn: Turn, group: Group, peer: Peer, link: int, before: State | None) -> None:
    """React to a heartbeat at once; ``before`` is what this peer had said last on this link (H5)."""
    number = number_of(turn, group)
    words = peer.words[link].groups
    if number >= len(words):
        return
    said = words[number]
    if said.state in RUNNING_STATES:
        survivor.peer_ran(turn, peer.name)
    if group.hold is not None and counts(turn.settings, peer.name):
        _hear_on_hold(turn, group, peer, said.state)
    if (
        group.phase is Phase.CLAIMING
        and not group.forced
        and said.state
        in (
            State.STARTING,
            State.RUNNING,
            State.STOPPING,
        )
    ):
        text = f"{peer.name} is {said.state.name}: our claim is withdrawn"
        withdraw(turn, group, Reason("claim-withdrawn", text))
        return
    newer = conflict.hear(turn, group, peer, said, before)
    if newer is not None and turn.node.stall_ns is None:
        stop(turn, group, newer, Level.WARNING)


def _hear_on_hold(turn: Turn, group: Group, peer: Peer, state: State) -> None:
    """End a hold when another node has had its turn (M2)."""
    hold = group.hold
    if hold is None:
        return
    had_turn = ""
    if state is State.RUNNING:
        had_turn = f"{peer.name} is RUNNING"
    elif state is State.STARTING:
        if peer.name not in hold.starters:
            hold.starters.append(peer.name)
    elif state in (State.STOPPING, State.ERRORED) and peer.name in hold.starters:
        had_turn = f"{peer.name} has tried and is {state.name}"
    if had_turn:
        group.hold = None
        turn.note(Level.NOTICE, Reason("hold-over", f"no longer on hold: {had_turn}"))


def watch_hold(turn: Turn, group: Group) -> None:
    """End a hold when who started has been silent too long, and complain about one that lasts (M2)."""
    hold, settings = group.hold, turn.settings
    if hold is None:
        return
    for name in hold.starters:
        peer = turn.node.peers.get(name)
        if peer is None or turn.due(peer.heard_ns + settings.start_timeout_ns):
            group.hold = None
            text = f"no longer on hold: {name} began to start and has been silent since"
            turn.note(Level.NOTICE, Reason("hold-over", text))
            return
    number = number_of(turn, group)
    ready = [peer for peer in alive_peers(turn) if State.STANDBY in says(turn, peer, number)]
    if group.phase is Phase.STANDBY and not ready and not busy_peers(turn, number):
        text = (
            "nobody runs the services: this node was put on hold by SIGHUP and no other is ready; "
            "SIGUSR1 starts them here, SIGUSR2 ends the hold"
        )
        turn.complain(Reason("on-hold", text))
