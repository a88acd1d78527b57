"""Three real daemons on 127.0.0.1 to 127.0.0.3, with all their files in one directory."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

from demo.answers import read_stamps
from demo.processes import Children, descendants, kill_at_once, send
from had.runtime.processes import Process, look

NAMES = ("n1", "n2", "n3")
BROADCAST = "127.255.255.255"
SERVICE_ADDRESS = "127.1.1.1"
HEARTBEAT_MS = 100
DEAD_MS = 1000
ROOT = Path(__file__).resolve().parent.parent
_HERE = Path(__file__).resolve().parent
_PORTS = range(10000, 30000)
"""Below what Linux gives to those who don't care, so that no chance client takes ours."""
_LINE = re.compile(r"(?P<name>\S+) \[(?P<state>\w+)\] ")
_LOGGED = re.compile(r"\S+ \S+\[\d+\] (?P<level>\w+): (?P<text>.*)")
_UNTOLD = (
    "heartbeats are not authenticated",
    "is heard for the first time",
    "there is no alerthasrv",
    "there is no record yet",
)
"""What each daemon says at each start; it stays in the log."""
_CONFIGURATION = """\
cluster = demo
node = {name}
nodes = {names}
heartbeat = {heartbeat}ms
dead = {dead}ms
startup = 5s

[hooks]
directory = "{hooks}"
start_timeout = 10s
stop_timeout = 10s
monitor_timeout = 5s
monitor_interval = 500ms

[places]
run = "{run}"
record = "{record}"
pid = "{run}/pid"
log = "{log}"

[links]
[[loopback]]
address = {address}
broadcast = {broadcast}
port = {port}
"""


class DemoError(Exception):
    """The demo can't go on; one line for a person."""


class Node:
    """One daemon and its files."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.name = NAMES[number - 1]
        self.address = f"127.0.0.{number}"
        self._cluster = cluster
        self.run_directory = cluster.directory / self.name
        self.record_directory = cluster.directory / f"{self.name}-record"
        self.log = cluster.directory / f"{self.name}.log"
        self._configuration = cluster.directory / f"{self.name}.conf"
        self._output = cluster.directory / f"{self.name}.output"
        self._starting: Optional[subprocess.Popen[bytes]] = None
        self._read = 0
        self._rest = b""

    def configure(self) -> None:
        """Write the node's had.conf."""
        text = _CONFIGURATION.format(
            name=self.name,
            names=", ".join(NAMES),
            heartbeat=HEARTBEAT_MS,
            dead=DEAD_MS,
            hooks=self._cluster.hooks,
            run=self.run_directory,
            record=self.record_directory,
            log=self.log,
            address=self.address,
            broadcast=BROADCAST,
            port=self._cluster.port,
        )
        self._configuration.write_text(text, encoding="utf-8")

    # --- steering

    def start(self) -> None:
        """Begin to start the daemon, as an administrator does: the command comes back when it is up."""
        self.run_directory.mkdir(exist_ok=True)
        words = [sys.executable, "-m", "had", "-F", str(self._configuration)]
        with self._output.open("wb") as output:
            self._starting = self._cluster.children.start(
                words, output, cwd=str(ROOT), env=self._cluster.environment
            )

    def check_start(self) -> None:
        """Raise DemoError if the starting command has failed."""
        if self._starting is None or self._starting.returncode is None:
            return
        code, self._starting = self._starting.returncode, None
        if code != 0:
            said = self._output.read_text(errors="replace").strip().rpartition("\n")[2]
            raise DemoError(f"{self.name} did not start (exit code {code}): {said}")

    def crash(self) -> None:
        """Kill guard, worker, hooks and service at one instant, and lose what a power cut loses."""
        guard = self.guard()
        if guard is None:
            return
        killed = {process.pid for process in kill_at_once(guard.pid)}
        # Nobody can start while a dead one is still about to end: wait, then stamp.
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(_lives(pid) for pid in killed):
            self._cluster.children.reap()
            time.sleep(0.001)
        self._cluster.stamp_killed(self.name, killed)
        shutil.rmtree(self.run_directory, ignore_errors=True)

    def send(self, number: int) -> None:
        """Send a signal to the daemon, as an administrator does."""
        guard = self.guard()
        if guard is not None:
            send(guard, number)

    def kill_worker(self) -> None:
        """Kill the worker alone."""
        worker = self.worker()
        if worker is not None:
            send(worker, signal.SIGKILL)

    # --- looking

    def guard(self) -> Optional[Process]:
        """Return the daemon's guard, by the pid file; None if it isn't there, or not ours."""
        try:
            process = look(int((self.run_directory / "pid").read_text(encoding="ascii")))
        except (OSError, ValueError):
            return None
        # Once it has detached, the demo is its parent.
        if process is None or process.dead or process.parent != os.getpid():
            return None
        return process

    def worker(self) -> Optional[Process]:
        """Return the daemon's worker: the guard's child in its own group.

        Hooks, and the services that they leave to the guard, have groups of their own.
        """
        guard = self.guard()
        below = descendants(guard.pid) if guard is not None else []
        return next(
            (one for one in below if guard and one.parent == guard.pid and one.group == guard.group), None
        )

    def states(self) -> dict[str, str]:
        """Return what this node's state file says of everybody; nothing while it waits."""
        try:
            text = (self.run_directory / "state").read_text(encoding="ascii")
        except OSError:
            return {}
        matches = (_LINE.match(line) for line in text.splitlines())
        return {match["name"]: match["state"] for match in matches if match}

    def state(self) -> str:
        """Return this node's own state; empty if its daemon isn't there."""
        if self.guard() is None:
            return ""
        states = self.states()
        return states.get(self.name, "ending" if states else "waiting")

    def news(self) -> list[tuple[str, str]]:
        """Return what the daemon has logged since the last call, as (level, sentence), without small talk."""
        try:
            with self.log.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return []
        self._read += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        matches = (_LOGGED.match(line.decode("utf-8", "replace")) for line in lines)
        said = [(match["level"], match["text"]) for match in matches if match]
        return [
            (level, text)
            for level, text in said
            if level != "info" and not any(untold in text for untold in _UNTOLD)
        ]


class Cluster:
    """The nodes, and the directory and ports that they share.  Close it, whatever happens."""

    def __init__(self, children: Children) -> None:
        self.children = children
        self._reservation, self.port = _reserve_port()
        self.directory = Path(tempfile.mkdtemp(prefix="had-demo-"))
        self.hooks = self.directory / "hooks"
        self.journal = self.directory / "journal"
        self.environment = {
            **os.environ,
            "DEMO_RUN": str(self.directory),
            "DEMO_PYTHON": sys.executable,
            "DEMO_SERVICE": str(_HERE / "service.py"),
            "DEMO_AT": f"{SERVICE_ADDRESS} {self.port}",
        }
        self.nodes = [Node(self, number) for number in range(1, len(NAMES) + 1)]

    def prepare(self) -> None:
        """Write what the daemons need."""
        # Copied, since the daemon takes no hooks that belong to others, as a clone's files may.
        self.hooks.mkdir(mode=0o755)
        for path in (_HERE / "hooks").iterdir():
            copy = self.hooks / path.name
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o755)
        for node in self.nodes:
            node.configure()

    def node(self, name: str) -> Node:
        """Return the node of that name."""
        return self.nodes[NAMES.index(name)]

    def alive(self) -> list[Node]:
        """Return the nodes whose daemon is there."""
        return [node for node in self.nodes if node.guard() is not None]

    def stamp_killed(self, name: str, killed: set[int]) -> None:
        """Add to the journal the ends of services that could not do it themselves."""
        stamps = read_stamps(self.journal)
        ended = {stamp.process for stamp in stamps if stamp.word in ("down", "killed")}
        with self.journal.open("a", encoding="ascii") as file:
            for stamp in stamps:
                if stamp.word == "up" and stamp.process in killed - ended:
                    file.write(f"killed {name} {stamp.process} {time.monotonic_ns()}\n")

    def close(self, *, keep: bool) -> list[str]:
        """End all processes and remove the directory; returns what could not be done, one line each."""
        left = self.children.end_all()
        self._reservation.close()
        trouble = [f"process {pid} can't be ended" for pid in left]
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)
            if self.directory.exists():
                trouble.append(f"{self.directory} can't be removed")
        return trouble


def _lives(pid: int) -> bool:
    process = look(pid)
    return process is not None and not process.dead


def _reserve_port() -> tuple[socket.socket, int]:
    """Find a port that is free for heartbeats and for the service.

    The socket that is returned keeps other demos off: none takes a port that is in use at this address.
    """
    addresses = [BROADCAST, *(f"127.0.0.{number}" for number in range(1, len(NAMES) + 1))]
    for port in random.sample(_PORTS, 200):
        with contextlib.ExitStack() as stack:
            try:
                mark = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                mark.bind((SERVICE_ADDRESS, port))
                for address in addresses:
                    _try(stack, socket.SOCK_DGRAM, address, port)
                _try(stack, socket.SOCK_STREAM, SERVICE_ADDRESS, port)
            except OSError:
                continue
            kept = socket.socket(fileno=mark.detach())
            return kept, port
    raise DemoError(f"no free port from {_PORTS.start} to {_PORTS.stop - 1}; is there a loopback interface?")


def _try(stack: contextlib.ExitStack, kind: int, address: str, port: int) -> None:
    stack.enter_context(socket.socket(socket.AF_INET, kind)).bind((address, port))
