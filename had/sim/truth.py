"""What is true of each machine, whatever its daemon believes; the judge goes by this."""

from __future__ import annotations

import dataclasses
from typing import Optional

from had.core.actions import Hook
from had.core.events import Word
from had.core.states import Phase, State

LONG_AGO = -(10**18)
STRANGER = "stranger"
"""Who is not in ``nodes``, and speaks properly."""


class BrokenPromiseError(Exception):
    """A promise does not hold: the run ends here."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise, self.text = promise, text


class Ears:
    """What has got through to the present daemon: given to its core, not merely to its sockets."""

    __slots__ = (
        "busy_local",
        "busy_ns",
        "heard_local",
        "idle_local",
        "link_heard",
        "rest_local",
        "run_local",
        "waits_local",
        "words",
    )

    def __init__(self, machines: int, links: int) -> None:
        self.heard_local = [LONG_AGO] * machines
        """When it was last heard, by our clock."""
        self.busy_local = [LONG_AGO] * machines
        """When it was last heard STARTING, RUNNING or STOPPING, by our clock."""
        self.busy_ns = [LONG_AGO] * machines
        """The same in true time."""
        self.run_local = [LONG_AGO] * machines
        """When it was last heard STARTING or RUNNING, by our clock."""
        self.idle_local = [LONG_AGO] * machines
        """When it was last heard saying that it runs nothing and is not booting, by our clock."""
        self.rest_local = [LONG_AGO] * machines
        """When it last began to say STANDBY or ERRORED, by our clock."""
        self.waits_local = [LONG_AGO] * machines
        """Since when it says on any link that it is STANDBY or INITIAL, by our clock."""
        self.words: list[list[Optional[State]]] = [[None] * links for _ in range(machines)]
        self.link_heard = [[LONG_AGO] * links for _ in range(machines)]
        """When it was last heard on each link, by our clock."""

    def copy(self) -> Ears:
        other = Ears(0, 0)
        for name in self.__slots__:
            setattr(other, name, [*getattr(self, name)])
        other.words = [[*words] for words in self.words]
        other.link_heard = [[*times] for times in self.link_heard]
        return other


@dataclasses.dataclass
class Quarrel:
    """A peer is heard running while we run."""

    since_local: int
    beats: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)
    """By link: how many further heartbeats, and when the last one was counted."""


HEARSAY = ("against", "held", "must_erase", "must_stop", "quarrels", "starters", "trouble")
"""What of a :class:`Truth` comes from hearing others."""


@dataclasses.dataclass
class Truth:
    """One machine."""

    open_ns: Optional[int] = None
    """Since when its service may be up: from the begin of ``starthasrv`` to a successful end of
    ``stophasrv``, or to the end of the machine."""
    claim_ns: int = LONG_AGO
    """When it announced that it would start the service which may be up."""
    stop_failed: bool = False
    """``stophasrv`` has failed since."""
    clean: bool = True
    """``stophasrv`` has run since the last ``starthasrv``."""
    forced: bool = False
    """A person has forced the next start."""
    against: list[int] = dataclasses.field(default_factory=list)
    """Machines that were heard RUNNING when it was forced, and have said nothing else since."""
    force_main: bool = False
    """Its daemon was started with -m and has not started the services yet."""
    began_main: bool = False
    """Its daemon was started with -m."""
    held: bool = False
    """SIGHUP has put it on hold, and nothing that ends a hold has happened."""
    starters: list[int] = dataclasses.field(default_factory=list)
    leaving: bool = False
    phase: Optional[Phase] = None
    before: Optional[Phase] = None
    words: list[Word] = dataclasses.field(default_factory=list)
    """What persons have said since the phase began."""
    run_since_local: int = LONG_AGO
    monitor_failures: int = 0
    monitor_good: bool = False
    """What the core was told of the last monitor."""
    stop_told_failed: bool = False
    """What the core was told of the last stop."""
    start_failed: bool = False
    last_stop_failed: bool = False
    quarrels: dict[int, Quarrel] = dataclasses.field(default_factory=dict)
    trouble: dict[int, int] = dataclasses.field(default_factory=dict)
    """Since when a machine is heard running at least once in a dead time, whatever else it says."""
    listens_until_local: int = LONG_AGO
    """After a pause: before this it says nothing and starts nothing."""
    stalled_ns: int = LONG_AGO
    must_stop: str = ""
    """Who was seen to start after it (T2)."""
    must_erase: str = ""
    """Why the mark of the sole survivor may not stand."""
    erasing: bool = False
    epoch_made: int = 0
    epoch_confirmed: int = 0
    spoilt: bool = False
    """Its record was harmed by what no file system should do."""
    sent: int = 0
    """Heartbeats within the second ``sent_second``."""
    sent_second: int = -1
    began_local: int = LONG_AGO
    """When its daemon was started."""
    alerted: State = State.UNKNOWN
    """What its daemon has alerted last."""
    told: dict[str, int] = dataclasses.field(default_factory=dict)
    """When a complaint was last made."""
    hook_local: dict[Hook, int] = dataclasses.field(default_factory=dict)
    """When a hook was last begun."""
    monitored_local: int = LONG_AGO
    """When the monitor was last begun."""
    monitor_over_local: int = LONG_AGO
    """When the core was last told of its end, or the node became RUNNING."""
    said_local: int = LONG_AGO
    """When it last sent a heartbeat."""
    free_local: int = LONG_AGO
    """Since when nothing keeps it from starting but whose turn it is."""
    same_boot: bool = False
    """The mark that this daemon found was made since the machine was booted."""
