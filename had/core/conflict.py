"""Two nodes that run the same group: who stops (rules T2 to T5, old format).

The old format carries no epoch, so it can't be told whose claim is newer, except by having watched it:
a peer that said "not running" and then "running" while we had been running for a while has been started
by a person, knowingly, and the newest start stays (T2).  Two that meet running after a cut have watched
nothing; the later in order stops, after hearing the other twice more (T3).  And since an old daemon never
yields, the one who should stay gives up in the end, too (T4): a service that runs twice is worse than one
that doesn't run.  The one exception is a node that a person forced against a peer that it heard running.
"""

from __future__ import annotations

from had.core.actions import Reason
from had.core.data import Group, GroupWord, Peer
from had.core.group import number_of
from had.core.membership import counts, fresh_words, is_heard, members, order_key, says
from had.core.states import RUNNING_STATES, Phase, State
from had.core.turn import Turn, seconds

WITNESS_BEATS = 2
FURTHER_BEATS = 2
NOT_IDLE = frozenset((State.STARTING, State.RUNNING, State.INITIAL))


def running_here(group: Group) -> bool:
    """Whether rules T look at this node: its hook runs or has run, not merely a claim (T5, M3)."""
    return group.phase in (Phase.STARTING, Phase.RUNNING)


def hear(turn: Turn, group: Group, peer: Peer, said: GroupWord, before: State | None) -> Reason | None:
    """Watch what a peer says; return why the group must stop here if its start was witnessed (T2).

    ``before`` is what it had said last on the same link, or ``None`` if that was more than a dead time ago.
    """
    if said.state is not State.RUNNING and peer.name in group.forced_beside:
        group.forced_beside.remove(peer.name)
        # What was heard before belongs to the quarrel that the person knew of.
        for word in peer.words.values():
            word.groups[number_of(turn, group)].beats = 0
    if said.state not in RUNNING_STATES or not running_here(group):
        said.beats = 0
        return None
    heartbeat_ns = turn.settings.heartbeat_ns
    # Copies of one packet, and the quick repetition of a change, are not further heartbeats.
    if said.beats == 0 or turn.now_ns - said.counted_ns >= heartbeat_ns // 2:
        said.beats += 1
        said.counted_ns = turn.now_ns
    announced_ns = turn.now_ns - group.run_since_ns
    if not counts(turn.settings, peer.name):
        return None  # a stranger stops nothing
    if before is not None and before not in NOT_IDLE and announced_ns >= WITNESS_BEATS * heartbeat_ns:
        return Reason("newer-start", f"{peer.name} was started after us: the newest start stays")
    return None


def check(turn: Turn, number: int, group: Group) -> Reason | None:
    """Return why the group must stop here because a peer runs it too (T3, T4), or ``None``."""
    settings = turn.settings
    runs_too = {}
    if running_here(group):
        for peer in members(turn):
            # One whose silence is only excused (H3, G5) is not heard running, whatever it said before.
            if says(turn, peer, number) & RUNNING_STATES and is_heard(turn, peer):
                runs_too[peer.name] = peer
    for peer in turn.node.peers.values():
        if peer.name not in runs_too:
            peer.conflict_ns.pop(number, None)
    for peer in runs_too.values():
        both = f"{peer.name} runs {settings.group} too"
        if peer.name in group.forced_beside:
            peer.conflict_ns.pop(number, None)
            text = f"{both}; {settings.node} was forced against it and goes on: stop one of them by SIGHUP"
            turn.complain(Reason("forced-beside", text), peer.name)
            continue
        since_ns = peer.conflict_ns.setdefault(number, turn.now_ns)
        turn.complain(Reason("two-run", both), peer.name)
        first = order_key(settings.node) < order_key(peer.name)
        beats = max(word.groups[number].beats for word in fresh_words(turn, peer))
        # A link that grows slow repeats what is no longer so, while another one says what is (H5).
        agreed = says(turn, peer, number) <= RUNNING_STATES
        if not first and agreed and beats > FURTHER_BEATS:
            return Reason("later-in-order", f"{both} and comes first in order")
        limit_ns = settings.dead_ns * (2 if first else 1)
        if turn.due(since_ns + limit_ns):
            return Reason("never-yields", f"{both} and has not yielded for {seconds(limit_ns)}")
    return None
