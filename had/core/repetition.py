"""Heartbeats that say nothing new, which are nearly all that a node ever hears.

A node of a large cluster hears hundreds of them in a second, and to decide anew after each would look at
every peer each time.  Such a heartbeat moves the moment at which its sender would be late or dead, and
changes nothing else; as long as nothing is due by itself, to decide again would come to the same.

What is listed here is the two situations of a calm cluster in which that can be seen without deciding: this
node stands by because a peer runs the group, or it runs the group and the sender doesn't.  Everything else
is decided anew, be it as common as it may.  ``tests/core/test_repetition.py`` holds both ways side by side.
"""

from __future__ import annotations

from had.core.data import Group, NodeData, Peer
from had.core.events import Heard
from had.core.membership import counts, ends_a_silence
from had.core.settings import Settings
from had.core.states import Phase, State

_BESIDE = {
    Phase.STANDBY: frozenset((State.STANDBY, State.ERRORED, State.RUNNING)),
    Phase.RUNNING: frozenset((State.STANDBY, State.ERRORED)),
}
"""What a peer may go on saying without anything following from it, by our own phase."""


def is_repetition(settings: Settings, node: NodeData, event: Heard, now_ns: int) -> bool:
    """Whether nothing follows from this heartbeat but that its sender was heard."""
    if node.wake_ns is None or now_ns >= node.wake_ns:
        return False  # something is due
    if node.stall_ns is not None or node.isolated_ns is not None or node.listen_ns is not None or node.mark:
        return False
    peer = node.peers.get(event.name)
    if peer is None or peer.dead or peer.conflict_ns or not counts(settings, event.name):
        return False
    if node.wake_ns - max(peer.heard_ns, peer.excused_ns) in (settings.warn_ns, settings.dead_ns + 1):
        return False  # it is this peer's lateness that we would be woken for: decided anew, for nothing else
    if ends_a_silence(settings, peer, now_ns):
        return False  # the next worker must know of it
    word = peer.words.get(event.link)
    if word is None or now_ns - word.heard_ns > settings.dead_ns:
        return False
    return len(event.states) == len(node.groups) and all(
        _is_calm(group) and _says_only(peer, number, event.states[number], _BESIDE[group.phase])
        for number, group in enumerate(node.groups)
    )


def _is_calm(group: Group) -> bool:
    """Whether the group rests, with nothing that waits for a peer or a person."""
    if group.hold is not None or group.take_over or group.leaving or group.forced_beside:
        return False
    if group.phase is Phase.STANDBY:
        return group.verdict is not None and group.verdict.code == "peer-runs"
    return group.phase is Phase.RUNNING


def _says_only(peer: Peer, number: int, state: State, allowed: frozenset[State]) -> bool:
    """Whether the peer says this, and has said nothing else, on any link."""
    return state in allowed and all(
        number < len(word.groups) and word.groups[number].state is state and not word.groups[number].beats
        for word in peer.words.values()
    )
