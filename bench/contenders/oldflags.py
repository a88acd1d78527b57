"""Any program with the old daemon's flags, given by its path."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contenders.base import Contender, Timing, Way
from bench.contenders.ours import PORT, hang_up, read_states
from bench.generator import words as generator_words
from bench.watch import is_udp

if TYPE_CHECKING:
    from bench.cluster import Cluster, Node

_STATE = "/run/state"


class OldFlags(Contender):
    """It counts in whole seconds."""

    speaks_always = True
    timings = (Timing("1 s", 1000, 2000),)

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.name = path.name

    def why_missing(self) -> str:
        if not self.path.is_file():
            return f"{self.path}: there is no such file"
        return "" if self._command() else f"{self.path}: not executable"

    def _command(self) -> list[str]:
        if os.access(self.path, os.X_OK):
            return [str(self.path)]
        return [sys.executable, "-SEs", str(self.path)] if self.path.suffix == ".py" else []

    def version(self) -> str:
        return str(self.path)

    def prepare(self, cluster: Cluster, node: Node) -> None:
        """Do nothing: it has no files."""

    def words(self, cluster: Cluster, node: Node) -> list[str]:
        timing = cluster.timing
        broadcast = f"{node.address.rpartition('.')[0]}.255"
        links = [
            "-a",
            node.address,
            "-A",
            broadcast,
            "-p",
            str(PORT),
            "-n",
            str(cluster.played or len(cluster.nodes)),
        ]
        places = ["-s", str(cluster.hooks.directory), "-l", _STATE]
        times = ["-M", f"{timing.heartbeat_ms / 1000:.0f}", "-T", f"{timing.dead_ms / 1000:.0f}"]
        return [*self._command(), *links, *places, *times]

    def is_heartbeat(self, frame: bytes) -> bool:
        return is_udp(frame, PORT)

    def is_ready(self, cluster: Cluster, node: Node) -> bool:
        wanted = {each.name: "Running" if cluster.runs(each) else "Standby" for each in cluster.nodes}
        return read_states(node, _STATE[1:]) == wanted

    def sees(self, cluster: Cluster, node: Node) -> int:
        states = read_states(node, _STATE[1:])
        return len(states) if states.get(node.name) == "Standby" else 0

    def settle_s(self, timing: Timing) -> float:
        return 3 * timing.heartbeat_ms / 1000

    def play(self, cluster: Cluster, node: Node, count: int) -> list[str]:
        return generator_words(sys.executable, node.address, PORT, count, cluster.timing.heartbeat_ms)

    def ways(self) -> dict[str, Way]:
        # SIGUSR1 to the standby is none: the old daemon's active doesn't yield, and both run.
        return {"SIGHUP to the active": hang_up}

    def arrange(self, cluster: Cluster) -> None:
        # It knows no hold: the first by name would take the service up again at once.
        first = cluster.nodes[0]
        if cluster.active is first:
            cluster.cut_power(first)
            cluster.wait(lambda: cluster.runs(cluster.nodes[1]), "nobody takes over")
            cluster.boot(first)
            cluster.settle()
