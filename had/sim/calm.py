"""After the storm: promise 2, somebody runs the service within a bound that is computed from the settings.

Looked at once a second.  Settled is: exactly one service may be up, it is up, its node is RUNNING, and every
other node of the part that is there is STANDBY or kept out by what only a person can undo; or nobody runs and
nobody may.  It must stay so for two dead times more.

Nobody may run, and nobody has to, where
- a node is BLOCKED: its services may be up, and nobody may start beside it;
- no node is eligible.  Eligible is one that is not ERRORED, not on hold, not on its way out, and has the
  quorum of the live daemons beside it.  With one or two nodes configured a node that has left INITIAL needs
  none.  In INITIAL one without a quorum is eligible only with the mark of the sole survivor or
  ``alone = start``.
Where an old daemon takes part, its defects may keep everybody waiting; then only this is asked for: of our
nodes at most one runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from had.core.settings import Alone, Settings
from had.core.states import Phase
from had.runtime import record
from had.runtime.guard import BACKOFF_MAX_NS
from had.runtime.hooks import GRACE_NS
from had.sim.clockwork import SECOND
from had.sim.manners import patience_ns
from had.sim.truth import BrokenPromiseError

if TYPE_CHECKING:
    from had.sim.machine import Machine
    from had.sim.world import World

LOOK_NS = SECOND
OUT = frozenset((Phase.ERRORED, Phase.BLOCKED, Phase.GONE))


def bound_ns(settings: Settings, nodes: int, mends: bool) -> int:
    """How long it may take until all is settled, by the rules that may each hold up a start once.

    Generous where several can't come together, and finite, which is what is asked for.
    """
    dead_ns, beat_ns = settings.dead_ns, settings.heartbeat_ns
    hooks_ns = (
        settings.start_timeout_ns + settings.stop_timeout_ns + settings.monitor_timeout_ns + 3 * GRACE_NS
    )
    return sum(
        (
            BACKOFF_MAX_NS,  # a guard that pauses between workers (G3)
            GRACE_NS + SECOND,  # a left-over hook of an earlier daemon (S5)
            2 * hooks_ns,  # what runs at the moment, and the clean-up or stop that follows
            max(settings.startup_ns, settings.startup_quorum_ns),  # INITIAL (S1, S2)
            dead_ns + min(2 * beat_ns, dead_ns // 2),  # deafness that has just ended (H3, P1)
            4 * dead_ns,  # two that run must sort it out (T4), others are given more time (P1)
            settings.start_timeout_ns,  # a hold that waits for who announced STARTING (M2)
            nodes * max(patience_ns(settings), settings.startup_ns),  # nodes that had their turn (E4)
            5 * beat_ns + settings.stop_timeout_ns,  # a person's word that waits (M3)
            settings.start_timeout_ns + 10 * SECOND,  # the start itself
            hooks_ns + 10 * SECOND if mends else 0,  # an administrator who looks every few seconds
        )
    )


def phase_of(machine: Machine) -> Optional[Phase]:
    daemon = machine.daemon
    worker = daemon.worker if daemon is not None else None
    return worker.node.data.groups[0].phase if worker is not None and worker.node.data.groups else None


def is_held(machine: Machine) -> bool:
    daemon = machine.daemon
    worker = daemon.worker if daemon is not None else None
    return (
        worker is not None and bool(worker.node.data.groups) and worker.node.data.groups[0].hold is not None
    )


def wait(world: World) -> None:
    """Let the calm go on until all is settled for long enough.

    :raises BrokenPromiseError: it takes longer than it may.
    """
    begun_ns = world.queue.now_ns
    present = [machine for machine in world.machines if machine.name not in world.away]
    if not present:
        return
    limit_ns = max(bound_ns(machine.settings, len(present), world.mends) for machine in present)
    stable_ns = 2 * max(machine.settings.dead_ns for machine in present) + 2 * SECOND
    since_ns: Optional[int] = None
    trouble = ""
    while since_ns is None or world.queue.now_ns - since_ns < stable_ns:
        world.queue.run(world.queue.now_ns + LOOK_NS)
        trouble = unsettled(world, present)
        if trouble:
            if since_ns is not None:
                world.tell(None, f"no longer settled: {trouble}")
            since_ns = None
        elif since_ns is None:
            since_ns = world.queue.now_ns
            world.tell(None, "settled")
        if since_ns is None and world.queue.now_ns - begun_ns > limit_ns:
            raise BrokenPromiseError(
                "2 someone at all times",
                f"{trouble}, {limit_ns // SECOND} s after the storm; {_all(present)}",
            )
    world.settled_ns = since_ns - begun_ns
    _await_record(world, present)
    _check_mark(world, present)


def _all(present: list[Machine]) -> str:
    return ", ".join(f"{machine.name} {_name(machine)}" for machine in present)


def _name(machine: Machine) -> str:
    if machine.old and machine.daemon is not None and machine.daemon.state is not None:
        return f"(old) {machine.daemon.state.name}"
    phase = phase_of(machine)
    return "has no daemon" if phase is None else phase.name + (" on hold" if is_held(machine) else "")


def unsettled(world: World, present: list[Machine]) -> str:
    """Say what is not as it should be in the end; nothing where all is."""
    for machine in present:
        worker = machine.daemon.worker if machine.daemon is not None else None
        if worker is not None and phase_of(machine) is not Phase.GONE:
            world.judge.check_state_file(machine, worker)
            if is_held(machine) and not world.judge.truths[machine.index].held:
                raise BrokenPromiseError(
                    "M2 a hold ends", f"{machine.name} is on hold though a peer has run since"
                )
    ours = [machine for machine in present if not machine.old]
    owed = [text for text in (_is_owed(world, machine) for machine in ours) if text]
    if owed:
        return owed[0]
    running = [machine for machine in ours if phase_of(machine) is Phase.RUNNING]
    moving = [
        machine
        for machine in ours
        if phase_of(machine) not in (None, Phase.RUNNING, Phase.STANDBY, Phase.WAITING, *OUT)
    ]
    if moving:
        return f"{moving[0].name} is {_name(moving[0])}"
    if len(running) > 1:
        return f"{running[0].name} and {running[1].name} both run"
    if any(machine.old for machine in present):
        world.judge.count("excuse: an old daemon takes part in the calm")
        return ""
    if running:
        return _is_well(world, running[0], present)
    return _may_nobody_run(world, ours)


def _is_owed(world: World, machine: Machine) -> str:
    """Say what a person has asked for and not got."""
    truth, phase = world.judge.truths[machine.index], phase_of(machine)
    if phase is None or phase is Phase.GONE:
        return ""
    if truth.leaving and phase is not Phase.BLOCKED:
        return f"{machine.name} was told to end and is {_name(machine)}"
    if truth.forced and phase is not Phase.BLOCKED:
        return f"{machine.name} was told to start and is {_name(machine)}"
    if world.mends and (phase in OUT or is_held(machine)):
        return f"{machine.name} was told to forget what failed and is {_name(machine)}"
    return ""


def _is_well(world: World, runner: Machine, present: list[Machine]) -> str:
    """One runs: is it really up, and nothing of it elsewhere?"""
    if runner.service != "up":
        return f"{runner.name} is RUNNING and its service is {runner.service}"
    for machine in present:
        truth = world.judge.truths[machine.index]
        if (
            machine is not runner
            and truth.open_ns is not None
            and not truth.stop_failed
            and phase_of(machine)
        ):
            return f"the service of {machine.name} may be up, too"
        if machine is not runner and machine.daemon is not None and phase_of(machine) is Phase.WAITING:
            settings, live = machine.settings, _live(present)
            if len(live) >= settings.quorum:
                return f"{machine.name} is still INITIAL"
    return ""


def _live(ours: list[Machine]) -> list[Machine]:
    return [machine for machine in ours if phase_of(machine) not in (None, Phase.GONE)]


def _may_nobody_run(world: World, ours: list[Machine]) -> str:
    """Nobody runs: is there really nobody who may?"""
    live = _live(ours)
    if any(phase_of(machine) is Phase.BLOCKED for machine in live):
        world.judge.count("calm: nobody runs, a node is blocked")
        return ""
    for machine in live:
        if _is_eligible(machine, len(live)):
            return f"nobody runs, and {machine.name} could"
    world.judge.count("calm: nobody runs, and nobody may")
    return ""


def _is_eligible(machine: Machine, live: int) -> bool:
    daemon = machine.daemon
    worker = daemon.worker if daemon is not None else None
    phase, settings = phase_of(machine), machine.settings
    if worker is None or phase in OUT or is_held(machine) or worker.node.data.groups[0].leaving:
        return False
    if live >= settings.quorum:
        return True
    data = worker.node.data
    if phase is Phase.WAITING:
        return live == 1 and (data.mark or settings.alone is Alone.START)
    return settings.count <= 2 or (live == 1 and data.alone and (data.mark or settings.alone is Alone.START))


def _await_record(world: World, present: list[Machine]) -> None:
    """Let a record that could not be written before the calm be tried again, which may be a minute later."""
    live = [machine for machine in present if machine.daemon is not None]
    until_ns = world.queue.now_ns + record.RETRY_MAX_NS + SECOND
    while len(live) == 1 and phase_of(live[0]) is Phase.RUNNING and world.queue.now_ns < until_ns:
        if live[0].disk.load(live[0].boot).mark_epoch is not None:
            return
        world.queue.run(world.queue.now_ns + LOOK_NS)


def _check_mark(world: World, present: list[Machine]) -> None:
    """Promise 4: who runs and hears nobody has it in writing, and nobody else has."""
    live = [machine for machine in present if machine.daemon is not None]
    if any(machine.old for machine in live):
        return  # one may be waiting for a script of its own, and be silent
    for machine in present:
        if machine.daemon is None or phase_of(machine) is not Phase.RUNNING:
            continue
        known = machine.disk.load(machine.boot)
        alone = len(live) == 1
        if alone and known.mark_epoch is None:
            raise BrokenPromiseError(
                "4 no trap", f"{machine.name} is the sole survivor and its disk does not say so"
            )
        if not alone and known.mark_epoch is not None:
            raise BrokenPromiseError(
                "4 no other lone node", f"{machine.name} is not alone and its disk says so"
            )
        if alone:
            world.judge.count("L1 sole survivors at the end")
