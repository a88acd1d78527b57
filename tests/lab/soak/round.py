"""A cluster of the soak: its rounds of storm and calm, and what must hold after each."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..cluster import Lab
from ..journal import Auditor, Entry, parse
from ..namespaces import status
from ..surroundings import FAKETIME, own_clock, small_disk
from .excuses import excuse
from .storm import RECORD, Machine, Storm
from .watch import Scales, Watch

START, STOP, MONITOR, GRACE, STARTUP, PATIENCE = 3.0, 3.0, 2.0, 5.0, 4.0, 10.0
BACKOFF = 60.0
"""A guard whose workers died five times in a minute waits so long at most (G3)."""
MARGIN = 20.0
"""For a machine that is busy with other things."""
STABLE = 1.5
LOOKS = 4.0
"""How often the administrator of the calm looks whether somebody needs SIGUSR2."""
GROWTH_KIB = 1024
GROWTH_DESCRIPTORS = 2


class BrokenError(Exception):
    """What must hold doesn't."""


@dataclass
class Tally:
    """What a lane has seen."""

    rounds: int = 0
    deeds: Counter[str] = field(default_factory=Counter)
    moves: int = 0
    excused: Counter[str] = field(default_factory=Counter)
    settled: list[float] = field(default_factory=list)
    longest_gap: float = 0.0
    stalls: int = 0
    longest_stall: float = 0.0
    longest_overlap: float = 0.0
    sizes: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    """Per process: who, first and last private dirty kiB, first and last number of descriptors."""


class Cluster:
    """A lab and its storms, from `with` to the end of it."""

    def __init__(self, lane: str, seed: int, number: int, directory: Path, tally: Tally) -> None:
        chance = random.Random(f"{seed}/{lane}/cluster {number}")
        self.lane = lane
        self.seed = seed
        self.tally = tally
        self.nodes = 3 if lane == "steady" else chance.choice((2, 3))
        self.dead = chance.choice((1.5, 2.0, 3.0))
        self.blocks = lane != "wild" or chance.random() < 0.5
        clocks = bool(FAKETIME) and chance.random() < 0.7
        self.settings = {
            "dead": f"{round(self.dead * 1000)}ms",
            "startup": f"{STARTUP:g}s",
            "stop_failure": "block" if self.blocks else "errored",
            "hooks__start_timeout": f"{START:g}s",
            "hooks__stop_timeout": f"{STOP:g}s",
            "hooks__monitor_timeout": f"{MONITOR:g}s",
            "hooks__monitor_interval": "300ms",
        }
        self.lab = Lab(directory, self.nodes, links=2, seed=chance.randrange(1 << 30))
        self.directory = directory
        self.auditor = Auditor()
        self.entries: list[Entry] = []
        self._read = 0
        self._violations = 0
        self._excuses: list[str] = []
        """Of the auditor's overlaps, as far as they were judged."""
        self._round_overlaps = 0
        self.scales = Scales()
        self.storm = self._storm(chance)
        for node in self.lab.nodes:
            small_disk(node, RECORD)
            if clocks:
                own_clock(node)
        self.watch = Watch(self.lab, self._healthy)

    def _storm(self, chance: random.Random) -> Storm:
        return Storm(self.lab, chance, self.settings, lane=self.lane, dead=self.dead)

    @property
    def machines(self) -> list[Machine]:
        return list(self.storm.machines.values())

    @property
    def bound(self) -> float:
        """How long a calm may take, by the settings: what runs at the moment and the stop that follows,
        INITIAL, quarrels and pauses, everybody's turn that isn't used, the start itself.
        """
        hooks = START + STOP + MONITOR + 3 * GRACE
        return sum(
            (
                2 * hooks,
                STARTUP,
                8 * self.dead,
                self.nodes * max(PATIENCE, 2 * self.dead),
                START + LOOKS,
                BACKOFF if self.lane == "wild" else 0,
                MARGIN,
            )
        )

    def _healthy(self) -> bool:
        """Whether some node could run the services: nothing was done to it in this storm."""
        return any(
            not machine.troubled and not machine.frozen and machine.up and machine.node.state() == "Standby"
            for machine in self.machines
        )

    # --- rounds

    def begin(self) -> None:
        self.watch.start()
        for machine in self.machines:
            self.storm.start(machine)
        self._settle()

    def round(self, number: int) -> str:
        """One storm and the calm after it; returns what is to be said about it.

        :raises BrokenError:
        """
        chance = random.Random(f"{self.seed}/{self.lane}/{number}")
        before = self.storm
        self.storm = self._storm(chance)
        self.storm.machines = before.machines
        for machine in self.machines:
            machine.troubled = False
        moves = self.tally.moves
        self.storm.run(chance.uniform(5, 15))
        self.storm.calm()
        took = self._settle()
        self.tally.rounds += 1
        self.tally.deeds.update(self.storm.counts())
        self.tally.settled.append(took)
        overlaps = self._check()
        moved = self.tally.moves - moves
        said = f"{self.nodes} nodes, dead {self.dead:g} s: {len(self.storm.deeds)} deeds, {moved} starts"
        return f"{said}, settled after {took:.1f} s" + (f"; {', '.join(overlaps)}" if overlaps else "")

    def _take_in(self) -> None:
        with self.lab.journal.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        entries = parse(whole.decode().splitlines())
        self.auditor.read(entries)
        # The monitor is called all the time, and is nothing that is asked for below.
        entries = [entry for entry in entries if entry.hook != "monitorhasrv"]
        self.entries += entries
        self.tally.moves += sum(entry.hook == "starthasrv" and entry.word == "begin" for entry in entries)

    def _settled(self) -> bool:
        running = self.lab.running()
        if len(running) != 1 or list(self.auditor.up) != [running[0].name]:
            return False
        wanted = {node.name: "Running" if node is running[0] else "Standby" for node in self.lab.nodes}
        return all(machine.guard for machine in self.machines) and all(
            node.states() == wanted for node in self.lab.nodes
        )

    def _settle(self) -> float:
        """Be the administrator until one runs and all agree; returns how long it took.

        :raises BrokenError:
        """
        begun = time.monotonic()
        since: float | None = None
        looked = begun - LOOKS + 1
        while since is None or time.monotonic() - since < STABLE:
            now = time.monotonic()
            if self.watch.failure is not None:
                raise self.watch.failure
            self._take_in()
            self._judge(now - 2)  # what the logs say of a stall may come a little later
            if not self._settled():
                since = None
            elif since is None:
                since = now
            if now - begun > self.bound:
                shown = "; ".join(f"{node.name} shows {node.states()}" for node in self.lab.nodes)
                up = f"by the journal {list(self.auditor.up) or 'nobody'} may run"
                raise BrokenError(f"not settled {self.bound:.0f} s after the storm: {up}; {shown}")
            if since is None and now - looked > LOOKS:
                self._administer(first=looked < begun)
                looked = now
            self._restart()
            time.sleep(0.05)
        return since - begun

    def _administer(self, *, first: bool) -> None:
        """At first SIGUSR2 for all: it ends holds and ERRORED; later for those that show a reason.

        Where a stop has failed SIGUSR2 would only say that the services are stopped, and they are not: SIGHUP
        stops them once more (M1).  Where somebody has said so already, a restart finds them (S3).
        """
        for machine in self.machines:
            state, up = machine.node.state(), machine.node.name in self.auditor.up
            if not machine.up:
                continue
            if up and state == "ERRORED":
                number = signal.SIGHUP
            elif up and state == "Standby" and not first:
                number = signal.SIGTERM
            elif first or state in ("ERRORED", "Stopping", "Standby"):
                number = signal.SIGUSR2
            else:
                continue
            self.storm.kill([machine.guard or machine.worker], number)

    def _restart(self) -> None:
        """Start daemons that have ended, and end workers that have lost their guard."""
        for machine in self.machines:
            if not machine.up:
                self.storm.start(machine)
            elif not machine.guard and machine.worker and time.monotonic() > machine.rest_until:
                machine.rest_until = time.monotonic() + 1
                self.storm.kill([machine.worker], signal.SIGTERM)

    # --- checks

    def _judge(self, before: float) -> None:
        """Look at what the auditor has found, as far as it began before that moment.

        :raises BrokenError:
        """
        while self._violations < len(self.auditor.violations):
            violation = self.auditor.violations[self._violations]
            self._violations += 1
            if violation.kind != "overlap":
                raise BrokenError(f"{violation.kind}: {violation.text}")
        while len(self._excuses) < len(self.auditor.overlaps):
            overlap = self.auditor.overlaps[len(self._excuses)]
            if overlap.began > before:
                return
            why = excuse(overlap, self.storm.deeds, self.entries, self.watch.stalls, self.dead, self.blocks)
            if not why:
                raise BrokenError(f"{' and '.join(overlap.nodes)} both ran, from {overlap.began:.2f} on")
            self._excuses.append(why)

    def _check(self) -> list[str]:
        """What must hold after a round; returns what was excused.

        :raises BrokenError:
        """
        said = []
        begun = self._round_overlaps
        self._judge(time.monotonic())
        for overlap, why in zip(self.auditor.overlaps[begun:], self._excuses[begun:]):
            if overlap.ended is None:
                raise BrokenError(f"an overlap that doesn't end: {overlap}")
            lasted = overlap.ended - overlap.began
            self.tally.excused[why] += 1
            self.tally.longest_overlap = max(self.tally.longest_overlap, lasted)
            said.append(f"two ran for {lasted:.2f} s ({why})")
        self._round_overlaps = len(self.auditor.overlaps)
        if self.watch.wrong:
            raise BrokenError(f"a log says: {self.watch.wrong[0]}")
        for machine in self.machines:
            self._check_processes(machine)
        return said

    def _check_processes(self, machine: Machine) -> None:
        name = machine.node.name

        def clean() -> bool:
            daemon = {machine.guard, machine.worker}
            return (
                0 not in daemon and set(machine.node.namespace.pids()) == daemon and not self._zombies(daemon)
            )

        # The monitor runs for a moment now and then; writers and alerts, too.
        self._await(
            clean,
            10,
            lambda: (
                f"{name} has processes {machine.node.namespace.pids()}, zombies "
                f"{self._zombies({machine.guard, machine.worker})}; guard and worker are "
                f"{machine.guard} and {machine.worker}"
            ),
        )
        self.scales.measure(f"guard of {name}", machine.guard)
        self.scales.measure(f"worker of {name}", machine.worker)

    @staticmethod
    def _zombies(parents: set[int]) -> list[int]:
        found = []
        for parent in parents:
            with contextlib.suppress(OSError):
                for pid in map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()):
                    with contextlib.suppress(OSError):
                        if status(pid)[0] == "Z":
                            found.append(pid)
        return found

    @staticmethod
    def _await(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise BrokenError(f"still after {seconds:g} s: {what()}")
            time.sleep(0.02)

    # --- the end

    def finish(self) -> None:
        """Stop all daemons, and see that nothing is left of them and that they have not grown.

        :raises BrokenError:
        """
        for machine in self.machines:
            self.storm.kill([machine.guard], signal.SIGTERM)
        for machine in self.machines:
            self._check_end(machine)
        self.watch.end()
        self._check_sizes()

    def _check_end(self, machine: Machine) -> None:
        node = machine.node
        self._await(lambda: not machine.up, self.bound, lambda: f"{node.name} doesn't end")
        if node.process is not None and node.process.returncode != 0:
            raise BrokenError(f"{node.name} ends with {node.process.returncode}")
        pids = node.namespace.pids
        self._await(lambda: not pids(), 15, lambda: f"{node.name} leaves processes {pids()}")

    def _check_sizes(self) -> None:
        for size in self.scales.sizes.values():
            if len(size.measured) < 4 or size.measured[-1][0] - size.measured[0][0] < 60:
                continue
            first, last = size.measured[:2], size.measured[-2:]
            # The smaller of two: what is there for a moment is no growth.
            was, now = min(kib for _, kib, _ in first), min(kib for _, kib, _ in last)
            had, has = min(count for _, _, count in first), min(count for _, _, count in last)
            self.tally.sizes.append((size.who, was, now, had, has))
            if now - was > GROWTH_KIB or has - had > GROWTH_DESCRIPTORS:
                measured = ", ".join(f"{kib} kiB {count}" for _, kib, count in size.measured)
                raise BrokenError(f"the {size.who} has grown: {measured}")

    def close(self, *, keep: bool) -> None:
        with contextlib.suppress(Exception):  # it was told before, or something worse was
            self.watch.end()
        self.tally.longest_gap = max(self.tally.longest_gap, self.watch.longest_gap)
        self.tally.stalls += len(self.watch.stalls)
        late = [stall.seconds for stall in self.watch.stalls if stall.who == "the machine"]
        self.tally.longest_stall = max([self.tally.longest_stall, *late])
        self.lab.close()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def report(self, error: BaseException) -> str:
        """All that helps to understand a failure."""
        parts = [
            f"*** {error}",
            f"settings: {self.settings}; bad link {self.storm.bad_link}",
            "--- what was done",
        ]
        for deed in self.storm.deeds:
            until = f" (until {deed.until:.2f})" if deed.until is not None else ""
            parts.append(f"{deed.at:.2f} {deed.node:4} {deed.what}{until}")
        parts.append("--- stalls of more than a tenth of a second")
        parts += [f"{s.at:.2f} {s.who} {s.seconds:.2f} s" for s in self.watch.stalls[-30:] if s.seconds > 0.1]
        parts.append(self.lab.describe())
        return "\n".join(parts)
