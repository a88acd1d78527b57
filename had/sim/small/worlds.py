"""The small worlds: which nodes, what may happen to them, and how often."""

from __future__ import annotations

import dataclasses

from had.core.events import Word
from had.core.settings import SECOND, Alone, Isolated, Link, Settings, StopFailure

KINDS = (
    "lose",
    "double",
    "late",
    "reorder",
    "crash",
    "lost",
    "kill",
    "word",
    "fail",
    "slow",
    "cut",
    "carrier",
    "pause",
    "main",
)
"""What has a budget.  ``lost``: a power cut that takes the record, too; ``main``: a start with ``-m``."""

Ways = tuple[tuple[int, int, int], ...]
"""Link, sender, receiver."""
HUP, USR1, USR2, TERM = Word.STAND_DOWN, Word.TAKE_OVER, Word.CLEAR, Word.LEAVE


@dataclasses.dataclass(frozen=True)
class Plan:
    """One small world."""

    name: str
    about: str
    budget: dict[str, int]
    nodes: int = 2
    links: tuple[Link, ...] = (Link("one"),)
    words: tuple[Word, ...] = ()
    cuts: tuple[Ways, ...] = ()
    booted: bool = True
    """It begins with one RUNNING and the others STANDBY; else with all computers off."""
    offsets_ms: tuple[int, ...] = (0, 0, 0)
    """When each daemon was started, where ``booted``; so much do their heartbeats differ."""
    settings: dict[str, object] = dataclasses.field(default_factory=dict)

    def node_settings(self, index: int) -> Settings:
        names = tuple("abc"[: self.nodes])
        base = Settings(
            names[index],
            count=self.nodes,
            names=names,
            heartbeat_ns=SECOND,
            warn_ns=SECOND * 3 // 2,
            dead_ns=2 * SECOND,
            startup_ns=4 * SECOND,
            startup_quorum_ns=3 * SECOND,
            start_timeout_ns=3 * SECOND,
            stop_timeout_ns=3 * SECOND,
            monitor_timeout_ns=2 * SECOND,
            monitor_interval_ns=1000 * SECOND,
            links=self.links,
        )
        return dataclasses.replace(base, **self.settings)  # type: ignore[arg-type]


def _way(sender: int, receiver: int, *links: int) -> Ways:
    return tuple((link, sender, receiver) for link in links or (0,))


BOTH = _way(0, 1) + _way(1, 0)
ONE_WAY = (_way(0, 1), _way(1, 0))
TWO_LINKS = (Link("one"), Link("two", crossover=True))
MONITORED: dict[str, object] = {"monitor_interval_ns": SECOND}
_A_ALONE = _way(0, 1) + _way(1, 0) + _way(0, 2) + _way(2, 0)
_C_ALONE = _way(2, 1) + _way(1, 2) + _way(0, 2) + _way(2, 0)

WORLDS = (
    Plan("boot", "two that start at any moment, with losses", {"lose": 2}, booted=False),
    Plan("lose", "a running pair loses packets", {"lose": 4}),
    Plan("crash", "power cuts, the record kept or lost", {"crash": 1, "lost": 1, "lose": 1}),
    Plan("words", "signals at any moment", {"word": 2, "lose": 1}, words=(HUP, USR1, TERM)),
    Plan(
        "hooks",
        "hooks that fail or take long, and SIGHUP, SIGUSR2",
        {"fail": 2, "slow": 1, "word": 1},
        words=(HUP, USR2),
        settings=MONITORED,
    ),
    Plan(
        "block",
        "stop_failure = block",
        {"fail": 2, "word": 2},
        words=(HUP, USR2),
        settings={"stop_failure": StopFailure.BLOCK},
    ),
    Plan("cut", "cuts, one way or both", {"cut": 2, "lose": 1}, cuts=(BOTH, *ONE_WAY)),
    Plan(
        "one-cut",
        "one cut, one way or both, however long; a dead time in which T3 comes before T4",
        {"cut": 1},
        cuts=(BOTH, *ONE_WAY),
        settings={"dead_ns": 6 * SECOND, "warn_ns": 3 * SECOND},
    ),
    Plan("cut-words", "a cut, and persons", {"cut": 1, "word": 2}, words=(HUP, USR1), cuts=(BOTH, *ONE_WAY)),
    Plan(
        "crossover",
        "a second link, a crossover cable",
        {"cut": 1, "carrier": 1, "lose": 1},
        links=TWO_LINKS,
        cuts=(_way(0, 1, 0, 1) + _way(1, 0, 0, 1), _way(0, 1, 0) + _way(1, 0, 0), _way(1, 0, 1)),
    ),
    Plan(
        "unplugged",
        "isolated = stop, one cable is pulled",
        {"carrier": 1},
        settings={"isolated": Isolated.STOP},
    ),
    Plan(
        "isolated",
        "isolated = stop, cables pulled",
        {"carrier": 2, "word": 1},
        words=(USR1,),
        settings={"isolated": Isolated.STOP},
    ),
    Plan("main", "-m after a power cut", {"main": 1, "crash": 1, "word": 1}, words=(HUP,)),
    Plan("kill", "a daemon killed whole, its service lives on", {"kill": 1, "lose": 2, "crash": 1}),
    Plan(
        "alone",
        "alone = start, two that start at any moment in a cut",
        {"cut": 1, "lose": 1},
        booted=False,
        cuts=(BOTH, *ONE_WAY),
        settings={"alone": Alone.START},
    ),
    Plan("late", "late and doubled packets", {"late": 2, "double": 1, "cut": 1}, cuts=(BOTH,)),
    Plan(
        "reorder",
        "packets that overtake each other on one link",
        {"reorder": 1, "word": 1},
        words=(HUP,),
    ),
    Plan("pause", "a daemon stands still", {"pause": 1, "lose": 1, "word": 1}, words=(HUP,)),
    Plan("three-boot", "three that start at any moment", {"lose": 1}, nodes=3, booted=False),
    Plan(
        "three-crash",
        "three nodes, quorum, power cut and loss",
        {"crash": 1, "lose": 1},
        nodes=3,
        offsets_ms=(0, 300, 650),
    ),
    Plan(
        "three-cut",
        "three nodes, the runner is cut off, one way or both",
        {"cut": 1, "word": 1},
        nodes=3,
        words=(HUP, USR1),
        cuts=(_A_ALONE, _way(0, 1) + _way(0, 2), _way(1, 0) + _way(2, 0), _way(0, 1) + _way(1, 0)),
        offsets_ms=(0, 300, 650),
    ),
    Plan(
        "three-apart",
        "three nodes, one is cut off, however long",
        {"cut": 1},
        nodes=3,
        cuts=(_A_ALONE, _C_ALONE, _way(0, 1) + _way(0, 2), _way(0, 2) + _way(1, 2)),
        offsets_ms=(0, 300, 650),
    ),
    Plan(
        "three-same",
        "three nodes whose heartbeats come at one moment",
        {"cut": 1},
        nodes=3,
        cuts=(_A_ALONE,),
    ),
)
