"""A client that writes rows into PostgreSQL at the virtual address, and remembers which were acknowledged."""

from __future__ import annotations

import subprocess
import threading
import time

from lab.namespaces import Namespace
from lab.waiting import eventually


class Writer:
    """Writes row after row, one connection each, from another machine.

    A row is acknowledged when psql says so; one that failed may be there or not.
    """

    def __init__(self, host: Namespace, address: str, psql: str) -> None:
        self._host = host
        self._words = [psql, "-X", "-q", "-h", address, "-U", "postgres", "-d", "postgres", "-c"]
        self._lock = threading.Lock()
        self._acknowledged: list[tuple[int, float]] = []
        self._next = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def ask(self, statement: str) -> str:
        """One statement's answer, unaligned; an error if there is none."""
        return self._host.run("timeout", "5", *self._words[:1], "-At", *self._words[1:], statement)

    def __enter__(self) -> Writer:
        self._thread.start()
        self.wait(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self._next += 1
            # A connection to a machine that has gone would hang for minutes.
            done = subprocess.run(
                self._host.command(
                    ["timeout", "1", *self._words, f"insert into written values ({self._next})"]
                ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            if done.returncode == 0:
                with self._lock:
                    self._acknowledged.append((self._next, time.monotonic()))
            else:
                time.sleep(0.05)  # no busy loop while nobody answers

    def acknowledged(self) -> list[tuple[int, float]]:
        """The rows with the moment of each one's acknowledgement."""
        with self._lock:
            return list(self._acknowledged)

    def wait(self, more: int, timeout: float = 60) -> None:
        """Wait for so many more rows."""
        count = len(self.acknowledged())
        eventually(lambda: len(self.acknowledged()) >= count + more, f"{more} more rows are written", timeout)

    def outage(self, since: float) -> float:
        """The longest time without an acknowledgement since then."""
        moments = [moment for _, moment in self.acknowledged()]
        before = [moment for moment in moments if moment < since][-1:]
        after = before + [moment for moment in moments if moment >= since]
        return max(later - earlier for earlier, later in zip(after, after[1:]))
