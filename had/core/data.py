"""All that a node knows, as plain data.

Every field that holds a moment is named ``..._ns`` and counts nanoseconds of the clock that the runtime
gives to :meth:`had.core.node.Node.step`, with 0 or None for never; no other field does.  By that rule
:func:`fingerprint` can show moments as distances from now, so that two nodes in the same situation at
different times are equal: the explorer hashes them.  :func:`clone` copies without sharing.
"""

from __future__ import annotations

import dataclasses

from had.core.actions import Hook, Reason
from had.core.events import Word
from had.core.states import Phase, State


@dataclasses.dataclass
class GroupWord:
    """What a peer last said of one group on one link."""

    state: State
    beats: int = 0
    """Heartbeats in a row, half an interval apart or more, that said "running" while we ran too (T3)."""
    counted_ns: int = 0
    started_ns: int = 0
    """When it was heard to begin with STARTING or RUNNING, if it still says so (M3)."""
    cleaning: bool = False
    """It says STOPPING and had said INITIAL before: the clean-up of a daemon that starts (S3)."""
    busy_ns: int = 0
    """When it last said STARTING, RUNNING or STOPPING, if nothing but INITIAL followed (E1)."""


@dataclasses.dataclass
class LinkWord:
    """What a peer last said on one link, and when that was heard."""

    heard_ns: int
    groups: list[GroupWord]


@dataclasses.dataclass
class Peer:
    """Another node."""

    name: str
    since_ns: int
    """When it began to be heard, after a silence of the dead time or for the first time."""
    heard_ns: int
    """When it was last heard on any link."""
    words: dict[int, LinkWord]
    """By link; a peer that exists has at least one."""
    newest: int = 0
    """The link that it was last heard on."""
    dead: bool = False
    warned: bool = False
    excusable: bool = False
    """It was alive when we went deaf (H3)."""
    excused_ns: int = 0
    """When we stopped being deaf: its silence counts from here at the earliest (H3)."""
    conflict_ns: dict[int, int] = dataclasses.field(default_factory=dict)
    """By group: since when it is heard running while we run (T4)."""


@dataclasses.dataclass
class Hold:
    """What SIGHUP leaves (M2)."""

    starters: list[str] = dataclasses.field(default_factory=list)
    """Peers that have announced STARTING since it began."""


@dataclasses.dataclass
class Group:
    """The state machine of one group on this node."""

    phase: Phase
    since_ns: int
    """Since when it shows its state."""
    reason: Reason
    """Why it is in its phase."""
    verdict: Reason | None = None
    """STANDBY: why it does not start (E1)."""
    previous: State = State.UNKNOWN
    alerted: State = State.UNKNOWN

    run: int = 0
    """The number of the hook that runs or ran last; numbers are never used twice by one daemon."""
    hook: Hook | None = None
    """The hook that runs: one at a time, alerts apart."""
    ending: bool = False
    """The hook that runs was told to end."""
    wanted: Hook | None = None
    """The hook that this phase is about, until it has been started."""

    goal: Phase = Phase.STANDBY
    """Where a stop leads when it succeeds: STANDBY or ERRORED."""
    not_looked: bool = False
    """Begun by ``-m``, or ``stophasrv`` has failed: the services may run here unknown to us (M5, M6)."""
    may_run: bool = False
    """The clean-up may have services to stop: ``monitorhasrv`` said so, or was not asked (S4, M5)."""
    forced: bool = False
    """A person forced this claim or run."""
    forced_beside: list[str] = dataclasses.field(default_factory=list)
    """Peers that were RUNNING when this node was forced, and have said nothing else since (T4)."""
    take_over: bool = False
    """SIGUSR1 has not been obeyed yet (M3)."""
    leaving: bool = False
    """SIGTERM came (M7)."""
    hold: Hold | None = None
    renounced: bool = False
    """SIGHUP came since the last claim: another node is to have it, so this one is no survivor (L2)."""
    epoch: int = 0

    claim_ns: int = 0
    """CLAIMING: when ``starthasrv`` may run."""
    asked_ns: int = 0
    """ASKING: since when."""
    yielded_ns: int | None = None
    """ASKING: since when a peer says STOPPING."""
    run_since_ns: int = 0
    """Since when STARTING (with the hook) or RUNNING is announced without a break (T2)."""
    monitor_ns: int = 0
    monitor_failures: int = 0

    turn_of: str = ""
    """Whose turn it is to start, where it isn't ours (E4)."""
    turn_initial: bool = False
    turn_since_ns: int = 0
    passed: list[str] = dataclasses.field(default_factory=list)
    """Nodes that had their turn and did not start (E4)."""


@dataclasses.dataclass
class NodeData:
    """One node: membership once, one state machine for each group."""

    groups: list[Group] = dataclasses.field(default_factory=list)
    peers: dict[str, Peer] = dataclasses.field(default_factory=dict)

    begun: bool = False
    ran_ns: int = 0
    """When the node was last given an event (P1)."""
    wake_ns: int | None = None
    """When it wants to be given the next one at the latest."""
    beat_ns: int = 0
    """When the next heartbeat is due."""
    repeat_ns: int | None = None
    """When a change of state is said once more."""
    announced: list[State] = dataclasses.field(default_factory=list)
    """What was last sent."""
    exit_code: int | None = None
    unanswered: list[Word] = dataclasses.field(default_factory=list)
    """Words of persons that have not been answered yet."""

    initial_ns: int = 0
    """When INITIAL began."""
    met: list[str] = dataclasses.field(default_factory=list)
    """Configured peers heard since then (S1)."""
    heard_ns: int = 0
    """When any peer was last heard, or INITIAL began, or isolation ended (L3)."""
    waited_out: bool = False
    """``startup`` is over and this node still waits: not ready (S2, E3)."""
    alone: bool = False
    """Left INITIAL alone, by L3 or ``alone = start``, and has had no quorum since."""
    leftovers: bool = True
    """A hook of an earlier daemon may still run (S5)."""

    links_down: list[int] = dataclasses.field(default_factory=list)
    machine_carrier: bool = True
    isolated_ns: int | None = None
    stall_ns: int | None = None
    """Until when a stalled node only listens (P1)."""
    listen_ns: int | None = None
    """Deafness ended then; until the dead time has passed or all are heard, no claim (H3)."""
    stretch_ns: int | None = None
    """Until when peers are given ``late`` more time (P1)."""
    late: int = 0
    """How late the loop was, in nanoseconds."""

    epoch: int = 0
    """The highest epoch heard, made or recorded (E6)."""
    epoch_asked: int = 0
    epoch_recorded: int = 0
    mark: bool = False
    """The sole-survivor mark stands, or is being written (L1)."""
    mark_same_boot: bool = False
    """It stood when this daemon began, and the machine has not been booted since (L3)."""
    told_ns: dict[str, int] = dataclasses.field(default_factory=dict)
    """When a repeated complaint may be made again."""


def clone(data: NodeData) -> NodeData:
    """Copy a node's data so that nothing is shared but what can't change."""
    copied = _clone(data)
    if not isinstance(copied, NodeData):
        raise TypeError(f"not a node's data: {data!r}")
    return copied


def _clone(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, Reason)):
        copied = object.__new__(type(value))
        for name, item in vars(value).items():
            setattr(copied, name, _clone(item))
        return copied
    if isinstance(value, list):
        return [_clone(item) for item in value]
    if isinstance(value, dict):
        return {key: _clone(item) for key, item in value.items()}
    return value


def fingerprint(value: object, now_ns: int, name: str = "") -> object:
    """Return a hashable picture of a tree of data in which moments are distances from ``now_ns``."""
    if isinstance(value, Reason):
        return value.code
    if isinstance(value, list):
        return tuple(fingerprint(item, now_ns, name) for item in value)
    if isinstance(value, dict):
        return tuple((key, fingerprint(value[key], now_ns, name)) for key in sorted(value))
    if dataclasses.is_dataclass(value):
        return tuple(fingerprint(item, now_ns, key) for key, item in vars(value).items())
    if name.endswith("_ns") and isinstance(value, int) and value:
        return value - now_ns
    return value
