"""`had`, from this tree or another."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from bench.contenders.base import Contender, Timing, Way, said
from bench.generator import words as generator_words
from bench.watch import is_udp

if TYPE_CHECKING:
    from bench.cluster import Cluster, Node

PORT = 3891
_CONFIGURATION = """\
cluster = bench
nodes = {nodes}
heartbeat = {heartbeat:g}ms
dead = {dead:g}ms
startup = {startup:g}ms
{more}
[hooks]
directory = "{hooks}"
start_timeout = 10s
stop_timeout = 10s
monitor_timeout = 10s
# The monitor is the services' cost, not the daemon's: once at the start, and not again.
monitor_interval = 1h

[links]
[[net]]
network = {network}.0/24
"""
_LAUNCHER = """\
# As `make install` lays it out.
import importlib.util
import sys

sys.path.insert(0, {tree!r})
for name in "configobj", "daemon":
    if importlib.util.find_spec(name) is None:
        sys.exit("no module " + name)

from had.cli.had import main

sys.exit(main())
"""
_STATE_LINE = re.compile(r"^(\S+) \[(\w+)\] ", re.MULTILINE)


class Had(Contender):
    """The daemon in the old format, which needs no key."""

    name = "had"
    is_peer = False
    speaks_always = True
    timings = (
        Timing("1 s", 1000, 3000),
        Timing("100 ms", 100, 300),
        Timing("20 ms", 20, 60),
    )
    loaded = Timing("load", 50, 200)

    def __init__(self, tree: Path, python: str, scratch: Path) -> None:
        self.tree = tree.resolve()
        self.python = python
        self._launcher = scratch / f"{self.name}.py"
        self._launcher.write_text(_LAUNCHER.format(tree=str(self.tree)))

    def why_missing(self) -> str:
        answer = said(*self.command("--version"))
        return "" if answer.startswith("had ") else f"{self.tree}: {answer or 'no daemon'}"

    def version(self) -> str:
        git = subprocess.run(
            ["git", "-C", str(self.tree), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        )
        commit = f", commit {git.stdout.strip()}" if git.returncode == 0 else ""
        python = said(self.python, "-I", "-c", "import sys; print(sys.version.split()[0])")
        return f"{said(*self.command('--version')).partition(' ')[2]}{commit}, Python {python}"

    def command(self, *words: str) -> list[str]:
        return [self.python, "-I", str(self._launcher), *words]

    # --- what differs between the formats

    def settings(self) -> str:
        """Lines of had.conf that choose the format of the heartbeats."""
        return ""

    # --- running it

    def configuration(self, cluster: Cluster) -> str:
        timing = cluster.timing
        names = ", ".join(node.name for node in cluster.nodes)
        network = cluster.nodes[0].address.rpartition(".")[0]
        return _CONFIGURATION.format(
            nodes=cluster.played or names,
            heartbeat=timing.heartbeat_ms,
            dead=timing.dead_ms,
            startup=max(timing.dead_ms, 2000),
            hooks=cluster.hooks.directory,
            network=network,
            more=self.settings(),
        )

    def prepare(self, cluster: Cluster, node: Node) -> None:
        (node.directory / "had.conf").write_text(self.configuration(cluster))

    def words(self, cluster: Cluster, node: Node) -> list[str]:
        return self.command("-f", "-F", str(node.directory / "had.conf"))

    def is_heartbeat(self, frame: bytes) -> bool:
        return is_udp(frame, PORT)

    def is_ready(self, cluster: Cluster, node: Node) -> bool:
        """Whether it has found its place, and each knows the other's."""
        wanted = {each.name: "Running" if cluster.runs(each) else "Standby" for each in cluster.nodes}
        return self.states(node) == wanted

    def sees(self, cluster: Cluster, node: Node) -> int:
        states = self.states(node)
        return len(states) if states.get(node.name) == "Standby" else 0

    @staticmethod
    def states(node: Node) -> dict[str, str]:
        return read_states(node, "run/had/state")

    def worker(self, node: Node) -> Optional[int]:
        # The guard's first child; what else is there for a moment, such as a record's writer, is newer.
        others = [pid for pid in node.namespace.pids() if pid != node.main]
        return others[0] if others else None

    def play(self, cluster: Cluster, node: Node, count: int) -> list[str]:
        return generator_words(self.python, node.address, PORT, count, cluster.timing.heartbeat_ms)

    def settle_s(self, timing: Timing) -> float:
        # By rule T2 a start is seen as one only by a node that has said for two heartbeats that it runs.
        return 4 * timing.heartbeat_ms / 1000

    def ways(self) -> dict[str, Way]:
        return {"SIGHUP to the active": hang_up, "SIGUSR1 to the standby": ask_standby}


def read_states(node: Node, path: str) -> dict[str, str]:
    """Return what the state file of a node says of everybody; nothing if there is none."""
    try:
        text = (node.namespace.root / path).read_text(errors="replace")
    except OSError:
        return {}
    return dict(_STATE_LINE.findall(text))


def hang_up(cluster: Cluster) -> None:
    """Make the active give the service up."""
    os.kill(cluster.active.main, signal.SIGHUP)


def ask_standby(cluster: Cluster) -> None:
    """Make the standby take the service."""
    os.kill(cluster.standby.main, signal.SIGUSR1)
