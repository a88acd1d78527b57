"""A computer of a small world: a core, its hooks, its record; and what the judge asks a world for."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional, cast

from had.core.actions import Hook
from had.core.node import Node
from had.core.settings import MS, SECOND, Settings
from had.core.states import BUSY_STATES, STATE_OF, State
from had.sim.judge import Judge
from had.sim.truth import LONG_AGO, Ears, Truth

if TYPE_CHECKING:
    from had.sim.machine import Machine
    from had.sim.world import World

GRID_NS = 50 * MS
"""Deadlines are met at multiples of this."""
START_NS = 1_000 * SECOND


@dataclasses.dataclass(frozen=True)
class Running:
    """A hook that runs."""

    hook: Hook
    run: int
    begun_ns: int
    due_ns: int
    """When it has ended at the latest."""
    slow: bool = False
    ending: bool = False
    """It was told to end."""


class SmallJudge(Judge):
    """The judge, who notes starts: only the whole cluster can be asked whether one is excused."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.starts: list[Truth] = []
        """What was true of a computer when its ``starthasrv`` began."""
        self.reordered = False
        """Whether a packet has been overtaken by others on its link."""

    def _start_begins(self, machine: Machine, truth: Truth) -> None:
        self.starts.append(dataclasses.replace(truth))
        super()._start_begins(machine, truth)

    def _is_overtaken(self, starter: Machine, holder: Machine) -> bool:
        """Say whether a packet may have been overtaken, which is known here."""
        words = starter.ears.words[holder.index]
        return self.reordered and not any(word in BUSY_STATES for word in words)

    def excuse(self, starter: Machine, begins: Truth, holder: Machine, since_claim: bool) -> Optional[str]:
        """Say why a start beside a service that may be up is excused, or None.

        ``since_claim``: whether the starter has heard the holder busy since that claimed.
        """
        # Each computer has a clock of its own here; which came first is all that is asked for.
        starter.ears.busy_ns[holder.index] = 1 if since_claim else -1
        holder_truth = cast("Computer", holder).truth
        self.truths[starter.index] = begins
        self.truths[holder.index] = dataclasses.replace(holder_truth, claim_ns=0)
        words = starter.ears.words[holder.index]
        if holder_truth.stop_failed and not any(word in BUSY_STATES for word in words):
            return "stop failed"  # it may say by now that it stops once more, and nobody has heard it
        return self._excuse(starter, holder)


class Stage:
    """What the judge takes for the world: whoever acts, and the others as far as they are named."""

    def __init__(self, settings: list[Settings], links: int) -> None:
        self.queue = SimpleNamespace(now_ns=START_NS)
        self.network = SimpleNamespace(slowest_ns=MS)
        self.nodes, self.links = len(settings), links
        self.away: list[str] = []
        self.mends = False
        self.story: Optional[list[str]] = None
        """The transcript, while one is made."""
        self.blank = [Computer(self, index, each) for index, each in enumerate(settings)]
        self.machines = list(self.blank)
        self.judge = SmallJudge(cast("World", self))
        self.judge.begin(len(settings))

    def tell(self, machine: Optional[Computer], text: str, quiet: bool = False) -> None:
        if self.story is not None and not quiet:
            self.story.append(text if machine is None else f"{machine.name}: {text}")

    def datagram(self, _name: str, _state: State) -> bytes:
        return b""

    def acts(self, computer: Computer) -> None:
        """Let one computer be looked at, and nothing be known of the others."""
        for index, blank in enumerate(self.blank):
            self.machines[index] = blank
            self.judge.truths[index] = blank.truth
        self.machines[computer.index] = computer
        self.judge.truths[computer.index] = computer.truth
        self.queue.now_ns = computer.now_ns

    def shows(self, computers: list[Computer]) -> None:
        """Let all be looked at."""
        self.machines[:] = computers
        self.judge.truths[:] = [computer.truth for computer in computers]


class Computer:
    """What :class:`had.sim.machine.Machine` is for the judge, with one core and no processes."""

    old = False
    boot = ""
    shown = ()
    hook_files = ()

    def __init__(self, stage: Stage, index: int, settings: Settings) -> None:
        self.stage, self.index, self.settings, self.name = stage, index, settings, settings.node
        self.now_ns = START_NS
        """When something happened to it last, by its own clock."""
        self.node: Optional[Node] = None
        self.truth = Truth()
        self.ears = Ears(stage.nodes, stage.links)
        self.hook: Optional[Running] = None
        self.service = "down"
        self.epoch, self.mark, self.same_boot = 0, False, False
        """The record on its disk."""
        self.links_up = (True,) * stage.links
        self.paused_ns: Optional[int] = None
        self.isolated_local: Optional[int] = None
        self.hears_again_local = self.stalled_local = LONG_AGO

    def copy(self) -> Computer:
        other = object.__new__(Computer)
        other.__dict__.update(self.__dict__)
        if self.node is not None:
            other.node = self.node.copy()
        other.truth = _copy_truth(self.truth)
        other.ears = self.ears.copy()
        return other

    # What the judge asks

    @property
    def daemon(self) -> Optional[Computer]:
        return None if self.node is None else self

    @property
    def world(self) -> Stage:
        return self.stage

    @property
    def worker(self) -> Computer:
        return self

    @property
    def state(self) -> Optional[State]:
        groups = self.node.data.groups if self.node is not None else []
        return STATE_OF[groups[0].phase] if groups else None

    @property
    def running(self) -> dict[Hook, Running]:
        return {} if self.hook is None else {self.hook.hook: self.hook}

    @property
    def carrier(self) -> tuple[bool, ...]:
        return self.links_up

    @property
    def disk(self) -> Computer:
        return self

    @property
    def mark_epoch(self) -> Optional[int]:
        return self.epoch if self.mark else None

    def load(self, _boot: str) -> Computer:
        return self

    def truth_for_file(self) -> tuple[()]:
        return ()

    def local_ns(self) -> int:
        return self.now_ns

    def told_isolated(self) -> bool:
        ours = [up for link, up in zip(self.settings.links, self.links_up) if not link.crossover]
        return bool(ours) and not any(ours)

    def lost_worker_lately(self) -> bool:
        return False

    def late_ns(self) -> int:
        return self.node.data.late if self.node is not None else 0

    def was_stalled(self) -> bool:
        return self.now_ns - self.stalled_local < 4 * self.settings.dead_ns

    def unread(self) -> list[list[bytes]]:
        return []


def as_machine(computer: Computer) -> Machine:
    """Say that a computer is enough of a machine for the judge."""
    return cast("Machine", computer)


def _copy_truth(truth: Truth) -> Truth:
    fresh: dict[str, Any] = {
        name: value.copy() for name, value in vars(truth).items() if isinstance(value, (list, dict))
    }
    fresh["quarrels"] = {
        each: dataclasses.replace(one, beats=dict(one.beats)) for each, one in truth.quarrels.items()
    }
    return dataclasses.replace(truth, **fresh)
