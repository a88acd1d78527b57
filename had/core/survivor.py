"""The sole survivor's mark (rules L): what lets the last node standing start again alone.

The mark is a privilege, so it is given only with a durable epoch behind it, and taken away by the first
sign that somebody else may have run the group since.
"""

from __future__ import annotations

from had.core.actions import EraseMark, Level, Reason, WriteMark
from had.core.data import Group
from had.core.membership import counts, is_heard, members
from had.core.settings import Alone
from had.core.states import STATE_OF, Phase, State
from had.core.turn import Turn

SURVIVING = frozenset((Phase.RUNNING, Phase.ABORTING, Phase.STOPPING, Phase.BLOCKED))
"""RUNNING or STOPPING (L1); the clean-up of a node that starts has run nothing."""


def survives(group: Group) -> bool:
    """Whether this node may be the last that ran it; who stops again after a failure ran nothing (L1)."""
    return group.phase in SURVIVING and group.previous is not State.ERRORED and not group.renounced


def update(turn: Turn) -> None:
    """Write the mark when this node has become the sole survivor, erase it when it is not (L1, L2)."""
    node = turn.node
    surviving = any(survives(group) for group in node.groups)
    running = any(group.phase in SURVIVING or group.phase is Phase.STARTING for group in node.groups)
    if surviving and not node.mark and node.isolated_ns is None and not members(turn):
        _write(turn)
    elif node.mark:
        heard = [
            peer for peer in node.peers.values() if counts(turn.settings, peer.name) and is_heard(turn, peer)
        ]
        initial = any(STATE_OF[group.phase] is State.INITIAL for group in node.groups)
        enough_ns = 2 * turn.settings.heartbeat_ns
        if running and heard:
            erase(turn, f"{heard[0].name} is heard")
        elif not initial and any(peer.heard_ns - peer.since_ns >= enough_ns for peer in heard):
            erase(turn, "a peer has been heard for two heartbeats")


def _write(turn: Turn) -> None:
    node = turn.node
    epoch = max(group.epoch for group in node.groups)
    if epoch > node.epoch_recorded:
        text = "the last epoch is not on the disk: this node could not start again alone"
        turn.complain(Reason("no-privileges", text))
        return
    node.mark = True
    node.mark_same_boot = True
    turn.do(WriteMark(epoch))
    turn.note(
        Level.NOTICE,
        Reason("sole-survivor", "no peer is alive: this node may start again alone until one is heard"),
    )


def erase(turn: Turn, why: str) -> None:
    """Take the privilege away."""
    if turn.node.mark:
        turn.node.mark = False
        turn.do(EraseMark())
        turn.note(Level.NOTICE, Reason("not-sole-survivor", f"no longer the sole survivor: {why}"))


def peer_ran(turn: Turn, name: str) -> None:
    """Note that a peer was heard running: if it is a configured one, we are not the last who ran (L2)."""
    if counts(turn.settings, name):
        erase(turn, f"{name} runs the group")


def may_start_alone(turn: Turn) -> bool:
    """Whether a node in INITIAL may go on by its mark (L3)."""
    node, settings = turn.node, turn.settings
    if not node.mark or node.isolated_ns is not None:
        return False
    silence_ns = settings.dead_ns if node.mark_same_boot else settings.startup_ns
    return turn.due(node.heard_ns + silence_ns)


def waives_quorum(turn: Turn) -> bool:
    """Whether a node that left INITIAL alone may claim without a quorum, now (L3, S2)."""
    node, settings = turn.node, turn.settings
    if not node.alone:
        return False
    if settings.alone is Alone.START and not members(turn):
        return True
    return may_start_alone(turn)
