"""Every key of had.conf: its place, type, range, default and meaning.  The one source of all of these.

The configspec that had.conf is checked against is built from this table, the command line takes its
ranges and defaults from here, and docs/configuration.md is made from it.  A default that depends on
other settings has no text here but a sentence in ``computed``.
"""

from __future__ import annotations

import dataclasses

CONFIG_FILE = "/etc/had/had.conf"
"""Read unless the command line names another, or gives links."""

TOP = ""
HOOKS = "hooks"
PLACES = "places"
PROCESS = "process"
LINKS = "links"
"""Keys with this section stand in each ``[[NAME]]`` below ``[links]``."""

SECTIONS = {
    HOOKS: "The scripts that start, stop and watch the services.",
    PLACES: "Where the daemon keeps its files.",
    PROCESS: "What the daemon asks of the kernel for itself, never for hooks.",
    LINKS: "The ways for heartbeats to travel, one [[NAME]] for each.",
}


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of had.conf."""

    section: str
    name: str
    kind: str
    """Which function of :mod:`had.config.check` checks a value."""
    doc: str
    default: str = ""
    """As it would stand in the file."""
    computed: str = ""
    """What the default is, where it depends on something else."""
    low: str = ""
    high: str = ""
    choices: tuple[str, ...] = ()
    flag: str = ""
    """The flag that wins over this key."""

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        return _ALLOWED[self.kind].format(low=self.low, high=self.high)

    @property
    def check(self) -> str:
        """The key's line in the configspec."""
        arguments = [f'"{argument}"' for argument in (self.low, self.high, *self.choices) if argument]
        arguments.append(f'default="{self.default}"' if self.default else "default=None")
        return f"{self.kind}({', '.join(arguments)})"


_ALLOWED = {
    "duration": "a duration from {low} to {high}, such as 250ms, 2s, 3m or 1h",
    "whole": "a whole number from {low} to {high}",
    "name": "1 to 32 of A-Z a-z 0-9 - _",
    "nodes": "the names of all nodes (1 to 32 of A-Z a-z 0-9 - _ each), separated by commas, or their "
    "number, {low} to {high}",
    "names": "names of nodes, separated by commas",
    "directory": "the path of a directory",
    "file": "the path of a file",
    "log": "syslog, stderr, or the absolute path of a file",
    "address": "an IPv4 or IPv6 address of this machine",
    "ipv4": "an IPv4 address",
    "group": "an IPv4 or IPv6 multicast address",
    "peers": "IPv4 or IPv6 addresses, separated by commas",
    "network": "a network, such as 10.1.0.0/24",
    "interface": "the name of an interface, such as eth1",
}

KEYS = (
    Key(
        TOP,
        "cluster",
        "name",
        "What the cluster is called, for people and hooks. It does not keep two clusters apart: "
        "give each a port of its own.",
        computed="none",
    ),
    Key(
        TOP,
        "instance",
        "name",
        "Sets a further daemon on the same machine apart: its files are `/run/had-NAME.pid`, `/run/had-NAME` "
        "and `/var/lib/had-NAME`. Such a daemon needs another port as well.",
        computed="none",
        flag="-I",
    ),
    Key(
        TOP,
        "node",
        "name",
        "This node's name. Leave it out where one file serves all nodes.",
        computed="`uname -n` up to the first character that a name can't have",
        flag="-N",
    ),
    Key(
        TOP,
        "nodes",
        "nodes",
        "All nodes, this one included; names are compared exactly, and must differ by more than case.",
        default="2",
        low="1",
        high="1000",
        flag="-n",
    ),
    Key(
        TOP,
        "order",
        "names",
        "All nodes, the preferred one first. It isn't used while the old wire format is spoken: then the "
        "order is by name, ignoring case.",
        computed="by name",
    ),
    Key(
        TOP,
        "heartbeat",
        "duration",
        "How often this node speaks.",
        default="1s",
        low="10ms",
        high="1h",
        flag="-M",
    ),
    Key(
        TOP,
        "warn",
        "duration",
        "A silence of a peer that is worth a warning; from `heartbeat` to `dead`.",
        computed="half of `dead`",
        low="10ms",
        high="24h",
    ),
    Key(
        TOP,
        "dead",
        "duration",
        "A peer that is silent for longer is dead. At least two heartbeats, better five.",
        default="121s",
        low="50ms",
        high="24h",
        flag="-T",
    ),
    Key(
        TOP,
        "startup",
        "duration",
        "How long a starting node waits for the others before `alone` counts; at least `dead`.",
        default="200s",
        low="50ms",
        high="24h",
    ),
    Key(
        TOP,
        "startup_quorum",
        "duration",
        "How long a starting node that hears a quorum waits for the rest; at most `startup`.",
        computed="two dead times, at most `startup`; `startup` if no file is read",
        low="50ms",
        high="24h",
    ),
    Key(
        TOP,
        "alone",
        "choice",
        "What a node does that has heard no quorum for `startup`: wait on, exit with code 1, or start the "
        "services. `start` can make two nodes run them.",
        default="wait",
        choices=("wait", "exit", "start"),
    ),
    Key(
        TOP,
        "isolated",
        "choice",
        "What a running node does once all its own links have been down for half the dead time (no carrier "
        "or no address; links marked `crossover` aside).",
        default="keep",
        choices=("keep", "stop"),
    ),
    Key(
        TOP,
        "stop_failure",
        "choice",
        "What a failed `stophasrv` leads to: ERRORED, and another node may take over; or the node stays "
        "STOPPING and nobody takes over until a person has looked.",
        default="errored",
        choices=("errored", "block"),
    ),
    Key(
        HOOKS,
        "directory",
        "directory",
        "Where `starthasrv`, `stophasrv`, `monitorhasrv` and `alerthasrv` are.",
        default="/etc/had/hasrv",
        flag="-s",
    ),
    Key(
        HOOKS,
        "start_timeout",
        "duration",
        "How long `starthasrv` may take.",
        default="10m",
        low="100ms",
        high="24h",
    ),
    Key(
        HOOKS,
        "stop_timeout",
        "duration",
        "How long `stophasrv` may take.",
        default="10m",
        low="100ms",
        high="24h",
    ),
    Key(
        HOOKS,
        "monitor_timeout",
        "duration",
        "How long `monitorhasrv` may take.",
        default="1m",
        low="100ms",
        high="1h",
    ),
    Key(
        HOOKS,
        "alert_timeout",
        "duration",
        "How long `alerthasrv` may take.",
        default="1m",
        low="100ms",
        high="1h",
    ),
    Key(
        HOOKS,
        "monitor_interval",
        "duration",
        "The pause between two runs of `monitorhasrv` while the services run.",
        computed="`heartbeat`, at least 1s",
        low="100ms",
        high="1h",
    ),
    Key(
        HOOKS,
        "monitor_failures",
        "whole",
        "How many failures of `monitorhasrv` in a row stop the services.",
        default="1",
        low="1",
        high="100",
    ),
    Key(
        PLACES,
        "run",
        "directory",
        "Directory for what lasts until the machine is booted; state file and status file move with it.",
        computed="`/run/had`, with an instance `/run/had-NAME`",
    ),
    Key(
        PLACES,
        "record",
        "directory",
        "Directory for what must outlast a power cut.",
        computed="`/var/lib/had`, with an instance `/var/lib/had-NAME`",
    ),
    Key(
        PLACES,
        "state",
        "file",
        "The state file: one line for each node.",
        computed="`state` in the run directory",
        flag="-l",
    ),
    Key(
        PLACES,
        "pid",
        "file",
        "The pid file.",
        computed="`/run/had.pid`, with an instance `/run/had-NAME.pid`",
    ),
    Key(
        PLACES,
        "log",
        "log",
        "Where the daemon tells what happens: syslog (facility local1), standard error, or a file. With "
        "`-f` it is standard error.",
        default="syslog",
    ),
    Key(
        PROCESS,
        "realtime",
        "yesno",
        "Run at the lowest real-time priorities (SCHED_RR), so that other programs don't delay heartbeats.",
        default="yes",
        choices=("yes", "no"),
    ),
    Key(
        PROCESS,
        "oom_protection",
        "yesno",
        "Have the kernel kill other processes first when memory is short (`oom_score_adj`).",
        default="yes",
        choices=("yes", "no"),
    ),
    Key(
        PROCESS,
        "lock_memory",
        "yesno",
        "Keep the worker's memory from being paged out (mlockall). For machines that swap, with dead times "
        "below a few seconds.",
        default="no",
        choices=("yes", "no"),
    ),
    Key(
        LINKS,
        "kind",
        "choice",
        "How heartbeats travel. A broadcast link is IPv4 and is what the old daemon speaks.",
        default="broadcast",
        choices=("broadcast", "multicast", "unicast"),
    ),
    Key(
        LINKS,
        "port",
        "whole",
        "UDP port of sender and receiver; the same on all nodes.",
        default="3891",
        low="1",
        high="65535",
        flag="-p",
    ),
    Key(
        LINKS,
        "address",
        "address",
        "This machine's own address on the link. Give one of `address`, `interface` and `network`.",
        computed="none",
    ),
    Key(
        LINKS,
        "interface",
        "interface",
        "The interface that the link is on, in place of `address`.",
        computed="none",
    ),
    Key(
        LINKS,
        "network",
        "network",
        "The network that the link is in, in place of `address`: the same on all nodes.",
        computed="none",
    ),
    Key(
        LINKS,
        "broadcast",
        "ipv4",
        "Where to broadcast to.",
        computed="the broadcast address of the interface",
    ),
    Key(
        LINKS,
        "group",
        "group",
        "The group of a multicast link.",
        computed="none",
    ),
    Key(
        LINKS,
        "peers",
        "peers",
        "The nodes' addresses on a unicast link. This machine's own one may be among them, so that the list "
        "is the same everywhere; it then also tells where the link is.",
        computed="none",
    ),
    Key(
        LINKS,
        "crossover",
        "yesno",
        "The link is a cable from one node to the other: a power cut of the peer takes its carrier away, so "
        "its loss doesn't count for `isolated`.",
        default="no",
        choices=("yes", "no"),
    ),
)

BY_PLACE = {(key.section, key.name): key for key in KEYS}


def names_in(section: str) -> list[str]:
    """List the keys that may stand in this section."""
    return [key.name for key in KEYS if key.section == section]


def configspec() -> list[str]:
    """Return the configspec, as lines in ConfigObj's format."""
    lines = []
    for section in (TOP, *SECTIONS):
        if section:
            lines.append(f"[{section}]")
        if section == LINKS:
            lines.append("[[__many__]]")
        lines += [f"{key.name} = {key.check}" for key in KEYS if key.section == section]
    return lines
