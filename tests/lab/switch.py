"""A switch in user space that loses, delays, reorders and duplicates, by link and direction.

The kernel's bridges stay where they are, for the recorders and strangers in the switch, but forward nothing:
this process, one for a lab, takes every frame from a node's port and puts it out at the other ports of the
link.  No netem is needed, which many kernels lack.  ARP is never troubled: one lost answer stops a path for
seconds.

Run as a program it reads a line of JSON for each order and answers each with a line.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import os
import random
import selectors
import socket
import subprocess
import sys
import time

# The program runs beside the package, too.
SOL_PACKET = 263
PACKET_VNET_HDR = 15
OUTGOING = 4
ETH_P_ALL = 3
HEADER = 10
"""Before each frame: with it a checksum that the sender has left to the hardware stays to be filled in."""
HOLD = 1.0
"""A frame that waits for the one that is to overtake it goes on after so many seconds without one."""


@dataclasses.dataclass(frozen=True)
class Weather:
    """What happens on the way from one port to another.  Rates are 0 to 1, times in seconds."""

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    """The delay varies by so much, up and down: what is sent later may come earlier."""
    reorder: float = 0.0
    """So many are overtaken by the next one."""
    duplicate: float = 0.0
    blocked: bool = False


FAIR = Weather()


class _Path:
    """From a port to another, with its own chance and its own counts."""

    def __init__(self, seed: str, out: socket.socket) -> None:
        self.weather = FAIR
        self.chance = random.Random(seed)
        self.out = out
        self.held: tuple[int, bytes] | None = None
        self.counts = dict.fromkeys(("passed", "lost", "duplicated", "overtaken"), 0)


class Switch:
    """The process itself: `links` has the names of each link's ports."""

    def __init__(self, links: list[list[str]], seed: int) -> None:
        self.sockets: dict[str, socket.socket] = {}
        self.paths: dict[tuple[str, str], _Path] = {}
        self.due: list[tuple[float, int, _Path, bytes | None]] = []
        self.number = 0
        for ports in links:
            for port in ports:
                made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
                made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
                made.bind((port, ETH_P_ALL))
                made.setblocking(False)
                self.sockets[port] = made
            for port in ports:
                for other in ports:
                    if other != port:
                        self.paths[port, other] = _Path(f"{seed}/{port}/{other}", self.sockets[other])

    def run(self) -> None:
        selector = selectors.DefaultSelector()
        for port, each in self.sockets.items():
            selector.register(each, selectors.EVENT_READ, port)
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        while True:
            wait = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            for key, _ in selector.select(wait):
                if key.data is not None:
                    self._receive(key.data)
                elif not self._obey():
                    return
            self._deliver()

    def _obey(self) -> bool:
        line = sys.stdin.readline()
        if not line:
            return False
        order = json.loads(line)
        for port, other, weather in order.get("set", ()):
            self.paths[port, other].weather = Weather(**weather)
        counts = {f"{port} {other}": path.counts for (port, other), path in self.paths.items()}
        print(json.dumps(counts if order.get("count") else "done"), flush=True)
        return True

    def _receive(self, port: str) -> None:
        for _ in range(64):
            try:
                frame, address = self.sockets[port].recvfrom(65536)
            except OSError:  # nothing more; or the port is down, which is what a pulled cable is
                return
            if address[2] == OUTGOING:
                continue
            for (start, _end), path in self.paths.items():
                if start == port:
                    self._send(path, frame)

    def _send(self, path: _Path, frame: bytes) -> None:
        weather, chance = path.weather, path.chance
        # Always as many draws for a frame, so that one kind of trouble doesn't change the others' dice.
        lose, overtake, double, vary = (chance.random() for _ in range(4))
        if weather.blocked:
            return
        if frame[HEADER + 12 : HEADER + 14] == b"\x08\x06":
            self._put(path, frame)
            return
        if lose < weather.loss:
            path.counts["lost"] += 1
            return
        path.counts["passed"] += 1
        at = time.monotonic() + max(0.0, weather.delay + (2 * vary - 1) * weather.jitter)
        if overtake < weather.reorder and path.held is None:
            path.counts["overtaken"] += 1
            path.held = (self.number, frame)
            self._later(at + HOLD, path, None)
            return
        self._later(at, path, frame)
        if path.held is not None:
            (_, held), path.held = path.held, None
            self._later(at, path, held)
        if double < weather.duplicate:
            path.counts["duplicated"] += 1
            self._later(at, path, frame)

    def _later(self, at: float, path: _Path, frame: bytes | None) -> None:
        heapq.heappush(self.due, (at, self.number, path, frame))
        self.number += 1

    def _deliver(self) -> None:
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            _, number, path, frame = heapq.heappop(self.due)
            if frame is not None:
                if not path.weather.blocked:  # what was on its way when the cable was cut is lost, too
                    self._put(path, frame)
            elif path.held is not None and path.held[0] == number:
                (_, held), path.held = path.held, None
                self._put(path, held)

    @staticmethod
    def _put(path: _Path, frame: bytes) -> None:
        try:
            path.out.send(frame)
        except OSError:
            path.counts["lost"] += 1  # the port is down, or its queue is full


class Remote:
    """The lab's end of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._told: dict[tuple[str, str], Weather] = {}
        assert self._answer() == "ready"

    @staticmethod
    def command(links: list[list[str]], seed: int) -> list[str]:
        return [sys.executable, "-SE", os.path.abspath(__file__), json.dumps(links), str(seed)]

    def set(self, weathers: dict[tuple[str, str], Weather]) -> None:
        """Let these paths have this weather, and all others a fair one."""
        changed = {
            path: weathers.get(path, FAIR)
            for path in {*self._told, *weathers}
            if self._told.get(path, FAIR) != weathers.get(path, FAIR)
        }
        self._told = dict(weathers)
        self._ask({"set": [[*path, dataclasses.asdict(weather)] for path, weather in changed.items()]})

    def counts(self) -> dict[tuple[str, str], dict[str, int]]:
        """What has happened to the frames of each path: passed, lost, duplicated, overtaken."""
        said = self._ask({"count": True})
        assert isinstance(said, dict)
        return {(path.partition(" ")[0], path.partition(" ")[2]): counts for path, counts in said.items()}

    def _ask(self, order: object) -> object:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> object:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the switch has ended with {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    switch = Switch(json.loads(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps("ready"), flush=True)
    switch.run()


if __name__ == "__main__":
    main()
