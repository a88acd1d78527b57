"""What follows from what is known, phase by phase.

:func:`settle` runs the function of the present phase again and again until nothing changes.  Each reads the
group, the peers and the time, and makes at most one move; so the order of its lines is the order of
precedence, a person's word first.
"""

from __future__ import annotations

from had.core import conflict, survivor
from had.core.actions import EndHook, Hook, Level, Reason
from had.core.data import Group, Peer
from had.core.election import still_waiting, verdict
from had.core.events import Word
from had.core.group import (
    announce,
    become,
    exit_now,
    leave,
    number_of,
    run_hook,
    start_wanted,
    stop,
    withdraw,
)
from had.core.hearsay import watch_hold
from had.core.membership import busy_peers, fresh_words, has_quorum, quorum_heard, says
from had.core.settings import Alone, Isolated
from had.core.states import Cause, Phase, State
from had.core.turn import InvariantError, Turn, listed, seconds

ASK_BEATS = 2
"""How many heartbeats an old-format peer has to say STOPPING when it is asked to (M3)."""

COMPLAINED = frozenset(("isolated", "no-quorum", "stranger-runs"))
"""Why a node does not start that people should be told again and again."""


def settle(turn: Turn, group: Group) -> None:
    """Decide until nothing changes; a stalled node decides nothing (P1)."""
    for _ in range(2 * len(Phase)):
        if turn.node.stall_ns is not None or group.phase is Phase.GONE:
            return
        phase = group.phase
        watch_hold(turn, group)
        DECIDE[phase](turn, group)
        if group.phase is phase:
            start_wanted(turn, group)
            return
    raise InvariantError(f"{group.phase.name} does not come to rest")


def decide_waiting(turn: Turn, group: Group) -> None:
    """Leave INITIAL: go on, go on waiting, or give up (S1, S2, L3)."""
    node, settings = turn.node, turn.settings
    if group.leaving:
        leave(turn, group, 0, Reason("left", "SIGTERM while waiting; the daemon ends", Word.LEAVE))
    elif group.take_over:
        go_on(turn, group, Reason("go-on", "SIGUSR1: not waiting any longer", Word.TAKE_OVER))
    elif len(node.met) >= settings.count - 1:
        survivor.erase(turn, "all nodes have been heard")
        all_heard = f"all {settings.count} nodes have been heard" if settings.count > 1 else "the only node"
        go_on(turn, group, Reason("go-on", all_heard))
    elif has_quorum(turn) and turn.due(
        node.initial_ns + min(settings.startup_quorum_ns, settings.startup_ns)
    ):
        survivor.erase(turn, "a quorum has been heard")
        waited = seconds(turn.now_ns - node.initial_ns)
        text = f"{quorum_heard(turn)} of {settings.count} nodes have been heard in {waited}"
        go_on(turn, group, Reason("go-on", text))
    elif survivor.may_start_alone(turn):
        node.alone = True
        waited = seconds(turn.now_ns - node.heard_ns)
        text = f"the sole survivor goes on alone: nobody has been heard for {waited}"
        go_on(turn, group, Reason("go-on-alone", text))
    elif turn.due(node.initial_ns + settings.startup_ns):
        wait_alone(turn, group)


def wait_alone(turn: Turn, group: Group) -> None:
    """Do what ``alone`` says when ``startup`` is over without a quorum (S2)."""
    settings = turn.settings
    heard = f"{quorum_heard(turn)} of {settings.count} nodes heard in {seconds(settings.startup_ns)}"
    if turn.node.mark and turn.node.isolated_ns is None and settings.alone is Alone.EXIT:
        return  # the sole survivor goes on as soon as L3 lets it, which may be a little later
    if settings.alone is Alone.EXIT:
        reason = Reason("no-quorum", f"{heard}: giving up (alone = exit)")
        announce(turn)
        become(turn, group, Cause.GIVE_UP, reason, Level.ERROR)
        exit_now(turn, 1)
    elif settings.alone is Alone.START:
        turn.node.alone = True
        reason = Reason("go-on-alone", f"{heard}: going on alone (alone = start)")
        go_on(turn, group, reason)
    else:
        turn.node.waited_out = True
        turn.complain(still_waiting(turn))


def go_on(turn: Turn, group: Group, reason: Reason) -> None:
    turn.node.waited_out = False
    become(turn, group, Cause.GO_ON, reason)


def decide_probing(turn: Turn, group: Group) -> None:
    if group.leaving:
        if group.hook is not None and not group.ending:
            group.ending = True
            turn.do(EndHook(group.run))
        leave(turn, group, 0, Reason("left", "SIGTERM while waiting; the daemon ends", Word.LEAVE))


def decide_standby(turn: Turn, group: Group) -> None:
    """Obey a person, or start if it is our turn (E1, M3)."""
    if group.leaving:
        leave(turn, group, 0, Reason("left", "SIGTERM on STANDBY; the daemon ends", Word.LEAVE))
        return
    if group.take_over:
        obey_take_over(turn, group)
        return
    result = verdict(turn, number_of(turn, group), group)
    if result.start:
        become(turn, group, Cause.ELECTED, result.reason)
        return
    group.verdict = result.reason
    if result.reason.code in COMPLAINED:
        turn.complain(Reason(result.reason.code, f"not starting: {result.reason.text}"))


def obey_take_over(turn: Turn, group: Group) -> None:
    """SIGUSR1 is obeyed now: claim, or first ask who runs the group to stop (M3)."""
    number = number_of(turn, group)
    busy = busy_peers(turn, number)
    young = [peer.name for peer in busy if has_just_started(turn, peer, number)]
    if young:
        text = f"SIGUSR1: {listed(young)} has only just started: asked in a moment"
        turn.complain(Reason("asking-later", text, Word.TAKE_OVER))
        return
    group.take_over, group.forced, group.hold = False, True, None
    if busy:
        names = listed([peer.name for peer in busy])
        text = f"SIGUSR1: {names} is asked to stop by our announcement"
        become(turn, group, Cause.ASK, Reason("asking", text, Word.TAKE_OVER))
    else:
        text = "SIGUSR1: started here by a person's word"
        become(turn, group, Cause.TAKE_OVER, Reason("forced", text, Word.TAKE_OVER))


def has_just_started(turn: Turn, peer: Peer, number: int) -> bool:
    """Whether a peer runs too shortly to take our announcement for the newer start (T2)."""
    started_ns = max(
        word.groups[number].started_ns for word in fresh_words(turn, peer) if number < len(word.groups)
    )
    # Half a beat more: its two began when its hook did, which may be after we heard STARTING.
    return bool(started_ns) and not turn.due(started_ns + turn.settings.heartbeat_ns * 5 // 2)


def decide_asking(turn: Turn, group: Group) -> None:
    """Wait for an old-format peer to stop, but not for ever (M3)."""
    settings, number = turn.settings, number_of(turn, group)
    if group.leaving:
        leave_claim(turn, group)
        return
    busy = busy_peers(turn, number)
    names = listed([peer.name for peer in busy])
    stopping = [peer for peer in busy if State.STOPPING in says(turn, peer, number)]
    if stopping and group.yielded_ns is None:
        group.yielded_ns = turn.now_ns
    if not busy:
        become(turn, group, Cause.PROCEED, Reason("forced", "SIGUSR1: nobody runs the services any more"))
    elif stopping and group.yielded_ns is not None:
        if turn.due(group.yielded_ns + settings.stop_timeout_ns):
            waited = seconds(settings.stop_timeout_ns)
            text = f"SIGUSR1: {names} has not stopped for {waited}: starting all the same"
            become(turn, group, Cause.PROCEED, Reason("forced-beside", text), Level.WARNING)
    elif turn.due(group.asked_ns + ASK_BEATS * settings.heartbeat_ns):
        text = f"SIGUSR1: {names} runs the services, can't be asked and does not yield: starting all the same"
        become(turn, group, Cause.PROCEED, Reason("forced-beside", text), Level.WARNING)


def decide_claiming(turn: Turn, group: Group) -> None:
    """Run ``starthasrv`` once the claim had time to be heard (E5)."""
    if group.leaving:
        leave_claim(turn, group)
    elif turn.node.isolated_ns is not None and not group.forced:
        text = "our claim is withdrawn: this node is isolated"
        withdraw(turn, group, Reason("claim-withdrawn", text))
    elif turn.due(group.claim_ns) and not turn.node.leftovers:
        number = number_of(turn, group)
        if group.forced:
            beside = [
                peer.name for peer in busy_peers(turn, number) if State.RUNNING in says(turn, peer, number)
            ]
            group.forced_beside = beside
        become(turn, group, Cause.PROCEED, group.reason, Level.DEBUG)


def leave_claim(turn: Turn, group: Group) -> None:
    """SIGTERM during a claim; after ``-m``, or a stop that failed, the services may run here (M5, M7)."""
    if group.not_looked:
        text = "SIGTERM before anything was started here: stophasrv runs, then the daemon ends"
        withdraw(turn, group, Reason("leaving", text, Word.LEAVE))
    else:
        text = "SIGTERM before anything was started; the daemon ends"
        leave(turn, group, 0, Reason("left", text, Word.LEAVE))


def decide_starting(turn: Turn, group: Group) -> None:
    stop_if_must(turn, group)


def decide_running(turn: Turn, group: Group) -> None:
    """Stop if something says so, else look after the services."""
    stop_if_must(turn, group)
    if group.phase is Phase.RUNNING and group.hook is None and turn.due(group.monitor_ns):
        group.monitor_ns = turn.now_ns + turn.settings.monitor_interval_ns
        if not turn.node.leftovers:
            run_hook(turn, group, Hook.MONITOR)


def stop_if_must(turn: Turn, group: Group) -> None:
    """SIGTERM, another node that runs too, isolation (M7, T, I1)."""
    settings, node = turn.settings, turn.node
    if group.leaving:
        text = "SIGTERM: the services are stopped, then the daemon ends"
        stop(turn, group, Reason("leaving", text, Word.LEAVE))
        return
    both = conflict.check(turn, number_of(turn, group), group)
    if both is not None:
        stop(turn, group, both, Level.WARNING)
    elif settings.isolated is Isolated.STOP and node.isolated_ns is not None:
        after_ns = settings.dead_ns // 2
        if turn.due(node.isolated_ns + after_ns):
            text = f"isolated for {seconds(after_ns)}: another node may take over, so we stop"
            stop(turn, group, Reason("isolated", text), Level.WARNING)


def decide_aborting(turn: Turn, group: Group) -> None:
    if group.hook is None:
        become(turn, group, Cause.START_OVER, group.reason, Level.INFO)


def decide_errored(turn: Turn, group: Group) -> None:
    """Only a person ends it (E7, promise 3); SIGTERM stops once more before leaving (COMPAT row 16)."""
    if group.leaving:
        text = "SIGTERM: stophasrv runs once more, then the daemon ends"
        become(turn, group, Cause.STOP_AGAIN, Reason("leaving", text, Word.LEAVE))
    elif group.take_over:
        obey_take_over(turn, group)


def nothing_to_decide(turn: Turn, group: Group) -> None:
    """Wait: a hook's end or a person's word is all that this phase waits for."""


DECIDE = {
    Phase.WAITING: decide_waiting,
    Phase.PROBING: decide_probing,
    Phase.CLEANING: nothing_to_decide,
    Phase.STANDBY: decide_standby,
    Phase.ASKING: decide_asking,
    Phase.CLAIMING: decide_claiming,
    Phase.STARTING: decide_starting,
    Phase.RUNNING: decide_running,
    Phase.ABORTING: decide_aborting,
    Phase.STOPPING: nothing_to_decide,
    Phase.BLOCKED: nothing_to_decide,
    Phase.ERRORED: decide_errored,
}
