"""What the core needs to know of the configuration: frozen, checked before it comes here.

All times are nanoseconds.  :mod:`had.config` makes this object and is where ranges and contradictions
are refused; here stand only the meanings.
"""

from __future__ import annotations

import dataclasses
import enum

MS = 1_000_000
SECOND = 1_000_000_000


class Alone(enum.Enum):
    """What a node does that hears no quorum for ``startup`` (rule S2)."""

    WAIT = "wait"
    EXIT = "exit"
    START = "start"


class Isolated(enum.Enum):
    """What a running node does whose own links are all down (rule I1)."""

    KEEP = "keep"
    STOP = "stop"


class StopFailure(enum.Enum):
    """What a failed ``stophasrv`` leads to."""

    ERRORED = "errored"
    BLOCK = "block"


@dataclasses.dataclass(frozen=True)
class Link:
    """A link as the core sees it; its number is its place in :attr:`Settings.links`."""

    name: str
    crossover: bool = False
    """Left out of isolation: the peer's power cut takes our carrier too (H4)."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """One node's settings.  The defaults are the old flags' where there was one."""

    node: str
    """This node's name, 1 to 32 of ``A-Z a-z 0-9 - _``."""
    count: int = 2
    """n: how many nodes the cluster has, this one included; at least 1."""
    names: tuple[str, ...] = ()
    """All n names, this one included; empty where only their number is configured."""
    order: tuple[str, ...] = ()
    """Preferred order.  Not used while the old format is spoken (E2)."""
    group: str = "services"
    heartbeat_ns: int = 1 * SECOND
    warn_ns: int = 121 * SECOND // 2
    """A silence worth a warning; between heartbeat and dead time."""
    dead_ns: int = 121 * SECOND
    startup_ns: int = 200 * SECOND
    startup_quorum_ns: int = 200 * SECOND
    alone: Alone = Alone.WAIT
    isolated: Isolated = Isolated.KEEP
    stop_failure: StopFailure = StopFailure.ERRORED
    start_timeout_ns: int = 600 * SECOND
    stop_timeout_ns: int = 600 * SECOND
    monitor_timeout_ns: int = 60 * SECOND
    alert_timeout_ns: int = 60 * SECOND
    monitor_interval_ns: int = 1 * SECOND
    monitor_failures: int = 1
    """How many failures of ``monitorhasrv`` in a row stop the group; at least 1."""
    links: tuple[Link, ...] = ()
    isolation_by_machine: bool = False
    """With old flags alone nothing can be marked ``crossover``; then only a machine without any carrier
    is isolated (H4)."""
    force_main: bool = False
    """``-m`` (M5)."""

    @property
    def quorum(self) -> int:
        """The smallest number of nodes that is more than half (Q1)."""
        return self.count // 2 + 1

    @property
    def patience_ns(self) -> int:
        """How long the node whose turn it is may hesitate (E4)."""
        return max(10 * SECOND, 2 * self.dead_ns)
