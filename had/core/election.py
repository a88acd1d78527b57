"""Who starts the group (rules E1 to E4).

Every node decides for itself and from what it hears; no vote is taken.  That works because all go by the
same order and because a claim is announced before anything is started (E5).  Two kinds of waiting must
not last for ever: for a node that could start and doesn't (a firewall lets it speak but not hear), and for
one that never finishes INITIAL.  Both have their turn, and are passed over when it is used up (E4).
"""

from __future__ import annotations

import dataclasses

from had.core.actions import Reason
from had.core.data import Group, Peer
from had.core.membership import (
    alive_peers,
    busy_peers,
    counts,
    has_quorum,
    is_listening,
    late_for_quorum,
    members,
    order_key,
    quorum_heard,
    says,
)
from had.core.states import State
from had.core.survivor import waives_quorum
from had.core.turn import Turn, listed, seconds


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether this node starts the group now, and why or why not."""

    start: bool
    reason: Reason


def not_ready(turn: Turn, group: Group) -> Reason | None:
    """Why this node would not start the group even if it were its turn (E3); ``None`` if it would."""
    node, settings = turn.node, turn.settings
    if group.hold is not None:
        return Reason("hold", f"SIGHUP put {settings.node} on hold until another node has had its turn")
    if node.isolated_ns is not None:
        return Reason("isolated", isolation(turn))
    if settings.count > 2 and not has_quorum(turn) and not waives_quorum(turn):
        heard = quorum_heard(turn)
        return Reason(
            "no-quorum", f"{heard} of {settings.count} nodes are heard, {settings.quorum} are needed"
        )
    return None


def still_waiting(turn: Turn) -> Reason:
    """Why a node is INITIAL though ``startup`` is over (S2)."""
    settings = turn.settings
    heard = f"{quorum_heard(turn)} of {settings.count} nodes heard in {seconds(settings.startup_ns)}"
    text = f"{heard}, {settings.quorum} are needed: still waiting; SIGUSR1 starts the services here"
    return Reason("waiting", text)


def isolation(turn: Turn) -> str:
    """Say why this node takes itself for the one that is cut off (H4)."""
    if turn.settings.isolation_by_machine:
        return "no interface of this machine has carrier; had.conf can say crossover = yes for a direct cable"
    down = [turn.settings.links[number].name for number in sorted(turn.node.links_down)]
    return (
        f"all links of this node are down ({listed(down)}): it is the one that is cut off; "
        "say crossover = yes for a link that is a direct cable"
    )


def verdict(turn: Turn, number: int, group: Group) -> Verdict:
    """Decide whether a STANDBY node starts the group now (E1)."""
    busy = busy_peers(turn, number)
    if busy:
        group.turn_of, group.passed = "", []
        said = listed([f"{peer.name} {_does(turn, peer, number)}" for peer in busy])
        if not any(counts(turn.settings, peer.name) for peer in busy):
            return Verdict(False, Reason("stranger-runs", f"{said}, which is not in nodes"))
        return Verdict(False, Reason("peer-runs", said))
    if is_listening(turn):
        return Verdict(False, Reason("listening", "hearing who is there after deafness"))
    unready = not_ready(turn, group)
    if unready is not None:
        group.turn_of, group.passed = "", []
        return Verdict(False, unready)
    if turn.settings.count > 2 and not waives_quorum(turn):
        late = late_for_quorum(turn)
        if late:
            names = listed([peer.name for peer in late])
            text = f"{names} counts for the quorum but is late: heard again, or dead, before anything starts"
            return Verdict(False, Reason("quorum-late", text))
    earlier = _earlier(turn, number, group)
    if earlier is not None:
        waits = "is INITIAL" if group.turn_initial else "is ready"
        return Verdict(False, Reason("not-first", f"{earlier.name} comes first and {waits}"))
    return Verdict(True, Reason("elected", _why_us(turn, group)))


def _earlier(turn: Turn, number: int, group: Group) -> Peer | None:
    """Return the peer whose turn it is, or ``None`` when it is ours; passes over who used up its turn."""
    settings = turn.settings
    waiting = {}
    for peer in alive_peers(turn):
        if counts(settings, peer.name) and order_key(peer.name) < order_key(settings.node):
            said = says(turn, peer, number)
            if said & {State.STANDBY, State.INITIAL}:
                waiting[peer.name] = (peer, State.STANDBY not in said)
    group.passed = [name for name in group.passed if name in waiting]
    for name in sorted(waiting, key=order_key):
        if name in group.passed:
            continue
        peer, initial = waiting[name]
        if (group.turn_of, group.turn_initial) != (name, initial):
            group.turn_of, group.turn_initial, group.turn_since_ns = name, initial, turn.now_ns
        limit_ns = settings.startup_ns if initial else settings.patience_ns
        if not turn.due(group.turn_since_ns + limit_ns):
            return peer
        group.passed.append(name)
        text = f"{name} had its turn for {seconds(limit_ns)} and did not start: it is passed over"
        turn.complain(Reason("passed-over", text), name)
    group.turn_of = ""
    return None


def _does(turn: Turn, peer: Peer, number: int) -> str:
    said = says(turn, peer, number)
    for state in (State.RUNNING, State.STARTING, State.STOPPING):
        if state in said:
            return f"is {state.name}"
    return "ran it until a moment ago and is INITIAL again"


def _why_us(turn: Turn, group: Group) -> str:
    """Return the evidence for a start, in one sentence."""
    settings, node = turn.settings, turn.node
    parts = []
    dead = [peer for peer in node.peers.values() if peer.dead and counts(settings, peer.name)]
    for peer in sorted(dead, key=lambda peer: order_key(peer.name)):
        parts.append(f"{peer.name} silent for {seconds(turn.now_ns - peer.heard_ns)}")
    alive = sorted((peer.name for peer in members(turn)), key=order_key)
    if alive:
        parts.append(f"{listed(alive)} heard and not running it")
    if settings.count > 2 and not node.alone:
        parts.append(f"{quorum_heard(turn)} of {settings.count} nodes heard")
    if group.passed:
        parts.append(f"{listed(group.passed)} passed over")
    evidence = ", ".join(parts) or "nobody else is there"
    return f"{settings.node} starts {settings.group}: {evidence}"
