"""States, phases, and the one table of all transitions.

Two words for one thing would confuse, so: a *state* is what the old HAD shows to the world (its
numbers go over the wire and to ``alerthasrv``); a *phase* is what this daemon knows of itself.
Several phases share a state: CLAIMING has announced STARTING but has not run ``starthasrv`` yet,
ABORTING announces STOPPING while ``starthasrv`` is still let finish (rule T5).

Every move of a group is a row of :data:`TRANSITIONS`.  There is no other way to change a phase, and a
pair that is not in the table is a programming error, not a decision.  ``docs/states.md`` is made from
this table by ``tools/state_diagram.py``.
"""

from __future__ import annotations

import enum


class State(enum.IntEnum):
    """What a group is doing on a node; the numbers are the old wire format's (COMPAT §4)."""

    UNKNOWN = 0
    INITIAL = 1
    RUNNING = 2
    STOPPING = 3
    STARTING = 4
    STANDBY = 5
    ERRORED = 6
    TIMEDOUT = 7


class Phase(enum.IntEnum):
    """Where a group is on this node, finer than :class:`State`."""

    WAITING = 1
    """Hearing who is there (rules S1, S2, L3)."""
    PROBING = 2
    """``monitorhasrv`` is asked once whether the services run (S3)."""
    CLEANING = 3
    """``stophasrv`` cleans up before the first STANDBY (S3, S4, M5)."""
    STANDBY = 4
    ASKING = 5
    """SIGUSR1 beside a peer that runs: announced, and waiting for it to stop (M3)."""
    CLAIMING = 6
    """Announced; ``starthasrv`` runs once the claim had time to be heard (E5)."""
    STARTING = 7
    """``starthasrv`` runs."""
    RUNNING = 8
    ABORTING = 9
    """``starthasrv`` still runs, but a stop has been decided (T5, M1, M7)."""
    STOPPING = 10
    """``stophasrv`` runs."""
    BLOCKED = 11
    """``stophasrv`` failed and ``stop_failure = block``: nobody may take over (M6)."""
    ERRORED = 12
    GONE = 13
    """Nothing more is announced or done; the daemon ends."""


STATE_OF = {
    Phase.WAITING: State.INITIAL,
    Phase.PROBING: State.INITIAL,
    Phase.CLEANING: State.STOPPING,
    Phase.STANDBY: State.STANDBY,
    Phase.ASKING: State.STARTING,
    Phase.CLAIMING: State.STARTING,
    Phase.STARTING: State.STARTING,
    Phase.RUNNING: State.RUNNING,
    Phase.ABORTING: State.STOPPING,
    Phase.STOPPING: State.STOPPING,
    Phase.BLOCKED: State.STOPPING,
    Phase.ERRORED: State.ERRORED,
    Phase.GONE: State.UNKNOWN,
}


class Cause(enum.Enum):
    """Why a group moves from one phase to another."""

    GO_ON = "enough nodes were heard, or the daemon may go on alone"
    GIVE_UP = "alone = exit, and no quorum within startup"
    FOUND_RUNNING = "monitorhasrv found the services running, and no peer runs them"
    FOUND_STOPPED = "the services do not run, or a peer runs them"
    CLEANED = "the clean-up is over"
    CLEANING_FAILED = "the clean-up failed"
    ELECTED = "this node is to start the group"
    TAKE_OVER = "a person said so, and nobody runs the group"
    ASK = "a person said so, and a peer runs the group"
    CLEARED = "a person cleared the error"
    WITHDRAWN = "another node was heard first, or a person said so"
    NOT_LOOKED = "the claim is withdrawn, and the services may run here: after -m, or a stop that failed"
    PROCEED = "the claim was heard, or had the time to be"
    STARTED = "starthasrv succeeded"
    START_FAILED = "starthasrv failed or timed out"
    START_OVER = "starthasrv is over, and the stop that was decided meanwhile follows"
    MONITOR_FAILED = "monitorhasrv failed as often as is taken"
    STOP = "a stop was decided"
    STOP_AGAIN = "a person wants stophasrv to run again"
    STOPPED = "stophasrv succeeded"
    STOPPED_ERRORED = "stophasrv is over after a failure"
    STOP_FAILED = "stophasrv failed or timed out, and stop_failure = errored"
    STOP_BLOCKED = "stophasrv failed or timed out, and stop_failure = block"
    LEAVE = "the daemon was told to end"


P, C = Phase, Cause
TRANSITIONS = {
    (P.WAITING, C.GO_ON): P.PROBING,
    (P.WAITING, C.GIVE_UP): P.GONE,
    (P.WAITING, C.LEAVE): P.GONE,
    (P.PROBING, C.FOUND_RUNNING): P.RUNNING,
    (P.PROBING, C.FOUND_STOPPED): P.CLEANING,
    (P.PROBING, C.LEAVE): P.GONE,
    (P.CLEANING, C.CLEANED): P.STANDBY,
    (P.CLEANING, C.CLEANING_FAILED): P.ERRORED,
    (P.CLEANING, C.STOP_BLOCKED): P.BLOCKED,
    (P.CLEANING, C.LEAVE): P.GONE,
    (P.STANDBY, C.ELECTED): P.CLAIMING,
    (P.STANDBY, C.TAKE_OVER): P.CLAIMING,
    (P.STANDBY, C.ASK): P.ASKING,
    (P.STANDBY, C.LEAVE): P.GONE,
    (P.ASKING, C.PROCEED): P.CLAIMING,
    (P.ASKING, C.WITHDRAWN): P.STANDBY,
    (P.ASKING, C.NOT_LOOKED): P.CLEANING,
    (P.ASKING, C.LEAVE): P.GONE,
    (P.CLAIMING, C.PROCEED): P.STARTING,
    (P.CLAIMING, C.WITHDRAWN): P.STANDBY,
    (P.CLAIMING, C.NOT_LOOKED): P.CLEANING,
    (P.CLAIMING, C.LEAVE): P.GONE,
    (P.STARTING, C.STARTED): P.RUNNING,
    (P.STARTING, C.START_FAILED): P.STOPPING,
    (P.STARTING, C.STOP): P.ABORTING,
    (P.ABORTING, C.START_OVER): P.STOPPING,
    (P.RUNNING, C.STOP): P.STOPPING,
    (P.RUNNING, C.MONITOR_FAILED): P.STOPPING,
    (P.STOPPING, C.STOPPED): P.STANDBY,
    (P.STOPPING, C.STOPPED_ERRORED): P.ERRORED,
    (P.STOPPING, C.STOP_FAILED): P.ERRORED,
    (P.STOPPING, C.STOP_BLOCKED): P.BLOCKED,
    (P.STOPPING, C.LEAVE): P.GONE,
    (P.BLOCKED, C.STOP_AGAIN): P.STOPPING,
    (P.ERRORED, C.CLEARED): P.STANDBY,
    (P.ERRORED, C.TAKE_OVER): P.CLAIMING,
    (P.ERRORED, C.ASK): P.ASKING,
    (P.ERRORED, C.STOP_AGAIN): P.STOPPING,
}
del P, C

RUNNING_STATES = frozenset((State.STARTING, State.RUNNING))
"""What the rules call "running" in lower case."""
BUSY_STATES = frozenset((State.STARTING, State.RUNNING, State.STOPPING))
"""A node in one of these keeps everybody else from starting (E1)."""
