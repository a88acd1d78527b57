"""What the bench has to know of a daemon."""

from __future__ import annotations

import abc
import dataclasses
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from bench.cluster import Cluster, Node

Way = Callable[["Cluster"], None]


@dataclasses.dataclass(frozen=True)
class Timing:
    """How a contender is set.  Figures of one class (`1 s`, `100 ms`, ...) are compared with each other."""

    group: str
    heartbeat_ms: float
    dead_ms: float

    def __str__(self) -> str:
        return f"{self.heartbeat_ms:g} / {self.dead_ms:.0f}" if self.heartbeat_ms else "-"


class Contender(abc.ABC):
    """One kind of daemon."""

    name = ""
    """As it is chosen on the command line and shown in tables."""
    is_peer = True
    """Whether it is what `had` is compared with."""
    together = True
    """Both nodes are started at once; otherwise the second when the first runs the service."""
    python = sys.executable
    timings: tuple[Timing, ...] = ()
    loaded: Optional[Timing] = None
    """The timing for the load test, if it has one that is near 50 / 200 ms."""

    @abc.abstractmethod
    def why_missing(self) -> str:
        """Why it can't be measured here; empty if it can."""

    @abc.abstractmethod
    def version(self) -> str:
        """Return what is measured."""

    @abc.abstractmethod
    def prepare(self, cluster: Cluster, node: Node) -> None:
        """Lay out what the daemon needs on this node before each start."""

    @abc.abstractmethod
    def words(self, cluster: Cluster, node: Node) -> list[str]:
        """Return the command that starts it in the foreground."""

    @abc.abstractmethod
    def is_heartbeat(self, frame: bytes) -> bool:
        """Whether an Ethernet frame is one of its heartbeats."""

    @abc.abstractmethod
    def ways(self) -> dict[str, Way]:
        """Return the ways to ask for a planned move, by what they are called in the table."""

    def arrange(self, cluster: Cluster) -> None:
        """Bring a settled cluster to where a move can be asked for, if that isn't everywhere."""
        del cluster

    def is_ready(self, cluster: Cluster, node: Node) -> bool:
        """Whether a node is up, as far as that can be asked."""
        del cluster
        return node.process is not None and not node.has_ended

    speaks_always = False
    """A node that stands by sends heartbeats, too."""

    def worker(self, node: Node) -> Optional[int]:
        """Return the process whose death the daemon survives, if it has one."""
        del node
        return None

    def play(self, cluster: Cluster, node: Node, count: int) -> list[str]:
        """Return the command that plays so many nodes from this one's network; empty if nobody can."""
        del cluster, node, count
        return []

    def sees(self, cluster: Cluster, node: Node) -> int:
        """How many nodes the daemon knows, itself included, once it stands by; else 0."""
        del cluster, node
        return 0

    def settle_s(self, timing: Timing) -> float:
        """How long to let it be once it looks settled."""
        return 3 * timing.heartbeat_ms / 1000

    def start_s(self, timing: Timing) -> float:
        """Return the time by which it has to have started."""
        return 20 + 10 * timing.dead_ms / 1000

    def quiet_s(self, timing: Timing) -> float:
        """How long after a quarrel nothing more is to be expected."""
        return 0.5 + 3 * timing.dead_ms / 1000


def missing_program(program: str, package: str) -> str:
    """Why a peer can't be measured, for :meth:`Contender.why_missing`."""
    return "" if shutil.which(program) else f"{program} is not installed (Debian: apt install {package})"


def said(*words: str) -> str:
    """Return what a command prints, on either stream; empty if it can't be run."""
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def package_version(package: str) -> str:
    """Debian's version of a package; empty where there is none."""
    return said("dpkg-query", "-W", "-f", "${Version}", package)
