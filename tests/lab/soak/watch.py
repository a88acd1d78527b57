"""Somebody who looks all the time: at the machine, at the logs, at who serves, at the size of the daemons."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..cluster import Lab
from ..namespaces import start_time

LATE = 0.05
LOOK = 0.02
INCREDIBLE = 30.0
"""No storm stops anybody for so long, and no machine that these run on."""
STALL = re.compile(r"this node (?:did not run for|was late by) ([\d.]+) ?(m?s)")
WRONG = re.compile(r"Traceback|a bug|InvariantError")


@dataclass
class Stall:
    """The machine was late, or a daemon said so."""

    at: float
    """When that was over."""
    seconds: float
    who: str


@dataclass
class Size:
    """A process of a daemon, measured in each calm."""

    who: str
    measured: list[tuple[float, int, int]] = field(default_factory=list)
    """Time, private dirty kiB, descriptors."""


class Watch(threading.Thread):
    """Looks at one lab until it is told to end.  `healthy` says whether a node could run the services."""

    def __init__(self, lab: Lab, healthy: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.lab = lab
        self.healthy = healthy
        self.stalls: list[Stall] = []
        self.wrong: list[str] = []
        """Lines of logs that must not be."""
        self.longest_gap = 0.0
        self._gap: float | None = None
        self._read: dict[Path, int] = {}
        self._over = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        last, looks = time.monotonic(), 0
        try:
            while not self._over.wait(LOOK):
                now = time.monotonic()
                if now - last > LOOK + LATE:
                    self.stalls.append(Stall(now, now - last - LOOK, "the machine"))
                looks += 1
                if looks % 5 == 0:
                    self._look(now)
                last = time.monotonic() if looks % 5 == 0 else now
        except Exception as error:  # told by `end`, in the thread that counts
            self.failure = error

    def end(self) -> None:
        self._over.set()
        self.join()
        self._logs(time.monotonic())
        if self.failure is not None:
            raise self.failure

    def _look(self, now: float) -> None:
        self._logs(now)
        if self.lab.running() or not self.healthy():
            if self._gap is not None:
                self.longest_gap = max(self.longest_gap, now - self._gap)
            self._gap = None
        elif self._gap is None:
            self._gap = now

    def _logs(self, now: float) -> None:
        for node in self.lab.nodes:
            for path in node.directory.glob("log.*"):
                with path.open("rb") as file:
                    file.seek(self._read.get(path, 0))
                    data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                self._read[path] = self._read.get(path, 0) + len(whole)
                for line in whole.decode("utf-8", "replace").splitlines():
                    if match := STALL.search(line):
                        seconds = float(match[1]) / (1000 if match[2] == "ms" else 1)
                        self.stalls.append(Stall(now, seconds, node.name))
                        if seconds > INCREDIBLE:
                            self.wrong.append(f"{node.name} believes in a pause that was none: {line}")
                    if WRONG.search(line):
                        self.wrong.append(f"{node.name}: {line}")


class Scales:
    """The sizes of all processes that were ever measured."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[int, str], Size] = {}

    def measure(self, who: str, pid: int) -> None:
        with contextlib.suppress(OSError):
            key = (pid, start_time(pid))
            dirty = re.search(
                r"^Private_Dirty:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
            )
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            assert dirty is not None
            self.sizes.setdefault(key, Size(who)).measured.append(
                (time.monotonic(), int(dirty[1]), descriptors)
            )
