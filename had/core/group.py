"""The state machine of one group on this node: moving from phase to phase.

:func:`become` is the only place that changes a phase, by a row of the table.  Around it stand the things
that go with a move: what is announced, alerted and claimed, and which hook the new phase is about.  What
makes a group move is elsewhere: persons in :mod:`had.core.words`, hooks in :mod:`had.core.outcomes`, and
everything that is decided from what is known in :mod:`had.core.decide`.
"""

from __future__ import annotations

from had.core.actions import Alert, EndHook, Exit, Hook, Level, Reason, RecordEpoch, RunHook, Send
from had.core.data import Group
from had.core.election import not_ready, still_waiting
from had.core.membership import alive_peers
from had.core.settings import MS, SECOND
from had.core.states import STATE_OF, TRANSITIONS, Cause, Phase, State
from had.core.turn import InvariantError, Turn

CLAIM_NS = 100 * MS
"""How long an old-format claim waits for objections (E5)."""
FORCE_NS = 1 * SECOND
"""How long ``-m`` announces before it starts (M5)."""
EPOCHS = 1000
"""How many epochs are reserved on the disk at once (E5)."""

ALERTED = frozenset((State.RUNNING, State.STOPPING, State.STARTING, State.STANDBY, State.ERRORED))
CLAIMS = frozenset((Phase.ASKING, Phase.CLAIMING))
STOPS = frozenset((Phase.ABORTING, Phase.STOPPING, Phase.BLOCKED))


def number_of(turn: Turn, group: Group) -> int:
    return next(number for number, one in enumerate(turn.node.groups) if one is group)


def state_of(group: Group) -> State:
    return STATE_OF[group.phase]


def become(turn: Turn, group: Group, cause: Cause, reason: Reason, level: Level = Level.NOTICE) -> None:
    """Move along a row of the table, tell everybody, and note which hook the new phase is about."""
    target = TRANSITIONS.get((group.phase, cause))
    if target is None:
        raise InvariantError(f"{cause.name} is not possible in {group.phase.name}")
    before = state_of(group)
    group.phase, group.reason, group.verdict = target, reason, None
    turn.changed = True
    turn.note(level, reason)
    state = state_of(group)
    if state is not before:
        group.previous = before
    if target is Phase.GONE:
        return
    if state is not before:
        group.since_ns = turn.now_ns
    _enter(turn, group, cause)
    alert(turn, group, state, group.previous)
    announce(turn)


def _enter(turn: Turn, group: Group, cause: Cause) -> None:
    """Set what a new phase begins with."""
    group.wanted = {
        Phase.PROBING: Hook.MONITOR,
        Phase.CLEANING: Hook.STOP,
        Phase.STARTING: Hook.START,
        Phase.STOPPING: Hook.STOP,
    }.get(group.phase)
    if group.phase is Phase.STANDBY:
        group.turn_of, group.passed = "", []
        group.forced, group.forced_beside = False, []
        group.goal = Phase.STANDBY
    elif group.phase is Phase.ASKING:
        group.asked_ns, group.yielded_ns = turn.now_ns, None
        group.goal = Phase.STANDBY
    elif group.phase is Phase.CLAIMING:
        group.goal, group.renounced = Phase.STANDBY, False
        _claim(turn, group, cause)
    elif group.phase is Phase.RUNNING:
        group.monitor_ns = turn.now_ns + turn.settings.monitor_interval_ns
        group.monitor_failures = 0
    if group.phase is Phase.STARTING:
        group.not_looked = False
    if group.phase is Phase.STARTING or cause is Cause.FOUND_RUNNING:
        group.run_since_ns = turn.now_ns
        number = number_of(turn, group)
        for peer in turn.node.peers.values():
            peer.conflict_ns.pop(number, None)
            for word in peer.words.values():
                word.groups[number].beats = 0


def _claim(turn: Turn, group: Group, cause: Cause) -> None:
    """Make a new epoch, and give the claim the time to be heard (E5)."""
    node = turn.node
    node.epoch += 1
    group.epoch = node.epoch
    if node.epoch + EPOCHS // 2 > node.epoch_asked:
        reserve_epochs(turn)
    waits = cause is not Cause.PROCEED and bool(alive_peers(turn))
    group.claim_ns = turn.now_ns + (CLAIM_NS if waits else 0)


def reserve_epochs(turn: Turn) -> None:
    turn.node.epoch_asked = turn.node.epoch + EPOCHS
    turn.do(RecordEpoch(turn.node.epoch_asked))


def alert(turn: Turn, group: Group, state: State, previous: State) -> None:
    """Queue ``alerthasrv``, once for each change (COMPAT §6, A1)."""
    if state in ALERTED and state is not group.alerted:
        group.alerted = state
        turn.do(Alert(state, previous, group.reason, turn.settings.alert_timeout_ns, number_of(turn, group)))


def unfit(turn: Turn, group: Group) -> Reason | None:
    """Why peers can't count on this node though no hook has failed (E3)."""
    if group.phase is Phase.WAITING and turn.node.waited_out:
        return still_waiting(turn)
    if group.phase is Phase.STANDBY:
        return not_ready(turn, group)
    return None


def announced(turn: Turn, group: Group) -> State:
    """Return what is said of this group: its state, or ERRORED where this node is not ready (E3)."""
    return state_of(group) if unfit(turn, group) is None else State.ERRORED


def announce(turn: Turn) -> None:
    """Say what has changed, at once and once more a little later (a single packet may be lost)."""
    turn.node.repeat_ns = turn.now_ns + min(CLAIM_NS // 2, turn.settings.heartbeat_ns // 4)
    send(turn)


def send(turn: Turn) -> None:
    """Send a heartbeat; not while the node only listens (P1), and not from the grave."""
    node = turn.node
    if node.stall_ns is not None or any(group.phase is Phase.GONE for group in node.groups):
        return
    states = [announced(turn, group) for group in node.groups]
    node.announced = states
    turn.do(Send(tuple(states)))


def withdraw(turn: Turn, group: Group, reason: Reason) -> None:
    """Take a claim back.

    The claim of ``-m`` came before anybody had looked, and one after a stop that failed came in spite of it:
    the services may be up here, and to say STANDBY, or to leave, would be to say that they are not (M5).  So
    they are stopped first.
    """
    if group.not_looked:
        group.not_looked, group.may_run = False, True
        become(turn, group, Cause.NOT_LOOKED, reason)
    else:
        become(turn, group, Cause.WITHDRAWN, reason)


def leave(turn: Turn, group: Group, code: int, reason: Reason) -> None:
    """End the daemon (M7); of a node that was not running the last word is its state (V1)."""
    if group.phase not in (Phase.STOPPING, Phase.CLEANING):
        announce(turn)
    become(turn, group, Cause.LEAVE, reason, Level.NOTICE if code == 0 else Level.ERROR)
    exit_now(turn, code)


def exit_now(turn: Turn, code: int) -> None:
    if turn.node.exit_code is None:
        turn.node.exit_code = code
        turn.do(Exit(code))


def stop(turn: Turn, group: Group, reason: Reason, level: Level = Level.NOTICE) -> None:
    """Decide to stop a group that is STARTING or RUNNING; a start hook is let finish first (T5)."""
    become(turn, group, Cause.STOP, reason, level)


def fail(turn: Turn, group: Group, cause: Cause, reason: Reason) -> None:
    """Stop after a failure: people are called before the stop, which may take long (COMPAT row 7)."""
    group.goal = Phase.ERRORED
    group.reason = reason
    alert(turn, group, State.ERRORED, state_of(group))
    become(turn, group, cause, reason, Level.ERROR)


def run_hook(turn: Turn, group: Group, hook: Hook) -> None:
    settings = turn.settings
    timeouts = {
        Hook.START: settings.start_timeout_ns,
        Hook.STOP: settings.stop_timeout_ns,
        Hook.MONITOR: settings.monitor_timeout_ns,
    }
    group.run += 1
    group.hook, group.ending, group.wanted = hook, False, None
    number = number_of(turn, group)
    state, previous = state_of(group), group.previous
    turn.do(RunHook(group.run, hook, timeouts[hook], state, previous, group.reason, number))


def start_wanted(turn: Turn, group: Group) -> None:
    """Start the hook of this phase as soon as it may: one at a time, none beside a left-over (S5)."""
    if group.wanted is None or turn.node.leftovers:
        return
    if group.hook is None:
        run_hook(turn, group, group.wanted)
    elif group.hook is Hook.MONITOR and not group.ending:
        # What is to be done does not wait for the answer to a question that is no longer asked.
        group.ending = True
        turn.do(EndHook(group.run))
