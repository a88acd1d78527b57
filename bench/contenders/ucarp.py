"""ucarp: CARP in user space.  Its scripts would move the address; here they are the hooks."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from bench.contenders.base import Contender, Timing, Way, missing_program, package_version
from bench.watch import ip_protocol

if TYPE_CHECKING:
    from bench.cluster import Cluster, Node

_CARP = 112
_DEAD_RATIO = 2


class Ucarp(Contender):
    """It counts in whole seconds, so there is one timing."""

    name = "ucarp"
    together = False
    timings = (Timing("1 s", 1000, 1000 * _DEAD_RATIO),)

    def why_missing(self) -> str:
        return missing_program("ucarp", "ucarp")

    def version(self) -> str:
        return package_version("ucarp")

    def prepare(self, cluster: Cluster, node: Node) -> None:
        """Do nothing: it has no files."""

    def words(self, cluster: Cluster, node: Node) -> list[str]:
        from bench.cluster import SERVICE_ADDRESS  # noqa: PLC0415 - it imports us

        where = ["-i", node.interface, "-s", node.address, "-a", SERVICE_ADDRESS]
        timing = ["-b", "1", "-k", "0", "-r", str(_DEAD_RATIO)]
        scripts = ["-u", cluster.hooks.path("start"), "-d", cluster.hooks.path("stop"), "-n", "-z"]
        return ["ucarp", "-v", "51", "-p", "bench", *where, *timing, *scripts]

    def is_heartbeat(self, frame: bytes) -> bool:
        return ip_protocol(frame) == _CARP

    def settle_s(self, timing: Timing) -> float:
        # A backup that has just started takes the master's next advertisement to know of it.
        return 2.5 * timing.heartbeat_ms / 1000

    def ways(self) -> dict[str, Way]:
        return {"SIGUSR2 to the active": _demote}


def _demote(cluster: Cluster) -> None:
    os.kill(cluster.active.main, signal.SIGUSR2)
