"""What happens to a node.  The runtime makes these and nothing else reaches the core."""

from __future__ import annotations

import dataclasses
import enum

from had.core.states import State


class Event:
    """Anything that can be given to :meth:`had.core.node.Node.step`."""


@dataclasses.dataclass(frozen=True)
class Tick(Event):
    """Time has passed.  The first event of every turn of the loop, so that a stall is seen (P1) before
    anything that was queued meanwhile.
    """


@dataclasses.dataclass(frozen=True)
class Heard(Event):
    """A heartbeat arrived.

    ``link`` is an index into :attr:`had.core.settings.Settings.links`; ``states`` has one state for each
    group (the old format has exactly one).
    """

    link: int
    name: str
    states: tuple[State, ...]


@dataclasses.dataclass(frozen=True)
class LinkChanged(Event):
    """A link came up or went down: carrier, address, or whether it can be opened (H4).  Links begin up;
    a failed send is not a link that is down.
    """

    link: int
    up: bool


@dataclasses.dataclass(frozen=True)
class MachineCarrier(Event):
    """Whether any interface of the machine but loopback has carrier (H4 with old flags alone)."""

    up: bool


class Outcome(enum.Enum):
    """How a hook ended."""

    OK = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    ENDED = "was ended"
    """The daemon itself asked for it (:class:`had.core.actions.EndHook`)."""


@dataclasses.dataclass(frozen=True)
class HookOver(Event):
    """A hook that :class:`had.core.actions.RunHook` asked for is over: its first process has been waited
    for, and after a time-out its whole process group is gone.
    """

    run: int
    outcome: Outcome
    detail: str = ""
    """For people: "exit status 3", "killed by SIGSEGV", "timed out after 10 s", "cannot be run: ..."."""


class Word(enum.Enum):
    """What a person can say, and by which signal (rules M)."""

    TAKE_OVER = "SIGUSR1"
    CLEAR = "SIGUSR2"
    STAND_DOWN = "SIGHUP"
    LEAVE = "SIGTERM"


def stop_beats_start(words: list[Word]) -> list[Word]:
    """Put words that came together into the order in which they are to be obeyed (M8)."""
    return sorted(words, key=list(Word).index)


@dataclasses.dataclass(frozen=True)
class Command(Event):
    """A person said something.  A second one of its kind changes nothing (M8)."""

    word: Word


@dataclasses.dataclass(frozen=True)
class LeftoversGone(Event):
    """No hook of an earlier daemon runs any more (S5).  Until it comes no hook is run."""


@dataclasses.dataclass(frozen=True)
class EpochRecorded(Event):
    """Epochs up to ``epoch`` are reserved on the disk (E5)."""

    epoch: int


@dataclasses.dataclass(frozen=True)
class RecordFailed(Event):
    """The record directory could not be written.  The runtime goes on trying."""

    why: str
