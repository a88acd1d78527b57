"""Two nodes of one contender and the switch between them."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import Callable, Optional

from bench.contenders.base import Contender, Timing
from bench.errors import BenchError
from bench.hooks import Hooks
from bench.namespaces import Namespace
from bench.watch import Recorder, Watch

NETWORK = "10.78.0"
SERVICE_ADDRESS = f"{NETWORK}.200"
"""What contenders that can't do without an address move about."""
_INDICES = (1, 2)
_END_S = 30.0


class Node:
    """A machine and the contender's daemon on it."""

    def __init__(self, index: int, directory: Path, python: str) -> None:
        self.index = index
        self.name = f"n{index}"
        self.address = f"{NETWORK}.{index}"
        self.port = f"p{index}"
        self.interface = "net1"
        self.directory = directory / self.name
        self.directory.mkdir()
        self.log = self.directory / "log"
        self.namespace = Namespace(self.name, python)
        self.process: Optional[subprocess.Popen[bytes]] = None

    @property
    def main(self) -> int:
        """The number of the daemon that was started."""
        if self.process is not None:
            if self.process.poll() is None:
                pid = Namespace.main(self.process)
            else:  # it has detached
                pid = next(iter(self.namespace.pids()), None)
            if pid is not None:
                return pid
        raise BenchError(f"{self.name}: the daemon has ended: {self.last_words()}")

    def wait_end(self) -> None:
        """Wait until a daemon that was asked to end has done so."""
        try:
            if self.process is not None:
                self.process.wait(_END_S)
        except subprocess.TimeoutExpired as late:
            raise BenchError(f"{self.name}: the daemon doesn't end within {_END_S:.0f} s") from late

    @property
    def has_ended(self) -> bool:
        """Whether the daemon was started, and isn't there any more."""
        process = self.process
        return process is not None and process.poll() is not None and not self.namespace.pids()

    def last_words(self) -> str:
        """Return the end of the log, for a complaint."""
        with contextlib.suppress(OSError):
            return (
                self.log.read_text(errors="replace").strip().rpartition("\n")[2][-200:] or "it said nothing"
            )
        return "no log"


class Cluster:
    """A context manager: nothing is left when it ends."""

    def __init__(self, contender: Contender, timing: Timing, hooks: Hooks, directory: Path) -> None:
        self.contender = contender
        self.timing = timing
        self.hooks = hooks
        self.played = 0
        """Where a generator plays the others: how many nodes there are in all."""
        self.nodes: list[Node] = []
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self._closing = contextlib.ExitStack()
        try:
            self.watch = Watch(hooks.journal)
            self._closing.callback(self.watch.close)
            self.switch = Namespace("switch", contender.python)
            self._closing.callback(self.switch.close)
            for index in _INDICES:
                node = Node(index, directory, contender.python)
                self._closing.callback(node.namespace.close)
                self._closing.callback(hooks.forget, node.name)
                self.nodes.append(node)
            self._lay_cables()
        except BaseException:
            self._closing.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _lay_cables(self) -> None:
        lines = [
            "link add br0 type bridge mcast_snooping 0",
            f"addr add {NETWORK}.254/24 brd + dev br0",
            "link set br0 up",
        ]
        for node in self.nodes:
            pid = node.namespace.pid
            lines.append(f"link add {node.port} type veth peer name {node.interface} netns {pid}")
            lines.append(f"link set {node.port} master br0 up")
        self.switch.ip(*lines)
        for node in self.nodes:
            node.namespace.ip(
                f"addr add {node.address}/24 brd + dev {node.interface}", f"link set {node.interface} up"
            )
        with self.switch.network():
            for node in self.nodes:
                self.watch.add(Recorder(node.port, node.name, self.contender.is_heartbeat))

    # --- the daemons

    def boot(self, node: Node) -> int:
        """Start the daemon of a node; returns when that was, as far as the bench can tell."""
        self.contender.prepare(self, node)
        with node.log.open("ab") as log:
            words = self.hooks.stamped(self.contender.words(self, node))
            began_ns = time.monotonic_ns()
            node.process = node.namespace.start(words, log)
        return began_ns

    def start(self) -> None:
        """Start both, and wait until one runs the service and the other stands by."""
        for node in self.nodes:
            self.boot(node)
            if not self.contender.together:
                self.wait(lambda: any(map(self.runs, self.nodes)), "nobody starts the service")
        self.settle()

    def settle(self) -> None:
        """Wait until one runs the service, and the other would take it over."""
        self.wait(self._is_settled, "they don't settle")
        # What can't be asked is given time; and nothing shall happen at the same phase of a heartbeat always.
        beat_s = self.timing.heartbeat_ms / 1000
        self.watch.pump(self.contender.settle_s(self.timing) + random.random() * beat_s)
        if not self._is_settled():
            raise BenchError("they settled, and then it moved again")

    def _is_settled(self) -> bool:
        running = [node for node in self.nodes if self.runs(node)]
        return len(running) == 1 and all(self.contender.is_ready(self, node) for node in self.nodes)

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait for something that happens unless a daemon has ended; a complaint has their last words."""
        seconds = self.contender.start_s(self.timing)

        def alive_and_done() -> bool:
            for node in self.nodes:
                if node.has_ended:
                    raise BenchError(f"{what}; {node.name}'s daemon has ended: {node.last_words()}")
            return done()

        try:
            self.watch.wait(alive_and_done, seconds, what)
        except BenchError as error:
            words = "; ".join(f"{node.name}: {node.last_words()}" for node in self.nodes)
            raise BenchError(f"{error} ({words})") from error

    def runs(self, node: Node) -> bool:
        return self.watch.runs(node.name)

    @property
    def active(self) -> Node:
        return next(node for node in self.nodes if self.runs(node))

    @property
    def standby(self) -> Node:
        return next(node for node in self.nodes if not self.runs(node))

    def cut_power(self, node: Node) -> int:
        """End everything on a node at one instant; returns the moment before."""
        now_ns = time.monotonic_ns()
        node.namespace.kill_all()
        self.wipe(node)
        return now_ns

    def wipe(self, node: Node) -> None:
        """Remove what of a machine doesn't outlast a power cut, once its processes have ended."""
        node.process = None
        self.hooks.forget(node.name)
        for path in (node.namespace.root / "run").iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        self.watch.read()
        self.watch.note(node.name, "killed")

    # --- the network

    def cut(self) -> None:
        """Keep the two from hearing each other; both keep their carrier."""
        self._isolate("on", self.nodes)

    def heal(self) -> int:
        """Join them again, both directions at one instant; returns the moment."""
        self._isolate("off", self.nodes[:1])
        healed_ns = time.monotonic_ns()
        self._isolate("off", self.nodes[1:])
        return healed_ns

    def _isolate(self, word: str, nodes: list[Node]) -> None:
        self.switch.ip(*(f"link set {node.port} type bridge_slave isolated {word}" for node in nodes))
