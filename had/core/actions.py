"""What a node wants done.  The runtime does it, in the order given, and decides nothing."""

from __future__ import annotations

import dataclasses
import enum

from had.core.events import Word
from had.core.states import State


class Action:
    """Anything that :meth:`had.core.node.Node.step` can return."""


class Hook(enum.Enum):
    """The scripts, by their file names."""

    START = "starthasrv"
    STOP = "stophasrv"
    MONITOR = "monitorhasrv"
    ALERT = "alerthasrv"


class Level(enum.IntEnum):
    """How much a note matters; the numbers are syslog's."""

    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why something was decided: a short code for programs, a sentence with the evidence for people."""

    code: str
    text: str
    word: Word | None = None
    """The person's word that is obeyed or refused by it."""


@dataclasses.dataclass(frozen=True)
class Send(Action):
    """Send one heartbeat on every link, now; one state for each group."""

    states: tuple[State, ...]


@dataclasses.dataclass(frozen=True)
class RunHook(Action):
    """Run a hook other than ``alerthasrv``; a :class:`had.core.events.HookOver` with the same ``run``
    follows, always.  At ``timeout_ns`` the runtime ends it (TERM, then KILL to the process group).
    """

    run: int
    hook: Hook
    timeout_ns: int
    state: State
    previous: State
    reason: Reason
    group: int = 0


@dataclasses.dataclass(frozen=True)
class EndHook(Action):
    """End a running hook before its time (TERM, then KILL to the process group)."""

    run: int


@dataclasses.dataclass(frozen=True)
class Alert(Action):
    """Queue a call of ``alerthasrv`` (A1).  ``state`` is the one that is alerted: its number and its name
    are the script's arguments.
    """

    state: State
    previous: State
    reason: Reason
    timeout_ns: int
    group: int = 0


@dataclasses.dataclass(frozen=True)
class Note(Action):
    """Tell people."""

    level: Level
    reason: Reason
    answers: bool = False
    """It is the answer to a person's word: every word gets exactly one, most of them at once."""


@dataclasses.dataclass(frozen=True)
class Publish(Action):
    """Write the state file: something in :meth:`had.core.node.Node.view` changed, or a round is over."""


@dataclasses.dataclass(frozen=True)
class RecordEpoch(Action):
    """Reserve the epochs up to this one durably; an EpochRecorded or RecordFailed event follows."""

    epoch: int


@dataclasses.dataclass(frozen=True)
class WriteMark(Action):
    """Write the sole-survivor mark durably (L1)."""

    epoch: int


@dataclasses.dataclass(frozen=True)
class EraseMark(Action):
    """Erase the sole-survivor mark durably (L2)."""


@dataclasses.dataclass(frozen=True)
class DiscardQueued(Action):
    """Throw away what waits in the sockets: it was sent while this node was stalled (P1)."""


@dataclasses.dataclass(frozen=True)
class Exit(Action):
    """End the daemon, guard included, with this exit code."""

    code: int
