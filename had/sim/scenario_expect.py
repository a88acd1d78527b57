"""What ``expect`` looks at: what a node says of itself and of others, and what is really up.

::

    expect alpha RUNNING within 5
    expect alpha sees beta TIMEDOUT
    expect alpha exits 1 within 6
    expect alpha gone
    expect alpha marked
    expect services on alpha
    expect services nowhere

The lab reads the same lines (:func:`parse`) and looks at the same things of real daemons.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from had.core.states import STATE_OF, State
from had.sim.clockwork import MS
from had.sim.freehad import OldDaemon
from had.sim.schedule import ScheduleError, seconds, span
from had.sim.truth import BrokenPromiseError

if TYPE_CHECKING:
    from had.sim.machine import Machine
    from had.sim.world import World

FORM = (
    "NODE STATE | NODE sees NODE STATE|nothing | NODE gone | NODE exits CODE | NODE marked|unmarked | "
    "services on NODE... | services nowhere  [within SECONDS]"
)
PROMISE = "the story goes as it is told"
"""What is broken by an expectation that does not come true."""
LOOK_NS = 10 * MS
OWN = tuple(state.name for state in State if state not in (State.UNKNOWN, State.TIMEDOUT))
NOTHING = "nothing"
GONE = "gone"


@dataclasses.dataclass(frozen=True)
class Expectation:
    """One line."""

    kind: str
    """state, sees, gone, exits, marked or services"""
    node: str = ""
    peer: str = ""
    wanted: str = ""
    """A state, an exit code, or yes or no."""
    nodes: tuple[str, ...] = ()
    within_ns: Optional[int] = None

    def __str__(self) -> str:
        who = f"services on {' '.join(self.nodes)}" if self.nodes else "services nowhere"
        words = {
            "state": f"{self.node} {self.wanted}",
            "sees": f"{self.node} sees {self.peer} {self.wanted}",
            "gone": f"{self.node} gone",
            "exits": f"{self.node} exits {self.wanted}",
            "marked": f"{self.node} {self.wanted}",
            "services": who,
        }[self.kind]
        return words + (f" within {seconds(self.within_ns)}" if self.within_ns is not None else "")


def parse(words: Sequence[str], names: Sequence[str]) -> Expectation:
    """Read what stands behind ``expect``.

    :raises ScheduleError:
    """
    words, within_ns = list(words), None
    if len(words) > 2 and words[-2] == "within":
        within_ns, words = span(words[-1]), words[:-2]
    head, *rest = words or [""]
    if head == "services":
        return _services(rest, names, within_ns)
    _check_node(head, names)
    if len(rest) == 1 and rest[0] in OWN:
        return Expectation("state", head, wanted=rest[0], within_ns=within_ns)
    if rest == [GONE]:
        return Expectation("gone", head, within_ns=within_ns)
    if rest in (["marked"], ["unmarked"]):
        return Expectation("marked", head, wanted=rest[0], within_ns=within_ns)
    if len(rest) == 2 and rest[0] == "exits" and rest[1].isdigit():
        return Expectation("exits", head, wanted=rest[1], within_ns=within_ns)
    if len(rest) == 3 and rest[0] == "sees":
        _check_node(rest[1], names)
        if rest[2] in (*OWN, State.TIMEDOUT.name, NOTHING):
            return Expectation("sees", head, rest[1], rest[2], within_ns=within_ns)
    raise ScheduleError(
        f"not understood: {' '.join(words)}; it is written: {FORM}; a STATE is {', '.join(OWN)}"
    )


def _services(rest: list[str], names: Sequence[str], within_ns: Optional[int]) -> Expectation:
    if rest == ["nowhere"]:
        return Expectation("services", within_ns=within_ns)
    if len(rest) < 2 or rest[0] != "on":
        raise ScheduleError("it is written: services on NODE... | services nowhere")
    for name in rest[1:]:
        _check_node(name, names)
    return Expectation("services", nodes=tuple(sorted(rest[1:])), within_ns=within_ns)


def _check_node(name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise ScheduleError(f"there is no node {name}: there are {', '.join(names)}")


# In the simulator


def check(world: World, *words: str) -> None:
    """Go on until it is so, at most so long as it says.

    :raises BrokenPromiseError: it is not so.
    """
    expected = parse(words, world.schedule.names)
    world.go_on(0)
    until_ns = world.queue.now_ns + (expected.within_ns or 0)
    while True:
        found = look(world, expected)
        if found == wanted(expected):
            return
        if world.queue.now_ns >= until_ns:
            break
        world.go_on(min(LOOK_NS, until_ns - world.queue.now_ns))
    raise BrokenPromiseError(
        PROMISE, f"expected: {expected}; but {told(expected, found)}{_why(world, expected)}"
    )


def wanted(expected: Expectation) -> str:
    """Return what :func:`look` returns where all is as expected."""
    if expected.kind == "services":
        return " ".join(expected.nodes)
    return GONE if expected.kind == "gone" else expected.wanted


def told(expected: Expectation, found: str) -> str:
    """Return what is, as a sentence."""
    if expected.kind == "services":
        return f"the services are up on {found}" if found else "the services are up nowhere"
    if expected.kind == "sees":
        return f"{expected.node} sees {expected.peer} {found}"
    if expected.kind == "exits":
        return f"{expected.node} has exited with {found}" if found else f"{expected.node} has not exited"
    return f"{expected.node} is {found}"


def look(world: World, expected: Expectation) -> str:
    """Return what is so now, in the words of the expectation."""
    if expected.kind == "services":
        return " ".join(sorted(machine.name for machine in world.machines if machine.service == "up"))
    machine = world.machines[world.index_of[expected.node]]
    if expected.kind == "exits":
        code = machine.exit_code
        return "" if code is None or machine.daemon is not None else str(code)
    if expected.kind == "marked":
        return "marked" if machine.disk.load(machine.boot).mark_epoch is not None else "unmarked"
    if expected.kind == "sees":
        return sees(machine).get(expected.peer, NOTHING)
    state = machine.daemon.state if machine.daemon is not None else None
    return GONE if machine.daemon is None else (state.name if state is not None else State.INITIAL.name)


def sees(machine: Machine) -> dict[str, str]:
    """Return what the state file on a machine says of each node."""
    daemon = machine.daemon
    if daemon is None:
        return {}
    if isinstance(daemon, OldDaemon):
        return daemon.sees()
    worker = daemon.worker
    return {name: state.name for name, state in worker.shown[1]} if worker is not None else {}


def _why(world: World, expected: Expectation) -> str:
    """Say why the node is as it is, as far as its core tells."""
    if not expected.node:
        return ""
    daemon = world.machines[world.index_of[expected.node]].daemon
    worker = daemon.worker if daemon is not None else None
    if worker is None or not worker.node.data.groups:
        return ""
    group = worker.node.data.groups[0]
    reason = group.verdict or group.reason
    return f" ({STATE_OF[group.phase].name}: {reason.text})"
