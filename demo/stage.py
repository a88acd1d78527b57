"""The running demo: cluster, client and screen, and the one loop in which everything is waited for."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

from demo.answers import Answers
from demo.cluster import SERVICE_ADDRESS, Cluster, DemoError, Node
from demo.processes import Children
from demo.screen import Screen
from demo.signals import Signals

RATE = 100
"""Requests a second."""
TIMEOUT_MS = 1000
_STEP = 0.05
_END_S = 15.0
_LEVELS = {"error": "bad", "warning": "warning"}


class Stage:
    """Everything that runs.  A context manager: nothing is left when it ends."""

    def __init__(self, signals: Signals, screen: Screen, *, keep: bool) -> None:
        self.screen = screen
        self.answers = Answers()
        self._signals = signals
        self._keep = keep
        self._selector = selectors.DefaultSelector()
        self._children = Children()
        self.cluster = Cluster(self._children)
        self._client: Optional[subprocess.Popen[bytes]] = None
        self._keys: list[str] = []

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        # First of all, since writing to a terminal that has gone would fail.
        trouble = self.cluster.close(keep=self._keep)
        self.screen.clear()
        self._selector.close()
        if self._client is not None and self._client.stdout is not None:
            self._client.stdout.close()
        for line in trouble:
            sys.stderr.write(f"demo: {line}\n")
        if self._keep:
            self.screen.plain(f"kept: {self.cluster.directory}")

    def open(self) -> None:
        """Prepare the cluster and begin to ask."""
        self.cluster.prepare()
        client = Path(__file__).with_name("client.py")
        at = [SERVICE_ADDRESS, str(self.cluster.port)]
        words = [sys.executable, "-I", "-S", str(client), *at, str(RATE), str(TIMEOUT_MS)]
        self._client = self._children.start(words, subprocess.PIPE, cwd="/")
        assert self._client.stdout is not None
        os.set_blocking(self._client.stdout.fileno(), False)
        self._selector.register(self._client.stdout, selectors.EVENT_READ, self._hear_client)

    def listen_to_keys(self) -> None:
        """Read keys from standard input from now on; its end is a ``q``."""
        self._selector.register(0, selectors.EVENT_READ, self._hear_keys)

    def key(self) -> str:
        """Return the next key that was pressed, empty if there is none."""
        return self._keys.pop(0) if self._keys else ""

    # --- waiting

    def pump(self, seconds: float) -> None:
        """Let time pass, and show what happens meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            self._turn(min(_STEP, max(0.0, deadline - time.monotonic())))
            if time.monotonic() >= deadline:
                return

    def stop_all(self) -> None:
        """End the daemons as an administrator would, the ones that stand by first.

        Raises DemoError if one doesn't end.
        """
        for nodes in (self.standby(), self.cluster.alive()):
            for node in nodes:
                node.send(signal.SIGTERM)
            deadline = time.monotonic() + _END_S
            while any(node.guard() is not None for node in nodes):
                if time.monotonic() >= deadline:
                    raise DemoError(f"not all daemons have ended {_END_S:.0f} s after SIGTERM")
                self._turn(_STEP)

    def _turn(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            key.data()
        self._signals.check()
        self._children.reap()
        self._tell_news()
        self._show_status()
        if self._client is not None and self._client.returncode is not None:
            raise DemoError(f"the client has ended (exit code {self._client.returncode})")
        for node in self.cluster.nodes:
            node.check_start()

    def _hear_client(self) -> None:
        if self._client is None or self._client.stdout is None:
            return
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._client.stdout.fileno(), 1 << 16)
            if not data:
                self._selector.unregister(self._client.stdout)
            self.answers.feed(data)

    def _hear_keys(self) -> None:
        data = os.read(0, 64)
        if not data:
            self._selector.unregister(0)
            self._keys.append("q")
        self._keys += data.decode("ascii", "replace").lower()

    # --- showing

    def _tell_news(self) -> None:
        for node in self.cluster.nodes:
            for level, text in node.news():
                self.screen.say(f"{node.name}: {text}", _LEVELS.get(level, ""))

    def _show_status(self) -> None:
        alive = self.cluster.alive()
        parts = [self._describe(node, alive) for node in self.cluster.nodes]
        now_ns = time.monotonic_ns()
        good, lost = self.answers.rate(now_ns)
        served = f"{good:3d}/s"
        if good:
            served += f" {self.answers.serving(now_ns)}"
        if lost:
            served += f" {lost} lost"
        states = "  ".join(f"{part:11}" for part in parts)
        self.screen.status(f"{states}  {served}", states)

    @staticmethod
    def _describe(node: Node, alive: list[Node]) -> str:
        if node in alive:
            return f"{node.name} {node.state()}"
        seen = {other.states().get(node.name, "") for other in alive} - {""}
        return f"{node.name} down" + (f" ({'/'.join(sorted(seen))})" if seen else "")

    # --- judging

    def serving(self) -> str:
        """Return the node that the client hears; empty if nobody."""
        return self.answers.serving(time.monotonic_ns())

    def settled(self) -> bool:
        """Whether one node runs the service, answers well, and all others that live stand by."""
        alive = self.cluster.alive()
        running = [node.name for node in alive if node.state() == "Running"]
        others = {node.state() for node in alive if node.name not in running}
        now_ns = time.monotonic_ns()
        recent = self.answers.between(now_ns - 300_000_000, now_ns)
        answering = {answer.node for answer in recent}
        return len(running) == 1 and others <= {"Standby"} and len(recent) > 1 and answering == set(running)

    def active(self) -> Optional[Node]:
        """Return the node whose daemon says that it runs the service."""
        return next((node for node in self.cluster.alive() if node.state() == "Running"), None)

    def standby(self) -> list[Node]:
        """Return the nodes that live and don't run the service."""
        return [node for node in self.cluster.alive() if node.state() != "Running"]
