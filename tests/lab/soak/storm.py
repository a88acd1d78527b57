"""What is done to a cluster in a storm, and how all of it is taken back."""

from __future__ import annotations

import contextlib
import heapq
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..cluster import Lab, Node
from ..namespaces import alive, status
from ..surroundings import fill, make_room, set_clock

RECORD = "/var/lib/had"
QUIET = 3.0
"""A daemon whose worker was killed or stopped is left to itself for so long: two such things are a longer
silence than either.  In wild storms this doesn't hold."""


@dataclass
class Machine:
    """A node, and what was done to it."""

    node: Node
    rest_until: float = 0.0
    deaths: list[float] = field(default_factory=list)
    """When its worker was killed."""
    frozen: set[int] = field(default_factory=set)
    guard_frozen: bool = False
    troubled: bool = False
    """Something was done that may keep it from running the services."""

    @property
    def guard(self) -> int:
        process = self.node.process
        return process.pid if process is not None and process.poll() is None else 0

    @property
    def worker(self) -> int:
        """The guard's child that is no hook; or who stands in for a dead guard; or 0."""
        guard = self.guard
        if not guard:
            with contextlib.suppress(OSError, ValueError):
                pid = int((self.node.run_directory / "had.pid").read_text())
                return pid if alive(pid) else 0
            return 0
        with contextlib.suppress(OSError, ValueError):
            session = status(guard)[3]
            for pid in map(int, Path(f"/proc/{guard}/task/{guard}/children").read_text().split()):
                words = status(pid)
                if words[0] != "Z" and words[3] == session:
                    return pid
        return 0

    @property
    def up(self) -> bool:
        return bool(self.guard or self.worker)


@dataclass
class Deed:
    """Something that was done."""

    at: float
    what: str
    node: str = ""
    until: float | None = None
    """When it was taken back."""
    wild: bool = False
    """It may lead to two runners."""


class Storm:
    """One storm.  What is done in it depends on the lane."""

    def __init__(
        self, lab: Lab, chance: random.Random, settings: dict[str, str], *, lane: str, dead: float
    ) -> None:
        self.lab = lab
        self.chance = chance
        self.settings = settings
        self.dead = dead
        self.wild = lane == "wild"
        self.machines = {node.name: Machine(node) for node in lab.nodes}
        self.deeds: list[Deed] = []
        self.bad_link = chance.choice(lab.links)
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        kinds: dict[Callable[[Machine], None], int] = {
            self.weather: 6,
            self.fair_weather: 2,
            self.cut: 3,
            self.mute: 2,
            self.unplug: 3,
            self.pause: 2,
            self.freeze_guard: 2,
            self.signal: 5,
            self.slow_hook: 4,
            self.failing_hook: 4,
            self.hanging_hook: 1,
            self.kill_hook: 3,
            self.flap: 3,
            self.service_dies: 2,
            self.full_disk: 2,
            self.jump: 2,
        }
        if lane != "steady":
            kinds.update(
                {
                    self.kill_worker: 4,
                    self.kill_guard: 2,
                    self.power_cut: 4,
                    self.stop: 3,
                    self.restart: 2,
                    self.boot: 4,
                }
            )
        if self.wild:
            kinds.update({self.usr1: 5, self.split: 8, self.freeze: 6, self.kill_daemon: 5, self.isolate: 4})
        self._kinds = list(kinds)
        self._weights = list(kinds.values())

    # --- going on

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # Who runs the services is hit more often than the others.
            names = sorted(self.machines) + [node.name for node in self.lab.running()]
            machine = self.machines[self.chance.choice(names)]
            deed = self.chance.choices(self._kinds, self._weights)[0]
            deed(machine)
            self.sleep(self.chance.expovariate(3.0))

    def sleep(self, seconds: float) -> None:
        """Wait, and take back what is due."""
        end = time.monotonic() + min(seconds, 2.0)
        while True:
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                heapq.heappop(self._later)[2]()
            if now >= end:
                return
            time.sleep(max(0.0, min(end, self._later[0][0] if self._later else end) - now))

    def calm(self) -> None:
        """Take everything back but the death of daemons."""
        while self._later:
            heapq.heappop(self._later)[2]()
        for machine in self.machines.values():
            self._thaw(machine)
            for link in self.lab.links:
                self.lab.plug(machine.node, link)
            make_room(machine.node, RECORD)
            for path in machine.node.control.glob("*hasrv.*"):
                path.unlink()
            set_clock(machine.node, "+0")
        self.lab.heal()
        self.lab.clear_up()
        now = time.monotonic()
        for deed in self.deeds:
            if deed.until is None:
                deed.until = now

    def counts(self) -> Counter[str]:
        return Counter(deed.what.partition(":")[0] for deed in self.deeds)

    def note(self, what: str, machine: Machine | None = None, *, wild: bool = False) -> Deed:
        deed = Deed(time.monotonic(), what, machine.node.name if machine else "", wild=wild)
        self.deeds.append(deed)
        return deed

    def later(self, seconds: float, undo: Callable[[], None], deed: Deed | None = None) -> None:
        def do() -> None:
            undo()
            if deed is not None:
                deed.until = time.monotonic()

        self._number += 1
        heapq.heappush(self._later, (time.monotonic() + seconds, self._number, do))

    def others(self, machine: Machine) -> list[Node]:
        return [node for node in self.lab.nodes if node is not machine.node]

    def links(self) -> list[int]:
        """In a storm that is not wild one link stays good, the same for all nodes."""
        return [self.bad_link]

    # --- the network

    def weather(self, machine: Machine) -> None:
        chance = self.chance
        kinds = {
            "loss": chance.choice((0.0, 0.1, 0.3, 0.6, 0.9)),
            "delay": chance.choice((0.0, 0.02, 0.2, 0.6, 1.5)) * self.dead,
            "jitter": chance.choice((0.0, 0.1, 0.4)) * self.dead,
            "reorder": chance.choice((0.0, 0.3)),
            "duplicate": chance.choice((0.0, 0.5)),
        }
        listener = chance.choice(self.others(machine))
        links = list(self.lab.links) if self.wild and chance.random() < 0.3 else self.links()
        for link in links:
            self.lab.weather(machine.node, listener, link, **kinds)
        for link in self.lab.links:
            if link not in links:  # the good link isn't perfect; but a claim gets there in time (E5)
                self.lab.weather(machine.node, listener, link, duplicate=0.2, delay=0.005)
        said = " ".join(f"{kind} {rate:g}" for kind, rate in kinds.items() if rate)
        self.note(f"weather: {listener.name} hears it with {said} on {links}", machine, wild=len(links) > 1)

    def fair_weather(self, machine: Machine) -> None:
        self.lab.clear_up()
        self.lab.heal()
        for node in self.lab.nodes:
            for link in self.lab.links:
                self.lab.plug(node, link)
        self.note("fair weather")
        now = time.monotonic()
        for deed in self.deeds:
            if deed.until is None and deed.what.partition(":")[0] in (
                "weather",
                "cut",
                "mute",
                "unplug",
                "split",
                "isolate",
            ):
                deed.until = now

    def cut(self, machine: Machine) -> None:
        (link,) = self.links()
        self.lab.cut(machine.node, link)
        self.note(f"cut: link {link}", machine)

    def mute(self, machine: Machine) -> None:
        listener = self.chance.choice(self.others(machine))
        links = list(self.lab.links) if self.wild and self.chance.random() < 0.5 else self.links()
        for link in links:
            self.lab.mute(machine.node, listener, link)
        self.note(f"mute: towards {listener.name} on {links}", machine, wild=len(links) > 1)

    def unplug(self, machine: Machine) -> None:
        (link,) = self.links()
        self.lab.unplug(machine.node, link)
        deed = self.note(f"unplug: link {link}", machine)
        self.later(self.chance.uniform(0.1, 4), lambda: self.lab.plug(machine.node, link), deed)

    def split(self, machine: Machine) -> None:
        self.lab.cut(machine.node)
        machine.troubled = True
        deed = self.note("split: all links", machine, wild=True)
        self.later(self.chance.uniform(0.5, 3) * self.dead, self.lab.heal, deed)

    def isolate(self, machine: Machine) -> None:
        machine.troubled = True
        for link in self.lab.links:
            self.lab.unplug(machine.node, link)

        def plug() -> None:
            for link in self.lab.links:
                self.lab.plug(machine.node, link)

        self.later(self.chance.uniform(0.2, 3) * self.dead, plug, self.note("isolate", machine, wild=True))

    # --- the daemon's processes

    def _may_rest(self, machine: Machine) -> bool:
        """Whether the daemon may lose some more of its time."""
        now = time.monotonic()
        whole = bool(machine.guard and machine.worker)
        if not whole or (not self.wild and (now < machine.rest_until or machine.guard_frozen)):
            return False
        machine.rest_until = now + QUIET
        return True

    def kill_worker(self, machine: Machine) -> None:
        now = time.monotonic()
        machine.deaths = [at for at in machine.deaths if now - at < 61]
        # The fifth in a minute is another matter (G3), and has tests of its own.
        if len(machine.deaths) < 3 and self._may_rest(machine):
            machine.deaths.append(now)
            self.note("kill worker", machine)
            self.kill([machine.worker], signal.SIGKILL)

    def kill_guard(self, machine: Machine) -> None:
        if self._may_rest(machine):
            self.note("kill guard", machine)
            self.kill([machine.guard], signal.SIGKILL)

    def pause(self, machine: Machine) -> None:
        """Not long enough for anybody to take notice."""
        if self._may_rest(machine):
            pids = self.chance.choice(([machine.worker], [machine.guard, machine.worker]))
            deed = self.note(f"pause: {len(pids)} processes", machine)
            self._freeze(machine, pids)
            self.later(self.chance.uniform(0.05, 0.2) * self.dead, lambda: self._thaw(machine), deed)

    def freeze_guard(self, machine: Machine) -> None:
        if self._may_rest(machine):
            deed = self.note("freeze guard", machine)
            machine.guard_frozen = True
            self._freeze(machine, [machine.guard])
            self.later(self.chance.uniform(0.1, 4), lambda: self._thaw(machine), deed)

    def freeze(self, machine: Machine) -> None:
        pids = self.chance.choice(([machine.worker], [machine.guard, machine.worker]))
        machine.troubled = True
        deed = self.note(f"freeze: {len(pids)} processes", machine, wild=True)
        self._freeze(machine, pids)
        self.later(self.chance.uniform(0.3, 3) * self.dead, lambda: self._thaw(machine), deed)

    def kill_daemon(self, machine: Machine) -> None:
        machine.troubled = True
        self.note("kill daemon", machine, wild=True)
        pids = [machine.guard, machine.worker]
        self.kill(pids, signal.SIGSTOP)
        self.kill(pids, signal.SIGKILL)
        if self.chance.random() < 0.5:
            self.later(self.chance.uniform(0.1, 3), lambda: self.start(machine))

    def _freeze(self, machine: Machine, pids: list[int]) -> None:
        machine.frozen.update(pid for pid in pids if pid)
        self.kill(pids, signal.SIGSTOP)

    def _thaw(self, machine: Machine) -> None:
        self.kill(list(machine.frozen), signal.SIGCONT)
        machine.frozen.clear()
        machine.guard_frozen = False
        machine.rest_until = time.monotonic() + QUIET

    @staticmethod
    def kill(pids: list[int], number: int) -> None:
        for pid in pids:
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    # --- daemons and machines

    def start(self, machine: Machine) -> bool:
        """Start the daemon, if it doesn't run."""
        if machine.up:
            return False
        machine.rest_until = time.monotonic() + QUIET
        machine.frozen.clear()
        machine.guard_frozen = False
        machine.node.start(**self.settings)
        return True

    def boot(self, _machine: Machine) -> None:
        down = [each for each in self.machines.values() if not each.up]
        if down:
            machine = self.chance.choice(down)
            self.note("start", machine)
            self.start(machine)

    def power_cut(self, machine: Machine) -> None:
        if all(each is machine or not each.up for each in self.machines.values()) and not self.wild:
            return  # somebody is to be left
        machine.troubled = True
        self.note("power cut", machine)
        machine.node.power_cut()
        machine.frozen.clear()
        machine.guard_frozen = False
        machine.deaths.clear()
        if self.chance.random() < 0.7:
            self.later(self.chance.uniform(0.05, 5), lambda: self.start(machine))

    def stop(self, machine: Machine) -> None:
        if machine.up and not machine.frozen:
            machine.troubled = True
            self.note("SIGTERM", machine)
            self.kill([machine.guard or machine.worker], signal.SIGTERM)

    def restart(self, machine: Machine) -> None:
        """A daemon that is up again as soon as it has stopped."""
        if machine.up and not machine.frozen:
            machine.troubled = True
            self.note("restart", machine)
            self.kill([machine.guard or machine.worker], signal.SIGTERM)
            deadline = time.monotonic() + 3
            while machine.up and time.monotonic() < deadline:
                self.sleep(0.02)
            self.start(machine)

    # --- people

    def signal(self, machine: Machine) -> None:
        if not machine.up:
            return
        number = self.chance.choice((signal.SIGHUP, signal.SIGHUP, signal.SIGUSR2))
        who = self.chance.choice(("daemon", "daemon", "all processes", "all nodes"))
        self.note(f"{signal.Signals(number).name}: {who}", machine)
        targets = list(self.machines.values()) if who == "all nodes" else [machine]
        for each in targets:
            each.troubled = True
            self.kill([each.guard or each.worker], number)
            if who == "all processes":
                self.kill([each.worker], number)

    def usr1(self, machine: Machine) -> None:
        if machine.up:
            self.note("SIGUSR1", machine, wild=True)
            self.kill([machine.guard or machine.worker], signal.SIGUSR1)

    # --- hooks, services, disks, clocks

    def _hook(self, machine: Machine, hook: str, mode: str, seconds: float, value: str = "") -> None:
        machine.troubled = True
        path = machine.node.control / f"{hook}.{mode}"
        machine.node.hook(hook, mode, value)
        deed = self.note(f"hook: {hook} {mode} {value}", machine)
        self.later(seconds, lambda: path.unlink(missing_ok=True), deed)

    def slow_hook(self, machine: Machine) -> None:
        hook = self.chance.choice(("starthasrv", "stophasrv", "monitorhasrv", "alerthasrv"))
        self._hook(machine, hook, "hang", self.chance.uniform(0.1, 1.5))

    def hanging_hook(self, machine: Machine) -> None:
        """Longer than its timeout; sometimes it must be killed."""
        hook = self.chance.choice(("starthasrv", "stophasrv", "monitorhasrv"))
        if self.chance.random() < 0.3:
            self._hook(machine, hook, "stubborn", 6)
        self._hook(machine, hook, "hang", self.chance.uniform(3.5, 6))

    def failing_hook(self, machine: Machine) -> None:
        hook = self.chance.choice(("starthasrv", "stophasrv", "monitorhasrv"))
        self._hook(machine, hook, "fail", self.chance.uniform(0.2, 3), self.chance.choice(("1", "2", "127")))

    def flap(self, machine: Machine) -> None:
        for _ in range(self.chance.randint(1, 4)):
            self._hook(machine, "monitorhasrv", "fail", 0.2, "1")
            self.sleep(self.chance.uniform(0.2, 0.5))

    def kill_hook(self, machine: Machine) -> None:
        """SIGKILL for whatever hook runs in a moment; it is held for so long that one does."""
        hook = self.chance.choice(("starthasrv", "stophasrv", "monitorhasrv"))
        self._hook(machine, hook, "hang", 1.5)
        self.later(self.chance.uniform(0.3, 1.4), lambda: self._kill_hook(machine))

    def _kill_hook(self, machine: Machine) -> None:
        with contextlib.suppress(OSError, ValueError):
            name, pid = (machine.node.control / "running").read_text().split()
            if status(int(pid))[2] == pid:  # it leads its process group
                self.note(f"kill hook: {name}", machine)
                os.killpg(int(pid), signal.SIGKILL)

    def service_dies(self, machine: Machine) -> None:
        service = machine.node.control / "service"
        if service.exists():
            machine.troubled = True
            self.note("service dies", machine)
            service.unlink(missing_ok=True)

    def full_disk(self, machine: Machine) -> None:
        fill(machine.node, RECORD)
        deed = self.note("full disk", machine)
        self.later(self.chance.uniform(0.5, 6), lambda: make_room(machine.node, RECORD), deed)

    def jump(self, machine: Machine) -> None:
        offset = self.chance.choice(("+1d", "-1d", "+3600", "-7", "+0"))
        if not machine.node.environment:
            return  # these daemons have the machine's clock
        set_clock(machine.node, offset)
        self.note(f"wall clock: {offset}", machine)
