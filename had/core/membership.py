"""Who is there: peers, what they say, and whether they are alive (rules H, Q1).

A peer is alive while any link hears it.  What it *says* is harder: the same heartbeat comes over several
links, and the slow one repeats what is no longer so (H5).  Taking the newest word would let a late STANDBY
hide a STARTING that came over the fast link a moment ago; taking the worst of all words would let a link
that broke while it said RUNNING forbid a take-over for a whole dead time.  So a word counts as long as its
link keeps pace with the one that was heard last: at most three heartbeats behind.  See :func:`says`.
"""

from __future__ import annotations

from had.core.actions import Level, Publish, Reason
from had.core.data import GroupWord, LinkWord, Peer
from had.core.events import Heard
from had.core.settings import Settings
from had.core.states import BUSY_STATES, RUNNING_STATES, State
from had.core.turn import Turn, seconds

PEERS_MAX = 64
"""How many peers are kept where only their number is configured; more if ``count`` asks for it."""
STRANGERS_MAX = 16
"""How many nodes are kept that are not in the configured list."""
PACE = 3
"""How many heartbeats a link may be behind the freshest and still have a say."""


def order_key(name: str) -> tuple[str, str]:
    """Sort nodes: by name, ignoring ASCII case; equal but for case, by bytes (E2)."""
    return (name.lower(), name)


def counts(settings: Settings, name: str) -> bool:
    """Whether a node belongs to the configured ones."""
    return not settings.names or name in settings.names


def hear(turn: Turn, event: Heard) -> Peer | None:
    """Take note of a heartbeat; ``None`` if it changes nothing: our own (H6), or one too many."""
    name = event.name
    if name == turn.settings.node:
        return None
    node, now_ns = turn.node, turn.now_ns
    peer = node.peers.get(name)
    if peer is None:
        if not _make_room(turn, name):
            return None
        peer = node.peers[name] = Peer(name, now_ns, now_ns, {}, dead=True)
    if peer.dead:
        peer.since_ns = now_ns
        if peer.words:
            turn.note(Level.NOTICE, Reason("peer-back", f"{name} is heard again"))
        else:
            turn.note(Level.NOTICE, Reason("peer-new", f"{name} is heard for the first time"))
        turn.changed = True
    if may_have_restarted_unheard(turn.settings, peer, now_ns):
        forget_forced(turn, peer)
    # What ends a silence goes into the next snapshot at once, by this: see Node.resume (G5).
    late = ends_a_silence(turn.settings, peer, now_ns)
    shown = latest(peer, 0) if peer.words else None
    peer.dead = peer.warned = False
    peer.heard_ns = now_ns
    peer.newest = event.link
    word = peer.words.get(event.link)
    before = word.groups if word is not None else []
    turn.changed = turn.changed or late or [old.state for old in before] != list(event.states)
    groups = [
        _next_word(before[number] if number < len(before) else None, state, now_ns)
        for number, state in enumerate(event.states)
    ]
    peer.words[event.link] = LinkWord(now_ns, groups)
    turn.changed = turn.changed or latest(peer, 0) is not shown  # it may be what an older link had said
    if counts(turn.settings, name):
        node.heard_ns = now_ns
        if name not in node.met and len(node.met) < turn.settings.count - 1:
            node.met.append(name)
    else:
        turn.complain(
            Reason(
                "stranger",
                f"{name} speaks on our links but is not in nodes: it is shown, but does not count; "
                "another cluster needs a port of its own",
            ),
            name,
        )
    return peer


def may_have_restarted_unheard(settings: Settings, peer: Peer, now_ns: int) -> bool:
    """Whether a peer was silent for so long that it may have stopped and been forced anew meanwhile (T4).

    That takes it the two heartbeats for which it asks us to stop (M3), and what its hooks take.
    """
    return now_ns - peer.heard_ns > settings.heartbeat_ns * 9 // 4


def forget_forced(turn: Turn, peer: Peer) -> None:
    """Forget that this node was forced against a peer: what a person knew of may be over (T4)."""
    for number, group in enumerate(turn.node.groups):
        if peer.name in group.forced_beside:
            group.forced_beside = [name for name in group.forced_beside if name != peer.name]
            # What was heard before belongs to the quarrel that the person knew of.
            for word in peer.words.values():
                if number < len(word.groups):
                    word.groups[number].beats = 0


def ends_a_silence(settings: Settings, peer: Peer, now_ns: int) -> bool:
    """Whether a heartbeat that comes now is later than one that comes in time (G5)."""
    return now_ns - peer.heard_ns > settings.heartbeat_ns + settings.heartbeat_ns // 2


def forgettable_ns(settings: Settings) -> int:
    """Return how long after the last heartbeat in a snapshot a worker may have heard another (G5).

    One that comes later than :func:`hear` takes for punctual is in the snapshot, which is made a tenth of a
    heartbeat later at most.
    """
    return settings.heartbeat_ns * 8 // 5


def _next_word(old: GroupWord | None, state: State, now_ns: int) -> GroupWord:
    """Make what a peer says now, with what the former word on the same link tells about it."""
    new = GroupWord(state, busy_ns=now_ns if state in BUSY_STATES else 0)
    if old is None:
        return new
    new.beats, new.counted_ns = old.beats, old.counted_ns
    if state in RUNNING_STATES:
        new.started_ns = old.started_ns if old.state in RUNNING_STATES else now_ns
    elif state is State.STOPPING:
        new.cleaning = old.cleaning or old.state is State.INITIAL
    elif state is State.INITIAL:
        new.busy_ns = old.busy_ns
    return new


def _make_room(turn: Turn, name: str) -> bool:
    """Keep the table bounded, configured nodes first: made-up names must not fill it (COMPAT D18)."""
    settings, peers = turn.settings, turn.node.peers
    if settings.names:
        if name in settings.names:
            return True
        rivals = [peer for peer in peers.values() if peer.name not in settings.names]
        limit = STRANGERS_MAX
    else:
        rivals = list(peers.values())
        limit = max(PEERS_MAX, 2 * settings.count)
    if len(rivals) < limit:
        return True
    gone = [peer for peer in rivals if peer.dead]
    if not gone:
        turn.complain(Reason("too-many", f"{len(rivals)} other nodes are known: {name} is ignored"))
        return False
    del peers[min(gone, key=lambda peer: peer.heard_ns).name]
    return True


def dead_after_ns(turn: Turn) -> int:
    """Return the silence that makes a peer dead (H2), stretched where we ourselves were late (P1)."""
    node = turn.node
    if node.stretch_ns is not None:
        if not turn.due(node.stretch_ns):
            return turn.settings.dead_ns + node.late
        node.stretch_ns, node.late = None, 0
    return turn.settings.dead_ns


def is_alive(turn: Turn, peer: Peer) -> bool:
    """Whether the last heartbeat is at most the dead time old, on any link (H1, H3)."""
    heard_ns = max(peer.heard_ns, peer.excused_ns)
    return not turn.due(heard_ns + dead_after_ns(turn) + 1)


def is_heard(turn: Turn, peer: Peer) -> bool:
    """As :func:`is_alive`, but a peer that is only excused (H3) is not heard."""
    return not turn.due(peer.heard_ns + dead_after_ns(turn) + 1)


def alive_peers(turn: Turn) -> list[Peer]:
    return [peer for peer in turn.node.peers.values() if is_alive(turn, peer)]


def fresh_words(turn: Turn, peer: Peer) -> list[LinkWord]:
    """Return the words that count: those of links that keep pace with the one last heard (H5)."""
    behind_ns = PACE * turn.settings.heartbeat_ns
    return [word for word in peer.words.values() if word.heard_ns + behind_ns >= peer.heard_ns]


def says(turn: Turn, peer: Peer, group: int) -> frozenset[State]:
    """All that a peer says of a group on the links that count: usually one state."""
    return frozenset(word.groups[group].state for word in fresh_words(turn, peer) if group < len(word.groups))


def latest(peer: Peer, group: int) -> State:
    """Return the state that was heard last, for people."""
    words = peer.words[peer.newest].groups
    return words[group].state if group < len(words) else State.UNKNOWN


def members(turn: Turn) -> list[Peer]:
    """Live peers that belong to the configured nodes."""
    return [peer for peer in alive_peers(turn) if counts(turn.settings, peer.name)]


def busy_peers(turn: Turn, group: int) -> list[Peer]:
    """Live peers that run the group or are stopping it, or may still do so unknowingly (E1)."""
    return [
        peer
        for peer in alive_peers(turn)
        if says(turn, peer, group) & BUSY_STATES or came_back(turn, peer, group)
    ]


def came_back(turn: Turn, peer: Peer, group: int) -> bool:
    """Whether a peer ran the group less than a dead time ago and has said nothing but INITIAL since.

    Its daemon was killed and started again, and the services may have lived on: it is about to ask its
    ``monitorhasrv``.  Had it stayed away, everybody would wait as long.
    """
    return any(
        word.groups[group].busy_ns and not turn.due(word.groups[group].busy_ns + dead_after_ns(turn) + 1)
        for word in fresh_words(turn, peer)
        if group < len(word.groups) and word.groups[group].state is State.INITIAL
    )


def is_cleaning(turn: Turn, peer: Peer, group: int) -> bool:
    """Whether all that makes a peer busy is the clean-up with which its daemon starts (S3)."""
    busy = [
        word.groups[group]
        for word in fresh_words(turn, peer)
        if group < len(word.groups) and word.groups[group].state in BUSY_STATES
    ]
    return bool(busy) and all(said.cleaning for said in busy)


def quorum_heard(turn: Turn) -> int:
    """How many configured nodes are heard within the dead time, this one included (Q1)."""
    settings = turn.settings
    others = sum(counts(settings, peer.name) for peer in alive_peers(turn))
    return min(1 + others, settings.count)


def has_quorum(turn: Turn) -> bool:
    return quorum_heard(turn) >= turn.settings.quorum


def late_for_quorum(turn: Turn) -> list[Peer]:
    """Return the peers that a claim should hear once more before it counts on them; empty if it needs none.

    A node that is cut off loses its peers one after the other, as they happened to speak last.  The one
    that it still counts as alive must not be the quorum for taking over from the one that it lost first.
    """
    settings = turn.settings
    limit_ns = min(PACE * settings.heartbeat_ns, settings.dead_ns // 2)
    alive = [peer for peer in alive_peers(turn) if counts(settings, peer.name)]
    late = [peer for peer in alive if turn.due(peer.heard_ns + limit_ns + 1)]
    return late if 1 + len(alive) - len(late) < settings.quorum else []


def refresh(turn: Turn) -> None:
    """Notice who has fallen silent."""
    settings = turn.settings
    for peer in turn.node.peers.values():
        if peer.dead:
            continue
        if not is_alive(turn, peer):
            peer.dead = True
            for word in peer.words.values():
                for said in word.groups:
                    said.beats = 0
            peer.conflict_ns.clear()
            for group in turn.node.groups:
                # While it was silent it may have said something else: two must not both claim this (T4).
                group.forced_beside = [name for name in group.forced_beside if name != peer.name]
            turn.changed = True
            silence = seconds(turn.now_ns - peer.heard_ns)
            turn.note(Level.ERROR, Reason("peer-dead", f"{peer.name} timed out: silent for {silence}"))
            turn.do(Publish())
        elif not peer.warned and turn.due(max(peer.heard_ns, peer.excused_ns) + settings.warn_ns):
            peer.warned = True
            silence = seconds(turn.now_ns - peer.heard_ns)
            left = seconds(max(0, peer.heard_ns + settings.dead_ns - turn.now_ns))
            turn.note(
                Level.WARNING,
                Reason("peer-late", f"{peer.name} is silent for {silence}; it counts as dead in {left}"),
            )


def go_deaf(turn: Turn) -> None:
    """We can hear nobody from now on: remember who was alive (H3)."""
    for peer in turn.node.peers.values():
        peer.excusable = not peer.dead


def hear_again(turn: Turn) -> None:
    """Deafness ends: every silence counts anew, and nothing is claimed for a dead time (H3).

    Peers that had been dead before stay dead until they are heard; but one of them may have come back
    meanwhile, which is why a claim waits even where nobody is left to wait for.
    """
    node = turn.node
    for peer in node.peers.values():
        if peer.excusable:
            peer.excusable = False
            peer.excused_ns = turn.now_ns
            if peer.dead:
                peer.dead = False
                peer.warned = False
                turn.changed = True
    node.listen_ns = node.heard_ns = turn.now_ns


def is_listening(turn: Turn) -> bool:
    """Whether deafness ended less than a dead time ago and not all have been heard since (H3)."""
    node, settings = turn.node, turn.settings
    if node.listen_ns is None:
        return False
    heard = sum(
        counts(settings, peer.name) and peer.heard_ns > node.listen_ns for peer in node.peers.values()
    )
    if heard >= settings.count - 1 or turn.due(node.listen_ns + dead_after_ns(turn) + 1):
        node.listen_ns = None
        return False
    return True
