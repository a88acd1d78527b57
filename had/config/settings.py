"""The whole configuration of one daemon: frozen, checked, paths absolute.

:mod:`had.config.load` makes it from had.conf and the command line; the runtime reads it and never
changes it.
"""

from __future__ import annotations

import dataclasses
import os

from had.core.settings import Settings

STATUS = "status"
"""Name of the status file."""


@dataclasses.dataclass(frozen=True)
class LinkConfig:
    """One way for heartbeats to travel.

    ``kind`` is ``broadcast``, ``multicast`` or ``unicast``.  Where the link is on this machine is told by
    one of ``address`` (an own address), ``interface`` (a name) or ``network`` (``10.1.0.0/24``), so that
    one file can serve all nodes; a unicast link may do without: then the one of its ``peers`` that is an
    address of this machine is the own one.  What is not given is the empty string or tuple.
    """

    name: str
    kind: str
    port: int
    address: str = ""
    interface: str = ""
    network: str = ""
    broadcast: str = ""
    """The broadcast address to send to and listen on; empty: that of the interface or network."""
    group: str = ""
    """The multicast group, IPv4 or IPv6."""
    peers: tuple[str, ...] = ()
    """Unicast: addresses of the nodes, IPv4 or IPv6; an own one among them is left out when sending."""
    crossover: bool = False


@dataclasses.dataclass(frozen=True)
class DaemonSettings:
    """Everything that the daemon needs to run."""

    core: Settings
    links: tuple[LinkConfig, ...]
    """In the order of ``core.links``."""
    cluster: str = ""
    instance: str = ""
    hooks_directory: str = "/etc/had/hasrv"
    run_directory: str = "/run/had"
    record_directory: str = "/var/lib/had"
    state_file: str = "/run/had/state"
    pid_file: str = "/run/had.pid"
    log: str = "syslog"
    """``syslog``, ``stderr``, or the absolute path of a file."""
    realtime: bool = True
    """A real-time priority, where it may be had."""
    oom_protection: bool = True
    """Spared by the OOM killer, where that may be had."""
    lock_memory: bool = False
    """The worker is not paged out, where that may be had."""
    config_file: str = ""
    """The had.conf that was read, or empty."""
    warnings: tuple[str, ...] = ()
    """What is worth telling at every start, such as an ``order`` that the old format can't use."""

    @property
    def status_file(self) -> str:
        """What this daemon does and why, for the initscript and for people."""
        return os.path.join(self.run_directory, STATUS)
